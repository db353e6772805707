"""The connections of one source, shared by all files in flight.

A lane is one connection that reads one range at a time. How many help a file
is found by a :class:`~hubferry.climbing.Climber`; how many there are in all is
bounded, and each file has an equal share, at least one. So a lone file of
300 GB may get them all, and eight files side by side do not open eight times as
many.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hubferry.climbing import Climber

MOST_LANES = 20
"""A store is not to be crowded: 20 connections of 20 MB/s fill a link of 400 MB/s."""
LANE_BYTES = 5 * 512 * 1024
"""Memory a lane may fill ahead of the reader. Window of a file = its lanes x this."""
SPAN_BYTES = 2 * 1024 * 1024
"""What one request asks for while several lanes read a file."""


class Lanes:
    """How many lanes a file may use now. Thread-safe."""

    def __init__(self, most: int = MOST_LANES) -> None:
        self.climber = Climber(1, most)
        self._most = most
        self._lock = threading.Lock()
        self._files = 0

    @contextmanager
    def joined(self) -> Iterator[None]:
        """One more file is read while inside."""
        with self._lock:
            self._files += 1
        try:
            yield
        finally:
            with self._lock:
                self._files -= 1

    @property
    def share(self) -> int:
        """How many lanes each file may have: what helps, within an equal part; one at least."""
        return max(1, min(self.climber.level, self._most // max(1, self._files)))
