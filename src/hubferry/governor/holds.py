"""Holds: what a hub refused as too frequent, and until when, by kind of request.

A refusal is met once: requests of that kind, of every thread and process that
uses the account, wait until the hub's own time is over. Then one request goes
first, as a probe; the others follow when it was let through, or when it takes
long to be answered. Kinds are apart: a limit on commits does not brake reads.

A hold is a small file, for as long as it lasts. In this process it is kept by
the monotonic clock; the file tells Unix time, and what a clock that was set
back or far ahead has made senseless is dropped.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hubferry.control import Patience
from hubferry.errors import CancelledError, CopyError, RateLimitedError, UnavailableError
from hubferry.governor.byte_locks import ByteLocks
from hubferry.governor.notes import Stamp, read_numbers, stamp_of, write_note
from hubferry.text import T

LOOK_SECONDS = 0.25
"""The file of a kind is looked at this often at most."""
PROBE_SECONDS = 5.0
"""A probe that is not refused for so long has been let through: a large upload takes its time."""
MOST_SECONDS = 6 * 3600.0
"""Longer holds are not believed; the next probe will tell."""
STALE_SECONDS = 60.0
"""A hold that ended this long ago needs no probe any more: its processes are gone."""
GUESS_SECONDS = 5.0
GUESS_MOST_SECONDS = 300.0
"""A refusal without a word on its end: so long at first, doubling, as in ``control``."""
_FLOOR_SECONDS = 0.5
_FLOOR_MOST_SECONDS = 60.0
"""A hub that says "again at once" for ever is not asked in a tight loop."""
_CLOCK_SECONDS = 2.0
"""Clocks of one machine differ by less, whatever sets them."""
_POLL_SECONDS = 0.1

Refused = Callable[[float | None], None]
"""To be called when the request was refused as too frequent: seconds to wait, if told."""


@dataclass
class _Kind:
    """What is known of one kind of request; times by the monotonic clock."""

    is_held: bool = False
    until: float = 0.0
    noted_at: float = -math.inf
    refusals: int = 0
    """In a row; requests that were on their way together count once."""
    is_probing: bool = False
    """A probe of this process is on its way."""
    probe_since: float | None = None
    """When it was sent; or when the probe of another process was first seen."""
    stamp: Stamp | None = None
    is_on_disk: bool = False
    looked_at: float = -math.inf


@dataclass
class _Pass:
    """One request on its way."""

    sent_at: float
    is_probe: bool = False
    was_refused: bool = False


class Holds:
    """The holds of one account. Thread-safe.

    Args:
        folder: where they are kept; asked with True when something is to be kept there, with
            False else. None: not known yet, or never used.
        probes: locks that make one probe of all processes; None as for ``folder``.
        tell: told why holds are not shared, once.
        clock: seconds, monotonic.
        now: Unix time.
    """

    def __init__(
        self,
        folder: Callable[[bool], Path | None],
        probes: Callable[[], ByteLocks | None],
        tell: Callable[[OSError], None] = lambda error: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._probes = probes
        self._tell = tell
        self._clock = clock
        self._now = now
        self._changed = threading.Condition()
        self._kinds: dict[str, _Kind] = {}

    @contextmanager
    def turn(self, kind: str, patience: Callable[[], Patience]) -> Iterator[Refused]:
        """Wait until a request of this kind may be sent; the block sends it.

        The wait is paid from the run's wait budget and told to its observers.

        Raises:
            RateLimitedError: the wait would be longer than the run may wait; final.
            CancelledError: someone asked to stop.
        """
        way = self._enter(kind, patience)

        def refused(seconds: float | None) -> None:
            way.was_refused = True
            self._note(kind, way, seconds)

        was_answered = False
        try:
            yield refused
            was_answered = True
        except (UnavailableError, CancelledError):
            raise  # nothing was said about the limit
        except CopyError:
            was_answered = True
            raise
        finally:
            if way.is_probe:
                self._probed(kind, way, was_let_through=was_answered and not way.was_refused)

    # --- before a request ---------------------------------------------------------

    def _enter(self, kind: str, patience: Callable[[], Patience]) -> _Pass:
        purse: Patience | None = None
        while True:
            with self._changed:
                held = self._look(kind)
                now = self._clock()
                if not held.is_held:
                    return _Pass(now)
                until = held.until
                if now >= until:
                    way = self._try_probe(kind, held, now)
                    if way is not None:
                        return way
                    if purse is not None:
                        self._changed.wait(_POLL_SECONDS)
            purse = purse or patience()
            purse.cancel.check()
            if now < until:
                purse.wait_out(until - now, _held_off(until - now))
                self._waited(kind, until)

    def _waited(self, kind: str, until: float) -> None:
        """A wait has been waited: what it was for is over, whatever the clocks say."""
        with self._changed:
            held = self._kinds[kind]
            if held.until == until:
                held.until = min(until, self._clock())

    def _try_probe(self, kind: str, held: _Kind, now: float) -> _Pass | None:
        """Go as the probe, or with all others if the probe takes long; None: wait for it."""
        if held.probe_since is not None and now - held.probe_since >= PROBE_SECONDS:
            self._lift(kind, held)
            return _Pass(now)
        if held.is_probing:
            return None
        locks, place = self._probes(), _place(kind)
        if locks is not None and not locks.try_acquire(place):
            if held.probe_since is None:
                held.probe_since = now
            return None
        # Ours to send, unless another process had its answer since we last looked.
        held.looked_at = -math.inf
        self._look(kind)
        now = self._clock()
        if held.is_held and now >= held.until:
            held.is_probing, held.probe_since = True, now
            return _Pass(now, is_probe=True)
        if locks is not None:
            locks.release(place)
        return None if held.is_held else _Pass(now)

    def _look(self, kind: str) -> _Kind:
        """What is known, with what other processes wrote meanwhile."""
        held = self._kinds.setdefault(kind, _Kind())
        now = self._clock()
        if now - held.looked_at < LOOK_SECONDS:
            return held
        held.looked_at = now
        path = self._path(kind, to_keep=False)
        stamp = stamp_of(path) if path is not None else None
        if path is None or stamp == held.stamp:
            return held
        held.stamp = stamp
        if stamp is not None:
            self._take_over(held, path)
        elif held.is_on_disk:
            self._clear(held)  # another process was let through
        return held

    def _take_over(self, held: _Kind, path: Path) -> None:
        note = read_numbers(path)
        unix, now = self._now(), self._clock()
        until, noted = note.get("until", math.nan), note.get("noted", math.nan)
        is_sensible = noted <= unix + _CLOCK_SECONDS and until - unix <= MOST_SECONDS
        if not is_sensible or unix - until > STALE_SECONDS:
            self._remove(path)
            held.stamp = None
            if held.is_on_disk:
                self._clear(held)
            return
        held.is_held = held.is_on_disk = True
        held.until = now + (until - unix)
        held.noted_at = now + (noted - unix)
        held.refusals = max(1, int(min(note.get("refusals", 1.0), 60.0)))
        held.probe_since = None
        self._changed.notify_all()

    # --- after it -----------------------------------------------------------------

    def _note(self, kind: str, way: _Pass, seconds: float | None) -> None:
        with self._changed:
            held = self._kinds.setdefault(kind, _Kind())
            now = self._clock()
            if held.is_held and way.sent_at <= held.noted_at and not way.is_probe:
                # It was on its way when another one was refused: the same refusal.
                if seconds is not None and seconds < math.inf:
                    self._extend(kind, held, now + min(seconds, MOST_SECONDS))
                return
            held.refusals = min(60, held.refusals + 1)
            held.is_held, held.noted_at, held.until = True, now, now
            self._extend(kind, held, now + _pause(seconds, held.refusals))

    def _extend(self, kind: str, held: _Kind, until: float) -> None:
        if until <= held.until:
            return
        held.until = until
        path = self._path(kind, to_keep=True)
        if path is not None:
            now, unix = self._clock(), self._now()
            note: dict[str, float | str] = {
                "until": unix + (until - now),
                "noted": unix + (held.noted_at - now),
                "refusals": held.refusals,
                "kind": kind,
            }
            try:
                write_note(path, note)
                held.stamp, held.is_on_disk = stamp_of(path), True
            except OSError as error:
                self._tell(error)
        self._changed.notify_all()

    def _probed(self, kind: str, way: _Pass, *, was_let_through: bool) -> None:
        with self._changed:
            held = self._kinds[kind]
            held.is_probing, held.probe_since = False, None
            if was_let_through and held.is_held and held.noted_at <= way.sent_at:
                self._lift(kind, held)
            # Only now: whoever takes the lock next looks at the file first.
            locks = self._probes()
            if locks is not None:
                locks.release(_place(kind))
            self._changed.notify_all()

    def _lift(self, kind: str, held: _Kind) -> None:
        """Let all go, here and in other processes."""
        path = self._path(kind, to_keep=False)
        # Another process may have been refused since; its hold is a newer state of the file.
        if held.is_on_disk and path is not None and stamp_of(path) == held.stamp:
            self._remove(path)
        self._clear(held)
        self._changed.notify_all()

    def _clear(self, held: _Kind) -> None:
        held.is_held = held.is_on_disk = False
        held.refusals, held.probe_since, held.stamp = 0, None, None

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._tell(error)

    def _path(self, kind: str, *, to_keep: bool) -> Path | None:
        try:
            folder = self._folder(to_keep)
        except OSError as error:
            self._tell(error)
            return None
        return folder and folder / f"{_digest(kind)[:16]}.hold"


def _pause(seconds: float | None, refusals: int) -> float:
    doubled = 2.0 ** (refusals - 1)
    if seconds is None or not seconds >= 0.0:  # in this form a NaN out of a header loses
        return min(GUESS_MOST_SECONDS, GUESS_SECONDS * doubled)
    floor = min(_FLOOR_MOST_SECONDS, _FLOOR_SECONDS * doubled)
    return min(MOST_SECONDS, max(seconds, floor))


def _held_off(seconds: float) -> RateLimitedError:
    said = T(
        "the hub has asked everybody who uses this account to wait {seconds} seconds",
        seconds=max(1, round(seconds)),
    )
    return RateLimitedError(said, retry_after_seconds=seconds)


def _digest(kind: str) -> str:
    return hashlib.sha256(kind.encode("utf-8", "replace")).hexdigest()


def _place(kind: str) -> int:
    return int(_digest(kind)[:15], 16)
