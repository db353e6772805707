"""When a cycle is due. Pure: the moment, the last one and the dice are the caller's.

A *slot* is a moment of the schedule; a cycle takes place at its slot or, by
jitter, a little later. The next slot is reckoned from the last slot, never
from the end of a cycle, so nothing adds up. Slots that went by while a cycle
was running, or nobody was there, make one cycle.

Moments are Unix seconds. Cron expressions and quiet hours are local time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from cronsim import CronSim, CronSimError

from hubferry.errors import UsageError
from hubferry.manifest.values import QuietHours, WatchSettings
from hubferry.text import T

DEFAULT_EVERY_SECONDS = 900.0
SHORTEST_EVERY_SECONDS = 1.0
_DAY_MINUTES = 24 * 60
_CRON_FIELDS = 5


class SystemZone(tzinfo):
    """Local time with its changes, as the operating system knows it.

    ``datetime.astimezone()`` gives the present offset alone, which is wrong
    after the next change of the clocks.
    """

    def utcoffset(self, dt: datetime | None) -> timedelta:
        """What local time is ahead of UTC at ``dt``."""
        if dt is None:
            return timedelta(0)
        return self._offset(dt.replace(tzinfo=None).timestamp())

    def dst(self, dt: datetime | None) -> None:
        """Not told apart."""

    def tzname(self, dt: datetime | None) -> str:
        """A name for messages."""
        return "local"

    def fromutc(self, dt: datetime) -> datetime:
        """The local time of a moment; ``fold`` says which of two equal ones."""
        moment = dt.replace(tzinfo=UTC).timestamp()
        return datetime.fromtimestamp(moment).replace(tzinfo=self)

    @staticmethod
    def _offset(moment: float) -> timedelta:
        found = datetime.fromtimestamp(moment).astimezone().utcoffset()
        assert found is not None
        return found


LOCAL: tzinfo = SystemZone()


@dataclass(frozen=True, slots=True)
class Due:
    """The next cycle: its ``slot``, and ``at``, when it takes place (slot and jitter)."""

    slot: float
    at: float


def check_settings(settings: WatchSettings) -> None:
    """Refuse a schedule that cannot be meant.

    Raises:
        UsageError: what is wrong with it.
    """
    if settings.every_seconds is not None and settings.cron is not None:
        raise UsageError(
            T("'every' and 'cron' exclude each other"), hint=T("keep the one that is meant")
        )
    every = settings.every_seconds
    if every is not None and not SHORTEST_EVERY_SECONDS <= every < math.inf:
        raise UsageError(
            T("'every' is too short: {seconds} s", seconds=every),
            hint=T("a period is at least one second; 15m is usual"),
        )
    if settings.cron is not None:
        _check_cron(settings.cron)
    _check_jitter(settings)
    _check_quiet(settings)


def _check_cron(expression: str) -> None:
    hint = T(
        "write minute, hour, day of month, month and day of week, as in '*/15 * * * *' or "
        "'30 2 * * mon-fri'"
    )
    if len(expression.split()) != _CRON_FIELDS:
        raise UsageError(
            T("a cron expression has five fields: {text}", text=repr(expression)), hint=hint
        )
    try:
        next(CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC)))
    except CronSimError as exc:
        raise UsageError(
            T("no cron expression: {text} ({reason})", text=repr(expression), reason=str(exc)),
            hint=hint,
        ) from exc
    except StopIteration as exc:
        raise UsageError(
            T("this cron expression names no day that exists: {text}", text=repr(expression)),
            hint=hint,
        ) from exc


def _check_jitter(settings: WatchSettings) -> None:
    if not 0 <= settings.jitter_seconds < math.inf:
        raise UsageError(T("'jitter' is negative"), hint=T("give a duration such as 2m"))
    every = settings.every_seconds
    if every is None and settings.cron is None:
        every = DEFAULT_EVERY_SECONDS
    if every is not None and settings.jitter_seconds > every:
        raise UsageError(
            T("'jitter' is longer than the period"),
            hint=T("a tenth of the period is plenty"),
        )


def _check_quiet(settings: WatchSettings) -> None:
    for hours in settings.quiet_hours:
        if hours.start_minute % _DAY_MINUTES == hours.end_minute % _DAY_MINUTES:
            raise UsageError(
                T("quiet hours begin and end at the same minute"),
                hint=T("write them like 22:00-06:00"),
            )
    if settings.quiet_hours and all(
        _is_quiet_minute(settings.quiet_hours, minute) for minute in range(_DAY_MINUTES)
    ):
        raise UsageError(
            T("the quiet hours take up the whole day: nothing would ever be started"),
            hint=T("leave a span of the day free"),
        )


# --- slots ---------------------------------------------------------------------


def next_due(
    settings: WatchSettings,
    last_slot: float | None,
    now: float,
    rng: random.Random,
    zone: tzinfo = LOCAL,
) -> Due:
    """The cycle that follows the one of ``last_slot``; the first one takes place at once."""
    slot = next_slot(settings, last_slot, now, zone)
    if last_slot is None or settings.jitter_seconds <= 0:
        return Due(slot, slot)
    return Due(slot, slot + rng.uniform(0.0, settings.jitter_seconds))


def next_slot(
    settings: WatchSettings, last_slot: float | None, now: float, zone: tzinfo = LOCAL
) -> float:
    """The slot after ``last_slot``, or the latest one of several that have passed."""
    if last_slot is None:
        return now
    if settings.cron is not None:
        return _next_cron(settings.cron, last_slot, now, zone)
    return _next_of_grid(settings.every_seconds or DEFAULT_EVERY_SECONDS, last_slot, now)


def _next_of_grid(every: float, last: float, now: float) -> float:
    # A last slot that lies ahead is a clock that was set back: the grid stays, and the slot that
    # had its cycle is not taken twice.
    passed = math.floor((now - last) / every)
    if passed < -1:
        return last + (passed + 1) * every
    return last + max(1, passed) * every


def _next_cron(expression: str, last: float, now: float, zone: tzinfo) -> float:
    if last > now:
        found = _tick_after(expression, now, zone)
        return _tick_after(expression, last, zone) if found == last else found
    first = _tick_after(expression, last, zone)
    return first if first > now else max(first, _latest_tick(expression, now, zone))


def _tick_after(expression: str, moment: float, zone: tzinfo) -> float:
    """The first moment of the expression after ``moment``."""
    # In the hour that comes twice, the first of the two may be behind us: look further then.
    return next(tick for tick in _ticks(expression, moment, zone) if tick > moment)


def _latest_tick(expression: str, now: float, zone: tzinfo) -> float:
    ticks = _ticks(expression, math.floor(now) + 1, zone, is_reverse=True)
    return next(tick for tick in ticks if tick <= now)


def _ticks(
    expression: str, moment: float, zone: tzinfo, *, is_reverse: bool = False
) -> Iterator[float]:
    start = datetime.fromtimestamp(math.floor(moment), zone)
    return (tick.timestamp() for tick in CronSim(expression, start, reverse=is_reverse))


def period_seconds(settings: WatchSettings, slot: float, zone: tzinfo = LOCAL) -> float:
    """From a slot to the next one."""
    return next_slot(settings, slot, slot, zone) - slot


# --- quiet hours ---------------------------------------------------------------


def is_quiet(settings: WatchSettings, when: float, zone: tzinfo = LOCAL) -> bool:
    """Whether nothing new may be started at ``when``. The last minute named is free again."""
    if not settings.quiet_hours:
        return False
    local = datetime.fromtimestamp(when, zone)
    return _is_quiet_minute(settings.quiet_hours, local.hour * 60 + local.minute)


def _is_quiet_minute(spans: tuple[QuietHours, ...], minute: int) -> bool:
    return any(_covers(span, minute) for span in spans)


def _covers(span: QuietHours, minute: int) -> bool:
    start, end = span.start_minute % _DAY_MINUTES, span.end_minute % _DAY_MINUTES
    if start < end:
        return start <= minute < end
    return minute >= start or minute < end


def end_of_quiet(settings: WatchSettings, when: float, zone: tzinfo = LOCAL) -> float:
    """The first moment from ``when`` on that is not quiet: ``when`` itself, or a whole minute.

    Counts minutes as they pass, so that a change of the clocks inside the
    quiet hours makes them shorter or longer, as the clock on the wall does.
    """
    if not is_quiet(settings, when, zone):
        return when
    minute = math.floor(when / 60) * 60
    # More than a day: the only free minute may be one that a change of the clocks leaves out.
    for step in range(1, 3 * _DAY_MINUTES):
        if not is_quiet(settings, minute + step * 60, zone):
            return float(minute + step * 60)
    raise AssertionError("check_settings refuses days without a free minute")
