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

    The pages have no mark of where the last one ended: a repository that moves in their order
    while they are read may be told twice or not at all. The total shows whether one is missing.

    Raises:
        ProtocolError: a page that repeats, or repositories of another owner.
    """
    found: dict[RepoId, RepoSummary] = {}
    total: int | None = None
    for number in range(1, CATALOG_LIMIT // PAGE_SIZE + 1):
        page = read_page(number)
        total = page.total if page.total is not None else total
        fresh = {one.repo: one for one in page.summaries if one.repo not in found}
        if page.summaries and not fresh:
            raise ProtocolError(T("ModelScope sent the same page of repositories twice"))
        _check_owner(query, fresh)
        found |= fresh
        if _is_last(page, len(found), total):
            return RepoList(tuple(found.values()), total is None or len(found) >= total, total)
    is_complete = total is not None and len(found) >= total
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
