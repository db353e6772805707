"""Which transport a file takes, by what was measured; on a clock that is told the time."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

import pytest

from hubferry.control import CancelToken
from hubferry.hubs.base import ByteStream
from hubferry.hubs.huggingface.reading import Reads
from hubferry.hubs.huggingface.transport import HUGE_BYTES, LARGE_BYTES, Chooser, Transport
from hubferry.model import FileEntry, RepoId, RepoInfo, Storage, XetHash

MB = 10**6
INFO = RepoInfo(RepoId("hf", "o/n"), "main", "c" * 40)


class Empty:
    """A way to read that opens streams of nothing, over HTTP and through Xet alike."""

    def open(self, info: RepoInfo, entry: FileEntry, start: int, stop: int) -> ByteStream:
        return self

    def readinto(self, buffer: memoryview, /) -> int:
        return 0

    def close(self) -> None: ...


@dataclass
class World:
    """A chooser, and files that are read at given speeds."""

    transport: Transport = Transport.AUTO
    can_xet: bool = True
    now: float = 0.0
    count: int = 0
    chooser: Chooser = field(init=False)

    def __post_init__(self) -> None:
        self.chooser = Chooser(self.transport, can_xet=self.can_xet, clock=lambda: self.now)

    def file(self, size_bytes: int = 200 * MB, *, has_xet: bool = True) -> FileEntry:
        self.count += 1
        xet = XetHash("ab" * 32) if has_xet else None
        return FileEntry(f"{self.count}.bin", size_bytes, Storage.LFS, xet_hash=xet)

    def read(
        self,
        speed: float,
        *,
        at_once: int = 1,
        waited: float = 1.0,
        entry: FileEntry | None = None,
        pause: float = 0.0,
    ) -> bool:
        """Read a file in two streams while others are read, each at ``speed``; was it by Xet?"""
        entry = entry or self.file()
        is_by_xet = self.chooser.by_xet(entry)
        others = [self.chooser.opened(self.file(), is_by_xet=False) for _ in range(at_once - 1)]
        if not self.chooser.measures(entry):
            return is_by_xet
        half = entry.size_bytes // 2
        for count in (half, entry.size_bytes - half):
            reading = self.chooser.opened(entry, is_by_xet=is_by_xet)
            self.now += count / speed
            self.chooser.closed(reading, count, waited * count / speed, count / speed)
            self.now += pause
        for other in others:
            self.chooser.closed(other, 0, 0.0, 0.0)
        return is_by_xet


def test_http_and_xet_mean_what_they_say() -> None:
    only_http, only_xet = World(Transport.HTTP), World(Transport.XET)
    for size in (1, LARGE_BYTES, HUGE_BYTES + 1):
        assert not only_http.chooser.by_xet(only_http.file(size))
        assert only_xet.chooser.by_xet(only_xet.file(size))
    assert not only_xet.chooser.by_xet(only_xet.file(has_xet=False))
    assert not only_xet.chooser.by_xet(only_xet.file(0))


def test_xet_says_once_that_a_large_file_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    world = World(Transport.XET)
    reads = Reads(world.chooser, Empty().open, Empty(), CancelToken())
    first, second, third = (world.file(LARGE_BYTES, has_xet=False) for _ in range(3))
    in_git = replace(third, storage=Storage.REGULAR)
    with caplog.at_level(logging.INFO, "hubferry"):
        for entry in (world.file(LARGE_BYTES - 1, has_xet=False), world.file(), in_git):
            reads.open(INFO, entry, 0, 1)
        assert not caplog.records
        for entry in (first, first, second):
            reads.open(INFO, entry, 0, 1)
    (line,) = caplog.records
    assert "not in Xet storage" in line.message
    assert line.levelno == logging.INFO
    assert first.path in line.message


@pytest.mark.parametrize("transport", [Transport.AUTO, Transport.HTTP])
def test_who_did_not_ask_for_xet_is_told_nothing(transport: Transport) -> None:
    world = World(transport)
    assert not world.chooser.misses_xet(world.file(LARGE_BYTES, has_xet=False))


def test_auto_takes_xet_for_what_plain_http_refuses_if_it_is_there() -> None:
    world = World()
    assert world.chooser.by_xet(world.file(HUGE_BYTES + 1))
    assert not world.chooser.by_xet(world.file(HUGE_BYTES))
    assert not World(can_xet=False).chooser.by_xet(world.file(HUGE_BYTES + 1))


def test_nothing_is_tried_before_a_large_file_came_over_http() -> None:
    world = World()
    for _ in range(3):
        assert not world.chooser.by_xet(world.file())
    world.read(50 * MB, entry=world.file(LARGE_BYTES - 1))
    assert not world.chooser.by_xet(world.file())


def test_xet_is_tried_once_and_kept_for_a_clear_gain() -> None:
    world = World()
    assert not world.read(50 * MB)
    assert world.read(100 * MB)
    assert world.read(100 * MB)
    assert not world.chooser.by_xet(world.file(LARGE_BYTES - 1))


@pytest.mark.parametrize("speed", [20 * MB, 50 * MB, 64 * MB])
def test_without_a_clear_gain_it_stays_with_http(speed: float) -> None:
    world = World()
    world.read(50 * MB)
    assert world.read(speed)
    assert [world.read(50 * MB) for _ in range(4)] == [False] * 4


def test_only_one_file_tries() -> None:
    world = World()
    world.read(50 * MB)
    choices = [world.chooser.by_xet(world.file()) for _ in range(4)]
    assert choices == [True, False, False, False]


def test_a_choice_stays_while_the_file_is_read() -> None:
    world = World()
    entry = world.file()
    assert not world.chooser.by_xet(entry)
    world.read(50 * MB)
    assert not world.chooser.by_xet(entry)
    tried = world.file()
    assert world.chooser.by_xet(tried)
    assert world.chooser.by_xet(tried)


def test_a_file_read_alone_at_the_end_does_not_look_faster_for_it() -> None:
    world = World()
    world.read(50 * MB, at_once=4)
    assert world.read(200 * MB)
    assert not world.read(50 * MB)


def test_a_target_that_is_the_slower_end_tells_nothing_of_the_source() -> None:
    world = World()
    world.read(10 * MB, waited=0.4)
    assert not world.read(10 * MB)
    assert world.read(100 * MB)


def test_a_figure_of_xet_held_down_by_the_target_counts_as_the_least_it_can() -> None:
    world = World()
    world.read(20 * MB)
    assert world.read(80 * MB, waited=0.1)
    assert world.read(80 * MB)


def test_a_pause_between_two_tries_is_nobodys_speed() -> None:
    world = World()
    world.read(50 * MB, pause=100.0)
    assert world.read(50 * MB)
    assert not world.read(50 * MB)


def test_a_file_that_was_read_is_read_again_over_http() -> None:
    world = World()
    world.read(50 * MB)
    tried = world.file()
    assert world.read(500 * MB, entry=tried)
    assert not world.chooser.by_xet(tried)
    assert world.chooser.by_xet(world.file())


def test_a_file_that_changed_its_transport_gives_no_figure() -> None:
    world = World()
    world.read(50 * MB)
    entry = world.file()
    first = world.chooser.opened(entry, is_by_xet=True)
    world.now += 0.1
    world.chooser.closed(first, entry.size_bytes // 2, 0.1, 0.1)
    second = world.chooser.opened(entry, is_by_xet=False)
    world.now += 0.1
    world.chooser.closed(second, entry.size_bytes // 2, 0.1, 0.1)
    assert world.chooser.by_xet(world.file())
    assert not world.chooser.by_xet(world.file())


def test_once_given_up_xet_is_not_asked_again_not_even_for_files_chosen_before() -> None:
    world = World()
    huge = world.file(HUGE_BYTES + 1)
    assert world.chooser.by_xet(huge)
    assert world.chooser.gave_up()
    assert not world.chooser.gave_up()
    assert not world.chooser.by_xet(huge)
    assert not world.chooser.measures(replace(huge, path="other"))
