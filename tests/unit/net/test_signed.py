"""Signed addresses are asked for once, used for every range, and dropped when refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from tests.unit.net.test_http import QUICK, Server, answer, read_all, serving

from hubferry.errors import AccessError, CorruptReadError, UnavailableError
from hubferry.net.http import HttpClient
from hubferry.net.signed import GOOD_FOR_SECONDS, SignedAddresses
from hubferry.net.stream import Hop

BODY = b"0123456789"


@pytest.fixture
def client() -> Iterator[HttpClient]:
    made = HttpClient(QUICK)
    yield made
    made.close()


class Hubs:
    """A hub that redirects to a store, both counted."""

    def __init__(self, store_answer: Callable[[int, str], bytes]) -> None:
        """``store_answer`` is given the number of the request and its range."""
        self._store_answer = store_answer
        self._lock = threading.Lock()
        self._asked = 0

    def __enter__(self) -> Hubs:
        self.store = Server(lambda peer, head: peer.sendall(self._serve(head)))
        self.hub = Server(
            lambda peer, head: peer.sendall(answer(302, b"", Location=f"{self.store.url}/signed"))
        )
        return self

    def __exit__(self, *exc: object) -> None:
        self.store.close()
        self.hub.close()

    def _serve(self, head: bytes) -> bytes:
        with self._lock:
            self._asked += 1
            number = self._asked
        line = next(part for part in head.decode().split("\r\n") if part.startswith("range"))
        return self._store_answer(number, line.partition("=")[2])

    def read(self, client: HttpClient, start: int, end: int) -> bytes:
        stream = client.get(f"{self.hub.url}/file", start=start, end=end, remembers=True)
        try:
            return read_all(stream)
        finally:
            stream.close()


def part(span: str, etag: str = '"e"') -> bytes:
    first, _, last = span.partition("-")
    body = BODY[int(first) : int(last) + 1]
    return answer(206, body, Content_Range=f"bytes {span}/{len(BODY)}", ETag=etag)


def test_a_hub_is_asked_once_for_many_ranges(client: HttpClient) -> None:
    with Hubs(lambda number, span: part(span)) as hubs:
        assert b"".join(hubs.read(client, n, n + 2) for n in range(0, 10, 2)) == BODY
        assert (len(hubs.hub.heads), len(hubs.store.heads)) == (1, 5)
        assert hubs.store.connections == 1, "a range that was read to its end frees its connection"


def test_readers_that_start_together_ask_once(client: HttpClient) -> None:
    with Hubs(lambda number, span: part(span)) as hubs:
        found: list[bytes] = []
        threads = [
            threading.Thread(target=lambda n=n: found.append(hubs.read(client, n, n + 1)))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert sorted(found) == [BODY[n : n + 1] for n in range(8)]
        assert len(hubs.hub.heads) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_address_that_ran_out_is_renewed_within_the_read(
    client: HttpClient, status: int
) -> None:
    def store(number: int, span: str) -> bytes:
        return answer(status, b"Request has expired") if number == 2 else part(span)

    with Hubs(store) as hubs:
        assert hubs.read(client, 0, 5) + hubs.read(client, 5, 10) == BODY
        assert len(hubs.hub.heads) == 2


def test_an_address_that_is_never_good_is_a_refusal(client: HttpClient) -> None:
    def store(number: int, span: str) -> bytes:
        return part(span) if number == 1 else answer(403, b"no")

    with Hubs(store) as hubs:
        hubs.read(client, 0, 5)
        with pytest.raises(AccessError):
            hubs.read(client, 5, 10)


def test_a_store_in_trouble_is_told_as_such_and_its_address_forgotten(client: HttpClient) -> None:
    def store(number: int, span: str) -> bytes:
        return answer(503, b"busy") if number == 2 else part(span)

    with Hubs(store) as hubs:
        hubs.read(client, 0, 5)
        with pytest.raises(UnavailableError):
            hubs.read(client, 5, 10)
        assert hubs.read(client, 5, 10) == BODY[5:]
        assert len(hubs.hub.heads) == 2


def test_ranges_of_another_content_are_not_joined(client: HttpClient) -> None:
    def store(number: int, span: str) -> bytes:
        return part(span, '"other"' if number == 2 else 'W/"e"')

    with Hubs(store) as hubs:
        hubs.read(client, 0, 5)
        with pytest.raises(CorruptReadError):
            hubs.read(client, 5, 10)
        assert hubs.read(client, 5, 10) == BODY[5:]


def test_a_redirect_within_the_hub_is_not_remembered(client: HttpClient) -> None:
    def script(number: list[int]) -> Callable[[object, bytes], None]:
        def serve(peer: object, head: bytes) -> None:
            number[0] += 1
            is_first = b"GET /file" in head
            raw = answer(302, b"", Location="/moved") if is_first else part("0-1")
            peer.sendall(raw)  # type: ignore[attr-defined]

        return serve

    count = [0]
    with serving(script(count)) as server:
        for _ in range(2):
            stream = client.get(f"{server.url}/file", start=0, end=2, remembers=True)
            assert read_all(stream) == BODY[:2]
            stream.close()
        assert count[0] == 4


def test_an_address_is_not_used_longer_than_it_can_be_good() -> None:
    clock = [0.0]
    known = SignedAddresses(lambda: clock[0])
    known.keep("a", "b", (hop(),))
    assert known.find("a") is not None
    clock[0] = GOOD_FOR_SECONDS + 1
    assert known.find("a") is None


def test_a_refused_address_does_not_take_its_successor_along() -> None:
    known = SignedAddresses()
    known.keep("a", "old", (hop(),))
    old = known.find("a")
    assert old is not None
    known.keep("a", "new", (hop(),))
    known.forget("a", old)
    found = known.find("a")
    assert found is not None
    assert found.url == "new"
    known.forget("a", found)
    assert known.find("a") is None


def test_a_signed_address_does_not_show_itself() -> None:
    known = SignedAddresses()
    known.keep("a", "https://store/secret", (hop(),))
    assert "secret" not in repr(known.find("a"))


def hop() -> Hop:
    return Hop(("http", "store", 80), 206, {})
