"""A file over several connections: the same bytes in order, bounded, and alive through faults."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.memory_world import no_pauses

from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.errors import (
    CancelledError,
    CopyError,
    CorruptReadError,
    NotFoundError,
    ProtocolError,
    RateLimitedError,
    SpoolError,
    UnavailableError,
)
from hubferry.hubs.memory import sha256_of
from hubferry.lanes import LANE_BYTES, Lanes
from hubferry.spool import Spool, SpoolFile, SpoolMode, SpoolPolicy
from hubferry.stalls import STALL_SECONDS
from hubferry.stream import BLOCK_BYTES, OpenStream
from hubferry.throttle import Gate, Throttle
from hubferry.window import SOLO_SPANS, SPAN_BLOCKS, Window

MIB = BLOCK_BYTES
Hurdle = Callable[[int, int], None]
"""Called before each read with the offset in the file and the number of the open; may raise."""


class Stream:
    def __init__(self, source: Source, start: int, stop: int, number: int) -> None:
        self._source = source
        self._offset = start
        self._stop = stop
        self._number = number
        self.closed = threading.Event()

    def readinto(self, buffer: memoryview, /) -> int:
        if self.closed.is_set():
            raise UnavailableError("closed")
        source = self._source
        source.hurdle(self._offset, self._number)
        if self.closed.is_set():
            raise UnavailableError("closed")
        count = min(len(buffer), source.piece, self._stop - self._offset)
        buffer[:count] = source.data[self._offset : self._offset + count]
        self._offset += count
        with source.lock:
            source.furthest = max(source.furthest, self._offset)
            source.sent += count
        return count

    def close(self) -> None:
        self.closed.set()


class Source:
    """A file's bytes as a server with ranges would send them."""

    def __init__(self, data: bytes, piece: int = 1 << 30) -> None:
        self.data = data
        self.piece = piece
        self.hurdle: Hurdle = lambda offset, number: None
        self.lock = threading.Lock()
        self.opened: list[tuple[int, int | None]] = []
        self.streams: list[Stream] = []
        self.furthest = self.sent = 0
        self.trailing = 0

    def open(self, start: int, end: int | None) -> OpenStream:
        with self.lock:
            self.opened.append((start, end))
            stop = len(self.data) - self.trailing if end is None else end
            stream = Stream(
                self, start, stop + (self.trailing if end is None else 0), len(self.opened)
            )
            self.streams.append(stream)
            return stream


def bytes_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def lanes_at(level: int) -> Lanes:
    """Lanes that stand at a level, as if they had climbed there."""
    lanes = Lanes()
    lanes.climber._level = level
    return lanes


def window_of(
    source: Source,
    size: int | None = None,
    *,
    level: int = 1,
    lanes: Lanes | None = None,
    is_ranged: Callable[[], bool] = lambda: True,
    attempts: int = 4,
    cancel: CancelToken | None = None,
    gate: Gate | None = None,
    spooled: SpoolFile | None = None,
    on_read: Callable[[int], None] = lambda count: None,
) -> Window:
    return Window(
        source.open,
        len(source.data) if size is None else size,
        no_pauses(cancel, attempts=attempts),
        lanes or lanes_at(level),
        is_ranged=is_ranged,
        throttle=Throttle(gate=gate),
        on_read=on_read,
        spooled=spooled,
    )


def take(window: Window) -> bytes:
    try:
        return b"".join(bytes(block) for block in window.blocks())
    finally:
        window.close()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(SpoolPolicy(SpoolMode.ALWAYS, tmp_path / "spool", reserve_bytes=0))


def spooled_in(spool: Spool, data: bytes) -> SpoolFile:
    file = spool.open(sha256_of(data), len(data))
    assert file is not None
    return file


@pytest.mark.parametrize("level", [1, 2, 5, 20])
@pytest.mark.parametrize("size", [1, MIB, MIB + 1, 7 * MIB - 3, 40 * MIB])
def test_the_bytes_come_in_order_over_any_number_of_connections(size: int, level: int) -> None:
    source = Source(bytes_of(size))
    assert take(window_of(source, level=level)) == source.data
    assert source.sent == size, "each byte came once"


@given(
    drops=st.lists(st.integers(0, 6 * MIB), max_size=12, unique=True),
    level=st.integers(1, 6),
    piece=st.integers(50_000, 3 * MIB),
)
@settings(max_examples=25, deadline=None)
def test_any_drops_give_the_same_bytes(drops: list[int], level: int, piece: int) -> None:
    source = Source(bytes_of(6 * MIB), piece)
    left, lock = set(drops), threading.Lock()

    def hurdle(offset: int, number: int) -> None:
        with lock:
            struck = {drop for drop in left if drop <= offset}
            left.difference_update(struck)
        if struck:
            raise UnavailableError("dropped")

    source.hurdle = hurdle
    assert take(window_of(source, level=level, attempts=100)) == source.data
    assert source.sent == len(source.data), "what had come was not read again"


@pytest.mark.parametrize("level", [1, 4, 16])
def test_lanes_stay_within_their_memory_of_a_slow_reader(level: int) -> None:
    source = Source(bytes_of(64 * MIB))
    window = window_of(source, level=level)
    ahead = 0
    settled = threading.Event()
    try:
        for number, _ in enumerate(window.blocks()):
            settled.wait(0.01)
            ahead = max(ahead, source.furthest - number * MIB)
    finally:
        window.close()
    assert ahead <= max(3 * MIB, level * LANE_BYTES)


def test_a_lone_lane_asks_for_more_each_time() -> None:
    source = Source(bytes_of(60 * MIB))
    lanes = Lanes(most=1)
    assert take(window_of(source, lanes=lanes)) == source.data
    starts = [0, *(sum(SOLO_SPANS[: n + 1]) * MIB for n in range(len(SOLO_SPANS)))]
    assert [start for start, _ in source.opened] == [start for start in starts if start < 60 * MIB]


def test_several_lanes_ask_for_short_ranges() -> None:
    source = Source(bytes_of(32 * MIB))
    take(window_of(source, level=8))
    lengths = {(end or len(source.data)) - start for start, end in source.opened}
    assert lengths == {SPAN_BLOCKS * MIB}


def test_a_long_span_is_shared_out_when_more_lanes_may_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hubferry.window.SHARED_OUT_SECONDS", 0.0)
    source = Source(bytes_of(60 * MIB))
    lanes = Lanes()
    window = window_of(source, lanes=lanes)
    got = bytearray()
    for number, block in enumerate(window.blocks()):
        got += block
        if number == 30:  # within the last, longest span
            lanes.climber._level = 4
    window.close()
    assert bytes(got) == source.data
    assert len(source.opened) > len(SOLO_SPANS) + 4


def test_files_in_flight_share_the_lanes() -> None:
    lanes = Lanes(most=20)
    lanes.climber._level = 20
    assert lanes.share == 20
    files = [window_of(Source(b"x"), lanes=lanes) for _ in range(3)]
    assert lanes.share == 6
    files[0].close()
    files[0].close()
    assert lanes.share == 10
    many = [window_of(Source(b"x"), lanes=lanes) for _ in range(30)]
    assert lanes.share == 1, "each file has one at least"
    for file in (*files, *many):
        file.close()
    assert lanes.share == 20


def test_what_is_not_ranged_is_one_stream() -> None:
    source = Source(bytes_of(20 * MIB))
    assert take(window_of(source, level=8, is_ranged=lambda: False)) == source.data
    assert source.opened == [(0, None)]


def test_a_file_that_turns_out_to_be_ranged_is_helped_by_more_lanes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hubferry.window.SHARED_OUT_SECONDS", 0.0)
    source = Source(bytes_of(40 * MIB))

    def is_ranged() -> bool:
        return len(source.opened) > 1

    def drop_the_first(offset: int, number: int) -> None:
        if number == 1 and offset >= 3 * MIB:
            raise UnavailableError("this way is closed")

    source.hurdle = drop_the_first
    assert take(window_of(source, level=8, is_ranged=is_ranged)) == source.data
    assert source.opened[:2] == [(0, None), (3 * MIB, None)]
    assert len(source.opened) > 8


def test_a_refusal_fails_the_file() -> None:
    source = Source(bytes_of(8 * MIB))

    def hurdle(offset: int, number: int) -> None:
        if offset >= 4 * MIB:
            raise NotFoundError("gone", what="path")

    source.hurdle = hurdle
    with pytest.raises(NotFoundError):
        take(window_of(source, level=4))


def test_a_source_that_stays_down_ends_after_the_tries_of_one_lane() -> None:
    source = Source(bytes_of(8 * MIB))

    def hurdle(offset: int, number: int) -> None:
        raise UnavailableError("down")

    source.hurdle = hurdle
    with pytest.raises(UnavailableError):
        take(window_of(source, level=2, attempts=3))
    assert len(source.opened) <= 2 * 3


def test_a_source_that_ends_early_is_opened_again_at_its_offset() -> None:
    source = Source(bytes_of(3 * MIB))
    inner = source.open

    def ends_early(start: int, end: int | None) -> OpenStream:
        return inner(start, min(start + MIB + 5, len(source.data)))

    source.open = ends_early  # type: ignore[method-assign]
    assert take(window_of(source, level=1, attempts=50)) == source.data
    assert source.sent == len(source.data)


def test_more_bytes_than_listed_are_refused() -> None:
    source = Source(bytes_of(3 * MIB))
    source.trailing = 7
    with pytest.raises(CorruptReadError):
        take(window_of(source, 3 * MIB - 7))


def test_a_lane_that_delivers_nothing_is_cut_and_goes_on_elsewhere() -> None:
    source = Source(bytes_of(4 * MIB), piece=MIB)
    clock = [0.0]
    stuck = threading.Event()

    def hurdle(offset: int, number: int) -> None:
        if offset == 2 * MIB and number == 1:
            stuck.set()
            source.streams[0].closed.wait(20)

    def pass_time() -> None:
        stuck.wait(20)
        while not source.streams[0].closed.is_set():
            clock[0] += 1.0
            threading.Event().wait(0.05)

    source.hurdle = hurdle
    timer = threading.Thread(target=pass_time, daemon=True)
    timer.start()
    # One attempt: a stall that is cut early costs none.
    assert take(window_of(source, attempts=1, gate=Gate(lambda: clock[0]))) == source.data
    assert source.opened[1][0] == 2 * MIB
    assert source.sent == len(source.data)


def test_a_paused_run_is_not_stalled() -> None:
    source = Source(bytes_of(2 * MIB), piece=MIB)
    clock, is_stuck, may_go = [0.0], threading.Event(), threading.Event()
    gate = Gate(lambda: clock[0])

    def hurdle(offset: int, number: int) -> None:
        if offset == MIB:
            is_stuck.set()
            may_go.wait(10)

    source.hurdle = hurdle
    window = window_of(source, gate=gate, attempts=1)
    reader = threading.Thread(target=lambda: take(window), daemon=True)
    reader.start()
    assert is_stuck.wait(5)
    gate.pause()
    clock[0] = 3600.0
    window.look_after()
    assert not source.streams[0].closed.is_set(), "an hour of pause is no stall"
    gate.resume()
    clock[0] += STALL_SECONDS[0] + 0.1
    window.look_after()
    assert source.streams[0].closed.wait(5), "five seconds of silence are"
    may_go.set()
    reader.join(5)


def test_a_stop_is_seen_while_waiting() -> None:
    source = Source(bytes_of(8 * MIB))
    cancel = CancelToken()

    def hurdle(offset: int, number: int) -> None:
        if offset >= MIB:
            cancel.cancel()

    source.hurdle = hurdle
    with pytest.raises(CancelledError):
        take(window_of(source, level=2, cancel=cancel))


def test_closing_lets_go_of_every_connection() -> None:
    source = Source(bytes_of(40 * MIB))
    window = window_of(source, level=8)
    next(window.blocks())
    window.close()
    assert all(stream.closed.wait(5) for stream in source.streams)
    assert window._lanes.share == 8, "its share is free again"


def test_over_the_spool_a_second_try_reads_nothing_again(spool: Spool) -> None:
    source = Source(bytes_of(9 * MIB + 11))
    with spooled_in(spool, source.data) as file:
        window = window_of(source, level=3, spooled=file)
        for number, _ in enumerate(window.blocks()):
            if number == 6:
                break  # the upload broke
        assert take(window) == source.data
    assert source.sent == len(source.data)


def test_over_the_spool_lanes_run_ahead_of_a_reader_that_stopped(spool: Spool) -> None:
    source = Source(bytes_of(30 * MIB))
    with spooled_in(spool, source.data) as file:
        window = window_of(source, level=2, spooled=file)
        next(window.blocks())
        for _ in range(200):
            if file.present_bytes == len(source.data):
                break
            threading.Event().wait(0.05)
        window.close()
        assert file.present_bytes == len(source.data)


def test_what_an_earlier_run_spooled_is_not_read_again(spool: Spool) -> None:
    source = Source(bytes_of(12 * MIB))
    with spooled_in(spool, source.data) as file:
        for block in (0, 1, 5, 7, 11):
            start = block * MIB
            file.write(start, memoryview(source.data)[start : start + MIB])
            file.mark(start, start + MIB)
    with spooled_in(spool, source.data) as file:
        counted: list[int] = []
        assert take(window_of(source, level=2, spooled=file, on_read=counted.append)) == source.data
    assert source.sent == sum(counted) == 7 * MIB


def test_a_broken_disk_is_told_as_such(spool: Spool) -> None:
    source = Source(bytes_of(4 * MIB))
    file = spooled_in(spool, source.data)
    file.close()
    with pytest.raises(SpoolError):
        take(window_of(source, spooled=file))


def test_a_surprise_in_a_lane_reaches_the_reader() -> None:
    source = Source(bytes_of(2 * MIB))

    def hurdle(offset: int, number: int) -> None:
        raise ZeroDivisionError

    source.hurdle = hurdle
    with pytest.raises(ZeroDivisionError):
        take(window_of(source))
    assert not issubclass(ZeroDivisionError, CopyError)


def test_a_source_that_ignores_ranges_is_read_through_once_it_shows() -> None:
    source = Source(bytes_of(96 * MIB))
    inner = source.open

    def whole(start: int, end: int | None) -> OpenStream:
        """Sends the file from its start, whatever was asked for; what is not wanted is skipped."""
        stream = inner(start, end)
        with source.lock:
            source.sent += start
        return stream

    source.open = whole  # type: ignore[method-assign]
    window = window_of(source, level=8, is_ranged=lambda: len(source.opened) < 2)
    assert take(window) == source.data
    assert source.sent <= 2.2 * len(source.data), "not once more for every range"


def test_a_lane_that_fails_while_the_reader_reads_itself_is_told_at_once() -> None:
    source = Source(bytes_of(40 * MIB), piece=MIB // 4)
    lanes = Lanes()
    has_failed = threading.Event()

    def hurdle(offset: int, number: int) -> None:
        if number == 1 and offset >= 2 * MIB:
            has_failed.wait(5)
        elif number > 1:
            has_failed.set()
            raise NotFoundError("gone", what="path")

    source.hurdle = hurdle
    window = window_of(source, lanes=lanes)
    got: list[bytes] = []

    def read() -> None:
        for block in window.blocks():
            got.append(bytes(block))
            lanes.climber._level = 4

    with pytest.raises(NotFoundError):
        read()
    window.close()
    assert b"".join(got) == source.data[: len(got) * MIB], "no block was handed on half filled"


def test_closing_wakes_lanes_that_wait_for_their_next_try() -> None:
    source = Source(bytes_of(8 * MIB))

    def hurdle(offset: int, number: int) -> None:
        if offset >= 2 * MIB:
            raise RateLimitedError("slow down", retry_after_seconds=30.0)

    source.hurdle = hurdle
    waits = WaitBudget(3600.0)
    window = Window(
        source.open,
        len(source.data),
        Patience(CancelToken(), waits),
        lanes_at(4),
        is_ranged=lambda: True,
        throttle=Throttle(),
        on_read=lambda count: None,
    )
    next(window.blocks())
    lanes = [t for t in threading.enumerate() if t.name == "hubferry-lane"]
    assert lanes
    window.close()
    for thread in lanes:
        thread.join(5)
        assert not thread.is_alive()


def test_what_looks_after_itself_is_not_cut() -> None:
    source = Source(bytes_of(2 * MIB), piece=MIB)
    clock, is_stuck, may_go = [0.0], threading.Event(), threading.Event()

    def hurdle(offset: int, number: int) -> None:
        if offset == MIB:
            is_stuck.set()
            may_go.wait(10)

    source.hurdle = hurdle
    window = Window(
        source.open,
        len(source.data),
        no_pauses(),
        Lanes(),
        is_ranged=lambda: False,
        throttle=Throttle(gate=Gate(lambda: clock[0])),
        on_read=lambda count: None,
        is_watched=lambda: False,
    )
    reader = threading.Thread(target=lambda: take(window), daemon=True)
    reader.start()
    assert is_stuck.wait(5)
    clock[0] = 100.0
    window.look_after()
    assert not source.streams[0].closed.is_set()
    may_go.set()
    reader.join(5)
    assert len(source.opened) == 1


def test_one_file_that_cannot_be_looked_after_does_not_leave_the_others_alone() -> None:
    lanes = Lanes()
    seen = threading.Event()

    class Broken:
        def look_after(self) -> None:
            raise ZeroDivisionError

    class Fine:
        def look_after(self) -> None:
            seen.set()

    files = Broken(), Fine()
    for file in files:
        lanes.join(file)
    assert seen.wait(5)
    seen.clear()
    assert seen.wait(5), "the keeper goes on"
    for file in files:
        lanes.leave(file)


def test_one_senseless_answer_does_not_fail_a_large_file() -> None:
    source = Source(bytes_of(9 * MIB))
    garbled: list[int] = []

    def hurdle(offset: int, number: int) -> None:
        if offset >= 4 * MIB and not garbled:
            garbled.append(offset)
            raise ProtocolError("another range than asked for")

    source.hurdle = hurdle
    assert take(window_of(source, level=2)) == source.data
    assert garbled


def test_two_senseless_answers_in_a_row_do() -> None:
    source = Source(bytes_of(9 * MIB))

    def hurdle(offset: int, number: int) -> None:
        raise ProtocolError("another range than asked for")

    source.hurdle = hurdle
    with pytest.raises(ProtocolError):
        take(window_of(source, level=2))


def test_a_lane_whose_connection_does_not_open_is_replaced() -> None:
    source = Source(bytes_of(32 * MIB), piece=MIB)
    inner, held, may_open = source.open, threading.Event(), threading.Event()

    def opens_late(start: int, end: int | None) -> OpenStream:
        if start == 6 * MIB and not held.is_set():
            held.set()
            may_open.wait(20)
        return inner(start, end)

    source.open = opens_late  # type: ignore[method-assign]
    assert take(window_of(source, level=4)) == source.data
    may_open.set()
    assert held.is_set()
    starts = [start for start, _ in source.opened]
    assert starts.count(6 * MIB) >= 1
