"""Commits to the Hugging Face hub: one JSON object per line, a header first.

Source: huggingface_hub 2.4.0, ``_commit_api.py`` (``_prepare_commit_payload``, ``_send_commit``).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from hubferry.lab.content import BytesContent
from hubferry.lab.hf_access import Access, Refusal, entry_not_found
from hubferry.lab.hf_card import parse_card
from hubferry.lab.hf_rules import REGULAR_LIMIT_BYTES
from hubferry.lab.repos import Commit, Repo, TreeFile, lfs_file
from hubferry.lab.wire import read_bytes

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

_BAD_SEGMENTS = ("", ".", "..", ".git")


@dataclass
class Change:
    """What the lines of one request ask for."""

    message: str
    parent: str | None
    files: dict[str, TreeFile] = field(default_factory=dict)
    deletes: list[str] = field(default_factory=list)


class HfCommitter:
    """The handler for commits."""

    def __init__(self, lab: Lab, access: Access) -> None:
        self._lab = lab
        self._access = access

    async def commit(self, request: web.Request) -> web.Response:
        """Commit to a branch, or to a new pull request with ``create_pr=1``."""
        is_pull_request = request.query.get("create_pr") == "1"
        if is_pull_request:
            repo, identity = self._access.repo(request), self._access.require_identity(request)
        else:
            repo, identity = self._access.require_write(request)
        body = await read_bytes(request)
        try:
            branch, head = self._target(repo, request.match_info["rev"])
            change = self._read(repo, head, body)
            if change.parent not in (None, head.id if head else None):
                raise Refusal(
                    412, "A commit has happened since. Please refresh and try again.",
                )  # fmt: skip
        except Refusal:
            self._lab.counters.commit("hf", accepted=False)
            raise
        if is_pull_request:
            branch = _new_pull_request(repo, head)
        commit = repo.commit_tree(
            change.files,
            change.deletes,
            message=change.message,
            branch=branch,
            author=identity.user,
        )
        self._lab.counters.commit("hf", accepted=True)
        return web.json_response(_answer(request, repo, commit, branch, is_pull_request))

    def _target(self, repo: Repo, revision: str) -> tuple[str, Commit | None]:
        """Return the branch a revision names and its newest commit.

        Raises:
            Refusal: no such branch; only the default branch of an empty repository is made.
        """
        branch = revision.removeprefix("refs/heads/")
        head = repo.head(branch)
        if head is None and (repo.branches or branch != repo.store.default_branch):
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return branch, head

    def _read(self, repo: Repo, head: Commit | None, body: bytes) -> Change:
        lines = _lines(body)
        key, header = next(lines, ("", {}))
        if key != "header" or not str(header.get("summary", "")).strip():
            raise Refusal(400, "a header line with a summary must come first")
        message = f"{header['summary']}\n\n{header.get('description') or ''}".strip()
        change = Change(message, header.get("parentCommit"))
        for key, value in lines:
            path = _checked_path(value, is_folder=key == "deletedFolder")
            if key == "file":
                change.files[path] = self._regular(repo, path, value)
            elif key == "lfsFile":
                change.files[path] = self._pointer(repo, path, value)
            elif key == "deletedFile":
                change.deletes.append(_present(head, path))
            elif key == "deletedFolder":
                change.deletes += _below(head, path)
            else:
                raise Refusal(400, f"unknown operation: {key}")
        return change

    def _regular(self, repo: Repo, path: str, value: Mapping[str, Any]) -> TreeFile:
        text = str(value.get("content", ""))
        try:
            data = base64.b64decode(text) if value.get("encoding") == "base64" else text.encode()
        except binascii.Error:
            raise Refusal(400, f"the content of {path} is not base64") from None
        if len(data) > REGULAR_LIMIT_BYTES:
            raise Refusal(400, f"{path} is larger than 10 MB and must be sent by LFS")
        if path == "README.md":
            errors = parse_card(data.decode("utf-8", "replace")).errors
            if errors:
                raise Refusal(400, f"Invalid metadata in README.md: {'; '.join(errors)}")
        return repo.store.add_file(BytesContent(data), is_lfs=False)

    def _pointer(self, repo: Repo, path: str, value: Mapping[str, Any]) -> TreeFile:
        oid = str(value.get("oid", ""))
        content = repo.store.blobs.get(oid)
        if content is None and self._lab.config.check_blobs_on_commit:
            raise Refusal(400, f"LFS pointer pointed to a file that does not exist: {path}")
        # A server-side copy names no size.
        size = value.get("size", content.size if content else None)
        if size is None:
            raise Refusal(400, f"the size of {path} is not known")
        return lfs_file(oid, int(size))


def _lines(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in body.splitlines():
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            yield item["key"], dict(item["value"])
        except (ValueError, KeyError, TypeError):
            raise Refusal(400, "each line must be an object with key and value") from None


def _checked_path(value: Mapping[str, Any], *, is_folder: bool) -> str:
    path = str(value.get("path", ""))
    path = path.rstrip("/") if is_folder else path
    has_controls = any(ord(letter) < 32 for letter in path)
    if has_controls or any(segment in _BAD_SEGMENTS for segment in path.split("/")):
        raise Refusal(400, f"Invalid path: {path!r}")
    return path


def _present(head: Commit | None, path: str) -> str:
    if head is None or path not in head.tree:
        message = f"A file with this name doesn't exist: {path}"
        raise entry_not_found(head, message) if head else Refusal(404, message, "EntryNotFound")
    return path


def _below(head: Commit | None, folder: str) -> list[str]:
    return [path for path in head.tree if path.startswith(f"{folder}/")] if head else []


def _new_pull_request(repo: Repo, head: Commit | None) -> str:
    """Open the next pull request at a branch's head; return its ref."""
    numbers = (
        int(name.removeprefix("refs/pr/")) for name in repo.branches if name.startswith("refs/pr/")
    )
    ref = f"refs/pr/{max(numbers, default=0) + 1}"
    if head:
        repo.branches[ref] = head.id
    return ref


def _answer(
    request: web.Request, repo: Repo, commit: Commit, branch: str, is_pull_request: bool
) -> dict[str, Any]:
    prefix = "datasets/" if repo.repo_type == "dataset" else ""
    page = f"{request.url.origin()}/{prefix}{repo.id}"
    answer = {
        "success": True,
        "commitOid": commit.id,
        "commitUrl": f"{page}/commit/{commit.id}",
        "hookOutput": "",
    }
    if is_pull_request:
        answer["pullRequestUrl"] = f"{page}/discussions/{branch.removeprefix('refs/pr/')}"
    return answer
