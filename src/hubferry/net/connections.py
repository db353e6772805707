"""urllib3 connections that notice an early answer and can be cut from another thread."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from urllib.parse import unquote

from urllib3 import PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import make_headers, parse_url
from urllib3.util.wait import wait_for_read

from hubferry.errors import UsageError
from hubferry.net.config import HttpConfig, tls_context
from hubferry.net.progress import Progress
from hubferry.text import T

_TLS_PIECE_BYTES = 64 * 1024
"""An encrypted socket sends all it is given, or fails, within one time limit."""

_LOOK_SECONDS = 0.5
_IDLE_LOOKS = 10


class OpenSockets:
    """The sockets of one client, so that a stop can cut them all at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()
        self._is_cut = False
        self._deadlines: dict[object, tuple[float, HTTPConnection]] = {}
        self._has_keeper = False
        self._tick = threading.Event()

    def add(self, connection: HTTPConnection) -> None:
        """Remember a connection for as long as it lives; cut it if it comes too late."""
        with self._lock:
            self._connections.add(connection)
            is_late = self._is_cut
        if is_late:
            cut_socket(connection.sock)

    @contextmanager
    def cut_after(self, connection: HTTPConnection, seconds: float | None) -> Iterator[None]:
        """Cut the connection if what is done inside takes longer; None: no limit.

        A socket's own limit starts anew with every byte.
        """
        if seconds is None:
            yield
            return
        mark = object()
        with self._lock:
            self._deadlines[mark] = (time.monotonic() + seconds, connection)
            if not self._has_keeper:
                self._has_keeper = True
                threading.Thread(target=self._keep, name="hubferry-sockets", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._deadlines.pop(mark, None)

    def _keep(self) -> None:
        """Cut what is past its time; end when there has been nothing to watch for a while."""
        idle = 0
        while idle < _IDLE_LOOKS:
            self._tick.wait(_LOOK_SECONDS)
            with self._lock:
                idle = 0 if self._deadlines else idle + 1
                now = time.monotonic()
                late = [each for until, each in self._deadlines.values() if until < now]
                self._has_keeper = idle < _IDLE_LOOKS
            for connection in late:
                cut_socket(connection.sock)

    def cut(self) -> None:
        """Make every blocked read and write return, for good; safe from any thread."""
        with self._lock:
            self._is_cut = True
            connections = list(self._connections)
        for connection in connections:
            cut_socket(connection.sock)


def cut_socket(sock: object) -> None:
    """Shut a socket down under whoever is blocked on it, without closing its number."""
    # TLS inside TLS (an https proxy) is a wrapper around the real socket.
    inner = getattr(sock, "socket", sock)
    if isinstance(inner, socket.socket):
        try:
            # Not SSLSocket.shutdown: it drops the TLS object the other thread is using.
            socket.socket.shutdown(inner, socket.SHUT_RDWR)
        except OSError:
            pass  # already closed


class _Watchful(HTTPConnection):
    """Adds to both connection kinds: tracking, and a body sent with an eye on its progress."""

    hubferry_sockets: OpenSockets
    hubferry_send_timeout: float

    hubferry_is_spoilt = False
    """A body stopped midway: the next request would be read as the rest of it."""

    def connect(self) -> None:
        super().connect()
        self.hubferry_is_spoilt = False
        self.hubferry_sockets.add(self)

    def getresponse(self) -> Any:
        """The answer's head, within the time limit as a whole and not for each byte of it."""
        seconds = self.timeout if isinstance(self.timeout, int | float) else None
        with self.hubferry_sockets.cut_after(self, seconds):
            return super().getresponse()

    def send(self, data: Any) -> None:
        if isinstance(data, memoryview):
            self._send_body(data)
        else:
            super().send(data)

    def _send_body(self, view: memoryview) -> None:
        sock = self.sock
        self.hubferry_is_spoilt = True
        # A server that answers before the body is through (413, 403) means "stop".
        # urllib3 takes BrokenPipeError as "read the answer now". TLS is left out:
        # session tickets make an encrypted socket readable without any answer.
        if _is_plain(sock) and wait_for_read(sock, timeout=0):
            raise BrokenPipeError("answered before the body was sent")
        sock.settimeout(self.hubferry_send_timeout)
        _send_all(sock, view, self.hubferry_send_timeout)
        self.hubferry_is_spoilt = False


def _is_plain(sock: object) -> bool:
    # TLS inside TLS (an https proxy) is no socket at all.
    return isinstance(sock, socket.socket) and not isinstance(sock, ssl.SSLSocket)


def _send_all(sock: socket.socket, view: memoryview, patience_seconds: float) -> None:
    """Send everything; give up on a store that takes next to nothing for so long.

    Not ``sendall``: its time limit is one for the whole block, which a link that
    became slow may well need, and not one for the next bytes.

    Raises:
        TimeoutError: it does not move.
    """
    piece = len(view) if _is_plain(sock) else _TLS_PIECE_BYTES
    progress, done = Progress(patience_seconds), 0
    while done < len(view):
        since = time.monotonic()
        count = sock.send(view[done : done + piece])
        done += count
        progress.moved(count, time.monotonic() - since)


class _Careful(HTTPConnectionPool):
    """Takes back no connection that a request stopped midway on."""

    def _put_conn(self, conn: Any) -> None:
        if conn is not None and getattr(conn, "hubferry_is_spoilt", False):
            conn.close()
        super()._put_conn(conn)


def make_pools(
    config: HttpConfig, proxy: str | None, sockets: OpenSockets, *, is_plain: bool = False
) -> PoolManager:
    """A pool manager for direct connections or for one proxy.

    Args:
        is_plain: nothing will be encrypted, so certificates need not be read.

    Raises:
        UsageError: a proxy scheme we do not speak.
    """

    class PlainConnection(_Watchful):
        hubferry_sockets = sockets
        hubferry_send_timeout = config.read_timeout_seconds

    class TlsConnection(HTTPSConnection, _Watchful):
        hubferry_sockets = sockets
        hubferry_send_timeout = config.read_timeout_seconds

        def connect(self) -> None:
            HTTPSConnection.connect(self)
            self.hubferry_is_spoilt = False
            sockets.add(self)

        def send(self, data: Any) -> None:
            _Watchful.send(self, data)

    class PlainPool(_Careful):
        ConnectionCls = PlainConnection

    class TlsPool(_Careful, HTTPSConnectionPool):
        ConnectionCls = TlsConnection

    settings: dict[str, Any] = {
        "maxsize": config.max_connections,
        "blocksize": 1024 * 1024,
        "retries": False,
        "ssl_context": None if is_plain else tls_context(config),
    }
    manager = PoolManager(**settings) if proxy is None else _proxied(proxy, settings)
    manager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
    return manager


def _proxied(proxy: str, settings: dict[str, Any]) -> PoolManager:
    parsed = parse_url(proxy)
    if parsed.scheme not in ("http", "https"):
        return _socks(proxy, settings)
    # Quoted in an address, sent as it is: a password may well hold an "@".
    headers = make_headers(proxy_basic_auth=unquote(parsed.auth)) if parsed.auth else None
    return ProxyManager(proxy, proxy_headers=headers, **settings)


def _socks(proxy: str, settings: dict[str, Any]) -> PoolManager:
    if proxy.lower().startswith("socks") and find_spec("socks"):
        from urllib3.contrib.socks import SOCKSProxyManager

        return SOCKSProxyManager(proxy, **settings)
    raise UsageError(
        T("cannot use this kind of proxy"),
        hint=T("use an http:// proxy, or install PySocks for socks5:// proxies"),
    )
