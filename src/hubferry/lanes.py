"""The connections of one source, shared by all files in flight.

A lane is one connection that reads one range at a time. How many help a file
is found by a :class:`~hubferry.climbing.Climber`; how many there are in all is
bounded, and each file has an equal share, at least one. So a lone file of
300 GB may get them all, and eight files side by side do not open eight times as
many.
"""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from hubferry.climbing import Climber
from hubferry.processors import Processors

MOST_LANES = 20
"""A store is not to be crowded: 20 connections of 20 MB/s fill a link of 400 MB/s. Files in
flight have one each at least, so more than 20 of them have more."""
LANE_BYTES = 5 * 512 * 1024
"""Memory a lane may fill ahead of the reader. Window of a file = its lanes x this."""
SPAN_BYTES = 2 * 1024 * 1024
"""What one request asks for while several lanes read a file."""

_KEEP_SECONDS = 0.05
_IDLE_LOOKS = 20
_log = logging.getLogger(__name__)


class Kept(Protocol):
    """A file that is read: its connections have to be looked after."""

    def look_after(self) -> None:
        """Cut off connections that have stalled."""


class Lanes:
    """How many lanes a file may use now, and who looks after them. Thread-safe."""

    def __init__(self, most: int = MOST_LANES) -> None:
        # Where the processors are busy it is they that are waited for, and more connections
        # only cost more of them.
        self.climber = Climber(1, most, is_pointless=Processors().are_busy)
        self._most = most
        self._lock = threading.Lock()
        self._files: list[Kept] = []
        self._has_keeper = False
        self._tick = threading.Event()

    def join(self, file: Kept) -> None:
        """One more file is read."""
        with self._lock:
            self._files.append(file)
            if not self._has_keeper:
                self._has_keeper = True
                threading.Thread(target=self._keep, name="hubferry-keeper", daemon=True).start()

    def leave(self, file: Kept) -> None:
        """It is read no more; safe to repeat."""
        with self._lock:
            if file in self._files:
                self._files.remove(file)

    @property
    def share(self) -> int:
        """How many lanes each file may have: what helps, within an equal part; one at least."""
        return max(1, min(self.climber.level, self._most // max(1, len(self._files))))

    def _keep(self) -> None:
        """Look after all files; end when there has been none for a while."""
        idle = 0
        while True:
            self._tick.wait(_KEEP_SECONDS)
            with self._lock:
                files = list(self._files)
                idle = 0 if files else idle + 1
                if idle > _IDLE_LOOKS:
                    self._has_keeper = False
                    return
            for file in files:
                try:
                    file.look_after()
                except Exception:  # noqa: BLE001 - a loop that carries on: other files need it
                    _log.exception("cannot look after a file that is read")
