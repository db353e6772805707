"""All pages of a list of ModelScope, as far as its lists reach."""

from __future__ import annotations

from collections.abc import Callable

from hubferry.errors import ProtocolError
from hubferry.hubs.modelscope.summaries import CATALOG_LIMIT, PAGE_SIZE, CatalogPage
from hubferry.model import RepoId, RepoList, RepoQuery, RepoSummary
from hubferry.text import T

ReadPage = Callable[[int], CatalogPage]
"""One page, by its number from 1."""


def read_all(query: RepoQuery, read_page: ReadPage) -> RepoList:
    """Every repository that the list reaches; incomplete if the hub has more than came.

    The pages have no mark of where the last one ended: what is made or removed meanwhile shifts
    the rest, and a repository may be passed over. The total tells; then all is read once more.

    Raises:
        ProtocolError: a page that repeats, or repositories of another owner.
    """
    found = _read_once(query, read_page)
    if found.is_complete or found.total is None or found.total > CATALOG_LIMIT:
        return found
    return _read_once(query, read_page)


def _read_once(query: RepoQuery, read_page: ReadPage) -> RepoList:
    found: dict[RepoId, RepoSummary] = {}
    total: int | None = None
    was_last = False
    for number in range(1, CATALOG_LIMIT // PAGE_SIZE + 1):
        page = read_page(number)
        if page.total is not None:
            # The largest: a total that shrank hides a repository that slipped to a page before.
            total = max(total or 0, page.total)
        fresh = {one.repo: one for one in page.summaries if one.repo not in found}
        if page.summaries and not fresh:
            raise ProtocolError(T("ModelScope sent the same page of repositories twice"))
        _check_owner(query, fresh)
        found |= fresh
        was_last = _is_last(page, len(found), total)
        if was_last:
            break
    is_complete = was_last if total is None else len(found) >= total
    return RepoList(tuple(found.values()), is_complete, total)


def _is_last(page: CatalogPage, count: int, total: int | None) -> bool:
    """Without a total a short page is the last; with one, a hub may cut its pages shorter."""
    if not page.summaries:
        return True
    return len(page.summaries) < PAGE_SIZE if total is None else count >= total


def _check_owner(query: RepoQuery, repos: dict[RepoId, RepoSummary]) -> None:
    """A hub that does not know a parameter ignores it: then this is everybody's list."""
    for repo in repos if query.owner else ():
        if repo.name.partition("/")[0].lower() != (query.owner or "").lower():
            raise ProtocolError(
                T("ModelScope listed {repo} among those of another owner", repo=repo)
            )
