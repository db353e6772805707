"""A plain HTTP proxy on loopback that notes whom it was asked to reach."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_BLOCK_BYTES = 1 << 16
_OWN_HEADERS = {"proxy-connection", "connection", "keep-alive", "transfer-encoding"}


class Proxy(ThreadingHTTPServer):
    """``hosts`` are the ``host:port`` that requests were for; ``url`` is its own address."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hosts: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.hosts.add(parts.netloc)
        length = int(self.headers.get("content-length", 0))
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _OWN_HEADERS}
        upstream = HTTPConnection(parts.netloc, timeout=30)
        place = parts._replace(scheme="", netloc="").geturl()
        upstream.request(self.command, place, self.rfile.read(length), headers)
        answer = upstream.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _OWN_HEADERS:
                self.send_header(name, value)
        self.end_headers()
        while block := answer.read(_BLOCK_BYTES):
            self.wfile.write(block)
        upstream.close()

    do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def running_proxy() -> Iterator[Proxy]:
    """A proxy for a while."""
    with Proxy() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
