"""Signed addresses are asked for once, used for every range, and dropped when refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from tests.unit.net.test_http import QUICK, Server, answer, read_all, serving

from hubferry.errors import AccessError, CopyError, TimedOutError, UnavailableError
from hubferry.net import signed
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


def test_where_the_store_names_another_content_the_hub_is_asked_again(client: HttpClient) -> None:
    # Nodes behind a balancer may call the same bytes differently: that must not fail the file.
    def store(number: int, span: str) -> bytes:
        return part(span, ('"one"', '"two"', 'W/"one"')[number % 3])

    with Hubs(store) as hubs:
        assert b"".join(hubs.read(client, n, n + 2) for n in range(0, 10, 2)) == BODY
        assert len(hubs.hub.heads) > 1


class Crowd:
    """Lanes that ask where the same file lies; counts those that wait for another's answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.known = SignedAddresses()
        self.waiting = waiting = threading.Semaphore(0)
        self.asked = 0
        self.errors: list[CopyError] = []

        class Counting(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                waiting.release()
                return super().wait(timeout)

        class Question(signed._Question):
            def __init__(self) -> None:
                super().__init__()
                self.is_over = Counting()

        monkeypatch.setattr(signed, "_Question", Question)

    def ask(self, work: Callable[[], None]) -> None:
        try:
            with self.known.asking("a"):
                if self.known.find("a") is None:
                    self.asked += 1
                    work()
        except CopyError as error:
            self.errors.append(error)

    def ask_together(self, count: int, outcome: Callable[[], None]) -> None:
        def work() -> None:
            for _ in range(count - 1):
                assert self.waiting.acquire(timeout=10)
            outcome()

        threads = [threading.Thread(target=self.ask, args=(work,)) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)


def fail() -> None:
    raise TimedOutError("no answer", request_id="r-1")


def test_those_who_waited_share_the_failure_and_whoever_comes_later_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crowd = Crowd(monkeypatch)
    crowd.ask_together(6, fail)
    assert crowd.asked == 1
    assert len({id(error) for error in crowd.errors}) == 6, "each may be told of another path"
    assert {(type(error), error.request_id) for error in crowd.errors} == {(TimedOutError, "r-1")}
    crowd.ask(fail)
    assert crowd.asked == 2


def test_those_who_waited_use_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = Crowd(monkeypatch)
    crowd.ask_together(6, lambda: crowd.known.keep("a", "b", (hop(),)))
    assert (crowd.asked, crowd.errors) == (1, [])


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
