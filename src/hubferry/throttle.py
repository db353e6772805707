"""How fast bytes may go, and whether they may go at all.

A :class:`Timetable` says what ``--bwlimit`` allows at a time of the week. A
:class:`Throttle` holds one side of the copy to it, and a :class:`Gate`, shared
by both sides, stops all bytes while a run is paused.

Readers ask before they read and give back what did not come::

    allowed = throttle.grant(len(buffer))
    count = stream.readinto(buffer[:allowed])
    throttle.give_back(allowed - count)

Writers, who know what they send, ``take`` it or send it in granted pieces.
"""

from __future__ import annotations

import datetime as dt
import re
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple

from hubferry.control import CancelToken
from hubferry.errors import UsageError
from hubferry.text import T

BURST_SECONDS = 0.2
"""What an idle line may catch up on: a hiccup of the scheduler costs no speed, a user no peak."""
PIECE_SECONDS = 0.05
"""A waiting thread gets at least this much of the line at once: twenty turns a second."""
LOOK_SECONDS = 1.0
"""How soon a new slot of the timetable counts; its own unit is the minute."""
_POLL_SECONDS = 0.1
_SHORTEST_WAIT_SECONDS = 0.001
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY_MINUTES = 24 * 60
_POWERS = {"b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_MAX_RATE = 2**63 - 1

_RATE = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(?:(b)|([kmgtp])(?:ib?)?)?", re.IGNORECASE)
_MOMENT = re.compile(r"(?:([a-z]+)-)?([01][0-9]|2[0-3]):([0-5][0-9])", re.IGNORECASE)

Wait = Callable[[CancelToken, float], None]
"""Waits that many seconds, or raises CancelledError."""
LimitAt = Callable[[dt.datetime], "int | None"]
"""Bytes a second allowed at a local time; None is no limit."""


class Limits(NamedTuple):
    """Bytes a second; None is no limit. ``up`` is to the target, ``down`` from the source."""

    up: int | None
    down: int | None


NO_LIMITS = Limits(None, None)


@dataclass(frozen=True)
class Slot:
    """From ``minute`` of the week (0 is Monday 00:00) these limits hold."""

    minute: int
    limits: Limits


@dataclass(frozen=True)
class Timetable:
    """Limits over a week of local time; slots in order, of equal minutes the last one counts."""

    slots: tuple[Slot, ...] = ()

    @cached_property
    def _minutes(self) -> tuple[int, ...]:
        return tuple(slot.minute for slot in self.slots)

    def at(self, when: dt.datetime) -> Limits:
        """What holds at a local time; before the week's first slot, the last one of the week."""
        if not self.slots:
            return NO_LIMITS
        minute = when.weekday() * _DAY_MINUTES + when.hour * 60 + when.minute
        return self.slots[bisect_right(self._minutes, minute) - 1].limits

    def upload(self) -> LimitAt | None:
        """The target side's limit over time; None if there never is one."""
        has_limit = any(slot.limits.up is not None for slot in self.slots)
        return (lambda when: self.at(when).up) if has_limit else None

    def download(self) -> LimitAt | None:
        """The source side's limit over time; None if there never is one."""
        has_limit = any(slot.limits.down is not None for slot in self.slots)
        return (lambda when: self.at(when).down) if has_limit else None


UNLIMITED = Timetable()


def parse_bwlimit(text: str) -> Timetable:
    """The timetable of ``--bwlimit``.

    ``10M``, ``off``, ``UP:DOWN``, or slots ``[DAY-]HH:MM,LIMIT`` divided by
    spaces or semicolons; a slot without a day holds for every day. A number
    without a unit is KiB a second; units are powers of 1024; 0 is ``off``.

    Raises:
        UsageError: anything else; the message says which part and shows the forms.

    Source: ``BwTimetable.Set`` and ``SizeSuffix.Set`` in rclone/rclone, and "--bwlimit" in its
    documentation.
    """
    stripped = text.strip()
    if not re.search(r"[\s,;]", stripped):
        return Timetable((Slot(0, _pair(stripped, text)),))
    slots = [slot for part in re.split(r"[\s;]+", stripped) for slot in _slots(part, text)]
    return Timetable(tuple(sorted(slots, key=lambda slot: slot.minute)))


def _slots(part: str, text: str) -> list[Slot]:
    moment, comma, pair = part.partition(",")
    found = _MOMENT.fullmatch(moment)
    if not comma or not found:
        raise _wrong(part, text)
    day, hour, minute = found.groups()
    limits = _pair(pair, text)
    return [
        Slot(number * _DAY_MINUTES + int(hour) * 60 + int(minute), limits)
        for number in _day_numbers(day, part, text)
    ]


def _day_numbers(day: str | None, part: str, text: str) -> list[int]:
    if day is None:
        return list(range(7))
    found = [n for n, name in enumerate(_DAYS) if day.lower() in (name, name[:3])]
    if not found:
        raise _wrong(part, text)
    return found


def _pair(part: str, text: str) -> Limits:
    up, colon, down = part.partition(":")
    limit = _rate(up, text)
    return Limits(limit, _rate(down, text) if colon else limit)


def _rate(part: str, text: str) -> int | None:
    if part.lower() == "off":
        return None
    found = _RATE.fullmatch(part)
    if not found:
        raise _wrong(part, text)
    number, plain, unit = found.groups()
    exact = Decimal(number) * 1024 ** _POWERS[(plain or unit or "k").lower()]
    if exact > _MAX_RATE:
        raise _wrong(part, text)
    # Not more than nothing, as in rclone; but a fraction of a byte is no "off".
    return max(1, int(exact)) if exact else None


def _wrong(part: str, text: str) -> UsageError:
    return UsageError(
        T(
            "'{part}' in the bandwidth limit '{text}' is not understood; write 10M, or 10M:1M "
            "(upload:download), or a timetable: '08:00,512k 19:00,10M 23:00,off'",
            part=part,
            text=text,
        )
    )


def _sleep(cancel: CancelToken, seconds: float) -> None:
    cancel.sleep(seconds)


class Gate:
    """Open, or closed while a run is paused; shared by all threads of a run.

    Nobody may call a paused run stalled: whoever measures time without
    progress reads :meth:`running_seconds`, a clock that stands still meanwhile.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, wait: Wait = _sleep) -> None:
        self._clock = clock
        self._wait = wait
        self._lock = threading.Lock()
        self._closed_at: float | None = None
        self._past_seconds = 0.0

    @property
    def is_paused(self) -> bool:
        """True while nothing may pass."""
        return self._closed_at is not None

    def pause(self) -> None:
        """Let nothing pass from now on; safe to repeat."""
        with self._lock:
            if self._closed_at is None:
                self._closed_at = self._clock()

    def resume(self) -> None:
        """Let everything pass again; safe to repeat."""
        with self._lock:
            if self._closed_at is not None:
                self._past_seconds += self._clock() - self._closed_at
                self._closed_at = None

    @property
    def paused_seconds(self) -> float:
        """How long it was closed in all, up to now; never goes back."""
        return self._times()[0]

    def running_seconds(self) -> float:
        """A monotonic clock that stands still while paused."""
        paused, now = self._times()
        return now - paused

    def _times(self) -> tuple[float, float]:
        with self._lock:
            now = self._clock()
            since = 0.0 if self._closed_at is None else now - self._closed_at
            return self._past_seconds + since, now

    def check(self, cancel: CancelToken) -> None:
        """Wait while paused.

        Raises:
            CancelledError: someone asked to stop meanwhile.
        """
        while self._closed_at is not None:
            self._wait(cancel, _POLL_SECONDS)


class Throttle:
    """Holds one side's bytes to a limit; shared by all threads of a run.

    First come, first served: who has waited longest gets the next bytes, so
    no thread starves. Over more than ``BURST_SECONDS`` never more than the
    limit passes. Without a limit it costs one comparison and takes no lock.
    """

    def __init__(
        self,
        limit_at: LimitAt | None = None,
        *,
        gate: Gate | None = None,
        cancel: CancelToken | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], dt.datetime] = dt.datetime.now,
        wait: Wait = _sleep,
    ) -> None:
        """Start with nothing saved up; ``now`` is the local time that ``limit_at`` goes by."""
        self.gate = gate or Gate()
        self._limit_at = limit_at
        self._cancel = cancel or CancelToken()
        self._clock = clock
        self._now = now
        self._wait = wait
        self._lock = threading.Lock()
        self._turns: deque[threading.Lock] = deque()
        self._rate: int | None = None
        self._saved = 0.0
        self._granted = 0
        self._poured_at = clock()
        self._look_at = float("-inf") if limit_at else float("inf")

    def grant(self, wanted: int) -> int:
        """Wait until bytes may pass; how many of ``wanted`` may now (at least 1 of 1 or more).

        A low limit grants small pieces, so that bytes flow evenly; :meth:`give_back` those that
        did not pass in the end.

        Raises:
            CancelledError: someone asked to stop.
        """
        self.gate.check(self._cancel)
        if wanted <= 0:
            return 0
        if self._rate is None and self._clock() < self._look_at:
            return wanted
        with self._turn():
            return self._wait_for(wanted)

    def take(self, count: int) -> None:
        """Wait until ``count`` bytes may pass.

        Raises:
            CancelledError: someone asked to stop.
        """
        while count > 0:
            count -= self.grant(count)

    def give_back(self, count: int) -> None:
        """Return part of a grant that was not used: a read brings what has arrived, often less."""
        if count <= 0 or self._rate is None:
            return
        with self._lock:
            # What was granted before the limit changed was never paid for under this one.
            count = min(count, self._granted)
            self._granted -= count
            self._saved += count

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Stand in line; each one wakes the next, so a stop reaches all of them in a row."""
        turn = threading.Lock()
        turn.acquire()
        with self._lock:
            self._turns.append(turn)
            is_first = len(self._turns) == 1
        try:
            if not is_first:
                turn.acquire()
            yield
        finally:
            with self._lock:
                was_first = self._turns[0] is turn
                self._turns.remove(turn)
                if was_first and self._turns:
                    self._turns[0].release()

    def _wait_for(self, wanted: int) -> int:
        while True:
            self._cancel.check()
            self.gate.check(self._cancel)
            with self._lock:
                self._pour()
                if self._rate is None:
                    return wanted
                piece = min(wanted, max(1, int(self._rate * PIECE_SECONDS)))
                if self._saved >= piece:
                    count = min(wanted, int(self._saved))
                    self._saved -= count
                    self._granted += count
                    return count
                seconds = (piece - self._saved) / self._rate
            self._wait(self._cancel, max(_SHORTEST_WAIT_SECONDS, min(seconds, LOOK_SECONDS)))

    def _pour(self) -> None:
        """Add what has become due since the last time, and look at the timetable."""
        now = self._clock()
        if self._rate is not None:
            due = self._saved + (now - self._poured_at) * self._rate
            # What was given back may stand above the brim: it was paid for in its time.
            self._saved = max(self._saved, min(_brim(self._rate), due))
        self._poured_at = now
        if self._limit_at is None or now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        rate = self._limit_at(self._now())
        if rate != self._rate:
            self._rate, self._granted = rate, 0
            self._saved = min(self._saved, _brim(rate)) if rate is not None else 0.0


def _brim(rate: int) -> float:
    return max(1.0, rate * BURST_SECONDS)
