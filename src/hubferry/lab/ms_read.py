"""The read side of the lab's ModelScope hub: information, revisions, listings, bytes.

Facts kept: ``repo/files`` cuts at 3,000 entries without a word and has no pages; ``repo/tree``
(datasets) pages; a regular file is sent whole whatever ``Range`` says; an LFS file is a redirect to
a signed address on another origin. Source: modelscope_hub 0.5.1, ``_legacy_api.py`` and
``_download.py``; ``Sha256`` is filled for regular files too (captured listing, modelscope 1.40).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from hubferry.lab.content import Content, KnownContent
from hubferry.lab.ms_access import Access, commit_named
from hubferry.lab.ms_answers import (
    describe_commit,
    describe_repo,
    describe_repo_openly,
    listing,
    number_of,
    open_refuse,
    open_success,
    refuse,
    store_failure,
    success,
)
from hubferry.lab.repos import Commit, Repo, RepoType
from hubferry.lab.wire import stream_content, stream_range

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

_TREE_PAGE_SIZE = 100
_TREE_PAGE_LIMIT = 500
_CATALOG_LIMIT = 3000
_ORDERS: dict[str, Callable[[Repo], float]] = {
    "downloads": lambda repo: repo.downloads,
    "last_modified": lambda repo: repo.modified_at.timestamp(),
}
"""An unknown order is ignored, as the official client says of the site."""


class Reading:
    """Handlers that change nothing."""

    def __init__(self, lab: Lab, access: Access) -> None:
        self._lab = lab
        self._access = access

    async def info(self, request: web.Request) -> web.StreamResponse:
        """``GET /api/v1/{kind}/{id}``."""
        return success(request, describe_repo(self._access.readable(request)))

    async def open_info(self, request: web.Request) -> web.StreamResponse:
        """``GET /openapi/v1/{kind}/{id}``: sees public repositories only, so clients fall back."""
        kind = cast(RepoType, request.match_info["kind"].removesuffix("s"))
        repo_id = f"{request.match_info['owner']}/{request.match_info['name']}"
        repo = self._lab.ms.repos.get(kind, repo_id)
        if repo is None or repo.is_private:
            open_refuse(request, 404, "ResourceNotFound", f"{kind} {repo_id} not found")
        return open_success(request, describe_repo_openly(repo))

    async def open_list(self, request: web.Request) -> web.StreamResponse:
        """``GET /openapi/v1/{kind}``: by owner, search and filters; private ones as configured."""
        number, size = _page_of(request, "page_number", "page_size", 10)
        if number * size > _CATALOG_LIMIT:
            open_refuse(request, 400, "InvalidParameter", "page_number * page_size must be <= 3000")
        kind = cast(RepoType, request.match_info["kind"].removesuffix("s"))
        who = self._access.find(request) if self._lab.config.openapi_lists_private else None
        found = [
            repo
            for repo in self._lab.ms.repos
            if repo.repo_type == kind
            and (not repo.is_private or (who is not None and who.can_read(repo)))
            and _fits(request, repo)
        ]
        if order := _ORDERS.get(request.query.get("sort", "default")):
            found.sort(key=order, reverse=True)
        page = found[(number - 1) * size : number * size]
        data = {
            kind + "s": [describe_repo_openly(repo) for repo in page],
            "total_count": len(found),
            "page_number": number,
            "page_size": size,
        }
        return open_success(request, data)

    async def revisions(self, request: web.Request) -> web.StreamResponse:
        """``GET …/revisions``: branches and tags; neither for an empty repository."""
        repo = self._access.readable(request)
        data = {"Branches": _refs(repo, repo.branches), "Tags": _refs(repo, repo.tags)}
        return success(request, {"RevisionMap": data})

    async def files(self, request: web.Request) -> web.StreamResponse:
        """``GET /api/v1/models/{id}/repo/files``: cut at the cap, nothing says so."""
        repo = self._access.readable(request)
        commit = commit_named(request, repo)
        entries = islice(_entries(request, repo, commit), self._lab.config.listing_cap)
        return success(request, _listing_data(entries, commit))

    async def tree(self, request: web.Request) -> web.StreamResponse:
        """``GET /api/v1/datasets/{id}/repo/tree``: in pages; the last one is short."""
        repo = self._access.readable(request)
        commit = commit_named(request, repo)
        number, size = _page_of(request, "PageNumber", "PageSize", _TREE_PAGE_SIZE)
        size = min(size, _TREE_PAGE_LIMIT)
        entries = list(_entries(request, repo, commit))
        page = entries[(number - 1) * size : number * size]
        data = _listing_data(page, commit)
        return success(request, {**data, "TotalCount": len(entries), "PageNumber": number})

    async def file(self, request: web.Request) -> web.StreamResponse:
        """``GET|HEAD …/repo?Revision=&FilePath=``: the bytes, or the way to them."""
        repo = self._access.readable(request)
        commit = commit_named(request, repo)
        path = request.query.get("FilePath", "")
        file = commit.tree.get(path) if commit else None
        if file is None:
            refuse(request, 404, f"file not found: {path}")
        headers = {"X-Linked-ETag": f'"{file.sha256}"', "ETag": f'"{file.oid}"'}
        if file.is_lfs:
            location = self._lab.signer.url(
                self._lab.url("ms.cdn"),
                f"/lfs/{file.sha256}",
                self._lab.config.signed_url_seconds,
                filename=path.rpartition("/")[2],
            )
            return web.Response(status=302, headers={**headers, "Location": location})
        content = _stored(self._lab.ms.repos.blobs.get(file.sha256))
        if content is None:
            refuse(request, 500, f"failed to read {path}")
        return await stream_content(request, content, 0, content.size, headers=headers)

    async def cdn(self, request: web.Request) -> web.StreamResponse:
        """``GET|HEAD {cdn}/lfs/{sha256}``: an LFS file's bytes at a signed address."""
        reason = self._lab.signer.check(request)
        if reason:
            return store_failure(403, reason)
        sha256 = request.match_info["sha256"]
        content = _stored(self._lab.ms.repos.blobs.get(sha256))
        if content is None:
            return store_failure(404, "NoSuchKey")
        headers = {"X-Linked-ETag": f'"{sha256}"', "ETag": f'"{sha256[:32].upper()}"'}
        return await stream_range(request, content, headers)

    async def region(self, request: web.Request) -> web.StreamResponse:
        """``GET /api/v1/repos/internalAccelerationInfo``: asked before downloads; none here."""
        return success(request, {"InternalRegionQueryAddress": ""})

    async def me(self, request: web.Request) -> web.StreamResponse:
        """``GET /openapi/v1/users/me``."""
        who = self._access.find(request)
        if who is None:
            open_refuse(request, 401, "InvalidAuthentication", "the token is missing or invalid")
        data = {
            "sub": str(sum(who.user.encode())),
            "name": who.user,
            "preferred_username": who.user,
            "email": f"{who.user}@example.com",
            "organizations": [{"name": org} for org in who.orgs],
        }
        return open_success(request, data)


def _fits(request: web.Request, repo: Repo) -> bool:
    """Tell whether a repository is what a list asks for."""
    query = request.query
    wanted = {
        "filter.task": repo.card.get("tasks", []),
        "filter.library": repo.card.get("libraries", []),
        "filter.custom_tag": repo.card.get("tags", []),
        "filter.license": [repo.license],
    }
    return (
        query.get("owner") in (None, repo.namespace)
        and query.get("search", "").lower() in repo.id.lower()
        and all(query[key] in values for key, values in wanted.items() if key in query)
    )


def _stored(content: Content | None) -> Content | None:
    return None if isinstance(content, KnownContent) else content


def _entries(request: web.Request, repo: Repo, commit: Commit | None) -> Any:
    if commit is None:
        return iter(())
    root = request.query.get("Root", "").strip("/")
    recursive = request.query.get("Recursive", "False").lower() == "true"
    return listing(repo, commit, root, recursive=recursive)


def _listing_data(entries: Any, commit: Commit | None) -> dict[str, Any]:
    return {
        "Files": list(entries),
        "LatestCommitter": describe_commit(commit) if commit else None,
        "IsVisual": 0,
    }


def _refs(repo: Repo, refs: dict[str, str]) -> list[dict[str, Any]]:
    dates = {name: int(repo.commits[commit].date.timestamp()) for name, commit in refs.items()}
    return [
        {"Revision": name, "CreatedAt": dates[name], "Id": number_of(repo)} for name in sorted(refs)
    ]


def _page_of(request: web.Request, number: str, size: str, default: int) -> tuple[int, int]:
    try:
        found = int(request.query.get(number, 1)), int(request.query.get(size, default))
    except ValueError:
        refuse(request, 400, f"{number} and {size} must be numbers")
    if min(found) < 1:
        refuse(request, 400, f"{number} and {size} must be positive")
    return found
