"""Rate limits: fixed windows counted per key (a token, "anonymous", a repository).

A handler calls ``window.take(key)`` once per request it counts and reads ``allowed``,
``remaining`` and ``reset_seconds`` from the answer; the headers are the hub module's business.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """What one counted request may do, and what is left after it."""

    allowed: bool
    remaining: int
    reset_seconds: float


class RateWindow:
    """``quota`` requests in each ``window_seconds`` per key; a quota of None lets all through.

    The window of a key opens with its first request, as the hubs' windows do not start together.
    """

    def __init__(
        self,
        quota: int | None,
        window_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.quota = quota
        self.window_seconds = window_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}

    def take(self, key: str) -> Verdict:
        """Count one request of ``key``. Refused requests are not counted."""
        if self.quota is None:
            return Verdict(True, 1 << 30, 0.0)
        with self._lock:
            now = self._clock()
            opened, used = self._windows.get(key, (now, 0))
            if now - opened >= self.window_seconds:
                opened, used = now, 0
            allowed = used < self.quota
            self._windows[key] = (opened, used + allowed)
            remaining = self.quota - used - allowed
            return Verdict(allowed, remaining, self.window_seconds - (now - opened))

    def reset(self) -> None:
        """Open fresh windows for everyone."""
        with self._lock:
            self._windows.clear()
