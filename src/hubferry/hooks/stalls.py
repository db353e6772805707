"""When nothing moves: found from the events of a run, told once for each standstill."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from hubferry.events import (
    BatchStarted,
    Committed,
    Event,
    FileFinished,
    FileProgress,
    FileStarted,
    HeldUp,
    InRepo,
    Listed,
    Paused,
    RepoFinished,
    RepoStarted,
    Resolved,
    RunStarted,
    Verified,
    Waiting,
)
from hubferry.hooks.values import Stall
from hubferry.report import words
from hubferry.text import T, Text

QUIET_SECONDS = 600.0
"""Longer than any hub takes over a commit, shorter than people take to look."""

# Bytes, and what else shows that a run gets on: a batch of which nothing has changed sends none.
_MOVES = (
    RunStarted,
    BatchStarted,
    RepoStarted,
    RepoFinished,
    Resolved,
    Listed,
    FileStarted,
    FileProgress,
    FileFinished,
    Committed,
    Verified,
)


class StallWatch:
    """An observer that knows whether its run stands still. Thread-safe, never raises.

    Something that holds several repositories up is told at once, a silence when it has
    lasted ``quiet_seconds``; each once, until it is over. A run that somebody paused does not
    stand still.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, quiet_seconds: float = QUIET_SECONDS
    ) -> None:
        self._clock = clock
        self._quiet_seconds = quiet_seconds
        self._lock = threading.Lock()
        self._moved_at = clock()
        self._is_paused = False
        self._has_told_silence = False
        self._held: dict[str, HeldUp] = {}
        self._told: set[str] = set()
        self._progress: dict[tuple[int, str], int] = {}
        self._reason: Text | None = None
        self.wake = threading.Event()
        """Set when :meth:`look` has something new to say at once."""

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            if isinstance(event, InRepo):
                self._take(event.event, event.number)
            else:
                self._take(event, 0)

    def look(self) -> list[Stall]:
        """What is to be told now, and was not told yet."""
        with self._lock:
            self.wake.clear()
            found = [self._held_stall(event) for event in self._new_causes()]
            if (silence := self._silence()) is not None:
                found.append(silence)
            return found

    def _take(self, event: Event, number: int) -> None:
        if isinstance(event, HeldUp):
            self._hold(event)
        elif isinstance(event, Paused):
            self._is_paused = not event.is_over
            self._moved()
        elif isinstance(event, Waiting):
            self._reason = event.reason if event.until_unix else None
        elif isinstance(event, FileProgress):
            # Retries report again what is through already; that moves nothing.
            key = (number, event.path)
            if self._progress.get(key) != event.done_bytes:
                self._progress[key] = event.done_bytes
                self._moved()
        elif isinstance(event, _MOVES):
            self._forget(event, number)
            self._moved()

    def _forget(self, event: Event, number: int) -> None:
        if isinstance(event, FileFinished):
            self._progress.pop((number, event.path), None)
        elif isinstance(event, RepoFinished):
            over = [key for key in self._progress if key[0] == event.number]
            for key in over:
                del self._progress[key]

    def _moved(self) -> None:
        self._moved_at = self._clock()
        self._has_told_silence = False
        self._reason = None

    def _hold(self, event: HeldUp) -> None:
        if event.is_over:
            self._held.pop(event.cause, None)
            self._told.discard(event.cause)
            self._moved()
        else:
            self._held[event.cause] = event
            self.wake.set()

    def _new_causes(self) -> list[HeldUp]:
        new = [event for cause, event in self._held.items() if cause not in self._told]
        self._told.update(event.cause for event in new)
        return new

    def _held_stall(self, event: HeldUp) -> Stall:
        return Stall(event.cause, event.text, event.repos, self._clock() - self._moved_at)

    def _silence(self) -> Stall | None:
        seconds = self._clock() - self._moved_at
        # What holds everything up was told already; the silence is its consequence.
        if self._is_paused or self._has_told_silence or self._held:
            return None
        if seconds < self._quiet_seconds:
            return None
        self._has_told_silence = True
        lasting = words.duration(seconds)
        text = T("nothing has moved for {duration}", duration=lasting)
        if self._reason is not None:
            text = T(
                "nothing has moved for {duration}: {reason}", duration=lasting, reason=self._reason
            )
        return Stall("silence", text, 0, seconds)
