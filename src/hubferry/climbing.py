"""How many at once: found by trying, not configured.

The same question is asked twice: how many connections a source is read over,
and how many files are sent side by side. Neither can be known beforehand: it
depends on the round trip, on limits per connection and on who else uses the
link. A :class:`Climber` goes up while somebody waits for more and going up
helps, goes back when it does not, and then leaves it at that for a while.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

EPOCH_SECONDS = 0.3
"""A level is judged after this long: a round trip of 100 ms and a slow start fit in."""
HOLD_SECONDS = 2.0
"""After a step that did not help the next one waits this long, then twice as long..."""
MOST_HOLD_SECONDS = 300.0
LOOKS = 2
"""Epochs in which a step may show that it helps, before it is taken back."""
WANTING_SHARE = 0.15
"""The part of an epoch that somebody has to have waited for more."""
USEFUL_SHARE = 0.2
"""The part of what a step could bring at best that it has to bring to be kept."""


class Climber:
    """A level between ``lowest`` and ``highest``, moved by what is measured. Thread-safe.

    Callers report bytes with :meth:`moved` and time spent waiting for more with
    :meth:`waited`, and read :attr:`level` whenever they may start something.
    """

    def __init__(
        self,
        lowest: int,
        highest: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        is_pointless: Callable[[], bool] = lambda: False,
    ) -> None:
        """``is_pointless``: asked once an epoch; True if more would not help whatever is waited."""
        self._lowest = lowest
        self._highest = max(lowest, highest)
        self._clock = clock
        self._is_pointless = is_pointless
        self._lock = threading.Lock()
        self._level = lowest
        self._tried_from: tuple[int, float] | None = None
        self._looks = 0
        self._hold = HOLD_SECONDS
        self._hold_until = 0.0
        self._began: float | None = None
        self._bytes = 0
        self._waited = 0.0

    @property
    def level(self) -> int:
        """How many may be at work now."""
        return self._level

    def moved(self, count: int) -> None:
        """``count`` bytes arrived."""
        with self._lock:
            if self._began is None:
                self._begin()  # what came before the first byte says nothing of the rate
            self._bytes += count
            self._judge()

    def waited(self, seconds: float) -> None:
        """Somebody had to wait this long for more."""
        with self._lock:
            self._waited += seconds
            self._judge()

    def _begin(self) -> None:
        self._began, self._bytes, self._waited = self._clock(), 0, 0.0

    def _judge(self) -> None:
        if self._began is None:
            return
        now = self._clock()
        seconds = now - self._began
        if seconds < EPOCH_SECONDS:
            return
        rate = self._bytes / seconds
        is_pointless = self._is_pointless()
        is_wanting = self._waited >= WANTING_SHARE * seconds and not is_pointless
        if self._tried_from is not None:
            self._keep_or_return(rate, now)
        if self._tried_from is None and is_wanting and now >= self._hold_until:
            self._step_up(rate)
        self._begin()

    def _keep_or_return(self, rate: float, now: float) -> None:
        assert self._tried_from is not None
        before, old_rate = self._tried_from
        needed = 1.0 + USEFUL_SHARE * (self._level / before - 1.0)
        if rate >= old_rate * needed:
            self._tried_from = None
            self._hold = HOLD_SECONDS
            return
        self._looks += 1
        if self._looks < LOOKS:
            return  # connections take a moment to begin, and lines have their moods
        self._tried_from = None
        self._level = before
        self._hold_until = now + self._hold
        self._hold = min(MOST_HOLD_SECONDS, self._hold * 2.0)

    def _step_up(self, rate: float) -> None:
        higher = min(self._highest, self._level * (4 if self._level == 1 else 2))
        if higher > self._level:
            self._tried_from = (self._level, rate)
            self._looks = 0
            self._level = higher
