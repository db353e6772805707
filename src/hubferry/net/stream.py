"""An open download: counted, bounded in time, closable from another thread."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse

from urllib3.exceptions import HTTPError, IncompleteRead
from urllib3.response import BaseHTTPResponse

from hubferry.errors import CorruptReadError, ProtocolError, UnavailableError
from hubferry.net.config import Origin, show_origin
from hubferry.net.progress import Progress
from hubferry.net.status import error_for_transport
from hubferry.text import T

_READ_PIECE_BYTES = 1024 * 1024
_GATHER_SECONDS = 0.02
"""Short enough that progress is seen as it is made."""
_SIZE_DIGITS = 18
"""More than any file has, and far from the 4,300 at which Python refuses to convert."""
_SIZE = rf"\d{{1,{_SIZE_DIGITS}}}"
_CONTENT_RANGE = re.compile(rf"bytes\s+({_SIZE})-({_SIZE})/({_SIZE}|\*)")


@dataclass(frozen=True, slots=True)
class Hop:
    """One answer on the way: who gave it and its headers (lower-case names)."""

    origin: Origin
    status: int
    headers: Mapping[str, str]


class HttpStream:
    """The body of a GET, read by one thread.

    ``hops`` are all answers on the way, redirects first, the served one last.
    ``size_bytes`` is what this answer will send, ``total_bytes`` the whole
    file's size, each None if the server does not say. ``ignored_range`` is true
    if a range was asked for and the server sends the whole file from byte 0.
    ``patience_seconds`` of reading may bring next to nothing.
    """

    def __init__(
        self,
        response: BaseHTTPResponse,
        hops: tuple[Hop, ...],
        *,
        size_bytes: int | None,
        total_bytes: int | None,
        ignored_range: bool,
        patience_seconds: float,
    ) -> None:
        self._response = response
        self._progress = Progress(patience_seconds)
        self._body = _DirectBody.of(response, size_bytes)
        self._lock = threading.Lock()
        self._is_closed = False
        self.hops = hops
        self.size_bytes = size_bytes
        self.total_bytes = total_bytes
        self.ignored_range = ignored_range

    @property
    def status(self) -> int:
        """The status of the answer that is read."""
        return self.hops[-1].status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer that is read, names in lower case."""
        return self.hops[-1].headers

    @property
    def origin(self) -> Origin:
        """Who serves the bytes."""
        return self.hops[-1].origin

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill ``buffer`` from its start with what has arrived; 0 means the body ended.

        Raises:
            UnavailableError: dropped, stalled (a trickle too), ended before
                Content-Length, or closed.
        """
        with self._lock:
            if self._is_closed:
                raise self._closed_error()
            try:
                since = time.monotonic()
                count = self._read(buffer)
                if count:
                    self._progress.moved(count, time.monotonic() - since)
            except (HTTPError, OSError, ValueError, AttributeError) as error:
                if self._is_closed:
                    raise self._closed_error() from None
                if isinstance(error, ValueError | AttributeError):
                    raise
                raise error_for_transport(error, self.origin) from None
        if self._is_closed:
            raise self._closed_error()
        return count

    def _read(self, buffer: memoryview) -> int:
        if self._body is not None:
            return self._body.readinto(buffer)
        data = self._response.read1(min(len(buffer), _READ_PIECE_BYTES))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Let go of the connection; safe to repeat, from any thread; wakes a blocked read."""
        self._is_closed = True
        if not self._lock.acquire(blocking=False):
            # Someone is reading: cut the socket under them, then wait for them to let go.
            try:
                self._response.shutdown()
            except (OSError, ValueError, RuntimeError):
                pass  # finished meanwhile
            self._lock.acquire()
        try:
            self._response.close()
        finally:
            self._lock.release()

    def _closed_error(self) -> UnavailableError:
        return UnavailableError(T("the download was closed"))


class _DirectBody:
    """The body of a plain answer, received straight into the caller's buffer.

    urllib3 makes a ``bytes`` object of every piece, which costs a copy and fresh
    memory pages each time: measured, a quarter of the CPU of a relay. Below it
    lies the standard library's response, whose buffered reader fills a buffer
    in place.
    """

    def __init__(self, response: BaseHTTPResponse, raw: HTTPResponse, length: int) -> None:
        self._response = response
        self._raw = raw
        self._left = length
        # One receive a call, also where a TLS record of 16 KiB is all it brings: to wait
        # for more would hide a trickle. It costs 0.2 s of CPU a GiB.
        self._fill = raw.fp.readinto1

    @classmethod
    def of(cls, response: BaseHTTPResponse, length: int | None) -> _DirectBody | None:
        """None if the body is not a plain run of ``length`` bytes."""
        raw = getattr(response, "_fp", None)
        if not isinstance(raw, HTTPResponse) or raw.chunked or not length:
            return None
        is_plain = raw.length == length and isinstance(raw.fp, io.BufferedReader)
        return cls(response, raw, length) if is_plain else None

    def readinto(self, buffer: memoryview) -> int:
        """As :meth:`HttpStream.readinto`."""
        if self._left == 0:
            return 0
        count = self._gather(buffer[: min(len(buffer), self._left)])
        if count == 0:
            raise IncompleteRead(0, self._left)
        self._left -= count
        if self._left == 0:
            # Read to its end, the connection can serve the next request.
            self._raw.close()
            self._response.release_conn()
        return count

    def _gather(self, buffer: memoryview) -> int:
        """Receive until the buffer is full or a moment has passed.

        A socket hands out what has come, often 64 KiB: to go up through all layers
        for each would cost more than the receiving.
        """
        count, until = 0, time.monotonic() + _GATHER_SECONDS
        while count < len(buffer):
            try:
                got = self._fill(buffer[count : count + _READ_PIECE_BYTES])
            except OSError:
                if not count:
                    raise
                return count  # what came before the break counts; it will show again
            count += got
            if not got or time.monotonic() > until:
                break
        return count


def check_answer(
    hops: tuple[Hop, ...], start: int, end: int | None
) -> tuple[int | None, int | None, bool]:
    """Sizes and range of a 200 or 206 answer: (size, total, ignored_range).

    Raises:
        ProtocolError: an encoding, status, length or range that cannot be trusted.
        CorruptReadError: the file has another size than the range asked for.
    """
    last = hops[-1]
    host = show_origin(last.origin)
    if last.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise ProtocolError(T("{host} sent the file encoded although not asked to", host=host))
    length = _length(last)
    asked = start > 0 or end is not None
    if last.status == 200:
        return length, length, asked
    found = _CONTENT_RANGE.fullmatch(last.headers.get("content-range", "").strip())
    if last.status != 206 or not asked or not found:
        raise ProtocolError(
            T("{host} answered a read with status {status}", host=host, status=last.status)
        )
    first, final, total = int(found[1]), int(found[2]), found[3]
    total_bytes = None if total == "*" else int(total)
    stop = final + 1
    wanted = end if end is not None else total_bytes
    if first != start or (length is not None and length != stop - first):
        raise ProtocolError(T("{host} sent another range than asked for", host=host))
    if wanted is not None and stop != wanted:
        raise CorruptReadError(T("{host} has fewer bytes than its listing says", host=host))
    return stop - first, total_bytes, False


def _length(hop: Hop) -> int | None:
    value = hop.headers.get("content-length", "")
    if not value.isdecimal():
        return None
    if len(value) > _SIZE_DIGITS:
        host = show_origin(hop.origin)
        raise ProtocolError(T("{host} sent a Content-Length that is no size", host=host))
    return int(value)


class SlicedStream:
    """Part of a stream from a server that ignores ranges: skips the front, stops at the end.

    The skipped bytes are read and thrown away in the first ``readinto``.
    """

    def __init__(self, stream: HttpStream, skip_bytes: int, length: int) -> None:
        self._stream = stream
        self._skip = skip_bytes
        self._left = length

    def readinto(self, buffer: memoryview, /) -> int:
        """As :meth:`HttpStream.readinto`, within the slice."""
        scratch = memoryview(bytearray(min(self._skip, _READ_PIECE_BYTES)))
        while self._skip:
            count = self._stream.readinto(scratch[: self._skip])
            if count == 0:
                return 0
            self._skip -= count
        if self._left == 0:
            return 0
        count = self._stream.readinto(buffer[: self._left])
        self._left -= count
        return count

    def close(self) -> None:
        """Let go of the connection."""
        self._stream.close()
