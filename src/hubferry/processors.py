"""Whether the processors of this machine have time left. Linux tells; elsewhere nobody does."""

from __future__ import annotations

from pathlib import Path

BUSY_SHARE = 0.8
"""From here on the processors, not the line, are what is waited for: a guess."""
_STAT = Path("/proc/stat")
_IDLE_FIELDS = slice(3, 5)
"""Idle, and waiting for disks. Source: proc(5)."""


class Processors:
    """Looks at the time that has passed since the last look."""

    def __init__(self, stat: Path = _STAT) -> None:
        self._stat = stat
        self._seen = self._read()

    def are_busy(self) -> bool:
        """True if all of them together had little idle time; False where it cannot be known."""
        before, self._seen = self._seen, self._read()
        if before is None or self._seen is None:
            return False
        idle, total = (now - then for now, then in zip(self._seen, before, strict=True))
        return total > 0 and idle < (1.0 - BUSY_SHARE) * total

    def _read(self) -> tuple[int, int] | None:
        """Idle time and all time so far, in ticks of all processors together."""
        try:
            with self._stat.open() as file:
                fields = [int(field) for field in file.readline().split()[1:]]
        except (OSError, ValueError):
            return None
        return sum(fields[_IDLE_FIELDS]), sum(fields)
