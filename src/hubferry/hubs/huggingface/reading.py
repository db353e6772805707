"""Files opened by the transport that was chosen for them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from hubferry.errors import CancelledError, CopyError, RateLimitedError, UnavailableError
from hubferry.hubs.base import ByteStream
from hubferry.hubs.huggingface.transport import Chooser
from hubferry.model import FileEntry, RepoInfo, Storage
from hubferry.net.redact import redact

_log = logging.getLogger(__name__)

Open = Callable[[RepoInfo, FileEntry, int, int], ByteStream]
"""Opens bytes ``start`` to ``stop`` (exclusive) of a file."""


class Xet(Protocol):
    """Where Xet streams come from."""

    def open(self, info: RepoInfo, entry: FileEntry, start: int, stop: int) -> ByteStream:
        """Open a part of a file that has a Xet hash."""

    def close(self) -> None:
        """End all streams."""


class Reads:
    """Opens files over HTTP or through Xet, and tells the chooser how it went. Thread-safe."""

    def __init__(self, chooser: Chooser, over_http: Open, xet: Xet) -> None:
        self._chooser = chooser
        self._over_http = over_http
        self._xet = xet

    def reads_ranges(self, entry: FileEntry) -> bool:
        """LFS files over HTTP: their store honours ``Range``; the others are small.

        A Xet stream has several connections of its own.
        """
        return entry.storage is Storage.LFS and not self._chooser.by_xet(entry)

    def open(self, info: RepoInfo, entry: FileEntry, start: int, stop: int) -> ByteStream:
        """Open bytes ``start`` to ``stop``, at least one of them."""
        stream = self._open_xet(info, entry, start, stop) if self._chooser.by_xet(entry) else None
        if stream is not None:
            return stream
        plain = self._over_http(info, entry, start, stop)
        if not self._chooser.measures(entry):
            return plain
        return _Metered(plain, self._chooser, entry)

    def close(self) -> None:
        """End what is open through Xet; HTTP streams end with their client."""
        self._xet.close()

    def _open_xet(
        self, info: RepoInfo, entry: FileEntry, start: int, stop: int
    ) -> ByteStream | None:
        """None: Xet cannot be used and HTTP may be."""
        if not self._chooser.can_fall_back:
            return self._xet.open(info, entry, start, stop)
        try:
            stream = self._xet.open(info, entry, start, stop)
        except (CancelledError, RateLimitedError):
            raise
        except CopyError as error:
            self._give_up(error)
            return None
        return _Metered(stream, self._chooser, entry, on_failure=self._give_up)

    def _give_up(self, error: CopyError) -> None:
        if self._chooser.gave_up():
            _log.warning(
                "Xet storage cannot be read, so files come over plain HTTP from now on: %s",
                redact(str(error)),
            )


class _Metered:
    """A stream of a large file; tells the chooser of its bytes and times when it is closed.

    With ``on_failure`` (of Xet) a stream that fails is told at once.
    """

    def __init__(
        self,
        stream: ByteStream,
        chooser: Chooser,
        entry: FileEntry,
        *,
        on_failure: Callable[[CopyError], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._chooser = chooser
        self._entry = entry
        self._on_failure = on_failure
        self._clock = clock
        self._done = 0
        self._waited = 0.0
        self._opened_at = clock()
        self._is_closed = False
        chooser.opened(entry, is_by_xet=on_failure is not None)

    def readinto(self, buffer: memoryview, /) -> int:
        """As the stream's own."""
        began = self._clock()
        try:
            count = self._stream.readinto(buffer)
        except UnavailableError as error:
            self._failed(error)
            raise
        self._waited += self._clock() - began
        self._done += count
        return count

    def close(self) -> None:
        """As the stream's own."""
        self._stream.close()
        if not self._is_closed:
            self._is_closed = True
            self._chooser.closed(
                self._entry, self._done, self._waited, self._clock() - self._opened_at
            )

    def _failed(self, error: CopyError) -> None:
        # One that we closed ourselves did not fail.
        if self._on_failure is not None and not self._is_closed:
            self._on_failure(error)
