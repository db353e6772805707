"""The distance between requests of one kind, kept by all processes together.

What one process has learned from a refusal (``net.pacing.Spacing``) and when the
next request may go is a small file. A turn is booked before it is waited for,
so two processes that come together do not go together.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from hubferry.governor.byte_locks import ByteLocks
from hubferry.governor.notes import read_numbers, write_note

STALE_SECONDS = 600.0
"""A distance that nobody kept for so long is learned anew: windows of hubs are minutes."""
AHEAD_SECONDS = 3600.0
"""Turns booked further ahead are not believed: a clock was set."""
_TRIES = 200
_TRY_SECONDS = 0.005
"""How long the file of another process's booking is waited for, at most a second."""


class SharedGap:
    """The turns of one kind of request. Thread-safe.

    Args:
        folder: as for ``Holds``.
        locks: one booking at a time; None as for ``folder``.
        now: Unix time.
    """

    def __init__(
        self,
        name: str,
        folder: Callable[[bool], Path | None],
        locks: Callable[[], ByteLocks | None],
        tell: Callable[[OSError], None] = lambda error: None,
        *,
        now: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        digest = hashlib.sha256(f"gap {name}".encode("utf-8", "replace")).hexdigest()
        self._name = name
        self._file = f"{digest[:16]}.gap"
        self._place = int(digest[:15], 16)
        self._folder = folder
        self._locks = locks
        self._tell = tell
        self._now = now
        self._pause = pause

    def book(self, gap_seconds: float, pause_seconds: float = 0.0) -> tuple[float, float]:
        """Take the next turn; see ``net.pacing.Turns``.

        While nobody has learned a distance, nothing is booked.
        """
        try:
            folder = self._folder(gap_seconds > 0)
            if folder is None or (gap_seconds <= 0 and not (folder / self._file).exists()):
                return gap_seconds, pause_seconds
            return self._book(folder / self._file, gap_seconds, pause_seconds)
        except OSError as error:
            self._tell(error)
            return gap_seconds, pause_seconds

    def _book(self, path: Path, gap_seconds: float, pause_seconds: float) -> tuple[float, float]:
        locks = self._locks()
        has_lock = locks is not None and self._acquire(locks)
        try:
            now = self._now()
            note = read_numbers(path)
            last, gap = note.get("last", 0.0), note.get("gap", 0.0)
            is_good = -STALE_SECONDS <= last - now <= AHEAD_SECONDS and 0 < gap <= AHEAD_SECONDS
            if not is_good:
                last, gap = 0.0, 0.0
            gap = max(gap, gap_seconds)
            if gap <= 0:
                return 0.0, pause_seconds
            turn = max(now + pause_seconds, last + gap)
            write_note(path, {"gap": gap, "last": turn, "kind": self._name})
            return gap, turn - now
        finally:
            if has_lock and locks is not None:
                locks.release(self._place)

    def _acquire(self, locks: ByteLocks) -> bool:
        """Whether it was had; a process that holds it for long does not hold up ours."""
        for _ in range(_TRIES):
            if locks.try_acquire(self._place):
                return True
            self._pause(_TRY_SECONDS)
        return False
