"""Commits to the lab's ModelScope hub, the one way files get into or out of a repository.

Facts kept: at most 2,000 actions, more are 422; "create" replaces an existing file; paths must be
clean; files come inline as base64 or by the digest of a stored blob; too many commits in a minute
are 429 with ``Retry-After``; there is no creating a branch. Source: modelscope_hub 0.5.1,
``_upload.py``, ``_legacy_api.py``, issues #69, #1470, #1582, #1793.
"""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from hubferry.lab.content import BytesContent
from hubferry.lab.limits import RateWindow
from hubferry.lab.ms_access import Access
from hubferry.lab.ms_answers import refuse, success
from hubferry.lab.ms_write import SHA256
from hubferry.lab.repos import Repo, TreeFile, lfs_file
from hubferry.lab.wire import read_json

if TYPE_CHECKING:
    from hubferry.lab.server import Lab


@dataclass
class _Change:
    """What a list of actions comes to. ``contents`` are stored only when the commit is made."""

    files: dict[str, TreeFile] = field(default_factory=dict)
    contents: list[BytesContent] = field(default_factory=list)
    deletes: list[str] = field(default_factory=list)


class Committing:
    """The handler of ``POST /api/v1/repos/{kind}/{id}/commit/{branch}``."""

    def __init__(self, lab: Lab, access: Access) -> None:
        self._lab = lab
        self._access = access
        self._window = RateWindow(lab.config.commits_per_minute, 60)

    async def commit(self, request: web.Request) -> web.StreamResponse:
        """Check everything, then change the branch in one step, or refuse and change nothing."""
        made = False
        try:
            response = await self._commit(request)
            made = True
        finally:
            self._lab.counters.commit("ms", accepted=made)
        return response

    async def _commit(self, request: web.Request) -> web.StreamResponse:
        repo, who = self._access.writable(request)
        branch = request.match_info["branch"]
        _check_branch(request, repo, branch)
        body = await read_json(request)
        actions = body.get("actions") if isinstance(body, dict) else None
        if not isinstance(actions, list) or not actions:
            refuse(request, 400, "invalid commit: actions are missing")
        if len(actions) > self._lab.config.max_actions:
            refuse(request, 422, f"a commit takes at most {self._lab.config.max_actions} actions")
        self._check_rate(request, repo)
        change = _Change()
        head = repo.head(branch)
        paths = set(head.tree) if head else set()
        for action in actions:
            self._read_action(request, action, change, paths)
        _check_tree(request, paths, change)
        blobs = repo.store.blobs
        for content in change.contents:
            blobs.add(content, is_lfs=False)
        message = str(body.get("commit_message") or "update")
        made = repo.commit_tree(
            change.files, change.deletes, message=message, branch=branch, author=who.user
        )
        return success(request, {"CommitId": made.id, "Id": made.id, "Message": message})

    def _check_rate(self, request: web.Request, repo: Repo) -> None:
        verdict = self._window.take(f"{repo.repo_type}/{repo.id}")
        if not verdict.allowed:
            wait = str(max(1, math.ceil(verdict.reset_seconds)))
            refuse(request, 429, "commit frequency limit", headers={"Retry-After": wait})

    def _read_action(
        self, request: web.Request, action: Any, change: _Change, paths: set[str]
    ) -> None:
        """Add one action to ``change`` and to the ``paths`` there will be."""
        if not isinstance(action, dict):
            refuse(request, 400, "invalid commit action")
        verb, path = action.get("action"), action.get("path")
        if not isinstance(path, str) or not is_clean(path):
            refuse(request, 400, f"invalid commit action: path {path!r}")
        if verb == "delete":
            if path not in paths:
                refuse(request, 400, f"invalid commit action: no such file {path!r}")
            paths.discard(path)
            change.files.pop(path, None)
            change.deletes.append(path)
        elif verb in ("create", "update"):
            paths.add(path)
            change.files[path] = self._read_file(request, action, change)
        else:
            refuse(request, 400, f"invalid commit action: {verb!r}")

    def _read_file(self, request: web.Request, action: dict[str, Any], change: _Change) -> TreeFile:
        path, size = action["path"], action.get("size")
        if action.get("type") == "lfs":
            sha256 = action.get("sha256")
            if not isinstance(sha256, str) or not SHA256.fullmatch(sha256):
                refuse(request, 400, f"invalid commit action: sha256 of {path!r}")
            if not isinstance(size, int):
                refuse(request, 400, f"invalid commit action: size of {path!r}")
            self._check_blob(request, path, sha256, size)
            return lfs_file(sha256, size)
        if action.get("type") != "normal" or action.get("encoding") != "base64":
            refuse(request, 400, f"invalid commit action: type or encoding of {path!r}")
        try:
            content = BytesContent(base64.b64decode(str(action.get("content")), validate=True))
        except binascii.Error:
            refuse(request, 400, f"invalid commit action: content of {path!r} is not base64")
        if size != content.size:
            refuse(request, 400, f"invalid commit action: size of {path!r}")
        change.contents.append(content)
        return TreeFile(content.size, content.sha256, content.git_oid, is_lfs=False)

    def _check_blob(self, request: web.Request, path: str, sha256: str, size: int) -> None:
        if not self._lab.config.check_blobs_on_commit:
            return
        blobs = self._lab.ms.repos.blobs
        content = blobs.get(sha256) if blobs.has_object(sha256) else None
        # "exist" in a 400 makes the official client take the failure for "already there".
        if content is None:
            refuse(request, 400, f"lfs object does not exist: {sha256} ({path})")
        if content.size != size:
            refuse(request, 400, f"invalid commit action: size of {path!r}")


def is_clean(path: str) -> bool:
    """Tell whether a path may be committed: relative, no empty or dot segment, no controls."""
    segments = path.split("/")
    return not (
        {"", ".", "..", ".git"} & set(segments)
        or any(ord(character) < 32 or ord(character) == 127 for character in path)
    )


def _check_branch(request: web.Request, repo: Repo, branch: str) -> None:
    if branch in repo.tags:
        refuse(request, 400, "commits are only possible on a branch")
    if branch not in repo.branches and branch != repo.store.default_branch:
        refuse(request, 404, f"branch not found: {branch}")


def _check_tree(request: web.Request, paths: set[str], change: _Change) -> None:
    """Refuse a path that would be a file and a folder at once."""
    folders = {path[:at] for path in paths for at, char in enumerate(path) if char == "/"}
    for path in change.files:
        parents = (path[:at] for at, char in enumerate(path) if char == "/")
        if path in folders or any(parent in paths for parent in parents):
            refuse(request, 400, f"invalid commit action: {path!r} is a file and a folder")
