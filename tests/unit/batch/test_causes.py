"""What is taken for a common cause, and when it is looked at again."""

from __future__ import annotations

from tests.support.batch_world import FakeClock

from hubferry.batch.causes import FIRST_PROBE_SECONDS, MOST_PROBE_SECONDS, REPEATS, Causes
from hubferry.errors import (
    AccessError,
    CopyError,
    InvalidTokenError,
    NoSpaceError,
    NotFoundError,
    QuotaError,
    Side,
    UnavailableError,
)
from hubferry.model import Address, RepoId
from hubferry.outcome import ErrorRecord

ONE = Address(RepoId("hf", "a/x")), Address(RepoId("ms", "me/x"))
TWO = Address(RepoId("hf", "b/y")), Address(RepoId("ms", "me/y"))
OTHER = Address(RepoId("hf", "b/z")), Address(RepoId("ms", "you/z"))


def error(kind: type[CopyError], side: Side) -> list[ErrorRecord]:
    return [ErrorRecord.of(kind("no").at(side=side))]


def causes() -> tuple[Causes, FakeClock]:
    clock = FakeClock()
    return Causes(clock), clock


def test_a_token_is_a_cause_at_once_and_for_the_whole_hub() -> None:
    met, _ = causes()
    held, is_news = met.failed(1, error(InvalidTokenError, Side.TARGET), *ONE)
    assert held is not None
    assert is_news
    assert not met.may_start(2, *OTHER)
    assert met.failed(3, error(InvalidTokenError, Side.TARGET), *TWO) == (held, False)


def test_a_quota_concerns_its_owner_alone() -> None:
    met, _ = causes()
    met.failed(1, error(QuotaError, Side.TARGET), *ONE)
    assert not met.may_start(2, *TWO)
    assert met.may_start(3, *OTHER)


def test_a_hub_counts_as_down_after_a_few_in_a_row() -> None:
    met, _ = causes()
    for number in range(REPEATS - 1):
        assert met.failed(number, error(UnavailableError, Side.SOURCE), *ONE) == (None, False)
    met.worked(9, *TWO)
    for number in range(REPEATS - 1):
        assert met.failed(number, error(UnavailableError, Side.SOURCE), *ONE)[0] is None
    assert met.failed(7, error(UnavailableError, Side.SOURCE), *TWO)[1]
    assert not met.may_start(8, *OTHER)


def test_what_is_one_repository_s_own_is_no_cause() -> None:
    met, _ = causes()
    for number in range(10):
        assert met.failed(number, error(NotFoundError, Side.SOURCE), *ONE)[0] is None
        assert met.failed(number, error(AccessError, Side.SOURCE), *ONE)[0] is None


def test_a_full_disk_concerns_everything() -> None:
    met, _ = causes()
    met.failed(1, error(NoSpaceError, Side.LOCAL), *ONE)
    assert not met.may_start(2, *OTHER)


def test_one_is_let_through_at_growing_distances() -> None:
    met, clock = causes()
    met.failed(1, error(InvalidTokenError, Side.SOURCE), *ONE)
    pauses = []
    for number in range(8):
        before = clock.now
        while not met.may_start(number, *ONE):
            clock.now += 1.0
        assert not met.may_start(99, *TWO), "one at a time"
        pauses.append(clock.now - before)
        met.failed(number, error(InvalidTokenError, Side.SOURCE), *ONE)
    assert pauses[0] == FIRST_PROBE_SECONDS
    assert pauses == sorted(pauses)
    assert pauses[-1] == MOST_PROBE_SECONDS


def test_a_probe_that_works_ends_it_and_what_was_under_way_before_does_not() -> None:
    met, clock = causes()
    held, _ = met.failed(1, error(InvalidTokenError, Side.SOURCE), *ONE)
    assert met.worked(5, *TWO) == []
    clock.now += FIRST_PROBE_SECONDS
    assert met.may_start(2, *ONE)
    assert met.worked(2, *ONE) == [held]
    assert met.may_start(3, *TWO)


def test_a_quota_is_over_only_for_who_has_written() -> None:
    met, clock = causes()
    held, _ = met.failed(1, error(QuotaError, Side.TARGET), *ONE)
    clock.now += FIRST_PROBE_SECONDS
    assert met.may_start(2, *ONE)
    assert met.worked(2, *ONE, has_written=False) == []
    assert met.may_start(3, *TWO), "nothing was found out: the next one goes at once"
    assert met.worked(3, *TWO, has_written=True) == [held]


def test_a_probe_that_tried_nothing_lets_the_next_one_go_at_once() -> None:
    met, clock = causes()
    met.failed(1, error(InvalidTokenError, Side.SOURCE), *ONE)
    clock.now += FIRST_PROBE_SECONDS
    assert met.may_start(2, *ONE)
    met.told_nothing(2)
    assert met.may_start(3, *ONE)
    assert not met.may_start(4, *ONE)


def test_a_probe_that_tells_nothing_is_followed_by_another() -> None:
    met, clock = causes()
    met.failed(1, error(InvalidTokenError, Side.SOURCE), *ONE)
    clock.now += FIRST_PROBE_SECONDS
    assert met.may_start(2, *ONE)
    met.gave_up(2)
    assert not met.may_start(3, *ONE)
    clock.now += 2 * FIRST_PROBE_SECONDS
    assert met.may_start(3, *ONE)
