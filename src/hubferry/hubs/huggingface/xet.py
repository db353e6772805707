"""Reading through Xet storage with the official ``hf_xet``.

A stream is read in windows of 8 MiB that a few threads fetch ahead, all in one
``XetSession`` of its own. One stream over the whole file would be less code,
but it gives its bytes in pieces of up to 64 MiB with nothing to see in between,
uses one connection for every 64 MiB of buffer, and needs the hub's token to
renew its own. Windows are small enough to watch and to repeat, and each starts
with a token that is good for longer than it takes (docs/adr/0014).

What ``hf_xet`` says is not believed: it was seen to end streams early without
a word and does not compare hashes. Every window is counted here; the digest is
the business of whoever reads.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError as NeverBegunError
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

from huggingface_hub import constants

from hubferry.control import CancelToken
from hubferry.errors import (
    CopyError,
    TimedOutError,
    UnavailableError,
    UsageError,
)
from hubferry.hubs.base import ByteStream
from hubferry.hubs.huggingface.xet_token import TokenCache, XetToken
from hubferry.model import FileEntry, RepoInfo
from hubferry.net.config import HttpConfig, origin_of, proxy_for, show_origin
from hubferry.text import T

_LOG_PLACE = "HF_XET_LOG_DEST"
_POLL_SECONDS = 0.1
"""How often a stream that waits for its next window looks whether the run was stopped."""


@dataclass(frozen=True, slots=True)
class XetLimits:
    """Sizes and times of all streams of one hub.

    Memory of a stream is up to three times ``window_bytes`` for each of its lanes and
    for the window being handed on: what the network brought, what was unpacked, and
    what Python holds of it. ``hf_xet`` itself takes about 16 MB, once.
    """

    window_bytes: int = 8 * 1024 * 1024
    """Measured: 4 MiB lose a third to round trips at 80 ms, 16 MiB double the memory."""
    lanes: int = 8
    """Most windows of one stream on their way at once, each on a connection of its own."""
    lanes_in_all: int = 16
    """Shared out between the streams open at the same time; each gets two at least."""
    stall_seconds: float = 30.0
    """A stream without a window for this long is given up."""
    quick_seconds: float = 2.0
    """A window that took longer shares a thin link with too many others. Below the time in
    which readers begin to doubt a connection that shows no byte."""
    careful_bytes: int = 1024 * 1024
    """What a stream asks for first after one has stalled, and never less."""


def is_installed() -> bool:
    """True if ``hf_xet`` is there and the user did not switch it off for the official client."""
    return find_spec("hf_xet") is not None and not constants.HF_HUB_DISABLE_XET


def require_installed() -> None:
    """Raise UsageError if ``hf_xet`` is missing or switched off."""
    if is_installed():
        return
    if constants.HF_HUB_DISABLE_XET:
        raise UsageError(
            T("--transport xet was asked for, but HF_HUB_DISABLE_XET is set"),
            hint=T("unset it, or choose --transport auto"),
        )
    raise UsageError(
        T("--transport xet needs the package hf_xet, which is not installed"),
        hint=T("install it with `pip install 'hf_xet>=1.8'`, or choose --transport auto"),
    )


def _load() -> Any:
    """The library; imported late, for it takes a while and is not on every platform."""
    try:
        with _no_log_files():
            import hf_xet

        hf_xet.XetSession.new_download_stream_group  # noqa: B018 - older ones have no streams
    except (ImportError, AttributeError):
        raise UsageError(
            T("the installed hf_xet cannot be used here"),
            hint=T("install it with `pip install 'hf_xet>=1.8'`, or choose --transport auto"),
        ) from None
    return hf_xet


@contextmanager
def _no_log_files() -> Iterator[None]:
    """While it is imported, ``hf_xet`` reads where to log; its default is the user's cache.

    Measured: 4 KB for each window, so a 300 GB file would leave 150 MB there.
    """
    if _LOG_PLACE in os.environ:
        yield
        return
    os.environ[_LOG_PLACE] = os.devnull
    try:
        yield
    finally:
        os.environ.pop(_LOG_PLACE, None)


def _config(library: Any, limits: XetLimits) -> Any:
    """All three buffer keys are set: any of them alone bounds nothing (hub-protocols 2.4)."""
    ahead = 2 * limits.lanes * limits.window_bytes  # never reached: the windows are the bound
    return library.XetConfig().with_config(
        {
            "reconstruction.download_buffer_size": ahead,
            "reconstruction.download_buffer_perfile_size": 0,
            "reconstruction.download_buffer_limit": ahead,
            "telemetry.enabled": False,
        }
    )


class XetReader:
    """Opens Xet streams for one hub. Thread-safe.

    Args:
        http: how the hub itself is reached; ``hf_xet`` knows only the environment's proxy.
        load: imports the library.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        tokens: TokenCache,
        http: HttpConfig,
        cancel: CancelToken,
        limits: XetLimits | None = None,
        *,
        load: Callable[[], Any] = _load,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._http = http
        self._cancel = cancel
        self._limits = limits or XetLimits()
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._open: set[XetStream] = set()
        self._has_stalled = False

    def open(self, info: RepoInfo, entry: FileEntry, start: int, stop: int) -> ByteStream:
        """Open bytes ``start`` to ``stop`` (exclusive) of a file that has a Xet hash.

        Raises:
            UsageError: ``hf_xet`` cannot be used here.
            HubError: the hub gives no token.
        """
        self._cancel.check()
        library = self._load()
        commit = info.commit or info.revision
        # Fetched now, so that a refusal shows where the file is opened.
        self._check_way(self._tokens.get(info.repo, commit))
        fetcher = _Fetcher(
            library, self._limits, partial(self._tokens.get, info.repo, commit), entry
        )
        with self._lock:
            most = min(self._limits.lanes, self._limits.lanes_in_all // (len(self._open) + 1))
            stream = XetStream(
                fetcher,
                self._limits,
                start,
                stop,
                lanes=max(2, most),
                is_careful=self._has_stalled,
                cancel=self._cancel,
                clock=self._clock,
                on_close=self._closed,
            )
            self._open.add(stream)
        return stream

    def close(self) -> None:
        """Wake and end all streams; safe to repeat."""
        with self._lock:
            streams = list(self._open)
        for stream in streams:
            stream.close()

    def _closed(self, stream: XetStream, has_stalled: bool) -> None:
        with self._lock:
            self._open.discard(stream)
            self._has_stalled = self._has_stalled or has_stalled

    def _check_way(self, token: XetToken) -> None:
        origin, proxy = origin_of(token.cas_url), self._http.proxy
        if proxy is not None and proxy_for(self._http, origin) != proxy_for(HttpConfig(), origin):
            raise UsageError(
                T("hf_xet knows no proxy but the environment's"),
                hint=T("set HTTPS_PROXY instead, or choose --transport http"),
            )


class _Fetcher:
    """Fetches windows of one file, from several threads at once, until it is aborted."""

    def __init__(
        self,
        library: Any,
        limits: XetLimits,
        token: Callable[[XetToken | None], XetToken],
        entry: FileEntry,
    ) -> None:
        assert entry.xet_hash is not None
        self._token = token
        # Its own: streams that share a session share its buffers, and one whose upload
        # stands still would starve the others (hub-protocols 2.4).
        self._session = library.XetSession(_config(library, limits))
        # hf_xet cuts a file silently at the size it is told.
        self._info = library.XetFileInfo(entry.xet_hash.hex, entry.size_bytes)
        self._lock = threading.Lock()
        self._group: Any = None
        self._used: XetToken | None = None
        self._is_aborted = False

    def fetch(self, start: int, stop: int) -> list[bytes]:
        """Bytes ``start`` to ``stop``, in pieces.

        Raises:
            UnavailableError: refused or short, also with a fresh token; or aborted.
        """
        group, used = self._group_for(None)
        try:
            return self._read(group, used, start, stop)
        except UnavailableError:
            # hf_xet tells no bad token from another fault, so a fresh one is tried once.
            group, used = self._group_for(used)
            return self._read(group, used, start, stop)

    def abort(self) -> None:
        """Wake every thread that fetches; nothing can be fetched after that. Safe to repeat."""
        with self._lock:
            # First the flag: an aborted stream looks like one that has ended.
            was_aborted, self._is_aborted = self._is_aborted, True
        if not was_aborted:
            # Not the group's abort(): it leaves threads blocked that wait for a block of data
            # (hf_xet 1.8, measured). This ends the session's own threads, and no other session's.
            self._session.sigint_abort()

    def _group_for(self, refused: XetToken | None) -> tuple[Any, XetToken]:
        """A group made with a token that is good now and is not ``refused``."""
        self._check_open()
        token = self._token(refused)
        with self._lock:
            self._check_open()
            if self._used is not token:
                # The one before is left to the threads that still read with it.
                self._group = self._session.new_download_stream_group(
                    endpoint=token.cas_url,
                    token=token.access.reveal(),
                    token_expiry_unix_secs=token.expires_unix,
                )
                self._used = token
            return self._group, token

    def _read(self, group: Any, token: XetToken, start: int, stop: int) -> list[bytes]:
        host = show_origin(origin_of(token.cas_url))
        pieces: list[bytes] = []
        try:
            pieces.extend(group.download_stream(self._info, start=start, end=stop))
        except BaseException as error:  # noqa: BLE001 - of any kind, a panic of its own too
            self._check_open()
            # Not passed on: the text may hold addresses.
            kind = type(error).__name__
            raise UnavailableError(
                T("Xet storage at {host} cannot be read ({kind})", host=host, kind=kind)
            ) from None
        self._check_open()
        if sum(map(len, pieces)) != stop - start:
            raise UnavailableError(T("Xet storage at {host} ended the transfer early", host=host))
        return pieces

    def _check_open(self) -> None:
        if self._is_aborted:
            raise _closed_error()


class XetStream:
    """Bytes ``start`` to ``stop`` of one file in order, read by one thread.

    Holds at most one window a lane and the one being handed on.
    """

    def __init__(
        self,
        fetcher: _Fetcher,
        limits: XetLimits,
        start: int,
        stop: int,
        *,
        lanes: int,
        is_careful: bool,
        cancel: CancelToken,
        clock: Callable[[], float],
        on_close: Callable[[XetStream, bool], None],
    ) -> None:
        self._fetcher = fetcher
        self._limits = limits
        self._next_start = start
        self._stop = stop
        self._most = lanes * limits.window_bytes
        # Bytes to have on their way; half of the most to begin with, to see what the link is.
        self._goal = limits.careful_bytes if is_careful else self._most // 2
        self._cancel = cancel
        self._clock = clock
        self._on_close = on_close
        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="xet")
        self._ahead: deque[Future[tuple[list[bytes], float]]] = deque()
        self._pieces: deque[bytes] = deque()
        self._rest = memoryview(b"")
        self._is_closed = False
        self._is_waiting = False
        self._has_stalled = False

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill ``buffer`` from its start; 0 only when every byte to ``stop`` was given.

        Raises:
            UnavailableError: refused, short, stalled, or closed.
            CancelledError: the run was stopped.
        """
        while not self._rest:
            if self._is_closed:
                raise _closed_error()
            if self._pieces:
                self._rest = memoryview(self._pieces.popleft())
            elif not self._take_window():
                return 0
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Let go of all connections; safe to repeat, from any thread; wakes a blocked read."""
        self._is_closed = True
        self._has_stalled = self._has_stalled or self._is_waiting
        self._fetcher.abort()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._on_close(self, self._has_stalled)

    def _take_window(self) -> bool:
        """Wait for the next window in order; False at the end."""
        self._fetch_ahead()
        if not self._ahead:
            return False
        self._wait()
        try:
            pieces, seconds = self._ahead.popleft().result()
        except NeverBegunError:  # closed meanwhile by another thread
            raise _closed_error() from None
        except CopyError:
            self.close()
            raise
        self._aim(seconds)
        self._pieces.extend(pieces)
        return True

    def _aim(self, seconds: float) -> None:
        """Ask for more while windows come quickly, for half where one took too long.

        What is on its way shares the link: less of it arrives sooner, so that a
        thin link is not taken for a dead one.
        """
        if seconds > self._limits.quick_seconds:
            self._goal = max(self._goal // 2, self._limits.careful_bytes)
        else:
            self._goal = min(self._goal + min(self._goal, self._limits.window_bytes), self._most)

    def _fetch_ahead(self) -> None:
        window_bytes = min(self._limits.window_bytes, self._goal)
        lanes = self._goal // window_bytes
        while len(self._ahead) < lanes and self._next_start < self._stop:
            start = self._next_start
            self._next_start = min(start + window_bytes, self._stop)
            try:
                self._ahead.append(self._pool.submit(self._fetch, start, self._next_start))
            except RuntimeError:  # closed meanwhile by another thread
                raise _closed_error() from None

    def _fetch(self, start: int, stop: int) -> tuple[list[bytes], float]:
        began = self._clock()
        return self._fetcher.fetch(start, stop), self._clock() - began

    def _wait(self) -> None:
        """Until the first window ahead is there; gives up if none at all arrives for too long."""
        arrived, since = 0, self._clock()
        # Whoever closes the stream meanwhile has lost patience with it.
        self._is_waiting = True
        while not self._ahead[0].done():
            wait([self._ahead[0]], _POLL_SECONDS)
            self._cancel.check()
            count = sum(window.done() for window in self._ahead)
            if count > arrived:
                arrived, since = count, self._clock()
            elif self._clock() - since > self._limits.stall_seconds:
                self.close()
                raise TimedOutError(
                    T(
                        "nothing came from Xet storage for {seconds} seconds",
                        seconds=round(self._limits.stall_seconds),
                    )
                )
        self._is_waiting = False


def _closed_error() -> UnavailableError:
    return UnavailableError(T("the download was closed"))
