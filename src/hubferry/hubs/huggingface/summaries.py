"""Addresses and JSON shapes of Hugging Face's lists; pure functions.

Source: ``list_models``, ``list_datasets`` and ``get_collection`` of huggingface_hub 2.4.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from hubferry.errors import ProtocolError
from hubferry.hubs.huggingface.wire import api_url
from hubferry.model import RepoId, RepoQuery, RepoSummary, RepoType, Visibility
from hubferry.net.answers import unix_seconds
from hubferry.text import T

HUB = "hf"
COLLECTION_SLUG = re.compile(r"[\w.-]*\w[\w.-]*/[\w.-]*\w[\w.-]*", re.ASCII)
# Without "cardData", which holds whole tables of benchmark results: a page of 1,000 would not
# fit into an answer, and the license is among the tags too.
_ASKED = ("disabled", "downloads", "gated", "lastModified", "private", "sha", "tags")
_ASKED_OF_MODELS = (*_ASKED, "config", "library_name", "pipeline_tag")


def list_url(endpoint: str, query: RepoQuery) -> str:
    """The first page of a list, newest first: a repository that changes keeps its place."""
    asked: list[tuple[str, str]] = [("author", query.owner or ""), ("search", query.search or "")]
    if query.repo_type is RepoType.MODEL:
        asked.append(("pipeline_tag", query.task or ""))
        asked.append(("filter", query.library or ""))
    else:
        asked += [
            ("filter", f"{key}:{value}")
            for key, value in (("task_categories", query.task), ("library", query.library))
            if value
        ]
    asked += [("filter", tag) for tag in query.tags]
    asked += [("sort", "createdAt"), *_expand(query.repo_type)]
    given = urlencode([(key, value) for key, value in asked if value])
    return f"{endpoint}/api/{query.repo_type.value}s?{given}"


def summary_url(endpoint: str, repo: RepoId) -> str:
    """One repository, told as in a list."""
    return f"{api_url(endpoint, repo)}?{urlencode(_expand(repo.repo_type))}"


def collection_url(endpoint: str, slug: str) -> str:
    """A collection with all of its items."""
    return f"{endpoint}/api/collections/{slug}"


def _expand(repo_type: RepoType) -> list[tuple[str, str]]:
    asked = _ASKED_OF_MODELS if repo_type is RepoType.MODEL else _ASKED
    return [("expand", key) for key in asked]


def summaries(repo_type: RepoType, data: object) -> list[RepoSummary]:
    """One page of a list.

    Raises:
        ProtocolError: not the shape we know.
    """
    if not isinstance(data, list):
        raise ProtocolError(T("Hugging Face sent a list of repositories that is not a list"))
    return [summary(repo_type, item) for item in data]


def summary(repo_type: RepoType, data: object) -> RepoSummary:
    """One repository, of a list or alone.

    Raises:
        ProtocolError: not the shape we know.
    """
    try:
        if not isinstance(data, Mapping):
            raise TypeError
        tags = _texts(data.get("tags"))
        return RepoSummary(
            repo=RepoId(HUB, _name(data), repo_type),
            commit=_text(data, "sha"),
            modified_at=unix_seconds(data.get("lastModified")),
            visibility=_visibility(data),
            is_disabled=_flag(data, "disabled") or False,
            license=next(_after("license:", tags), None),
            task=_text(data, "pipeline_tag") or next(_after("task_categories:", tags), None),
            library=_text(data, "library_name") or next(_after("library:", tags), None),
            family=_family(data.get("config")),
            tags=tuple(tags),
            downloads=_count(data),
        )
    except (TypeError, ValueError):
        raise ProtocolError(T("Hugging Face described a repository in a way unknown")) from None


def collection_items(data: object) -> list[RepoId]:
    """The models and datasets of a collection, in its order; spaces and papers are left out.

    Raises:
        ProtocolError: not the shape we know.
    """
    items = data.get("items") if isinstance(data, Mapping) else None
    if not isinstance(items, list):
        raise ProtocolError(T("Hugging Face sent a collection without a list of items"))
    try:
        kinds = [_kind(item) for item in items]
        return [
            RepoId(HUB, _name(item), RepoType(kind))
            for item, kind in zip(items, kinds, strict=True)
            if kind in tuple(RepoType)
        ]
    except (KeyError, TypeError, ValueError):
        raise ProtocolError(T("Hugging Face sent a collection item we cannot read")) from None


def _kind(item: Mapping[str, Any]) -> str:
    kind = item["type"]
    if not isinstance(kind, str):
        raise TypeError
    return kind


def _name(data: Mapping[str, Any]) -> str:
    name = data.get("id")
    if not isinstance(name, str) or not name.strip("/"):
        raise TypeError
    return name


def _visibility(data: Mapping[str, Any]) -> Visibility:
    gated = data.get("gated")
    if _flag(data, "private"):
        return Visibility.PRIVATE
    if gated:
        return Visibility.GATED
    # Incomplete metadata is not "public" (docs/hub-protocols.md 7.6).
    return Visibility.PUBLIC if data.get("private") is False is gated else Visibility.UNKNOWN


def _family(config: object) -> str | None:
    found = config.get("model_type") if isinstance(config, Mapping) else None
    return found if isinstance(found, str) and found else None


def _text(data: Mapping[str, Any], key: str) -> str | None:
    found = data.get(key)
    if found is not None and not isinstance(found, str):
        raise TypeError
    return found or None


def _flag(data: Mapping[str, Any], key: str) -> bool | None:
    found = data.get(key)
    if found is not None and not isinstance(found, bool):
        raise TypeError
    return found


def _count(data: Mapping[str, Any]) -> int | None:
    found = data.get("downloads")
    if found is not None and (not isinstance(found, int) or isinstance(found, bool)):
        raise TypeError
    return found


def _texts(found: object) -> Sequence[str]:
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise TypeError
    return found


def _after(prefix: str, tags: Sequence[str]) -> Iterator[str]:
    return (tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix))
