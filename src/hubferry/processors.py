"""Whether our own work fills the processors of this machine. Linux tells; elsewhere nobody does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

BUSY_SHARE = 0.8
OWN_SHARE = 0.35
"""Both are guesses: hardly any time is left, and we ourselves are a good part of the reason. With
somebody else's work on the machine more connections do help."""
_STAT = Path("/proc/stat")
_IDLE_FIELDS = slice(3, 5)
"""Idle, and waiting for disks. Source: proc(5)."""


class Processors:
    """Looks at the time that has passed since the last look."""

    def __init__(
        self, stat: Path = _STAT, own_seconds: Callable[[], float] = time.process_time
    ) -> None:
        """``own_seconds``: processor time this process has used so far."""
        self._stat = stat
        self._own_seconds = own_seconds
        self._seen = self._read()

    def are_busy(self) -> bool:
        """True if there was little idle time and much of our own; False where nobody knows."""
        before, self._seen = self._seen, self._read()
        if before is None or self._seen is None:
            return False
        idle, own, total = (now - then for now, then in zip(self._seen, before, strict=True))
        return total > 0 and idle < (1.0 - BUSY_SHARE) * total and own > OWN_SHARE * total

    def _read(self) -> tuple[float, float, float] | None:
        """Idle time, our time and all time so far, in seconds of all processors together."""
        try:
            with self._stat.open() as file:
                fields = [int(field) for field in file.readline().split()[1:]]
            ticks = os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, AttributeError):
            return None
        return sum(fields[_IDLE_FIELDS]) / ticks, self._own_seconds(), sum(fields) / ticks
