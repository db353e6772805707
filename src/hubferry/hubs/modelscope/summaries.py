"""ModelScope's lists and what one repository's page tells of its state; pure functions.

The two surfaces describe a repository in different words: ``/openapi/v1`` (lists) in small
letters with ``last_modified`` as text, ``/api/v1`` in capitals with ``LastUpdatedTime`` in
seconds. Both become the same value, so that marks of the two can be compared.

Source: ``OpenAPIClient.list_models``, ``list_datasets`` and ``HubApi._repo_info_from_payload``
of modelscope_hub 0.5.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hubferry.errors import ProtocolError, UsageError
from hubferry.hubs.modelscope import wire
from hubferry.model import RepoId, RepoQuery, RepoSummary, RepoType, Visibility
from hubferry.net.answers import unix_seconds
from hubferry.text import T

PAGE_SIZE = 100
CATALOG_LIMIT = 3000
"""``page_number * page_size`` may not be more, says the official client; so ends every list."""


@dataclass(frozen=True, slots=True)
class CatalogPage:
    """One page; ``total`` of all pages, None where it is not told."""

    summaries: tuple[RepoSummary, ...]
    total: int | None


def list_path(repo_type: RepoType) -> str:
    """The list call of a repo type."""
    return f"/openapi/v1/{repo_type.value}s"


def list_query(query: RepoQuery, number: int) -> dict[str, str]:
    """What to ask for page ``number``, counted from 1.

    Raises:
        UsageError: the hub's lists do not know such a criterion.
    """
    if len(query.tags) > 1 or (query.repo_type is RepoType.DATASET and query.library):
        raise UsageError(
            T("ModelScope's lists take one tag at most, and a library for models only"),
            hint=T("search by other criteria"),
        )
    asked = {
        "owner": query.owner,
        "search": query.search,
        "filter.task": query.task,
        "filter.library": query.library,
        "filter.custom_tag": next(iter(query.tags), None),
    }
    given = {key: value for key, value in asked.items() if value}
    return {**given, "page_number": str(number), "page_size": str(PAGE_SIZE)}


def catalog_page(repo_type: RepoType, data: object) -> CatalogPage:
    """One page of a list.

    Raises:
        ProtocolError: not the shape we know; never read as "empty".
    """
    body = data.get("data", data) if isinstance(data, Mapping) else None
    key = f"{repo_type.value}s"
    if not isinstance(body, Mapping) or key not in body:
        raise ProtocolError(T("ModelScope's answer does not list repositories"))
    # Null is an empty Go slice; the key itself says that this is a list.
    items, total = [] if body[key] is None else body[key], body.get("total_count")
    if not isinstance(items, list) or not (total is None or _is_count(total)):
        raise ProtocolError(T("ModelScope's answer does not list repositories"))
    return CatalogPage(tuple(_listed(repo_type, item) for item in items), total)


def _listed(repo_type: RepoType, item: object) -> RepoSummary:
    name = item.get("id") if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(name, str) or not _is_name(name):
        raise ProtocolError(T("ModelScope listed a repository without a name"))
    return RepoSummary(
        repo=RepoId(wire.HUB, name, repo_type),
        modified_at=_time(item.get("last_modified")),
        visibility=_visibility(item),
        license=_text(item.get("license")),
        task=next(iter(_texts(item.get("tasks"))), None),
        tags=_texts(item.get("tags")),
        downloads=_downloads(item.get("downloads")),
    )


def described(repo: RepoId, data: object) -> RepoSummary:
    """A repository as ``GET /api/v1/models/owner/name`` tells it, under its present name.

    Raises:
        ProtocolError: the answer does not describe a repository.
    """
    info = wire.repo_info(repo, wire.DEFAULT_BRANCH, data, endpoint="")
    assert isinstance(data, Mapping)
    owner, name = _text(data.get("Path") or data.get("Namespace")), _text(data.get("Name"))
    present = f"{owner}/{name}"
    is_told = owner is not None and name is not None and _is_name(present)
    return RepoSummary(
        repo=RepoId(repo.hub, present, repo.repo_type) if is_told else repo,
        modified_at=_time(data.get("LastUpdatedTime")),
        visibility=info.visibility,
        license=info.license,
        task=info.pipeline_tag,
        tags=info.tags,
        downloads=_downloads(data.get("Downloads")),
    )


def _time(value: object) -> int | None:
    try:
        return unix_seconds(value)
    except ValueError:
        raise ProtocolError(T("ModelScope told a time that we cannot read")) from None


def _visibility(item: Mapping[str, object]) -> Visibility:
    if item.get("gated") is True:
        return Visibility.GATED
    if item.get("private") is True:
        return Visibility.PRIVATE
    is_open = item.get("private") is False and item.get("gated") is False
    return Visibility.PUBLIC if is_open else Visibility.UNKNOWN


def _is_name(name: str) -> bool:
    owner, slash, rest = name.partition("/")
    return bool(owner and slash and rest) and "/" not in rest


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _downloads(value: object) -> int | None:
    return value if isinstance(value, int) and _is_count(value) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return tuple(item for item in items if isinstance(item, str) and item)
