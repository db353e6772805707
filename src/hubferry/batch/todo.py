"""The repositories of a batch that wait for their turn, and which one is next.

The first that may start is next: in the order they came, past those that wait
for a time and those that a cause holds up. What is held up is set aside with
its cause, so that the others are not searched behind it again and again: a
turn costs the same however many wait.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

from hubferry.batch.causes import Cause, Causes
from hubferry.batch.values import Item

T = TypeVar("T")

Line = list[tuple[int, T]]
"""A heap; numbers grow with each that came, so that no two are equal."""


@dataclass
class Todo(Generic[T]):
    """One thread. ``item_of`` tells what a waiting ``T`` is about."""

    causes: Causes
    clock: Callable[[], float]
    item_of: Callable[[T], Item]
    _ready: Line[T] = field(default_factory=list)
    _later: list[tuple[float, int, T]] = field(default_factory=list)
    _held: dict[Cause, Line[T]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def __len__(self) -> int:
        return len(self._ready) + len(self._later) + sum(map(len, self._held.values()))

    def __iter__(self) -> Iterator[T]:
        """All that wait, in the order they came."""
        later = [(number, waiting) for _, number, waiting in self._later]
        every = [self._ready, later, *self._held.values()]
        return (waiting for _, waiting in sorted((e for line in every for e in line), key=_number))

    def add(self, waiting: T, not_before: float = 0.0) -> None:
        """Put one at the end; it is passed over until the clock shows ``not_before``."""
        heapq.heappush(self._later, (not_before, next(self._numbers), waiting))

    def take(self) -> T | None:
        """The next one, which does not wait any more; None: nobody may start now.

        Where causes hold it up it goes as their probe.
        """
        self._let_on()
        while (line := self._first()) is not None:
            number, waiting = heapq.heappop(line)
            item = self.item_of(waiting)
            if self.causes.may_start(item.number, item.source, item.target):
                return waiting
            cause = self.causes.stopping(item.source, item.target)
            assert cause is not None, "nothing else stops anybody"
            heapq.heappush(self._held.setdefault(cause, []), (number, waiting))
        return None

    def remove_if(self, is_wanted: Callable[[T], bool]) -> list[T]:
        """Take out those that are wanted, all at once; in the order they came."""
        chosen = [waiting for waiting in self if is_wanted(waiting)]
        gone = set(map(id, chosen))
        for line in (self._ready, *self._held.values()):
            line[:] = [entry for entry in line if id(entry[-1]) not in gone]
            heapq.heapify(line)
        self._later[:] = [entry for entry in self._later if id(entry[-1]) not in gone]
        heapq.heapify(self._later)
        return chosen

    def _let_on(self) -> None:
        """Have those in line whose time has come, and those whose cause is over."""
        now = self.clock()
        while self._later and self._later[0][0] <= now:
            _, number, waiting = heapq.heappop(self._later)
            heapq.heappush(self._ready, (number, waiting))
        for cause in [cause for cause in self._held if cause not in self.causes.held]:
            self._ready.extend(self._held.pop(cause))
            heapq.heapify(self._ready)

    def _first(self) -> Line[T] | None:
        """The line whose head came first, of those in which anybody may start."""
        lines = [line for cause, line in self._held.items() if self.causes.is_due(cause)]
        return min((line for line in (self._ready, *lines) if line), key=_head, default=None)


def _number(entry: tuple[int, T]) -> int:
    return entry[0]


def _head(line: Line[T]) -> int:
    return line[0][0]
