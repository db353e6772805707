"""A clock that jumps from one happening to the next: a week in a moment."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable


class FastClock:
    """Time passes only by waiting, and by what the test does with ``pass_time``.

    Happenings take place at their moment, in the waiting thread, and may wake
    whoever waits. For one thread that waits; others may read the time.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._happenings: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.waits = 0

    def now(self) -> float:
        """Unix seconds."""
        return self._now

    def at(self, moment: float, act: Callable[[], None]) -> None:
        """Have ``act`` happen at ``moment``, or with the next step if that has passed."""
        heapq.heappush(self._happenings, (moment, next(self._numbers), act))

    def wait(self, seconds: float, wake: threading.Event) -> None:
        """Go on to the end of the wait, or to what wakes the waiting."""
        self.waits += 1
        end = self._now + max(0.0, seconds)
        while not wake.is_set() and self._happenings and self._happenings[0][0] <= end:
            self._step()
        if not wake.is_set():
            self._now = max(self._now, end)

    def pass_time(self, seconds: float) -> None:
        """Time that work takes; what happens meanwhile happens."""
        end = self._now + seconds
        while self._happenings and self._happenings[0][0] <= end:
            self._step()
        self._now = max(self._now, end)

    def set_to(self, moment: float) -> None:
        """Somebody sets the clock."""
        self._now = moment

    def _step(self) -> None:
        moment, _, act = heapq.heappop(self._happenings)
        self._now = max(self._now, moment)
        act()
