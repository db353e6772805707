"""Changing repositories of the Hugging Face hub: create, delete, settings, refs, preupload.

Source: huggingface_hub 2.4.0, ``hf_api.py`` and ``_commit_api.py`` (``_fetch_upload_modes``).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from hubferry.lab.hf_access import Access, Refusal
from hubferry.lab.hf_rules import UploadRules
from hubferry.lab.policy import GITATTRIBUTES
from hubferry.lab.repos import RepoType, TreeFile
from hubferry.lab.wire import read_json

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

_NAME = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
_TYPES: dict[str, RepoType] = {"model": "model", "dataset": "dataset"}
_MAX_PREUPLOAD_FILES = 256
_VISIBILITIES = ("public", "private")


class HfWriter:
    """Handlers for everything but bytes and commits."""

    def __init__(self, lab: Lab, access: Access) -> None:
        self._side = lab.hf
        self._access = access

    async def create(self, request: web.Request) -> web.Response:
        """Make a repository, which starts with a ``.gitattributes``."""
        identity = self._access.require_identity(request)
        body = await _object(request)
        repo_type, repo_id = _named(body, identity.user)
        namespace, _, name = repo_id.rpartition("/")
        if not identity.can_write(namespace):
            raise Refusal(
                403,
                f"You don't have the rights to create a {repo_type} under the namespace "
                f'"{namespace}"',
            )
        if not _NAME.fullmatch(name):
            raise Refusal(400, f"Invalid repo name: {repo_id} - must use alphanumeric chars")
        url = _web_url(request, repo_type, repo_id)
        try:
            self._side.repos.create(
                repo_type,
                repo_id,
                is_private=_is_private(body) or False,
                created_by=identity.user,
                files={".gitattributes": GITATTRIBUTES.encode()},
            )
        except FileExistsError:
            message = f"You already created this {repo_type} repo: {repo_id}"
            raise Refusal(409, message, extra={"url": url}) from None
        return web.json_response({"url": url, "name": repo_id, "id": repo_id})

    async def delete(self, request: web.Request) -> web.Response:
        """Remove a repository."""
        identity = self._access.require_identity(request)
        repo_type, repo_id = _named(await _object(request), identity.user)
        repo = self._access.find_repo(request, repo_type, repo_id)
        if not identity.can_delete(repo.namespace):
            raise Refusal(403, "You don't have the rights to delete this repository")
        self._side.repos.delete(repo_type, repo_id)
        return web.json_response({})

    async def settings(self, request: web.Request) -> web.Response:
        """Change visibility and gate."""
        repo, _ = self._access.require_write(request)
        body = await _object(request)
        is_private = _is_private(body)
        gated = body.get("gated", repo.gated)
        if gated not in (False, "auto", "manual"):
            raise Refusal(400, '"gated" must be one of [false, auto, manual]')
        repo.gated = gated
        repo.is_private = repo.is_private if is_private is None else is_private
        return web.json_response({"private": repo.is_private, "gated": repo.gated})

    async def create_branch(self, request: web.Request) -> web.Response:
        """Start a branch at a revision."""
        repo, _ = self._access.require_write(request)
        name = request.match_info["name"]
        body = await _object(request)
        if name.startswith("refs/"):
            raise Refusal(400, f"Invalid reference for a branch: {name}")
        commit = self._access.commit(repo, str(body.get("startingPoint") or "main"))
        if name in repo.branches:
            raise Refusal(409, f"Reference already exists: refs/heads/{name}")
        repo.branches[name] = commit.id
        return web.json_response({"success": True})

    async def delete_branch(self, request: web.Request) -> web.Response:
        """Remove a branch other than ``main``."""
        repo, _ = self._access.require_write(request)
        name = request.match_info["name"]
        if name == self._side.repos.default_branch:
            raise Refusal(403, "Cannot delete the default branch")
        if repo.branches.pop(name, None) is None:
            raise Refusal(404, f"Reference does not exist: refs/heads/{name}", "RevisionNotFound")
        return web.json_response({"success": True})

    async def create_tag(self, request: web.Request) -> web.Response:
        """Tag a revision."""
        repo, _ = self._access.require_write(request)
        commit = self._access.commit(repo, request.match_info["name"])
        tag = (await _object(request)).get("tag")
        if not isinstance(tag, str) or not tag:
            raise Refusal(400, '"tag" is required')
        if tag in repo.tags:
            raise Refusal(409, f"Tag reference exists already: refs/tags/{tag}")
        repo.tag(tag, commit.id)
        return web.json_response({"success": True})

    async def delete_tag(self, request: web.Request) -> web.Response:
        """Remove a tag."""
        repo, _ = self._access.require_write(request)
        name = request.match_info["name"]
        if repo.tags.pop(name, None) is None:
            raise Refusal(404, f"Tag does not exist: {name}", "RevisionNotFound")
        return web.json_response({"success": True})

    async def preupload(self, request: web.Request) -> web.Response:
        """Say for each file how it must be sent, and what is there now."""
        if request.query.get("create_pr") == "1":
            repo = self._access.repo(request)
        else:
            repo, _ = self._access.require_write(request)
        commit = repo.head() and self._access.commit(repo, request.match_info["rev"])
        body = await _object(request)
        files = body.get("files")
        if not isinstance(files, list) or len(files) > _MAX_PREUPLOAD_FILES:
            raise Refusal(400, f'"files" must be a list of at most {_MAX_PREUPLOAD_FILES} files')
        rules = UploadRules(repo, commit, body.get("gitIgnore"))
        tree = commit.tree if commit else {}
        return web.json_response(
            {
                "files": [_mode(rules, file, tree.get(str(file.get("path")))) for file in files],
                "commitOid": commit.id if commit else None,
            }
        )


def _mode(rules: UploadRules, file: dict[str, Any], present: TreeFile | None) -> dict[str, Any]:
    path, size = str(file.get("path")), int(file.get("size", 0))
    try:
        sample = base64.b64decode(str(file.get("sample", "")))
    except binascii.Error:
        raise Refusal(400, f'"sample" of {path} is not base64') from None
    oid = None
    if present:
        oid = present.sha256 if present.is_lfs else present.oid
    return {
        "path": path,
        "uploadMode": "lfs" if rules.is_lfs(path, size, sample) else "regular",
        "shouldIgnore": rules.is_ignored(path),
        "oid": oid,
    }


async def _object(request: web.Request) -> dict[str, Any]:
    body = await read_json(request)
    if not isinstance(body, dict):
        raise Refusal(400, "the body must be an object")
    return body


def _named(body: dict[str, Any], user: str) -> tuple[RepoType, str]:
    repo_type = _TYPES.get(str(body.get("type") or "model"))
    if repo_type is None:
        raise Refusal(400, '"type" must be one of [model, dataset]')
    return repo_type, f"{body.get('organization') or user}/{body.get('name', '')}"


def _is_private(body: dict[str, Any]) -> bool | None:
    """Return what the body says of visibility, in the new word or the old one."""
    visibility = body.get("visibility")
    if visibility is None:
        private = body.get("private")
        return None if private is None else bool(private)
    if visibility not in _VISIBILITIES:
        raise Refusal(400, '"visibility" must be one of [public, private]')
    return bool(visibility == "private")


def _web_url(request: web.Request, repo_type: RepoType, repo_id: str) -> str:
    prefix = "datasets/" if repo_type == "dataset" else ""
    return f"{request.url.origin()}/{prefix}{repo_id}"
