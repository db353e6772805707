"""Which repositories there are: owners, searches and collections of Hugging Face.

Our own page loop, because the official one cannot try a page again by itself and
does not notice pages that go round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

from hubferry.control import Patience, call
from hubferry.errors import (
    AccessError,
    InvalidTokenError,
    NotFoundError,
    ProtocolError,
    UsageError,
)
from hubferry.hubs.huggingface import summaries, wire
from hubferry.model import RepoId, RepoList, RepoQuery, RepoSummary, RepoType
from hubferry.net.config import origin_of
from hubferry.net.http import HttpAnswer, HttpClient
from hubferry.text import T

_ALONE = 2
"""Items of one owner in a collection up to which each is asked for alone: a list of the owner's
repositories is a request too, and a long one."""

MOST_LISTED = 100_000
"""A list is held in memory, about 2 kB a repository, and costs a request for each 1,000."""


class Catalog:
    """The lists of one endpoint. Thread-safe.

    Args:
        patience: makes the budget of tries for each page.
    """

    def __init__(self, endpoint: str, client: HttpClient, patience: Callable[[], Patience]) -> None:
        self._endpoint = endpoint
        self._client = client
        self._patience = patience

    def list_repos(self, query: RepoQuery) -> RepoList:
        """Every repository that fits and that the token may see; an unknown owner has none.

        Raises:
            UsageError: more than ``MOST_LISTED`` fit, or this endpoint has no lists.
        """
        found: dict[RepoId, RepoSummary] = {}
        for page in self._pages(query):
            for one in page:
                found.setdefault(one.repo, one)
            if len(found) > MOST_LISTED:
                raise UsageError(
                    T("more than {count} repositories fit the search", count=MOST_LISTED),
                    hint=T("narrow it: by owner, task, library, tags or a word of the name"),
                )
        return RepoList(tuple(found.values()))

    def list_collection(self, slug: str) -> RepoList:
        """The repositories of a collection, with what lists and single requests tell of them."""
        if not summaries.COLLECTION_SLUG.fullmatch(slug):
            raise UsageError(
                T("{slug} is not the name of a collection", slug=repr(slug)),
                hint=T("it is the part of its address after /collections/: owner/title-id"),
            )
        url = summaries.collection_url(self._endpoint, slug)
        repos = call(self._patience(), partial(self._collection, url, slug))
        by_owner: dict[tuple[RepoType, str], list[RepoId]] = {}
        for repo in dict.fromkeys(repos):
            by_owner.setdefault((repo.repo_type, _owner(repo)), []).append(repo)
        told: dict[RepoId, RepoSummary] = {}
        for some in by_owner.values():
            told |= self._told(some)
        return RepoList(tuple(told[repo] for repo in dict.fromkeys(repos)))

    def summary(self, repo: RepoId) -> RepoSummary:
        """One repository under its present name: the hub leads from old ones to it."""
        answer = self._client.get_json(summaries.summary_url(self._endpoint, repo))
        return summaries.summary(repo.repo_type, answer.json())

    def _collection(self, url: str, slug: str) -> list[RepoId]:
        try:
            return summaries.collection_items(self._client.get_json(url).json())
        except NotFoundError as error:
            raise NotFoundError(
                T("Hugging Face has no collection {slug}, or does not show it to you", slug=slug),
                headline="Collection not found",
                hint=T("copy its name from its address, with the letters at its end"),
                request_id=error.request_id,
            ) from None

    def _told(self, repos: Sequence[RepoId]) -> dict[RepoId, RepoSummary]:
        """What is told of some repositories of one owner, in at most twice as many requests."""
        found: dict[RepoId, RepoSummary] = {}
        owner = _owner(repos[0])
        if owner and len(repos) > _ALONE:
            pages = self._pages(RepoQuery(repos[0].repo_type, owner))
            for page in islice(pages, len(repos)):
                found |= {one.repo: one for one in page if one.repo in repos}
                if len(found) == len(repos):
                    break
        for repo in repos:
            if repo not in found:
                found[repo] = self._told_alone(repo)
        return found

    def _told_alone(self, repo: RepoId) -> RepoSummary:
        try:
            return call(self._patience(), partial(self.summary, repo))
        except InvalidTokenError:
            raise
        except (NotFoundError, AccessError):
            return RepoSummary(repo)

    def _pages(self, query: RepoQuery) -> Iterator[list[RepoSummary]]:
        url: str | None = summaries.list_url(self._endpoint, query)
        seen: set[str] = set()
        known: set[RepoId] = set()
        while url is not None:
            seen.add(url)
            page, url = call(self._patience(), partial(self._page, query, url))
            fresh = {one.repo for one in page} - known
            if url in seen or (url is not None and not fresh):
                raise ProtocolError(T("the pages of the repository list go round in a circle"))
            known |= fresh
            yield page

    def _page(self, query: RepoQuery, url: str) -> tuple[list[RepoSummary], str | None]:
        answer = self._list(url)
        page = summaries.summaries(query.repo_type, answer.json())
        for one in page:
            if query.owner and _owner(one.repo).lower() != query.owner.lower():
                raise ProtocolError(
                    T("Hugging Face listed {repo} among those of another owner", repo=one.repo)
                )
        return page, self._checked_next(wire.next_page(answer.headers, self._endpoint))

    def _list(self, url: str) -> HttpAnswer:
        try:
            return self._client.get_json(url)
        except NotFoundError as error:
            # For an owner that it does not know the hub lists nothing, under HTTP 200: a mirror
            # that answers otherwise must not be read as "they are all gone".
            if error.what == "repo":
                raise AccessError(
                    T("the hub lists its repositories to nobody without access"),
                    request_id=error.request_id,
                ) from None
            raise UsageError(T("this Hugging Face endpoint has no lists of repositories")) from None

    def _checked_next(self, url: str | None) -> str | None:
        """Elsewhere we would be asked without a token, and private repositories left out."""
        try:
            is_here = url is None or origin_of(url) == origin_of(self._endpoint)
        except ValueError:
            is_here = False
        if not is_here:
            raise ProtocolError(T("the repository list goes on at another place than the hub"))
        return url


def _owner(repo: RepoId) -> str:
    """Empty for ids of one segment."""
    return repo.name.rpartition("/")[0]
