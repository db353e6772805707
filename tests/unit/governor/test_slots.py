"""Slots: so many transfers to an account and no more, of all repositories and processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.governed import other_process

from hubferry.control import CancelToken
from hubferry.errors import CancelledError
from hubferry.governor import Governor
from hubferry.governor.byte_locks import ByteLocks
from hubferry.governor.slots import TOLD_AFTER_SECONDS, ByteSlots
from hubferry.net.secret import Secret
from hubferry.text import Text


def unheard(text: Text) -> None:
    """Nobody listens."""


class Party:
    """One repository: threads that want a slot, and how many of them have one."""

    def __init__(self, slots: ByteSlots, count: int) -> None:
        self.inside = self.most = self.done = 0
        self._slots = slots
        self._changed = threading.Condition()
        self._may_end = 0
        for _ in range(count):
            threading.Thread(target=self._go, daemon=True).start()

    def _go(self) -> None:
        with self._slots.turn(self, CancelToken(), unheard), self._changed:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._may_end > 0, 20)
            self._may_end -= 1
            self.inside -= 1
            self.done += 1
            self._changed.notify_all()

    def await_that(self, is_so: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(is_so, 20)

    def end(self, count: int = 1) -> None:
        with self._changed:
            self._may_end += count
            self._changed.notify_all()


def made(tmp_path: Path, level: Callable[[], int], most: int = 16) -> ByteSlots:
    locks = ByteLocks(tmp_path / "slots")
    return ByteSlots(lambda: locks, level, most)


def test_no_more_than_the_level_are_on_their_way_and_each_end_lets_one_follow(
    tmp_path: Path,
) -> None:
    party = Party(made(tmp_path, lambda: 3), 8)
    party.await_that(lambda: party.inside == 3)
    for done in range(1, 9):
        party.end()
        party.await_that(lambda done=done: party.done == done)  # type: ignore[misc]
    assert party.most == 3


def test_a_level_that_goes_up_is_used(tmp_path: Path) -> None:
    level = [1]
    party = Party(made(tmp_path, lambda: level[0]), 4)
    party.await_that(lambda: party.inside == 1)
    level[0] = 4
    party.await_that(lambda: party.inside == 4)
    party.end(4)


def test_the_level_is_that_of_all_repositories_together(tmp_path: Path) -> None:
    slots = made(tmp_path, lambda: 4)
    parties = [Party(slots, 4) for _ in range(8)]
    deadline = time.monotonic() + 10
    while slots.in_use < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert sum(party.inside for party in parties) == slots.in_use == 4
    for party in parties:
        party.end(4)
    for party in parties:
        party.await_that(lambda party=party: party.done == 4)  # type: ignore[misc]


def test_a_repository_that_comes_later_gets_its_share(tmp_path: Path) -> None:
    slots = made(tmp_path, lambda: 8)
    first = Party(slots, 40)
    first.await_that(lambda: first.inside == 8)
    second = Party(slots, 40)
    for done in range(1, 5):
        first.end()
        first.await_that(lambda done=done: first.done == done)  # type: ignore[misc]
        second.await_that(lambda done=done: second.inside == done)  # type: ignore[misc]
    first.end()
    first.await_that(lambda: first.done == 5 and first.inside == 4)
    assert second.inside == 4
    first.end(40)
    second.end(40)


def test_who_waits_alone_may_have_all(tmp_path: Path) -> None:
    slots = made(tmp_path, lambda: 4)
    first, second = Party(slots, 1), Party(slots, 8)
    first.await_that(lambda: first.inside == 1)
    second.await_that(lambda: second.inside == 3)
    first.end()
    second.await_that(lambda: second.inside == 4)
    second.end(8)


@pytest.mark.parametrize(("level", "most", "expected"), [(0, 4, 1), (99, 2, 2)])
def test_a_level_below_one_or_above_all_is_no_level(
    tmp_path: Path, level: int, most: int, expected: int
) -> None:
    party = Party(made(tmp_path, lambda: level, most), 4)
    party.await_that(lambda: party.inside == expected)
    time.sleep(0.05)
    assert party.inside == expected
    party.end(4)


def test_a_stop_wakes_whoever_waits(tmp_path: Path) -> None:
    slots, cancel = made(tmp_path, lambda: 1), CancelToken()
    ended = threading.Event()

    def second() -> None:
        with pytest.raises(CancelledError), slots.turn(object(), cancel, unheard):
            raise AssertionError("there is no slot")
        ended.set()

    with slots.turn(object(), CancelToken(), unheard):
        threading.Thread(target=second, daemon=True).start()
        time.sleep(0.05)
        cancel.cancel()
        assert ended.wait(5)
    with slots.turn(object(), CancelToken(), unheard):
        pass


def test_slots_are_given_back_whatever_happens(tmp_path: Path) -> None:
    slots = made(tmp_path, lambda: 1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), slots.turn(object(), CancelToken(), unheard):
            raise ZeroDivisionError
    assert slots.in_use == 0


def governed(folder: Path, token: str = "a-token-of-the-tests") -> ByteSlots:
    account = Governor(folder, level=lambda: 2, most=2).account("hub")
    account.bind("https://hub.example", Secret(token))
    return account.slots


def has_room(slots: ByteSlots) -> bool:
    """Whether a slot is had within a moment."""
    cancel, had = CancelToken(), threading.Event()

    def try_it() -> None:
        try:
            with slots.turn(object(), cancel, unheard):
                had.set()
        except CancelledError:
            pass

    thread = threading.Thread(target=try_it, daemon=True)
    thread.start()
    thread.join(0.4)
    cancel.cancel()
    thread.join(5)
    return had.is_set()


def test_processes_share_the_slots_of_an_account_and_a_killed_one_frees_its_own(
    tmp_path: Path,
) -> None:
    slots = governed(tmp_path)
    with other_process() as other:
        assert other.ask("slot", tmp_path) == "had"
        assert has_room(slots)
        assert other.ask("slot", tmp_path) == "had"
        assert not has_room(slots)
        assert has_room(governed(tmp_path, "a-token-of-another-account"))
        other.kill()
        assert has_room(slots)


def test_a_process_that_always_has_a_next_one_ready_does_not_keep_the_other_out(
    tmp_path: Path,
) -> None:
    slots, stop, rounds = governed(tmp_path), CancelToken(), [0]

    def busy() -> None:
        """Transfers of a long while, one right after the other."""
        while not stop.is_cancelled:
            with slots.turn(busy, CancelToken(), unheard):
                rounds[0] += 1
                time.sleep(0.15)

    threads = [threading.Thread(target=busy, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    with other_process() as other:
        before = rounds[0]
        assert other.ask("slot", tmp_path) == "had"
        assert rounds[0] - before <= 8
    stop.cancel()
    for thread in threads:
        thread.join(10)


def test_a_stopped_wait_gives_the_head_of_the_line_to_others(tmp_path: Path) -> None:
    slots = governed(tmp_path)
    with other_process() as other:
        other.ask("slot", tmp_path)
        other.ask("slot", tmp_path)
        assert not has_room(slots)
        other.ask("answer")
        assert other.ask("slot", tmp_path) == "had"
        assert has_room(slots)


def test_waiting_for_the_level_is_told_and_waiting_for_other_processes_is_not(
    tmp_path: Path,
) -> None:
    waits: list[float] = []
    locks = ByteLocks(tmp_path / "slots")
    slots = ByteSlots(lambda: locks, lambda: 1, 2, waited=waits.append)
    party = Party(slots, 2)
    party.await_that(lambda: party.inside == 1)
    time.sleep(0.25)
    party.end(2)
    party.await_that(lambda: party.done == 2)
    assert 0.1 < sum(waits) < 5
    waits.clear()
    assert locks.try_acquire(0)
    assert locks.try_acquire(1)
    assert not has_room(slots)
    assert waits == []


def test_a_long_wait_for_other_processes_is_told_once(tmp_path: Path) -> None:
    now, told = [0.0], []
    locks = ByteLocks(tmp_path / "slots")
    assert locks.try_acquire(0)  # as if by another process

    def hear(text: Text) -> None:
        told.append(str(text))
        locks.release(0)

    def clock() -> float:
        now[0] += TOLD_AFTER_SECONDS / 3
        return now[0]

    slots = ByteSlots(lambda: locks, lambda: 1, 1, clock=clock)
    with slots.turn(object(), CancelToken(), hear):
        pass
    assert len(told) == 1
    assert "other processes" in told[0]
