"""When a run counts as standing still."""

from __future__ import annotations

from hubferry.errors import Side
from hubferry.events import FileProgress, HeldUp, InRepo, Paused, RepoFinished, Waiting
from hubferry.hooks import StallWatch
from hubferry.model import Address, RepoId
from hubferry.text import T

PLACE = Address(RepoId("hf", "a/b"))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def watched() -> tuple[Clock, StallWatch]:
    clock = Clock()
    return clock, StallWatch(clock)


def test_ten_minutes_without_a_byte_are_told_once() -> None:
    clock, watch = watched()
    clock.now = 599.0
    assert watch.look() == []
    clock.now = 600.0
    (stall,) = watch.look()
    assert "nothing has moved for 10 min" in str(stall.text)
    clock.now = 5000.0
    assert watch.look() == []


def test_bytes_end_a_standstill_and_the_next_one_is_told_again() -> None:
    clock, watch = watched()
    clock.now = 700.0
    assert len(watch.look()) == 1
    watch(InRepo(1, FileProgress("w.bin", 5)))
    clock.now = 1299.0
    assert watch.look() == []
    clock.now = 1300.0
    assert len(watch.look()) == 1


def test_progress_that_repeats_itself_is_none() -> None:
    clock, watch = watched()
    watch(FileProgress("w.bin", 5))
    clock.now = 599.0
    watch(FileProgress("w.bin", 5))
    clock.now = 600.0
    assert len(watch.look()) == 1


def test_a_batch_of_unchanged_repositories_gets_on_without_bytes() -> None:
    clock, watch = watched()
    for minute in range(60):
        clock.now = minute * 60.0
        watch(RepoFinished(minute, PLACE, PLACE, "equal"))
        assert watch.look() == []


def test_what_holds_repositories_up_is_told_at_once_and_once() -> None:
    clock, watch = watched()
    watch(HeldUp("outage target", T("the target is down"), 12))
    assert watch.wake.is_set()
    (stall,) = watch.look()
    assert (stall.cause, stall.repos) == ("outage target", 12)
    watch(HeldUp("outage target", T("the target is down"), 13))
    clock.now = 9000.0
    assert watch.look() == [], "the silence is its consequence"
    watch(HeldUp("outage target", T("the target is down"), 13, is_over=True))
    watch(HeldUp("outage target", T("the target is down"), 2))
    assert len(watch.look()) == 1


def test_a_run_that_somebody_paused_does_not_stand_still() -> None:
    clock, watch = watched()
    watch(Paused("r1"))
    clock.now = 9000.0
    assert watch.look() == []
    watch(Paused("r1", is_over=True))
    clock.now = 9599.0
    assert watch.look() == []
    clock.now = 9600.0
    assert len(watch.look()) == 1


def test_the_reason_of_a_wait_is_told_with_the_silence() -> None:
    clock, watch = watched()
    watch(InRepo(1, Waiting(Side.TARGET, T("rate limit"), 99999.0)))
    clock.now = 600.0
    assert "rate limit" in str(watch.look()[0].text)


def test_files_that_are_over_are_forgotten() -> None:
    _, watch = watched()
    for number in range(1000):
        watch(InRepo(number, FileProgress("w.bin", 5)))
        watch(RepoFinished(number, PLACE, PLACE, "failed"))
    assert not watch._progress
