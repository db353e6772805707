"""The watch's only clock, and its only way to wait: tests bring another one."""

from __future__ import annotations

import threading
import time
from typing import Protocol

LONGEST_WAIT_SECONDS = 60.0
"""A computer that slept, or whose clock was set, is noticed within this."""


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def wait(self, seconds: float, wake: threading.Event) -> None:
        """Wait until ``wake`` is set, at most ``seconds``; may come back earlier: look again."""
        ...


class RealClock:
    """The computer's own."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def wait(self, seconds: float, wake: threading.Event) -> None:
        """Wait, in pieces: waiting goes by another clock than the one that tells the time."""
        wake.wait(min(max(seconds, 0.0), LONGEST_WAIT_SECONDS))
