"""Reading metadata from the Hugging Face hub: identity, repositories, refs, trees, history.

Source: huggingface_hub 2.4.0, ``hf_api.py``; page sizes from its docstrings and ``LabConfig``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from aiohttp import web

from hubferry.lab.hf_access import Access, Refusal, entry_not_found
from hubferry.lab.hf_card import parse_card
from hubferry.lab.hf_shapes import (
    commit_entry,
    file_entry,
    folder_entry,
    only,
    refs,
    repo_info,
    whoami,
)
from hubferry.lab.hf_tree import Entry, Folder, Trees, entries_of
from hubferry.lab.hf_xet import xet_hash_of
from hubferry.lab.repos import Commit, Repo
from hubferry.lab.wire import read_bytes, read_json

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

_MAX_PATHS = 1000
"""Above this paths-info is refused with 413. Source: huggingface/huggingface_hub#1503."""

_COMMITS_PER_PAGE = 50
_TRUE = ("1", "true", "True")


class HfReader:
    """Handlers that change nothing and send no file."""

    def __init__(self, lab: Lab, access: Access) -> None:
        self._config = lab.config
        self._access = access
        self._trees = Trees()

    async def whoami(self, request: web.Request) -> web.Response:
        """Tell whom the token speaks for."""
        return web.json_response(whoami(self._access.require_identity(request)))

    async def info(self, request: web.Request) -> web.Response:
        """Describe a repository at a commit, by default the head of ``main``."""
        repo = self._access.repo(request)
        query = request.query
        wanted = query.getall("expand", []) + query.getall("expand[]", [])
        blobs = query.get("blobs") in _TRUE
        if wanted and blobs:
            raise Refusal(400, "expand cannot be used with blobs")
        security = query.get("securityStatus") in _TRUE or "securityRepoStatus" in wanted
        commit = self._access.commit(repo, request.match_info.get("rev", "main"))
        return web.json_response(
            only(repo_info(repo, commit, blobs=blobs, security=security), wanted)
        )

    async def auth_check(self, request: web.Request) -> web.Response:
        """Tell whether the token may read the files."""
        self._access.require_bytes(request, self._access.repo(request))
        return web.json_response({})

    async def auth_check_write(self, request: web.Request) -> web.Response:
        """Tell whether the token may write."""
        self._access.require_write(request)
        return web.json_response({})

    async def refs(self, request: web.Request) -> web.Response:
        """List branches and tags."""
        repo = self._access.repo(request)
        pull_requests = request.query.get("include_prs") in _TRUE
        return web.json_response(refs(repo, pull_requests=pull_requests))

    async def commits(self, request: web.Request) -> web.Response:
        """List the history of a revision, newest first, by pages."""
        repo = self._access.repo(request)
        commit: Commit | None = self._access.commit(repo, request.match_info["rev"])
        found = []
        while commit:
            found.append(commit_entry(commit))
            commit = repo.commits.get(commit.parent or "")
        return _page(request, found, _COMMITS_PER_PAGE)

    async def tree(self, request: web.Request) -> web.Response:
        """List a folder, or all below it, by pages."""
        repo = self._access.repo(request)
        commit = self._access.commit(repo, request.match_info["rev"])
        folder = self._trees.folder(repo, commit, request.match_info.get("path", "").strip("/"))
        if folder is None:
            raise entry_not_found(commit)
        is_recursive = request.query.get("recursive") in _TRUE
        expand = request.query.get("expand") in _TRUE
        entries = entries_of(folder, is_recursive=is_recursive)
        size = self._config.expand_page_size if expand else self._config.page_size
        start = _cursor(request)
        shown = await _shown(repo, entries[start : start + size], expand)
        return _answer(request, commit, shown, _next_link(request, start + size, len(entries)))

    async def paths_info(self, request: web.Request) -> web.Response:
        """Describe some paths; what does not exist is absent from the answer."""
        repo = self._access.repo(request)
        commit = self._access.commit(repo, request.match_info["rev"])
        paths, expand = await _wanted_paths(request)
        if len(paths) > _MAX_PATHS:
            raise Refusal(413, "too many parameters")
        entries: list[Entry] = []
        for path in dict.fromkeys(path.strip("/") for path in paths):
            found = commit.tree.get(path) or (path and self._trees.folder(repo, commit, path))
            if found:
                entries.append((path, found))
        return _answer(request, commit, await _shown(repo, entries, expand), None)

    async def validate_yaml(self, request: web.Request) -> web.Response:
        """Check the front matter of a card."""
        body = await read_json(request)
        card = parse_card(str(body.get("content", "")))
        answer = {
            "errors": [{"message": text} for text in card.errors],
            "warnings": [{"message": text} for text in card.warnings],
        }
        return web.json_response(answer, status=400 if card.errors else 200)


async def _shown(repo: Repo, entries: Sequence[Entry], expand: bool) -> list[dict[str, Any]]:
    found = []
    for path, item in entries:
        if isinstance(item, Folder):
            found.append(folder_entry(repo, item, expand=expand))
        else:
            xet_hash = await xet_hash_of(repo, path, item)
            found.append(file_entry(repo, path, item, xet_hash=xet_hash, expand=expand))
    return found


async def _wanted_paths(request: web.Request) -> tuple[list[str], bool]:
    body = await read_bytes(request)
    if request.content_type == "application/json":
        try:
            data = json.loads(body)
        except ValueError:
            raise Refusal(400, "the body is not JSON") from None
        paths = data.get("paths", [])
        return [paths] if isinstance(paths, str) else paths, data.get("expand") is True
    form = parse_qs(body.decode(), keep_blank_values=True)
    return form.get("paths", []), form.get("expand", [""])[0] in _TRUE


def _page(request: web.Request, items: list[dict[str, Any]], size: int) -> web.Response:
    start = _cursor(request)
    link = _next_link(request, start + size, len(items))
    return web.json_response(items[start : start + size], headers={"Link": link} if link else None)


def _answer(
    request: web.Request, commit: Commit, items: list[dict[str, Any]], link: str | None
) -> web.Response:
    headers = {"X-Repo-Commit": commit.id, **({"Link": link} if link else {})}
    return web.json_response(items, headers=headers)


def _cursor(request: web.Request) -> int:
    text = request.query.get("cursor", "0")
    if not text.isdecimal():
        raise Refusal(400, "invalid cursor")
    return int(text)


def _next_link(request: web.Request, start: int, total: int) -> str | None:
    """Return the address of the next page: the whole query again, with a cursor."""
    if start >= total:
        return None
    query = [(key, value) for key, value in request.query.items() if key != "cursor"]
    path = request.rel_url.raw_path
    url = f"{request.url.origin()}{path}?{urlencode([*query, ('cursor', str(start))])}"
    return f'<{url}>; rel="next"'
