"""Encrypted connections: trust, stalls, and stopping from another thread."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hubferry.errors import HubError, TimedOutError, UnavailableError
from hubferry.net.connections import _send_all
from hubferry.net.http import HttpClient, HttpConfig

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="needs the openssl command")

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True, cwd=place.parent,
    )  # fmt: skip
    place.write_text(
        (place.parent / "key.pem").read_text() + (place.parent / "cert.pem").read_text()
    )
    return place


@pytest.fixture
def stalling(certificate: Path) -> Iterator[str]:
    """Sends half of a body and then nothing."""

    def stall(peer: ssl.SSLSocket, done: threading.Event) -> None:
        peer.sendall(HEAD + b"hello")
        done.wait(10)

    with serving(certificate, stall) as url:
        yield url


@contextmanager
def serving(
    certificate: Path, answer: Callable[[ssl.SSLSocket, threading.Event], None]
) -> Iterator[str]:
    """The address of a server whose connections ``answer`` one request each, until told to end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve(raw: socket.socket) -> None:
        try:
            with context.wrap_socket(raw, server_side=True) as peer:
                peer.recv(65536)
                answer(peer, done)
        except OSError:
            pass  # the client did not trust us, or left

    def accept() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(raw,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"https://localhost:{listener.getsockname()[1]}/"
    finally:
        done.set()
        listener.close()


def read(client: HttpClient, url: str) -> None:
    stream, buffer = client.get(url), memoryview(bytearray(100))
    while stream.readinto(buffer):
        pass


def test_an_unknown_certificate_is_final_and_explained(stalling: str) -> None:
    with pytest.raises(HubError, match="not trusted") as caught:
        HttpClient(HttpConfig(proxy="direct")).get(stalling)
    assert not caught.value.retryable


def test_a_named_bundle_is_trusted_and_a_stall_is_bounded(stalling: str, certificate: Path) -> None:
    config = HttpConfig(proxy="direct", ca_bundle=str(certificate), read_timeout_seconds=0.4)
    with pytest.raises(TimedOutError):
        read(HttpClient(config), stalling)


@pytest.mark.parametrize("what", ["stream", "client"])
def test_a_blocked_read_can_be_stopped(stalling: str, certificate: Path, what: str) -> None:
    client = HttpClient(HttpConfig(proxy="direct", ca_bundle=str(certificate)))
    stream, buffer = client.get(stalling), memoryview(bytearray(100))
    assert stream.readinto(buffer) == 5
    threading.Timer(0.2, (stream if what == "stream" else client).close).start()
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        stream.readinto(buffer)
    assert time.monotonic() - began < 2


def test_a_trickle_is_a_stall(certificate: Path) -> None:
    def trickle(peer: ssl.SSLSocket, done: threading.Event) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            peer.sendall(b"x")
            done.wait(0.02)

    config = HttpConfig(proxy="direct", ca_bundle=str(certificate), read_timeout_seconds=0.4)
    with serving(certificate, trickle) as url, pytest.raises(TimedOutError):
        read(HttpClient(config), url)


class SlowUplink(ssl.SSLSocket):
    """Takes 10 KB a second; like the real one it sends all it is given within one time limit."""

    clock: list[float]
    taken = 0

    def send(self, view: memoryview, flags: int = 0) -> int:  # type: ignore[override]
        seconds = len(view) / 10_000
        if seconds > 30.0:
            raise TimeoutError("The write operation timed out")
        self.clock[0] += seconds
        self.taken += len(view)
        return len(view)


def test_a_slow_encrypted_upload_goes_on_for_as_long_as_it_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = SlowUplink
    ours, theirs = socket.socketpair()
    with (
        theirs,
        context.wrap_socket(ours, server_hostname="x", do_handshake_on_connect=False) as sock,
    ):
        assert isinstance(sock, SlowUplink)
        clock = sock.clock = [0.0]
        monkeypatch.setattr("hubferry.net.connections.time.monotonic", lambda: clock[0])
        _send_all(sock, memoryview(bytes(1 << 20)), 30.0)
        assert sock.taken == 1 << 20
        assert clock[0] > 100
