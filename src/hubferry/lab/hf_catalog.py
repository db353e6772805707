"""Lists of the Hugging Face hub: models, datasets, collections.

Source: ``list_models``, ``list_datasets``, ``get_collection`` and ``paginate`` of huggingface_hub
2.4.0. The order of a list without ``sort`` is the hub's own affair; here it is the newest first.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from aiohttp import web

from hubferry.lab.accounts import Identity
from hubferry.lab.collections import Collection, CollectionItem
from hubferry.lab.hf_access import Access, Refusal, repo_type_of
from hubferry.lab.hf_shapes import card_of, config_of, iso, object_id, tags_of
from hubferry.lab.repos import Repo, RepoType

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

_KNOWN = {
    *("author", "search", "filter", "pipeline_tag", "gated", "sort", "direction", "limit"),
    *("cursor", "full", "cardData", "config", "expand"),
}
_TRUE = ("1", "true", "True")
_SORTS: dict[str, Callable[[Repo], float]] = {
    "createdAt": lambda repo: repo.created_at.timestamp(),
    "lastModified": lambda repo: repo.modified_at.timestamp(),
    "downloads": lambda repo: repo.downloads,
    "likes": lambda repo: 0,
    "trendingScore": lambda repo: 0,
}
_ALWAYS = ("_id", "id", "modelId")
_PLAIN = ("private", "downloads", "likes", "tags", "pipeline_tag", "library_name", "createdAt")
_FULL = ("author", "sha", "lastModified", "gated", "disabled", "siblings")
_MOST_READ_CARDS = 50_000


class HfCatalog:
    """Handlers that tell which repositories there are."""

    def __init__(self, lab: Lab, access: Access) -> None:
        self._lab = lab
        self._access = access
        self._read: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    async def repos(self, request: web.Request) -> web.Response:
        """List models or datasets, page by page; private ones to those who may see them."""
        who = self._access.identity(request)
        _check_known(request)
        repo_type = repo_type_of(request)
        order = _Order(request)
        found = [
            (order.key(repo), repo)
            for repo in self._lab.hf.repos
            if repo.repo_type == repo_type and _may_see(who, repo) and self._fits(request, repo)
        ]
        after = order.after(request)
        left = sorted(pair for pair in _keyed(found) if after is None or pair[0] > after)
        size = self._page_size(request)
        page = left[:size]
        link = _next_link(request, page[-1][0]) if len(left) > size else None
        shown = [_only(request, self._describe(repo)) for _, _, repo in page]
        return web.json_response(shown, headers={"Link": link} if link else None)

    async def collection(self, request: web.Request) -> web.Response:
        """Describe a collection with all of its items, but those that the asker may not see."""
        who = self._access.identity(request)
        slug = f"{request.match_info['owner']}/{request.match_info['name']}"
        found = self._lab.collections.get(slug)
        if found is None or (found.is_private and not (who and who.owns(found.owner))):
            raise Refusal(404, "Collection not found")
        return web.json_response(self._describe_collection(found, who))

    def _page_size(self, request: web.Request) -> int:
        text = request.query.get("limit", "")
        most = self._lab.config.list_page_size
        if not text:
            return most
        if not text.isdecimal() or int(text) < 1:
            raise Refusal(400, '"limit" must be a positive number')
        return min(int(text), most)

    def _fits(self, request: web.Request, repo: Repo) -> bool:
        query = request.query
        if query.get("author") not in (None, repo.namespace):
            return False
        if not all(text.lower() in repo.id.lower() for text in query.getall("search", [])):
            return False
        if "gated" in query and (query["gated"] in _TRUE) != bool(repo.gated):
            return False
        wanted = query.getall("filter", [])
        if not wanted and "pipeline_tag" not in query:
            return True
        card, _ = self._metadata(repo)
        if query.get("pipeline_tag") not in (None, card.get("pipeline_tag")):
            return False
        return set(wanted) <= set(tags_of(repo, card))

    def _metadata(self, repo: Repo) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return card and config; files of a commit never change, so they are read once."""
        head = repo.head()
        if head is None:
            return dict(repo.card), {}
        found = self._read.get(head.id)
        if found is None:
            if len(self._read) >= _MOST_READ_CARDS:
                self._read.clear()
            found = self._read[head.id] = (card_of(repo, head), config_of(repo, head))
        return {**found[0], **repo.card}, found[1]

    def _describe(self, repo: Repo) -> dict[str, Any]:
        card, config = self._metadata(repo)
        head = repo.head()
        info: dict[str, Any] = {
            "_id": object_id(repo.id),
            "id": repo.id,
            "author": repo.namespace or repo.created_by,
            "sha": head.id if head else None,
            "lastModified": iso(repo.modified_at),
            "createdAt": iso(repo.created_at),
            "private": repo.is_private,
            "gated": repo.gated,
            "disabled": repo.is_disabled,
            "downloads": repo.downloads,
            "likes": 0,
            "tags": tags_of(repo, card),
            "cardData": card,
            "siblings": [{"rfilename": path} for path in sorted(repo.tree())],
        }
        if repo.repo_type == "model":
            info |= {"modelId": repo.id, "config": config}
            info |= {key: card[key] for key in ("pipeline_tag", "library_name") if card.get(key)}
        return info

    def _describe_collection(self, found: Collection, who: Identity | None) -> dict[str, Any]:
        items = [self._describe_item(item, who, n) for n, item in enumerate(found.items)]
        return {
            "slug": found.slug,
            "title": found.title,
            "description": "",
            "gating": False,
            "lastUpdated": iso(found.updated_at),
            "owner": {"_id": object_id(found.owner), "name": found.owner, "type": "org"},
            "items": [item for item in items if item],
            "position": 0,
            "theme": "green",
            "private": found.is_private,
            "upvotes": 0,
        }

    def _describe_item(
        self, item: CollectionItem, who: Identity | None, position: int
    ) -> dict[str, Any] | None:
        base = {
            "_id": object_id(f"{position} {item.id}"),
            "id": item.id,
            "type": item.type,
            "position": position,
            **({"note": {"html": item.note, "text": item.note}} if item.note else {}),
        }
        if item.type not in ("model", "dataset"):
            return base
        repos, repo_type = self._lab.hf.repos, cast(RepoType, item.type)
        name = item.id
        while new := repos.moved_to(repo_type, name):
            name = new
        repo = repos.get(repo_type, name)
        if repo is None or not _may_see(who, repo):
            return None
        base["id"] = repo.id
        told = self._describe(repo)
        keys = ("author", "downloads", "gated", "lastModified", "likes", "private", "pipeline_tag")
        return {**{key: told[key] for key in keys if key in told}, **base, "repoType": item.type}


class _Order:
    """How a list is sorted: by a number, then by id, so that no two are equal."""

    def __init__(self, request: web.Request) -> None:
        name = request.query.get("sort", "createdAt")
        if name not in _SORTS:
            raise Refusal(400, f'"sort" must be one of [{", ".join(_SORTS)}]')
        self._value = _SORTS[name]
        # Falling unless told otherwise: the client of 2026 no longer says.
        self._sign = 1 if request.query.get("direction") == "1" else -1

    def key(self, repo: Repo) -> tuple[float, str]:
        return (self._sign * self._value(repo), repo.id)

    @staticmethod
    def after(request: web.Request) -> tuple[float, str] | None:
        """Return the key at which the page before ended: what changes does not shift the rest."""
        text = request.query.get("cursor")
        if text is None:
            return None
        try:
            value, repo_id = json.loads(base64.urlsafe_b64decode(text))
            return (float(value), str(repo_id))
        except (binascii.Error, ValueError, TypeError):
            raise Refusal(400, "invalid cursor") from None


def _keyed(
    found: list[tuple[tuple[float, str], Repo]],
) -> list[tuple[tuple[float, str], int, Repo]]:
    """Add a number, so that sorting never compares two repositories."""
    return [(key, number, repo) for number, (key, repo) in enumerate(found)]


def _check_known(request: web.Request) -> None:
    """Refuse what the lab cannot filter by: to ignore it would list too much."""
    unknown = set(request.query) - _KNOWN
    if unknown:
        raise Refusal(400, f"the lab does not know {sorted(unknown)}")
    if "expand" in request.query and {"full", "cardData", "config"} & set(request.query):
        raise Refusal(400, "expand cannot be used with full, cardData or config")


def _may_see(who: Identity | None, repo: Repo) -> bool:
    return who.can_read(repo) if who else not repo.is_private


def _only(request: web.Request, info: dict[str, Any]) -> dict[str, Any]:
    query = request.query
    if "expand" in query:
        wanted: tuple[str, ...] = tuple(query.getall("expand"))
    else:
        wanted = (
            *_PLAIN,
            *(_FULL if query.get("full") in _TRUE else ()),
            *(("cardData",) if query.get("cardData") in _TRUE else ()),
            *(("config",) if query.get("config") in _TRUE else ()),
        )
    return {key: value for key, value in info.items() if key in (*_ALWAYS, *wanted)}


def _next_link(request: web.Request, key: tuple[float, str]) -> str:
    """Return the address of the next page: the whole query again, with a cursor."""
    cursor = base64.urlsafe_b64encode(json.dumps(key).encode()).decode()
    query = [(name, value) for name, value in request.query.items() if name != "cursor"]
    url = f"{request.url.origin()}{request.rel_url.raw_path}"
    return f'<{url}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'
