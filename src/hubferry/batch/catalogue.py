"""What hubs' lists tell, asked once for each owner and kept for the length of a batch."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from hubferry.control import Patience, call
from hubferry.errors import CopyError, NotFoundError, Side, UsageError
from hubferry.hubs.base import Hub
from hubferry.model import RepoId, RepoList, RepoQuery, RepoSummary, RepoType

LIST_FROM = 5
"""Repositories of one owner from which on its list is asked for, instead of each alone: a list
of a large owner takes a few requests."""

OwnerKey = tuple[str, RepoType, str]


def owner_key(repo: RepoId) -> OwnerKey:
    """Whose list a repository would be in; the owner is empty for names of one segment."""
    return repo.hub, repo.repo_type, repo.name.rpartition("/")[0]


@dataclass
class Owned:
    """The list of one owner, by name.

    ``is_complete``: what is missing does not exist. ``is_cut``: the hub has more than it listed,
    ``total`` where it tells.
    """

    by_name: dict[str, RepoSummary]
    is_complete: bool
    total: int | None
    is_cut: bool = False


@dataclass
class Catalogue:
    """One side's lists. Thread-safe; each list is asked for once."""

    hub_of: Callable[[str], Hub]
    side: Side
    patience: Callable[[Side], Patience]
    asked_alone: Counter[OwnerKey] = field(default_factory=Counter)
    """Questions for single repositories, by owner."""
    _owned: dict[OwnerKey, Owned | None] = field(default_factory=dict)
    _locks: dict[OwnerKey, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def owner(self, hub: str, repo_type: RepoType, owner: str) -> Owned | None:
        """Every repository of an owner that lists reach; None: this hub has no such lists.

        Raises:
            HubError: the list cannot be had.
        """
        key = (hub, repo_type, owner)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._owned:
                self._owned[key] = self._ask_owner(hub, repo_type, owner)
            return self._owned[key]

    def _ask_owner(self, hub: str, repo_type: RepoType, owner: str) -> Owned | None:
        try:
            found = self.search(hub, RepoQuery(repo_type, owner))
        except UsageError:
            return None
        except NotFoundError:
            return Owned({}, True, 0)
        # Names are compared as written: hubs differ in case only where they redirect.
        by_name = {summary.repo.name: summary for summary in found.summaries}
        is_complete = found.is_complete and self.hub_of(hub).traits.lists_private
        return Owned(by_name, is_complete, found.total, is_cut=not found.is_complete)

    def search(self, hub: str, query: RepoQuery) -> RepoList:
        """The repositories that fit a query."""
        asked = self.hub_of(hub)
        return call(self.patience(self.side), lambda: asked.list_repos(query))

    def collection(self, hub: str, slug: str) -> RepoList:
        """The repositories of a collection."""
        asked = self.hub_of(hub)
        return call(self.patience(self.side), lambda: asked.list_collection(slug))

    def summary(self, repo: RepoId, step: str = "resolve") -> RepoSummary:
        """One repository, one request.

        Raises:
            NotFoundError, AccessError, HubError: as the hub says, with side, step and repo.
        """
        asked = self.hub_of(repo.hub)
        with self._lock:
            self.asked_alone[owner_key(repo)] += 1
        try:
            return call(self.patience(self.side), lambda: asked.summary(repo))
        except CopyError as error:
            raise error.at(side=self.side, step=step, repo=str(repo)) from error.__cause__

    def cut_lists(self) -> dict[str, int]:
        """Owners whose list does not show everything: how many were asked for one by one."""
        return {
            str(RepoId(hub, owner, repo_type)): self.asked_alone[hub, repo_type, owner]
            for (hub, repo_type, owner), owned in self._owned.items()
            if owned is not None
            and not owned.is_complete
            and self.asked_alone[hub, repo_type, owner]
        }

    def known(self, repo: RepoId) -> tuple[RepoSummary | None, bool]:
        """What lists asked so far tell of a repository, and whether they would tell if it existed.

        Asks nobody.
        """
        owned = self._owned.get(owner_key(repo))
        if owned is None:
            return None, False
        found = owned.by_name.get(repo.name)
        return found, found is not None or owned.is_complete
