"""Whether a file is read over plain HTTP or through Xet; decides only, reads nothing.

``auto`` means HTTP, which the core reads over many connections, except for
files so large that the official client refuses plain HTTP for them, and for
large files once Xet has been clearly faster in this run. To find that out, one
large file is read through Xet after the first large one came over HTTP.

Source: ``MAX_HTTP_DOWNLOAD_SIZE`` in huggingface_hub 2.4 (50 GB, decimal).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from hubferry.model import FileEntry, Storage

LARGE_BYTES = 64 * 1024 * 1024
"""Below this a file tells more of round trips than of speed: a guess."""
HUGE_BYTES = 50 * 10**9
CLEAR_GAIN = 1.3
"""How many times faster Xet must have been: less is within what a link varies by itself."""
_WAITING_SHARE = 0.7


class Transport(StrEnum):
    """What a user can ask for."""

    AUTO = "auto"
    HTTP = "http"
    XET = "xet"


@dataclass
class Reading:
    """One large file on its way, over any number of streams; seconds of the chooser's clock.

    Only time with a stream open counts: a pause between two tries is nobody's speed.
    """

    entry: FileEntry
    is_by_xet: bool
    streams: int = 0
    since: float = 0.0
    open_seconds: float = 0.0
    stream_seconds: float = 0.0
    waited_seconds: float = 0.0
    company_at: float = 0.0
    company: float = 0.0
    byte_count: int = 0


class Chooser:
    """Chooses a transport for each file and learns from the files that were read. Thread-safe.

    The figure of a file is its bytes per second of wall time, over all its
    streams, times the number of large files read at the same time: that many
    share the link, and a file read alone at the end of a run must not look
    faster for it. A file over HTTP whose streams mostly waited to be read tells
    the speed of the target, not of the source, and gives no figure, so nothing
    is tried. Of Xet, which is tried later, a figure held down by the target is
    taken: it is at least that fast.

    Args:
        can_xet: whether ``hf_xet`` is there.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        can_xet: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._can_xet = can_xet
        self._clock = clock
        self._lock = threading.Lock()
        self._chosen: dict[FileEntry, bool] = {}
        self._readings: dict[FileEntry, Reading] = {}
        self._figures: dict[bool, float] = {}
        self._has_tried = False
        self._has_missed = False
        self._company = 0.0
        self._company_since = 0.0

    @property
    def can_fall_back(self) -> bool:
        """Whether a failure of Xet may be answered by HTTP; else the user asked for Xet alone."""
        return self._transport is Transport.AUTO

    def by_xet(self, entry: FileEntry) -> bool:
        """Whether to read ``entry`` through Xet; stays so until it was read or Xet gave up."""
        if entry.xet_hash is None or not entry.size_bytes or self._transport is Transport.HTTP:
            return False
        if self._transport is Transport.XET:
            return True
        if not self.measures(entry):
            return False
        with self._lock:
            if entry not in self._chosen:
                self._chosen[entry] = entry.size_bytes > HUGE_BYTES or self._tries_or_prefers()
            return self._chosen[entry] and self._can_xet

    def measures(self, entry: FileEntry) -> bool:
        """Whether to tell of the streams of ``entry``: false where there is nothing to choose."""
        is_large = entry.xet_hash is not None and entry.size_bytes >= LARGE_BYTES
        return is_large and self._can_xet and self._transport is Transport.AUTO

    def misses_xet(self, entry: FileEntry) -> bool:
        """Whether ``entry`` is the first large LFS file that Xet was asked for and has not."""
        is_large = entry.storage is Storage.LFS and entry.size_bytes >= LARGE_BYTES
        if not is_large or entry.xet_hash is not None or self._transport is not Transport.XET:
            return False
        with self._lock:
            is_first, self._has_missed = not self._has_missed, True
            return is_first

    def gave_up(self) -> bool:
        """Xet failed: HTTP for the rest of the run. True for the first to say so."""
        with self._lock:
            was_usable, self._can_xet = self._can_xet, False
            return was_usable

    def opened(self, entry: FileEntry, *, is_by_xet: bool) -> Reading:
        """A stream of a large file is being opened; :meth:`closed` wants what is returned."""
        with self._lock:
            now = self._clock()
            self._pass_time(now)
            reading = self._readings.get(entry)
            if reading is None or reading.is_by_xet != is_by_xet:
                # A file that changed its transport in the middle tells nothing of either.
                reading = self._readings[entry] = Reading(entry, is_by_xet)
            if reading.streams == 0:
                reading.since, reading.company_at = now, self._company
            reading.streams += 1
            return reading

    def closed(
        self, reading: Reading, byte_count: int, waited_seconds: float, stream_seconds: float
    ) -> None:
        """That stream ended: what it gave, how long it was waited for, and its whole time."""
        with self._lock:
            now = self._clock()
            self._pass_time(now)
            reading.byte_count += byte_count
            reading.waited_seconds += waited_seconds
            reading.stream_seconds += stream_seconds
            reading.streams -= 1
            if reading.streams:
                return
            reading.open_seconds += now - reading.since
            reading.company += self._company - reading.company_at
            if reading.byte_count >= reading.entry.size_bytes:
                self._conclude(reading)

    def _pass_time(self, now: float) -> None:
        """Keep count of large files being read, times seconds."""
        count = sum(reading.streams > 0 for reading in self._readings.values())
        self._company += count * (now - self._company_since)
        self._company_since = now

    def _conclude(self, reading: Reading) -> None:
        if self._readings.get(reading.entry) is reading:
            del self._readings[reading.entry]
        # Whoever reads it again may have got wrong bytes: the other way next time.
        self._chosen[reading.entry] = False
        if reading.open_seconds <= 0:
            return
        is_clear = reading.waited_seconds >= _WAITING_SHARE * reading.stream_seconds
        if is_clear or reading.is_by_xet:
            company = reading.company / reading.open_seconds
            self._figures[reading.is_by_xet] = reading.byte_count / reading.open_seconds * company

    def _tries_or_prefers(self) -> bool:
        over_http, by_xet = self._figures.get(False), self._figures.get(True)
        if over_http is None:
            return False
        if by_xet is not None:
            return by_xet > CLEAR_GAIN * over_http
        is_first, self._has_tried = not self._has_tried, True
        return is_first
