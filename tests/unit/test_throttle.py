"""Bandwidth limits by a clock of the test's own: what is understood, and what is let pass."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubferry.control import CancelToken
from hubferry.errors import CancelledError, UsageError
from hubferry.throttle import (
    BURST_SECONDS,
    NO_LIMITS,
    UNLIMITED,
    Gate,
    LimitAt,
    Limits,
    Throttle,
    parse_bwlimit,
)

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
MONDAY = dt.datetime(2026, 1, 5)


class World:
    """A clock that goes when somebody waits, and what happens at some of its moments."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.cancel = CancelToken()
        self.gate = Gate(self.clock, self.wait)
        self._plans: list[tuple[float, Callable[[], None]]] = []

    def clock(self) -> float:
        return self.now

    def local_time(self) -> dt.datetime:
        return MONDAY + dt.timedelta(seconds=self.now - 1000.0)

    def wait(self, cancel: CancelToken, seconds: float) -> None:
        cancel.check()
        self.now += seconds
        due = [plan for plan in self._plans if plan[0] <= self.now]
        self._plans = [plan for plan in self._plans if plan[0] > self.now]
        for _, act in due:
            act()

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self._plans.append((self.now + seconds, act))

    def throttle(self, limit: int | LimitAt | None) -> Throttle:
        limit_at = (lambda when: limit) if isinstance(limit, int) else limit
        return Throttle(
            limit_at,
            gate=self.gate,
            cancel=self.cancel,
            clock=self.clock,
            now=self.local_time,
            wait=self.wait,
        )

    def seconds_of(self, work: Callable[[], object]) -> float:
        before = self.now
        work()
        return self.now - before


@pytest.fixture
def world() -> World:
    return World()


def at(text: str, day: int, moment: str) -> Limits:
    """The limits of a timetable on a day of the week (0 is Monday) at ``HH:MM``."""
    hour, minute = map(int, moment.split(":"))
    when = MONDAY + dt.timedelta(days=day, hours=hour, minutes=minute)
    return parse_bwlimit(text).at(when)


# --- what is understood -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "up", "down"),
    [
        ("10M", 10 * MIB, 10 * MIB),
        ("666", 666 * KIB, 666 * KIB),
        ("0.5", 512, 512),
        (".5M", MIB // 2, MIB // 2),
        ("1.m", MIB, MIB),
        ("100b", 100, 100),
        ("100B", 100, 100),
        ("1k", KIB, KIB),
        ("1Ki", KIB, KIB),
        ("1KiB", KIB, KIB),
        ("2G", 2 * GIB, 2 * GIB),
        ("1T", 1 << 40, 1 << 40),
        ("1P", 1 << 50, 1 << 50),
        ("off", None, None),
        ("OFF", None, None),
        ("0", None, None),
        ("10M:1M", 10 * MIB, MIB),
        ("10M:off", 10 * MIB, None),
        ("off:100k", None, 100 * KIB),
        (" 10M ", 10 * MIB, 10 * MIB),
    ],
)
def test_one_limit_holds_at_all_times(text: str, up: int | None, down: int | None) -> None:
    table = parse_bwlimit(text)
    for hours in range(0, 7 * 24, 5):
        assert table.at(MONDAY + dt.timedelta(hours=hours)) == (up, down)


@pytest.mark.parametrize(
    ("day", "moment", "limit"),
    [
        (0, "00:00", None),
        (0, "07:59", None),
        (0, "08:00", 512 * KIB),
        (3, "11:59", 512 * KIB),
        (3, "12:30", 10 * MIB),
        (6, "13:00", 512 * KIB),
        (6, "22:59", 30 * MIB),
        (6, "23:00", None),
    ],
)
def test_a_timetable_of_hours_holds_every_day(day: int, moment: str, limit: int | None) -> None:
    text = "08:00,512k 12:00,10M 13:00,512k 18:00,30M 23:00,off"
    assert at(text, day, moment) == (limit, limit)


@pytest.mark.parametrize(
    ("day", "moment", "limit"),
    [
        (0, "00:00", 512 * KIB),
        (4, "23:58", 512 * KIB),
        (4, "23:59", 10 * MIB),
        (5, "09:59", 10 * MIB),
        (5, "10:00", MIB),
        (6, "19:59", MIB),
        (6, "20:00", None),
    ],
)
def test_a_timetable_of_days_holds_all_week(day: int, moment: str, limit: int | None) -> None:
    assert at("Mon-00:00,512 Fri-23:59,10M Sat-10:00,1M Sun-20:00,off", day, moment)[0] == limit


def test_slots_with_and_without_a_day_mix() -> None:
    text = "Mon-00:00,512 12:00,1M Sun-20:00,off"
    assert at(text, 0, "11:59") == (512 * KIB, 512 * KIB)
    assert at(text, 1, "03:00") == (MIB, MIB)
    assert at(text, 6, "21:00") == NO_LIMITS


def test_before_the_first_slot_the_last_one_of_the_week_holds_in_any_order() -> None:
    assert at("Wed-10:00,1M Tue-10:00,2M", 0, "09:00") == (MIB, MIB)
    assert at("12:00,1M 08:00,2M", 6, "07:00") == (MIB, MIB)


def test_of_two_slots_at_one_moment_the_last_one_counts() -> None:
    assert at("08:00,1M Mon-08:00,2M", 0, "09:00") == (2 * MIB, 2 * MIB)
    assert at("08:00,1M Mon-08:00,2M", 1, "09:00") == (MIB, MIB)


@pytest.mark.parametrize("text", ["08:00,512k:off;MONDAY-19:00,1M", "08:00,512k:off  mon-19:00,1M"])
def test_days_and_separators_may_be_written_in_several_ways(text: str) -> None:
    assert at(text, 0, "08:00") == (512 * KIB, None)
    assert at(text, 0, "19:00") == (MIB, MIB)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "fast",
        "1000X",
        "10MB",
        "-1M",
        "1e6",
        "nan",
        "10M:",
        ":10M",
        "1M:2M:3M",
        "24:00,1M",
        "12:60,1M",
        "8:00,1M",
        "0800,1M",
        "08:00,",
        "08:00,1M,2M",
        "08:00, 1M",
        "bad-10:20,1M",
        "Mon-Fri-10:20,1M",
        "Mo-10:20,1M",
        "Mon-10:20,bad",
        "1M 2M",
        "9999999P",
        "9" * 500,
        "١M",
    ],
)
def test_what_is_no_limit_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_bwlimit(text)
    assert "08:00,512k" in str(caught.value)
    assert "upload:download" in str(caught.value)


def test_a_fraction_of_a_byte_is_no_off() -> None:
    assert parse_bwlimit("0.1B").at(MONDAY) == (1, 1)


@given(
    st.lists(
        st.tuples(
            st.none() | st.sampled_from(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]),
            st.times().map(lambda time: time.strftime("%H:%M")),
            st.integers(0, 10**6),
            st.sampled_from(["", "B", "k", "Mi", "GiB"]),
        ),
        min_size=1,
        max_size=8,
    ),
    st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2100, 1, 1)),
)
def test_any_timetable_gives_one_of_its_limits_at_any_time(
    slots: list[tuple[str | None, str, int, str]], when: dt.datetime
) -> None:
    written = [
        f"{f'{day}-' if day else ''}{moment},{number}{unit}" for day, moment, number, unit in slots
    ]
    factors = {"": KIB, "B": 1, "k": KIB, "Mi": MIB, "GiB": GIB}
    allowed = {number * factors[unit] or None for _, _, number, unit in slots}
    assert parse_bwlimit(" ".join(written)).at(when).up in allowed


@given(st.text(max_size=30))
def test_any_text_is_a_timetable_or_a_usage_error(text: str) -> None:
    try:
        parse_bwlimit(text).at(MONDAY)
    except UsageError:
        pass


def test_a_side_that_is_never_limited_has_no_limit_to_look_up() -> None:
    assert UNLIMITED.upload() is None
    assert UNLIMITED.download() is None
    table = parse_bwlimit("10M:off")
    upload = table.upload()
    assert upload is not None
    assert upload(MONDAY) == 10 * MIB
    assert table.download() is None


# --- what is let pass -------------------------------------------------------------


@pytest.mark.parametrize("rate", [1, 10, 10 * KIB, MIB, 100 * MIB])
def test_bytes_pass_at_the_limit_and_not_faster(world: World, rate: int) -> None:
    throttle = world.throttle(rate)
    seconds = world.seconds_of(lambda: throttle.take(rate * 20))
    assert 20.0 <= seconds <= 20.5


def test_a_low_limit_grants_small_pieces_of_a_large_wish(world: World) -> None:
    throttle = world.throttle(10 * KIB)
    pieces = [throttle.grant(MIB) for _ in range(50)]
    assert all(1 <= piece <= 10 * KIB * BURST_SECONDS for piece in pieces)


def test_a_large_limit_grants_a_large_wish_whole(world: World) -> None:
    throttle = world.throttle(100 * MIB)
    assert throttle.grant(MIB) == MIB


def test_an_idle_line_saves_up_no_more_than_a_burst(world: World) -> None:
    throttle = world.throttle(MIB)
    throttle.take(MIB)
    world.now += 3600.0
    seconds = world.seconds_of(lambda: throttle.take(2 * MIB))
    assert seconds == pytest.approx(2.0 - BURST_SECONDS, abs=0.05)


def test_what_was_granted_and_did_not_come_is_given_back(world: World) -> None:
    throttle = world.throttle(MIB)

    def read_in_drops() -> None:
        left = 10 * MIB
        while left:
            allowed = throttle.grant(min(left, MIB))
            came = min(allowed, 1000)
            throttle.give_back(allowed - came)
            left -= came

    assert 10.0 <= world.seconds_of(read_in_drops) <= 10.5


def test_what_was_granted_before_a_lower_limit_began_is_not_given_back_under_it(
    world: World,
) -> None:
    limits: list[int | None] = [None]
    throttle = world.throttle(lambda when: limits[0])
    assert throttle.grant(MIB) == MIB
    limits[0] = KIB
    world.now += 2.0
    throttle.grant(1)
    throttle.give_back(MIB - 1)
    assert world.seconds_of(lambda: throttle.take(10 * KIB)) > 9.0


def test_nothing_wanted_is_granted_at_once(world: World) -> None:
    throttle = world.throttle(1)
    assert world.seconds_of(lambda: throttle.grant(0)) == 0.0


def test_without_a_limit_all_pass_at_once_and_no_lock_is_touched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    throttle = world.throttle(None)
    monkeypatch.setattr(throttle, "_lock", None)
    assert throttle.grant(GIB) == GIB
    throttle.give_back(GIB)
    throttle.take(GIB)
    assert world.now == 1000.0


def test_a_new_slot_counts_within_two_seconds_also_for_who_waits(world: World) -> None:
    # 1 byte a second until 00:01, then no limit: a kilobyte must not take a quarter of an hour.
    table = parse_bwlimit("00:00,1B 00:01,off")
    throttle = world.throttle(table.upload())
    assert 60.0 <= world.seconds_of(lambda: throttle.take(KIB)) <= 62.0


def test_a_limit_that_begins_counts_within_two_seconds(world: World) -> None:
    throttle = world.throttle(parse_bwlimit("00:00,off 00:01,1k").upload())
    assert throttle.grant(GIB) == GIB
    world.now += 62.0
    assert world.seconds_of(lambda: throttle.take(10 * KIB)) >= 9.8


def test_who_waited_longest_is_next_so_that_nobody_starves(world: World) -> None:
    served: list[int] = []
    may_go_on = threading.Event()

    def wait(cancel: CancelToken, seconds: float) -> None:
        assert may_go_on.wait(30)
        world.wait(cancel, seconds)

    class Noting(Throttle):
        def _wait_for(self, wanted: int) -> int:
            count = super()._wait_for(wanted)
            served.append(int(threading.current_thread().name))
            return count

    throttle = Noting(lambda when: MIB, clock=world.clock, wait=wait)

    def read(number: int) -> None:
        for _ in range(2):
            # The greedy ones want a thousand times more at once, and get no more turns.
            throttle.grant(MIB if number % 2 else KIB)

    threads = [threading.Thread(target=read, args=(n,), name=str(n)) for n in range(8)]
    for number, thread in enumerate(threads):
        thread.start()
        while len(throttle._turns) <= number:
            threading.Event().wait(0.001)
    may_go_on.set()
    for thread in threads:
        thread.join(30)
    assert served[:8] == list(range(8))
    assert sorted(served[8:]) == list(range(8))


def test_many_threads_together_keep_to_the_limit(world: World) -> None:
    throttle = world.throttle(MIB)
    work = lambda: throttle.take(MIB)  # noqa: E731
    threads = [threading.Thread(target=work) for _ in range(20)]
    before = world.now
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert 20.0 <= world.now - before <= 20.5


def test_a_stop_ends_every_wait_in_line() -> None:
    cancel = CancelToken()
    ended: list[type[BaseException]] = []
    inside = threading.Event()

    def wait(token: CancelToken, seconds: float) -> None:
        inside.set()
        token._event.wait(30)
        token.check()

    throttle = Throttle(lambda when: 1, cancel=cancel, wait=wait)

    def take() -> None:
        try:
            throttle.take(MIB)
        except CancelledError as error:
            ended.append(type(error))

    threads = [threading.Thread(target=take) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert inside.wait(30)
    cancel.cancel()
    for thread in threads:
        thread.join(30)
    assert ended == [CancelledError] * 5


# --- pause and resume -------------------------------------------------------------


def test_a_pause_stops_both_sides_with_and_without_a_limit(world: World) -> None:
    for throttle in (world.throttle(None), world.throttle(MIB)):
        throttle.take(KIB)
        world.gate.pause()
        world.after(600.0, world.gate.resume)
        assert 600.0 <= world.seconds_of(lambda t=throttle: t.take(KIB)) <= 601.0  # type: ignore[misc]


def test_a_pause_also_holds_who_is_waiting_for_the_limit(world: World) -> None:
    throttle = world.throttle(MIB)
    world.after(0.5, world.gate.pause)
    world.after(100.0, world.gate.resume)
    assert 99.0 <= world.seconds_of(lambda: throttle.take(MIB)) <= 101.0


def test_a_stop_ends_a_pause(world: World) -> None:
    world.gate.pause()
    world.after(5.0, world.cancel.cancel)
    with pytest.raises(CancelledError):
        world.throttle(None).take(1)


def test_the_clock_of_a_run_stands_still_while_it_is_paused(world: World) -> None:
    gate = world.gate
    gate.resume()
    world.now += 10.0
    began = gate.running_seconds()
    gate.pause()
    world.now += 7.0
    assert (gate.paused_seconds, gate.running_seconds()) == (7.0, began), "also during a pause"
    gate.pause()
    world.now += 3.0
    gate.resume()
    gate.resume()
    world.now += 2.0
    assert (gate.paused_seconds, gate.running_seconds()) == (10.0, began + 2.0)
    assert not gate.is_paused
