"""When cycles are due."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubferry.errors import UsageError
from hubferry.manifest.values import QuietHours, WatchSettings
from hubferry.watch.schedule import (
    DEFAULT_EVERY_SECONDS,
    LOCAL,
    check_settings,
    end_of_quiet,
    is_quiet,
    next_due,
    next_slot,
)

START = 1_800_000_000.0
BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = (QuietHours(22 * 60, 6 * 60),)
MOMENTS = st.floats(1_700_000_000, 1_900_000_000)
EVERY = st.integers(1, 90_000).map(float)
CRONS = st.sampled_from(
    ["*/15 * * * *", "30 2 * * *", "0 9,18 * * mon-fri", "0 0 1 * *", "7 */5 * * *", "5 3 29 2 *"]
)


def local(*when: int, fold: int = 0) -> float:
    """A moment of Berlin's wall clock."""
    return datetime(*when, tzinfo=BERLIN, fold=fold).timestamp()  # type: ignore[arg-type,misc]


def plain(**given: object) -> WatchSettings:
    return WatchSettings(**given)  # type: ignore[arg-type]


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A computer that stands in Berlin."""
    if not hasattr(time, "tzset"):
        pytest.skip("no tzset")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


def test_the_first_cycle_takes_place_at_once_without_jitter() -> None:
    due = next_due(plain(jitter_seconds=60.0), None, START, random.Random(1))

    assert (due.slot, due.at) == (START, START)


def test_neither_every_nor_cron_is_every_quarter_of_an_hour() -> None:
    assert next_slot(plain(), START, START + 5) == START + 900 == START + DEFAULT_EVERY_SECONDS


@given(EVERY, MOMENTS, st.floats(0, 10_000_000))
def test_slots_stay_on_the_grid_of_the_first_one(every: float, last: float, gone: float) -> None:
    last = float(int(last))
    slot = next_slot(plain(every_seconds=every), last, last + gone)

    assert (slot - last) % every == 0
    assert slot > last
    # The one to come, or the latest of those that passed.
    assert slot > last + gone - every


@given(EVERY, MOMENTS, st.floats(1, 10_000_000))
def test_a_clock_that_was_set_back_takes_no_slot_twice_and_waits_no_longer_than_a_period(
    every: float, last: float, back: float
) -> None:
    last = float(int(last))
    now = last - back
    slot = next_slot(plain(every_seconds=every), last, now)

    assert slot != last
    assert now < slot <= now + 2 * every
    assert (slot - last) % every == 0


@given(EVERY, st.integers(0, 2**32), st.floats(0, 1))
@settings(max_examples=50)
def test_jitter_never_adds_up(every: float, seed: int, part: float) -> None:
    rng, wish = random.Random(seed), plain(every_seconds=every, jitter_seconds=every * part)
    slot, first = START, START
    for number in range(1, 100):
        due = next_due(wish, slot, slot, rng)
        slot = due.slot
        # Moments have a resolution of a quarter of a microsecond.
        assert abs(slot - (first + number * every)) < 1e-3
        assert 0 <= due.at - slot <= every * part + 1e-3


@given(CRONS, MOMENTS, st.floats(0, 3_000_000))
@settings(max_examples=200, deadline=None)
def test_a_cron_slot_is_the_next_one_or_the_latest_that_passed(
    cron: str, last: float, gone: float
) -> None:
    wish, now = plain(cron=cron), last + gone
    slot = next_slot(wish, last, now, BERLIN)
    after = next_slot(wish, max(slot, last), max(slot, last), BERLIN)

    assert slot > last
    assert after > slot
    if slot <= now:
        assert after > now


@given(CRONS, MOMENTS)
@settings(max_examples=100, deadline=None)
def test_cron_slots_go_on_for_ever_and_never_back(cron: str, last: float) -> None:
    wish = plain(cron=cron)
    for _ in range(20):
        slot = next_slot(wish, last, last, BERLIN)
        assert slot > last
        last = slot


@pytest.mark.parametrize(
    ("cron", "last", "slot"),
    [
        # 29 March 2026: 02:00 to 03:00 does not exist; 25 October: it comes twice.
        ("30 2 * * *", local(2026, 3, 28, 2, 30), local(2026, 3, 29, 3, 0)),
        ("30 2 * * *", local(2026, 3, 29, 3, 0), local(2026, 3, 30, 2, 30)),
        ("30 2 * * *", local(2026, 10, 24, 2, 30), local(2026, 10, 25, 2, 30)),
        ("30 2 * * *", local(2026, 10, 25, 2, 30), local(2026, 10, 26, 2, 30)),
        ("30 2 * * *", local(2026, 10, 25, 2, 10, fold=1), local(2026, 10, 26, 2, 30)),
        (
            "*/30 * * * *",
            local(2026, 10, 25, 2, 30),
            local(2026, 10, 25, 2, 0, fold=1),
        ),
    ],
)
def test_cron_goes_by_the_clock_on_the_wall(cron: str, last: float, slot: float) -> None:
    assert next_slot(plain(cron=cron), last, last, BERLIN) == slot


@pytest.mark.usefixtures("berlin")
def test_the_systems_zone_is_as_good_as_a_named_one() -> None:
    moment = local(2026, 1, 1, 0, 0)
    for cron in ("*/15 * * * *", "30 2 * * *"):
        for days in range(0, 365, 3):
            last = moment + days * 86_400 + 1234
            wish = plain(cron=cron, quiet_hours=NIGHT)
            assert next_slot(wish, last, last) == next_slot(wish, last, last, BERLIN)
            assert end_of_quiet(wish, last) == end_of_quiet(wish, last, BERLIN)
    for hour in range(48):
        moment = local(2026, 10, 24, 12, 0) + hour * 1800
        assert datetime.fromtimestamp(moment, LOCAL).timestamp() == moment


def test_quiet_hours_may_cross_midnight() -> None:
    wish = plain(quiet_hours=NIGHT)

    assert is_quiet(wish, local(2026, 5, 5, 22, 0), BERLIN)
    assert is_quiet(wish, local(2026, 5, 5, 5, 59), BERLIN)
    assert not is_quiet(wish, local(2026, 5, 5, 6, 0), BERLIN)
    assert not is_quiet(wish, local(2026, 5, 5, 21, 59), BERLIN)
    assert end_of_quiet(wish, local(2026, 5, 5, 23, 30), BERLIN) == local(2026, 5, 6, 6, 0)
    assert end_of_quiet(wish, local(2026, 5, 5, 12, 0), BERLIN) == local(2026, 5, 5, 12, 0)


def test_quiet_hours_that_touch_are_one() -> None:
    wish = plain(quiet_hours=(QuietHours(22 * 60, 24 * 60), QuietHours(0, 6 * 60)))

    assert end_of_quiet(wish, local(2026, 5, 5, 22, 30), BERLIN) == local(2026, 5, 6, 6, 0)


def test_quiet_hours_go_by_the_clock_on_the_wall() -> None:
    wish = plain(quiet_hours=NIGHT)

    start, end = local(2026, 10, 24, 22, 0), local(2026, 10, 25, 6, 0)
    assert end - start == timedelta(hours=9).total_seconds()
    assert end_of_quiet(wish, start, BERLIN) == end


@given(
    st.lists(
        st.tuples(st.integers(0, 1439), st.integers(0, 1440)).filter(lambda t: t[0] != t[1] % 1440),
        max_size=3,
    ),
    MOMENTS,
)
@settings(max_examples=200, deadline=None)
def test_the_end_of_quiet_is_the_first_moment_that_is_free(
    spans: list[tuple[int, int]], when: float
) -> None:
    wish = plain(quiet_hours=tuple(QuietHours(*span) for span in spans))
    try:
        check_settings(wish)
    except UsageError:
        return
    end = end_of_quiet(wish, when, UTC)

    assert end >= when
    assert not is_quiet(wish, end, UTC)
    if end > when:
        assert is_quiet(wish, when, UTC)
        assert is_quiet(wish, end - 1, UTC)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (plain(every_seconds=60.0, cron="* * * * *"), "exclude each other"),
        (plain(every_seconds=0.0), "too short"),
        (plain(every_seconds=float("nan")), "too short"),
        (plain(every_seconds=-5.0), "too short"),
        (plain(cron="* * * *"), "five fields"),
        (plain(cron="* * * * * *"), "five fields"),
        (plain(cron="61 * * * *"), "Bad minute"),
        (plain(cron="0 0 31 2 *"), "no"),
        (plain(jitter_seconds=-1.0), "negative"),
        (plain(jitter_seconds=901.0), "longer than the period"),
        (plain(quiet_hours=(QuietHours(60, 60),)), "same minute"),
        (plain(quiet_hours=(QuietHours(0, 720), QuietHours(720, 1440))), "whole day"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused(wish: WatchSettings, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        check_settings(wish)
    assert caught.value.hint is not None


def test_a_usual_schedule_is_taken() -> None:
    check_settings(plain())
    check_settings(plain(every_seconds=900.0, jitter_seconds=120.0, quiet_hours=NIGHT))
    check_settings(plain(cron="*/15 * * * *", jitter_seconds=60.0))
