"""The state of a run as an observer sees it: who moves what, how fast, and who waits.

Pure but for the clock it is given; both ways of showing progress read it. Not
thread-safe: the observer that owns it guards it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hubferry.errors import Side
from hubferry.events import (
    Committed,
    Event,
    FileFinished,
    FileProgress,
    FileStarted,
    Paused,
    Planned,
    RunStarted,
    StepStarted,
    Waiting,
)
from hubferry.text import Text

SPEED_WINDOW_SECONDS = 10.0
"""Long enough to be calm, short enough that a stall shows."""
_SAMPLE_SECONDS = 0.2


class Meter:
    """Bytes per second over the last seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._moved = 0
        self._samples: deque[tuple[float, int]] = deque([(clock(), 0)])

    def add(self, moved_bytes: int) -> None:
        """Count bytes that moved just now."""
        self._moved += moved_bytes
        now = self._clock()
        if now - self._samples[-1][0] >= _SAMPLE_SECONDS:
            self._samples.append((now, self._moved))
        self._forget(now)

    def bytes_per_second(self) -> float:
        """The mean over the window."""
        now = self._clock()
        self._forget(now)
        then, before = self._samples[0]
        return (self._moved - before) / (now - then) if now - then >= _SAMPLE_SECONDS else 0.0

    def _forget(self, now: float) -> None:
        # One sample older than the window stays: it is where the window begins.
        while len(self._samples) > 1 and self._samples[1][0] <= now - SPEED_WINDOW_SECONDS:
            self._samples.popleft()
        if self._samples[0][0] < now - 2 * SPEED_WINDOW_SECONDS:
            self._samples = deque([(now - SPEED_WINDOW_SECONDS, self._moved)])


@dataclass
class ActiveFile:
    """A file on its way."""

    path: str
    size_bytes: int
    meter: Meter
    done_bytes: int = 0

    @property
    def percent(self) -> int:
        """Never 100: its end is its leaving the board."""
        return percent(self.done_bytes, self.size_bytes)


@dataclass(frozen=True)
class Wait:
    """A pause somebody asked for."""

    side: Side
    reason: Text
    until_unix: float


def percent(done: int, total: int) -> int:
    """0 to 99: what is not committed is not done."""
    return min(99, 100 * done // total) if total > 0 else 0


@dataclass
class Board:
    """Everything there is to show."""

    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    command: str = ""
    step: str = ""
    total_files: int = 0
    total_bytes: int = 0
    finished_files: int = 0
    finished_bytes: int = 0
    failed_files: int = 0
    commits: int = 0
    paused_run: str = ""
    """The id of the run while it is paused."""
    active: dict[str, ActiveFile] = field(default_factory=dict)
    _waits: dict[tuple[Side, str], Wait] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.meter = Meter(self.clock)
        self.started = self.clock()

    def take(self, event: Event) -> None:
        """Bring the board up to date."""
        match event:
            case RunStarted():
                self.command = event.command
            case StepStarted():
                self.step = event.step
            case Planned():
                self.total_files, self.total_bytes = event.send_files, event.send_bytes
            case FileStarted():
                meter = Meter(self.clock)
                self.active[event.path] = ActiveFile(event.path, event.size_bytes, meter)
            case FileProgress():
                self._progress(event)
            case FileFinished():
                self._finish(event)
            case Waiting() if event.until_unix > 0:
                self._wait(event)
            case Paused():
                self.paused_run = "" if event.is_over else event.run_id
            case Committed():
                self.commits += 1
            case _:
                pass

    def _progress(self, event: FileProgress) -> None:
        file = self.active.get(event.path)
        if file is None:
            return
        moved = event.done_bytes - file.done_bytes
        file.done_bytes = event.done_bytes
        # Back to an earlier offset: those bytes did move, and will move again.
        if moved > 0:
            file.meter.add(moved)
            self.meter.add(moved)

    def _finish(self, event: FileFinished) -> None:
        file = self.active.pop(event.path, None)
        if event.error is not None:
            self.failed_files += 1
            return
        self.finished_files += 1
        self.finished_bytes += event.size_bytes
        if file is not None and not event.is_reused:
            self.meter.add(max(0, event.size_bytes - file.done_bytes))

    def _wait(self, event: Waiting) -> None:
        # Several workers wait for one window: one line, the latest end.
        key = (event.side, event.reason.template)
        known = self._waits.get(key)
        until = max(event.until_unix, known.until_unix if known else 0.0)
        self._waits[key] = Wait(event.side, event.reason, until)

    @property
    def waits(self) -> list[Wait]:
        """The pauses that are not over. No pause ends before its time, but by a stop."""
        now = self.wall_clock()
        return [wait for wait in self._waits.values() if wait.until_unix > now]

    @property
    def done_bytes(self) -> int:
        """Bytes through, of files done and of files on their way."""
        return self.finished_bytes + sum(file.done_bytes for file in self.active.values())

    @property
    def percent(self) -> int:
        """Of the whole; never 100 while the board is shown."""
        return percent(self.done_bytes, max(self.total_bytes, self.done_bytes))

    @property
    def eta_seconds(self) -> float | None:
        """Until the bytes are through, at the present speed."""
        left = self.total_bytes - self.done_bytes
        speed = self.meter.bytes_per_second()
        return left / speed if left > 0 and speed > 0 else None
