"""The client against a tiny server that answers whatever a test tells it to."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from urllib3.connection import HTTPConnection

from hubferry.errors import (
    AccessError,
    CancelledError,
    CorruptReadError,
    IntegrityError,
    ProtocolError,
    RateLimitedError,
    TimedOutError,
    TooLargeError,
    UnavailableError,
)
from hubferry.net.config import origin_of
from hubferry.net.connections import OpenSockets, _send_all
from hubferry.net.http import Credentials, HttpClient, HttpConfig, HttpStream
from hubferry.net.progress import TRICKLE_BYTES_PER_SECOND, Progress
from hubferry.net.status import Refusal
from hubferry.text import T

Script = Callable[[socket.socket, bytes], None]


class Server:
    """Hands each request's head to ``script``, which writes raw bytes."""

    def __init__(self, script: Script) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self._script = script
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            while head := read_head(peer):
                self.heads.append(head)
                try:
                    self._script(peer, head)
                except OSError:
                    return

    def close(self) -> None:
        self._socket.close()


def read_head(peer: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        try:
            byte = peer.recv(1)
        except OSError:
            return b""
        if not byte:
            return b""
        head += byte
    return head


@contextmanager
def serving(script: Script) -> Iterator[Server]:
    server = Server(script)
    try:
        yield server
    finally:
        server.close()


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def says(raw: bytes) -> Script:
    return lambda peer, head: peer.sendall(raw)


def read_all(stream: HttpStream) -> bytes:
    buffer, found = memoryview(bytearray(7)), b""
    while count := stream.readinto(buffer):
        found += bytes(buffer[:count])
    return found


QUICK = HttpConfig(proxy="direct", connect_timeout_seconds=2, read_timeout_seconds=0.4)


@pytest.fixture
def client() -> Iterator[HttpClient]:
    made = HttpClient(QUICK)
    yield made
    made.close()


def test_a_whole_file_is_read_and_the_connection_serves_again(client: HttpClient) -> None:
    with serving(says(answer(200, b"hello world"))) as server:
        for _ in range(2):
            stream = client.get(server.url + "/f")
            assert (read_all(stream), stream.size_bytes) == (b"hello world", 11)
            stream.close()
        assert server.connections == 1
        assert b"accept-encoding: identity" in server.heads[0].lower()


def test_a_range_is_asked_for_and_checked(client: HttpClient) -> None:
    raw = answer(206, b"lo", Content_Range="bytes 3-4/11")
    with serving(says(raw)) as server:
        stream = client.get(server.url, start=3, end=5)
        assert read_all(stream) == b"lo"
        assert (stream.total_bytes, stream.ignored_range) == (11, False)
        assert b"range: bytes=3-4\r\n" in server.heads[0].lower()


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (answer(206, b"lo", Content_Range="bytes 2-3/11"), ProtocolError),
        (answer(206, b"lo"), ProtocolError),
        (answer(206, b"lo", Content_Range="bytes 3-4/5"), CorruptReadError),
        (answer(416, b""), CorruptReadError),
        (answer(200, b"x", Content_Encoding="gzip"), ProtocolError),
        (answer(204), ProtocolError),
    ],
)
def test_a_range_that_is_not_the_one_asked_for_is_refused(
    client: HttpClient, raw: bytes, error: type[Exception]
) -> None:
    with serving(says(raw)) as server, pytest.raises(error):
        client.get(server.url, start=3, end=9)


def test_an_ignored_range_is_flagged(client: HttpClient) -> None:
    with serving(says(answer(200, b"hello"))) as server:
        assert client.get(server.url, start=3).ignored_range


def test_an_early_end_is_an_error(client: HttpClient) -> None:
    def cut(peer: socket.socket, head: bytes) -> None:
        peer.sendall(answer(200, b"hello world")[:-4])
        peer.shutdown(socket.SHUT_RDWR)

    with serving(cut) as server:
        stream = client.get(server.url)
        with pytest.raises(UnavailableError, match="ended early"):
            read_all(stream)


def test_a_stall_is_a_timeout(client: HttpClient) -> None:
    def stall(peer: socket.socket, head: bytes) -> None:
        peer.sendall(answer(200, b"hello world")[:-4])
        time.sleep(2)

    with serving(stall) as server:
        stream = client.get(server.url)
        began = time.monotonic()
        with pytest.raises(TimedOutError):
            read_all(stream)
        assert time.monotonic() - began < 1.5


def trickle(status: int) -> Script:
    """A byte now and then, none of them late."""

    def script(peer: socket.socket, head: bytes) -> None:
        peer.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: 1000\r\n\r\n".encode())
        for _ in range(100):
            peer.sendall(b"x")
            time.sleep(0.02)
        peer.shutdown(socket.SHUT_RDWR)

    return script


@pytest.mark.parametrize(
    "read", [HttpClient.get_json, lambda client, url: read_all(client.get(url))]
)
def test_a_trickle_is_a_stall(
    client: HttpClient, read: Callable[[HttpClient, str], object]
) -> None:
    with serving(trickle(200)) as server, pytest.raises(TimedOutError):
        read(client, server.url)


def test_a_refusal_that_trickles_in_is_a_refusal(client: HttpClient) -> None:
    with serving(trickle(413)) as server:
        began = time.monotonic()
        with pytest.raises(TooLargeError):
            client.get(server.url)
        assert time.monotonic() - began < 1.5


def test_a_reader_that_takes_its_time_is_not_the_sources_stall(
    client: HttpClient, clock: list[float]
) -> None:
    with serving(says(answer(200, bytes(100)))) as server:
        stream, buffer = client.get(server.url), memoryview(bytearray(10))
        for _ in range(10):
            clock[0] += 1000.0
            assert stream.readinto(buffer) == 10


def test_only_the_time_spent_waiting_counts_for_a_trickle() -> None:
    progress = Progress(30.0)
    for _ in range(100):
        progress.moved(TRICKLE_BYTES_PER_SECOND * 10, 10.0)
    progress.moved(1, 15.0)
    with pytest.raises(TimeoutError):
        progress.moved(1, 15.0)


def test_close_from_another_thread_wakes_a_blocked_read() -> None:
    slow = HttpClient(HttpConfig(proxy="direct", read_timeout_seconds=20))

    def stall(peer: socket.socket, head: bytes) -> None:
        peer.sendall(answer(200, b"hello world")[:-4])
        time.sleep(5)

    with serving(stall) as server:
        stream = slow.get(server.url)
        threading.Timer(0.2, stream.close).start()
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="closed"):
            read_all(stream)
        assert time.monotonic() - began < 2
        stream.close()


def test_closing_the_client_wakes_a_blocked_request() -> None:
    slow = HttpClient(HttpConfig(proxy="direct", read_timeout_seconds=20))
    with serving(lambda peer, head: time.sleep(5)) as server:
        threading.Timer(0.2, slow.close).start()
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            slow.get(server.url)
        assert time.monotonic() - began < 2


def test_a_closed_client_asks_for_nothing_more_and_nobody_tries_again() -> None:
    with serving(says(answer(200, b"{}"))) as server:
        client = HttpClient(QUICK)
        client.get_json(server.url)
        client.close()
        with pytest.raises(CancelledError) as caught:
            client.get_json(server.url)
        assert not caught.value.retryable
        with pytest.raises(CancelledError):
            client.put(server.url, None, 1, pieces(b"x"))
        assert len(server.heads) == 1


def test_a_connection_made_while_the_client_closes_is_cut() -> None:
    sockets = OpenSockets()
    sockets.cut()
    late = HTTPConnection("localhost")
    late.sock, theirs = socket.socketpair()
    with late.sock, theirs:
        sockets.add(late)
        theirs.settimeout(10)
        assert theirs.recv(1) == b""


def test_nobody_listening_is_unavailable(client: HttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UnavailableError, match="refused") as caught:
        client.post_json(f"http://127.0.0.1:{port}/", {})
    assert not caught.value.ambiguous


def test_credentials_stay_on_their_origin_over_redirects() -> None:
    with serving(says(answer(200, b"ok"))) as far:
        # "localhost" and "127.0.0.1" are the same machine and two origins.
        with serving(says(answer(302, Location=far.url + "/x?Signature=abc"))) as near:
            credentials = Credentials(
                frozenset({origin_of(near.url)}), lambda: {"authorization": "Bearer canary"}
            )
            client = HttpClient(QUICK, credentials=credentials)
            stream = client.get(near.url)
            assert read_all(stream) == b"ok"
            assert [hop.status for hop in stream.hops] == [302, 200]
            assert b"canary" in near.heads[0]
            assert b"canary" not in far.heads[0]
            client.close()


def test_a_header_is_sent_once_whatever_its_case_and_the_one_of_the_call_wins() -> None:
    def take(peer: socket.socket, head: bytes) -> None:
        take_body(peer, head)
        peer.sendall(answer(200, b"{}"))

    with serving(take) as server:
        credentials = Credentials(
            frozenset({origin_of(server.url)}), lambda: {"authorization": "Bearer of-the-client"}
        )
        client = HttpClient(QUICK, credentials=credentials)
        # As in the actions of an LFS answer: the hub says how it wants to be asked.
        client.post_json(server.url, {}, {"Authorization": "Basic of-the-call", "ACCEPT": "a/b"})
        client.put(server.url, {"Authorization": "Basic of-the-call"}, 1, pieces(b"x"))
        for head in server.heads:
            assert head.lower().count(b"authorization:") == 1
            assert b"Basic of-the-call" in head
        assert server.heads[0].lower().count(b"accept:") == 1
        client.close()


def test_endless_redirects_stop(client: HttpClient) -> None:
    with serving(says(answer(307, Location="/again"))) as server:
        with pytest.raises(ProtocolError, match="redirects without end"):
            client.get(server.url)
        assert len(server.heads) == 6
        assert server.connections == 1


def test_head_shows_a_redirect_without_following(client: HttpClient) -> None:
    raw = b"HTTP/1.1 302 X\r\nLocation: /b\r\nX-Linked-Size: 7\r\nContent-Length: 99\r\n\r\n"
    with serving(says(raw)) as server:
        found = client.head(server.url + "/a")
        assert (found.status, found.location) == (302, server.url + "/b")
        assert found.headers["x-linked-size"] == "7"


def pieces(*parts: bytes) -> Iterator[memoryview]:
    return (memoryview(part) for part in parts)


def take_body(peer: socket.socket, head: bytes) -> bytes:
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = b""
    while len(body) < length:
        body += peer.recv(65536)
    return body


def takes_and_says(raw: bytes) -> Script:
    def script(peer: socket.socket, head: bytes) -> None:
        take_body(peer, head)
        peer.sendall(raw)

    return script


def take_and_say_nothing(peer: socket.socket, head: bytes) -> None:
    take_body(peer, head)


def test_put_sends_exactly_the_promised_bytes(client: HttpClient) -> None:
    seen: list[bytes] = []

    def store(peer: socket.socket, head: bytes) -> None:
        seen.append(take_body(peer, head))
        peer.sendall(answer(200, b"{}", ETag='"1"'))

    with serving(store) as server:
        done = client.put(server.url, {"x-a": "b"}, 300_005, pieces(b"a" * 300_000, b"bcdef"))
        assert (done.status, done.headers["etag"]) == (200, '"1"')
        assert seen == [b"a" * 300_000 + b"bcdef"]
        assert b"transfer-encoding" not in server.heads[0].lower()
        client.put(server.url, None, 0, pieces())
        assert (seen[-1], server.connections) == (b"", 1)


def test_put_refuses_a_body_of_another_length(client: HttpClient) -> None:
    with serving(take_and_say_nothing) as server:
        with pytest.raises(IntegrityError):
            client.put(server.url, None, 5, pieces(b"abc"))
        with pytest.raises(IntegrityError):
            client.put(server.url, None, 5, pieces(b"abc", b"defg"))


def test_an_error_of_the_body_comes_out_as_it_is_and_leaves_the_upload_unfinished(
    client: HttpClient,
) -> None:
    received: list[bytes] = []
    ended = threading.Event()

    def store(peer: socket.socket, head: bytes) -> None:
        while chunk := peer.recv(65536):
            received.append(chunk)
        ended.set()

    def body() -> Iterator[memoryview]:
        yield memoryview(b"abc")
        raise CancelledError(T("stop"))

    with serving(store) as server:
        with pytest.raises(CancelledError):
            client.put(server.url, None, 10, body())
        assert ended.wait(2)
        assert b"".join(received) == b"abc"


@pytest.mark.parametrize("keeps_open", [True, False])
def test_an_early_answer_to_an_upload_is_heard(client: HttpClient, keeps_open: bool) -> None:
    def refuse(peer: socket.socket, head: bytes) -> None:
        peer.recv(1000)
        peer.sendall(answer(413, b'{"message": "too big for me"}'))
        if keeps_open:
            time.sleep(1)
        peer.shutdown(socket.SHUT_RDWR)

    def endless() -> Iterator[memoryview]:
        for _ in range(10_000):
            yield memoryview(bytes(65536))

    with serving(refuse) as server, pytest.raises(TooLargeError, match="too big for me"):
        client.put(server.url, None, 10_000 * 65536, endless())


def test_a_connection_left_in_the_middle_of_an_upload_is_not_used_again(
    client: HttpClient,
) -> None:
    def refuse_at_once(peer: socket.socket, head: bytes) -> None:
        peer.sendall(answer(500, b"no"))

    def slow() -> Iterator[memoryview]:
        yield memoryview(bytes(1000))
        time.sleep(0.1)  # the answer is there before the rest
        yield memoryview(bytes(1000))

    with serving(refuse_at_once) as server:
        for _ in range(2):
            with pytest.raises(UnavailableError):
                client.put(server.url, None, 2000, slow())
    assert [head.split()[0] for head in server.heads] == [b"PUT", b"PUT"]
    assert server.connections == 2


def test_an_early_success_is_not_believed(client: HttpClient) -> None:
    def lie(peer: socket.socket, head: bytes) -> None:
        peer.sendall(answer(200))
        time.sleep(1)

    def slow() -> Iterator[memoryview]:
        for _ in range(100):
            time.sleep(0.05)
            yield memoryview(bytes(65536))

    with serving(lie) as server, pytest.raises(ProtocolError, match="before the upload"):
        client.put(server.url, None, 100 * 65536, slow())


def test_a_redirected_upload_is_never_sent_again(client: HttpClient) -> None:
    def send_away(peer: socket.socket, head: bytes) -> None:
        take_body(peer, head)
        peer.sendall(answer(307, Location="/other"))

    with serving(send_away) as server:
        with pytest.raises(ProtocolError, match="redirects a PUT"):
            client.put(server.url, None, 3, pieces(b"abc"))
        assert len(server.heads) == 1


def test_a_post_follows_a_renamed_repository_on_its_own_origin_only(client: HttpClient) -> None:
    def moved(peer: socket.socket, head: bytes) -> None:
        body = take_body(peer, head)
        is_old = head.startswith(b"POST /old")
        peer.sendall(answer(307, Location="/new") if is_old else answer(200, body))

    with serving(moved) as server:
        assert client.post_json(server.url + "/old", {"a": 1}).json() == {"a": 1}
        elsewhere = answer(307, Location=server.url + "/new")
        with serving(takes_and_says(elsewhere)) as other:
            with pytest.raises(ProtocolError, match="redirects a POST"):
                client.post_json(other.url, {"a": 1})
        assert [head.split()[1] for head in server.heads] == [b"/old", b"/new"]
    with serving(takes_and_says(answer(307, Location="/"))) as round_:
        with pytest.raises(ProtocolError, match="redirects"):
            client.post_json(round_.url, {})


@pytest.mark.parametrize("is_repeatable", [True, False])
def test_a_lost_answer_to_a_post_is_ambiguous_unless_repeatable(
    client: HttpClient, is_repeatable: bool
) -> None:
    def hang_up(peer: socket.socket, head: bytes) -> None:
        take_body(peer, head)
        peer.shutdown(socket.SHUT_RDWR)

    with serving(hang_up) as server:
        with pytest.raises(UnavailableError) as caught:
            client.post_json(server.url, {"a": 1}, is_repeatable=is_repeatable)
        assert caught.value.ambiguous is not is_repeatable
    with serving(says(answer(504))) as server:
        with pytest.raises(UnavailableError) as caught:
            client.post_json(server.url, {"a": 1}, is_repeatable=is_repeatable)
        assert caught.value.ambiguous is not is_repeatable


def test_retry_after_reaches_the_error(client: HttpClient) -> None:
    with serving(says(answer(429, b"slow", Retry_After="17"))) as server:
        with pytest.raises(RateLimitedError) as caught:
            client.get_json(server.url)
        assert caught.value.retry_after_seconds == 17.0


def test_a_hub_may_read_a_refusal_its_own_way() -> None:
    def own(refusal: Refusal) -> AccessError | None:
        return AccessError(T("mine")) if refusal.status == 418 else None

    with serving(says(answer(418))) as server:
        with pytest.raises(AccessError, match="mine"):
            HttpClient(QUICK, map_refusal=own).get(server.url)


def test_json_that_is_not_json_is_a_protocol_error(client: HttpClient) -> None:
    with serving(says(answer(200, b"<html>"))) as server, pytest.raises(ProtocolError):
        client.get_json(server.url).json()


def test_no_signed_address_is_in_an_error(client: HttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x?Signature=sssecret"
    with pytest.raises(UnavailableError) as caught:
        client.get(url)
    assert "sssecret" not in repr(caught.value)
    assert caught.value.__suppress_context__


def test_a_proxy_carries_the_request() -> None:
    with serving(says(answer(200, b"via"))) as proxy:
        client = HttpClient(HttpConfig(proxy=proxy.url.replace("://", "://me:pa%40s%3Aword@")))
        assert client.get_json("http://hub.example/path").body == b"via"
        assert proxy.heads[0].startswith(b"GET http://hub.example/path ")
        # What stands in the address is quoted; what is sent is not.
        assert base64.b64encode(b"me:pa@s:word") in proxy.heads[0]
        client.close()


class Sink:
    """A socket that takes so much at a time, and so long for it."""

    def __init__(self, piece: int, seconds: float, clock: list[float]) -> None:
        self.taken = 0
        self._piece = piece
        self._seconds = seconds
        self._clock = clock

    def send(self, view: memoryview) -> int:
        self._clock[0] += self._seconds
        count = min(self._piece, len(view))
        self.taken += count
        return count


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("hubferry.net.connections.time.monotonic", lambda: now[0])
    return now


def test_a_slow_upload_goes_on_for_as_long_as_it_moves(clock: list[float]) -> None:
    sink = Sink(10_000, 5.0, clock)
    _send_all(sink, memoryview(bytes(1 << 20)), 30.0)  # type: ignore[arg-type]
    assert sink.taken == 1 << 20
    assert clock[0] > 500


def test_a_store_that_takes_a_byte_now_and_then_has_stalled(clock: list[float]) -> None:
    sink = Sink(1, 0.5, clock)
    with pytest.raises(TimeoutError):
        _send_all(sink, memoryview(bytes(1 << 20)), 30.0)  # type: ignore[arg-type]
    assert clock[0] == pytest.approx(30.0)


def test_a_head_that_trickles_is_cut_off(client: HttpClient) -> None:
    def drip(peer: socket.socket, head: bytes) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000:
            peer.sendall(bytes([byte]))
            time.sleep(0.1)

    with serving(drip) as server:
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            client.get_json(server.url)
        assert time.monotonic() - began < 10, "a byte now and then is no answer"


# --- refusals that others are told of -------------------------------------------------


class Brake:
    """What a client tells of its requests and refusals."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.told: list[float | None] = []
        self.is_inside = False

    @contextmanager
    def __call__(self, method: str, url: str) -> Iterator[Callable[[float | None], None]]:
        self.asked.append((method, url.rpartition("/")[2]))
        self.is_inside = True
        try:
            yield self.told.append
        finally:
            self.is_inside = False


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        (b"Retry-After: 7\r\n", [7.0]),
        (b"", [None]),
        (b'RateLimit: "api";r=3;t=60\r\nRetry-After: 9\r\n', [9.0]),
        (b'RateLimit: "api";r=0;t=60\r\n', []),
        (b'RateLimit: "api";r=000;t=60\r\nRetry-After: 9\r\n', []),
    ],
    ids=["told", "untold", "another limit", "used up", "used up, in other digits"],
)
def test_a_429_is_told_unless_its_window_is_used_up(headers: bytes, told: list[object]) -> None:
    def script(peer: socket.socket, head: bytes) -> None:
        peer.sendall(b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n" + headers + b"\r\n")

    server, brake = Server(script), Brake()
    client = HttpClient(QUICK, brake=brake)
    with pytest.raises(RateLimitedError):
        client.get_json(f"{server.url}/thing")
    server.close()
    assert brake.told == told
    assert brake.asked == [("GET", "thing")]
    assert not brake.is_inside


def test_a_good_answer_and_another_refusal_tell_nothing() -> None:
    def script(peer: socket.socket, head: bytes) -> None:
        status = b"200 OK" if b"/good" in head else b"503 Busy"
        peer.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")

    server, brake = Server(script), Brake()
    client = HttpClient(QUICK, brake=brake)
    client.post_json(f"{server.url}/good", {})
    with pytest.raises(UnavailableError):
        client.get_json(f"{server.url}/bad")
    server.close()
    assert brake.told == []
    assert brake.asked == [("POST", "good"), ("GET", "bad")]
