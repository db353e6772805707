"""The state of a batch as an observer sees it: repositories done, on their way, held up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from hubferry.events import (
    BatchStarted,
    Event,
    FileFinished,
    FileProgress,
    HeldUp,
    InRepo,
    RepoFinished,
    RepoStarted,
)
from hubferry.report.board import Board, Meter

DONE_WELL = frozenset({"copied", "equal", "unchanged"})


@dataclass
class ActiveRepo:
    """A repository on its way, with a board of its own."""

    number: int
    source: str
    board: Board


@dataclass
class BatchBoard:
    """Everything there is to show of a batch. Not thread-safe: its observer guards it."""

    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    total: int = 0
    sent_bytes: int = 0
    active: dict[int, ActiveRepo] = field(default_factory=dict)
    held: dict[str, HeldUp] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.meter = Meter(self.clock)
        self.started = self.clock()
        # Waits and pauses are of the whole process.
        self.common = Board(self.clock, self.wall_clock)

    def take(self, event: Event) -> None:
        """Bring the board up to date."""
        match event:
            case BatchStarted():
                self.total = event.repos
            case RepoStarted():
                board = Board(self.clock, self.wall_clock)
                self.active[event.number] = ActiveRepo(event.number, str(event.source), board)
            case RepoFinished():
                self.active.pop(event.number, None)
                if not event.will_retry:
                    self.states[event.number] = event.state
            case HeldUp():
                self._hold(event)
            case InRepo():
                self._in_repo(event)
            case _:
                self.common.take(event)

    @property
    def counts(self) -> Counter[str]:
        """Repositories whose turn is over, by state."""
        return Counter(self.states.values())

    @property
    def finished(self) -> int:
        """Repositories whose turn is over."""
        return len(self.states)

    def _hold(self, event: HeldUp) -> None:
        if event.is_over:
            self.held.pop(event.cause, None)
        else:
            self.held[event.cause] = event

    def _in_repo(self, event: InRepo) -> None:
        repo = self.active.get(event.number)
        if repo is None:
            return
        before = repo.board.done_bytes
        repo.board.take(event.event)
        if not isinstance(event.event, FileProgress | FileFinished):
            return
        is_reused = isinstance(event.event, FileFinished) and event.event.is_reused
        moved = repo.board.done_bytes - before
        if moved > 0 and not is_reused:
            self.meter.add(moved)
            self.sent_bytes += moved
