"""What is to be looked at soon, apart from the schedule: repositories that webhooks named."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

SETTLE_SECONDS = 2.0
"""A push comes as several deliveries: the look waits until there was none for so long..."""
LONGEST_SETTLE_SECONDS = 15.0
"""...but no longer than this after the first."""
MAX_REPOS = 10_000
"""More than this many named ones become a look at everything: memory is bounded."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Repositories to look at, by ``str(RepoId)``; ``is_all``: every one of the manifest."""

    repos: frozenset[str] = frozenset()
    is_all: bool = False

    def __bool__(self) -> bool:
        return self.is_all or bool(self.repos)

    def __or__(self, other: Wanted) -> Wanted:
        if self.is_all or other.is_all:
            return ALL
        return Wanted(self.repos | other.repos)

    @property
    def only(self) -> frozenset[str] | None:
        """As a cycle takes it: None means all."""
        return None if self.is_all else self.repos


ALL = Wanted(is_all=True)
NOTHING = Wanted()


class Looks:
    """The wishes that are open; thread-safe. ``wake`` is called when one becomes the first."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._repos: set[str] = set()
        self._is_all = False
        self._first_at = 0.0
        self._last_at = 0.0
        self._is_urgent = False

    def offer(self, repo: str, now: float) -> None:
        """Someone says that ``repo`` changed; many times is once."""
        with self._lock:
            is_first = not self._has_any()
            if is_first:
                self._first_at = now
            self._last_at = now
            self._add([repo])
        if is_first:
            self._wake()

    def put_back(self, wanted: Wanted) -> None:
        """What could not be looked at stays wanted, as soon as anything may be done."""
        if not wanted:
            return
        with self._lock:
            self._is_urgent = True
            self._is_all = self._is_all or wanted.is_all
            self._add(wanted.repos)
        self._wake()

    def take(self) -> Wanted:
        """All that is open, which is then not open any more."""
        with self._lock:
            found = self._open()
            self._repos.clear()
            self._is_all = self._is_urgent = False
            return found

    def peek(self) -> Wanted:
        """All that is open."""
        with self._lock:
            return self._open()

    def due_at(self) -> float | None:
        """When to look, as Unix seconds; 0.0 is at once; None: nothing is open."""
        with self._lock:
            if not self._has_any():
                return None
            if self._is_urgent:
                return 0.0
            return min(self._first_at + LONGEST_SETTLE_SECONDS, self._last_at + SETTLE_SECONDS)

    def _has_any(self) -> bool:
        return self._is_all or bool(self._repos)

    def _open(self) -> Wanted:
        return ALL if self._is_all else Wanted(frozenset(self._repos))

    def _add(self, repos: Iterable[str]) -> None:
        self._repos.update(repos)
        if len(self._repos) > MAX_REPOS:
            self._is_all = True
        if self._is_all:
            self._repos.clear()
