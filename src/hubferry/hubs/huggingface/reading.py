"""Files opened by the transport that was chosen for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from hubferry.control import CancelToken
from hubferry.errors import (
    CancelledError,
    CopyError,
    RateLimitedError,
    TimedOutError,
    UnavailableError,
)
from hubferry.hubs.base import ByteStream
from hubferry.hubs.huggingface.transport import Chooser
from hubferry.model import FileEntry, RepoInfo, Storage
from hubferry.net.redact import redact
from hubferry.text import T

_TOO_LONG_SECONDS = 3.0
"""Twice a slow window, and less than any reader waits before it cuts a connection: a guess."""

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

    def __init__(self, chooser: Chooser, over_http: Open, xet: Xet, cancel: CancelToken) -> None:
        self._chooser = chooser
        self._over_http = over_http
        self._xet = xet
        self._cancel = cancel

    def reads_ranges(self, entry: FileEntry) -> bool:
        """LFS files over HTTP: their store honours ``Range``; the others are small.

        A Xet stream has several connections of its own.
        """
        return entry.storage is Storage.LFS and not self._chooser.by_xet(entry)

    def open(self, info: RepoInfo, entry: FileEntry, start: int, stop: int) -> ByteStream:
        """Open bytes ``start`` to ``stop``, at least one of them."""
        if self._chooser.by_xet(entry):
            stream = self._open_xet(info, entry, start, stop)
            if stream is not None:
                return stream
        if self._chooser.misses_xet(entry):
            _log.info(
                "%s is not in Xet storage, so it comes over plain HTTP, as others like it will",
                entry.path,
            )
        open_it = partial(self._over_http, info, entry, start, stop)
        if not self._chooser.measures(entry):
            return open_it()
        return _Metered(open_it, self._chooser, entry, is_by_xet=False)

    def close(self) -> None:
        """End what is open through Xet; HTTP streams end with their client."""
        self._xet.close()

    def _open_xet(
        self, info: RepoInfo, entry: FileEntry, start: int, stop: int
    ) -> ByteStream | None:
        """None: Xet cannot be used and HTTP may be."""
        open_it = partial(self._xet.open, info, entry, start, stop)
        if not self._chooser.can_fall_back:
            return open_it()
        try:
            return _Metered(open_it, self._chooser, entry, is_by_xet=True, on_failure=self._give_up)
        except (CancelledError, RateLimitedError):
            raise
        except CopyError as error:
            self._give_up(error)
            return None

    def _give_up(self, error: CopyError) -> None:
        if not self._cancel.is_cancelled and self._chooser.gave_up():
            _log.warning(
                "Xet storage cannot be read, so files come over plain HTTP from now on: %s",
                redact(str(error)),
            )


class _Metered:
    """A stream of a large file; tells the chooser of its bytes and times, and of its failure."""

    def __init__(
        self,
        open_it: Callable[[], ByteStream],
        chooser: Chooser,
        entry: FileEntry,
        *,
        is_by_xet: bool,
        on_failure: Callable[[CopyError], None] = lambda error: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chooser = chooser
        self._on_failure = on_failure
        self._clock = clock
        self._done = 0
        self._waited = 0.0
        self._once = threading.Lock()
        self._asked_at: float | None = None
        self._began = clock()
        self._reading = chooser.opened(entry, is_by_xet=is_by_xet)
        try:
            self._stream = open_it()
        except BaseException:
            self._tell_end()
            raise
        self._waited = clock() - self._began

    def readinto(self, buffer: memoryview, /) -> int:
        """As the stream's own."""
        began = self._asked_at = self._clock()
        try:
            count = self._stream.readinto(buffer)
        except UnavailableError as error:
            if not self._once.locked():  # else it was closed, and did not fail by itself
                self._on_failure(error)
            raise
        finally:
            self._asked_at = None
        self._waited += self._clock() - began
        self._done += count
        return count

    def close(self) -> None:
        """As the stream's own. A reader that closes it while it waits has found it too slow."""
        asked_at = self._asked_at
        if asked_at is not None and self._clock() - asked_at > _TOO_LONG_SECONDS:
            self._on_failure(TimedOutError(T("nothing comes from Xet storage")))
        self._tell_end()
        self._stream.close()

    def _tell_end(self) -> None:
        if self._once.acquire(blocking=False):
            self._chooser.closed(
                self._reading, self._done, self._waited, self._clock() - self._began
            )
