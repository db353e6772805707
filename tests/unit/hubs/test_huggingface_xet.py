"""Xet streams over a library that does what it is told, on a clock that stands still."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from hubferry.control import CancelToken
from hubferry.errors import (
    CancelledError,
    ProtocolError,
    TimedOutError,
    UnavailableError,
    UsageError,
)
from hubferry.hubs.base import ByteStream
from hubferry.hubs.huggingface import wire
from hubferry.hubs.huggingface.xet import XetLimits, XetReader
from hubferry.hubs.huggingface.xet_token import TokenCache, XetToken
from hubferry.model import FileEntry, RepoId, RepoInfo, Storage, Visibility, XetHash
from hubferry.net.config import HttpConfig
from hubferry.net.secret import Secret

KIB = 1024
DATA = bytes(range(256)) * 4 * 100  # 100 KiB
ENTRY = FileEntry("w.bin", len(DATA), Storage.LFS, xet_hash=XetHash("ab" * 32))
INFO = RepoInfo(RepoId("hf", "o/n"), "main", "c" * 40, Visibility.PUBLIC)
LIMITS = XetLimits(
    window_bytes=4 * KIB, lanes=4, lanes_in_all=8, stall_seconds=30.0, careful_bytes=KIB
)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Session:
    """Stands for a session and its groups."""

    library: Library
    aborted: threading.Event = field(default_factory=threading.Event)

    def new_download_stream_group(self, **given: Any) -> Session:
        self.library.groups.append(given)
        return self

    def download_stream(self, info: tuple[str, int], start: int, end: int) -> Iterator[bytes]:
        self.library.asked.append((start, end))
        return self.library.answer(start, end)

    def sigint_abort(self) -> None:
        assert not self.aborted.is_set(), "a second abort prints a warning"
        self.aborted.set()


@dataclass
class Library:
    """Stands for the module ``hf_xet``; ``answer`` gives the pieces of one window."""

    answer: Callable[[int, int], Iterator[bytes]] = lambda start, end: iter([DATA[start:end]])
    settings: dict[str, Any] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)

    def XetConfig(self) -> Library:  # noqa: N802 - theirs, as the two below
        return self

    def with_config(self, settings: dict[str, Any]) -> Library:
        self.settings = settings
        return self

    def XetSession(self, config: Library) -> Session:  # noqa: N802
        self.sessions.append(Session(self))
        return self.sessions[-1]

    def XetFileInfo(self, digest: str, size: int) -> tuple[str, int]:  # noqa: N802
        return digest, size

    @property
    def aborted(self) -> threading.Event:
        return self.sessions[-1].aborted


class Hub:
    """Gives out tokens and counts them."""

    def __init__(self, expires_unix: int = 10_000) -> None:
        self.expires_unix = expires_unix
        self.given = 0

    def __call__(self, repo: RepoId, commit: str) -> XetToken:
        self.given += 1
        return XetToken(Secret(f"token-number-{self.given}"), self.expires_unix, "https://cas.test")


@dataclass
class World:
    """A reader and all that it meets."""

    library: Library = field(default_factory=Library)
    hub: Hub = field(default_factory=Hub)
    clock: Clock = field(default_factory=Clock)
    cancel: CancelToken = field(default_factory=CancelToken)
    http: HttpConfig = field(default_factory=HttpConfig)

    def __post_init__(self) -> None:
        tokens = TokenCache(self.hub, self.clock)
        self.reader = XetReader(
            tokens, self.http, self.cancel, LIMITS, load=lambda: self.library, clock=self.clock
        )

    def open(self, start: int = 0, stop: int = len(DATA)) -> ByteStream:
        return self.reader.open(INFO, ENTRY, start, stop)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.reader.close()


def read(stream: ByteStream, most: int = 1000) -> bytes:
    found, buffer = b"", memoryview(bytearray(most))
    while count := stream.readinto(buffer):
        found += bytes(buffer[:count])
    return found


@pytest.mark.parametrize(("start", "stop"), [(0, len(DATA)), (1, 2), (4095, 60_001)])
def test_windows_come_in_order_and_never_go_past_the_end(
    world: World, start: int, stop: int
) -> None:
    assert read(world.open(start, stop)) == DATA[start:stop]
    asked = sorted(world.library.asked)
    assert asked[0][0] == start
    assert asked[-1][1] == stop
    assert all(end == following for (_, end), (following, _) in pairwise(asked))


def test_no_more_than_a_window_a_lane_is_ahead_of_the_reader(world: World) -> None:
    stream, buffer, most = world.open(), memoryview(bytearray(KIB)), 0
    for done in range(0, len(DATA), KIB):
        stream.readinto(buffer)
        most = max(most, max(end for _, end in world.library.asked) - done)
    assert most <= (LIMITS.lanes + 1) * LIMITS.window_bytes


def test_all_three_buffer_keys_are_set_and_telemetry_is_off(world: World) -> None:
    world.open()
    buffers = {k: v for k, v in world.library.settings.items() if "download_buffer" in k}
    assert len(buffers) == 3
    assert world.library.settings["telemetry.enabled"] is False


def test_an_early_end_is_an_error_after_one_more_try_with_a_fresh_token(world: World) -> None:
    world.library.answer = lambda start, end: iter([])
    with pytest.raises(UnavailableError) as caught:
        read(world.open(0, 10))
    assert len(world.library.asked) == 2
    assert world.hub.given == 2
    assert "early" in str(caught.value)


def test_what_the_library_raises_becomes_ours_without_its_text(world: World) -> None:
    def fail(start: int, end: int) -> Iterator[bytes]:
        raise ConnectionError("https://cas.test/secret?token=token-number-1")

    world.library.answer = fail
    with pytest.raises(UnavailableError) as caught:
        read(world.open(0, 10))
    assert "secret" not in str(caught.value)
    assert "ConnectionError" in str(caught.value)


def test_a_token_that_was_refused_is_replaced_by_one_for_all_lanes(world: World) -> None:
    def refuse_first(start: int, end: int) -> Iterator[bytes]:
        if world.hub.given == 1:
            raise PermissionError
        return iter([DATA[start:end]])

    world.library.answer = refuse_first
    assert read(world.open()) == DATA
    assert world.hub.given == 2
    assert [group["token"] for group in world.library.groups] == [
        "token-number-1",
        "token-number-2",
    ]


def test_a_token_is_used_until_a_minute_before_its_end(world: World) -> None:
    world.clock.now = 10_000 - 61
    read(world.open(0, 10))
    read(world.open(0, 10))
    assert world.hub.given == 1
    world.clock.now, world.hub.expires_unix = 10_000 - 60, 20_000
    read(world.open(0, 10))
    assert world.hub.given == 2


def test_many_that_ask_at_once_get_one_token() -> None:
    entered, go = threading.Event(), threading.Event()
    given: list[XetToken] = []

    def fetch(repo: RepoId, commit: str) -> XetToken:
        entered.set()
        assert go.wait(10)
        return XetToken(Secret("one-token-for-everyone"), 10_000, "https://cas.test")

    cache = TokenCache(fetch, Clock())

    def ask() -> None:
        given.append(cache.get(INFO.repo, "c"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert entered.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert len(given) == 8
    assert len({id(token) for token in given}) == 1


def silent(world: World) -> Callable[[int, int], Iterator[bytes]]:
    """A storage that sends nothing; each poll of the waiting reader lets eleven seconds pass."""

    def wait(start: int, end: int) -> Iterator[bytes]:
        while not world.library.aborted.wait(0.01):
            world.clock.now += 11
        return iter([])

    return wait


def test_silence_ends_a_stream_and_the_next_one_is_careful(world: World) -> None:
    world.library.answer = silent(world)
    with pytest.raises(TimedOutError):
        read(world.open())
    assert world.library.aborted.is_set()
    world.library = Library()
    assert read(world.open()) == DATA
    assert world.library.asked[0] == (0, LIMITS.careful_bytes)


def test_windows_that_take_long_are_made_fewer_and_smaller(world: World) -> None:
    def slow(start: int, end: int) -> Iterator[bytes]:
        world.clock.now += 5
        return iter([DATA[start:end]])

    world.library.answer = slow
    assert read(world.open()) == DATA
    sizes = [end - start for start, end in world.library.asked]
    assert sizes[0] == LIMITS.window_bytes
    assert sizes[-1] == LIMITS.careful_bytes


def test_a_stop_wakes_a_reader_that_waits(world: World) -> None:
    def stop(start: int, end: int) -> Iterator[bytes]:
        world.cancel.cancel()
        world.library.aborted.wait(10)
        return iter([])

    world.library.answer = stop
    with pytest.raises(CancelledError):
        read(world.open())


def test_closing_twice_aborts_once_and_ends_the_stream(world: World) -> None:
    stream = world.open()
    assert stream.readinto(memoryview(bytearray(1))) == 1
    stream.close()
    stream.close()
    world.reader.close()
    with pytest.raises(UnavailableError):
        read(stream, LIMITS.window_bytes)


def test_streams_share_the_lanes_of_their_hub(world: World) -> None:
    def lanes_of(streams: int) -> int:
        for _ in range(streams):
            world.library = Library()
            stream = world.open()
        return stream._most // LIMITS.window_bytes  # type: ignore[attr-defined,no-any-return]

    assert [lanes_of(1), lanes_of(1), lanes_of(1), lanes_of(5)] == [4, 4, 2, 2]


def test_a_proxy_of_ours_alone_rules_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError):
        World(http=HttpConfig(proxy="http://proxy.test:1")).open()
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:1")
    with pytest.raises(UsageError):
        World(http=HttpConfig(proxy="direct")).open()
    World(http=HttpConfig(proxy="http://proxy.test:1")).open().close()


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"accessToken": "", "exp": 1, "casUrl": "https://cas.test"},
        {"accessToken": "t", "exp": "soon", "casUrl": "https://cas.test"},
        {"accessToken": "t", "exp": 1, "casUrl": "cas.test"},
        {"accessToken": "t", "exp": 1, "casUrl": 3},
        {"accessToken": "t", "exp": 1, "casUrl": "http://cas.test"},
    ],
)
def test_a_token_answer_that_makes_no_sense_is_an_error(data: object) -> None:
    with pytest.raises(ProtocolError):
        wire.xet_token("https://huggingface.co", data)


def test_a_token_does_not_show_itself() -> None:
    answer = {"accessToken": "not-to-be-seen-anywhere", "exp": 7, "casUrl": "https://cas.test"}
    token = wire.xet_token("https://huggingface.co", answer)
    assert "seen" not in repr(token)
    assert token.access.reveal() == "not-to-be-seen-anywhere"
