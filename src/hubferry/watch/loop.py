"""The loop: wait until something is due, run the batch, remember, wait.

One thread, the caller's. What others want of it (a webhook, a signal) they
leave in thread-safe places and set ``wake``. A turn is short; only a cycle
takes long.

A look at everything is due by the schedule; looks at single repositories are
due when webhooks asked for them. Whatever could not be looked at (quiet hours,
a cycle that failed as a whole) stays wanted, and is kept over a restart.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum

from hubferry.batch.values import BatchReport, ItemState
from hubferry.control import CancelToken
from hubferry.errors import CancelledError, CopyError, unexpected
from hubferry.events import Event, Note, Observer, silent
from hubferry.manifest.values import Manifest
from hubferry.model import RepoId
from hubferry.text import T, Text
from hubferry.watch.clock import Clock, RealClock
from hubferry.watch.deliveries import Deliveries
from hubferry.watch.health import Board, Health
from hubferry.watch.looks import ALL, Looks, Wanted
from hubferry.watch.meaning import Meaning
from hubferry.watch.ports import Cycle, Load
from hubferry.watch.schedule import (
    DEFAULT_EVERY_SECONDS,
    LOCAL,
    Due,
    check_settings,
    end_of_quiet,
    is_quiet,
    next_due,
    next_slot,
    period_seconds,
)
from hubferry.watch.state import StateFile, WatchState

FIRST_BACKOFF_SECONDS = 60.0
LONGEST_BACKOFF_SECONDS = 3600.0
SET_BACK_SECONDS = 60.0
"""The clock going back by more than this is somebody setting it."""
TURN_SECONDS = 180.0
"""A loop that is not in a cycle and has not turned for so long hangs."""
_FAILING = (ItemState.FAILED, ItemState.GONE)
_FINE = (ItemState.COPIED, ItemState.EQUAL, ItemState.UNCHANGED)

_log = logging.getLogger(__name__)


class Answer(StrEnum):
    """What becomes of a delivery."""

    QUEUED = "queued"
    SEEN = "seen"
    """It came before."""
    IGNORED = "ignored"
    """No entry of the manifest can mean this repository."""


@dataclass(frozen=True, slots=True)
class CycleDone:
    """One cycle, told when it is over.

    ``wanted``: what it looked at; ``report`` None: it failed as a whole, by
    ``error``. Moments are Unix seconds; ``next_at``: when something is due
    again, as far as is known by now.
    """

    number: int
    started_at: float
    ended_at: float
    wanted: Wanted
    report: BatchReport | None
    error: CopyError | None
    next_at: float


def _nobody(done: CycleDone) -> None:
    """Nobody listens."""


class Watch:
    """Keeps the targets of one manifest equal. ``run`` once; the rest from any thread."""

    def __init__(
        self,
        load: Load,
        cycle: Cycle,
        file: StateFile,
        *,
        cancel: CancelToken,
        clock: Clock | None = None,
        observe: Observer = silent,
        told: Callable[[CycleDone], None] = _nobody,
        rng: random.Random | None = None,
        zone: tzinfo = LOCAL,
    ) -> None:
        """``told`` hears of every cycle that ended, in the loop's thread.

        Raises:
            CopyError: the manifest cannot be used: there is nothing to begin with.
        """
        self._load = load
        self._cycle = cycle
        self._file = file
        self._cancel = cancel
        self._clock = clock or RealClock()
        self._observe = observe
        self._told = told
        self._rng = rng or random.Random()
        self._zone = zone
        self._wake = threading.Event()
        self._looks = Looks(self._wake.set)
        self._wants_reread = False
        self._is_once = False
        self._failures = 0
        self._not_before = 0.0
        self._failing: set[str] = set()
        self._manifest_error: str | None = None
        self._save_error: str | None = None
        self._manifest = load()
        check_settings(self._manifest.watch)
        self._meaning = Meaning(self._manifest)
        self._state: WatchState = file.load()
        self._kept_cycles = self._state.cycles
        self._deliveries = Deliveries(self._state.seen)
        self._looks.put_back(self._state.wanted)
        self._started_at = self._last_turn = self._clock.now()
        self._slot = self._state.last_slot
        self._due = Due(self._started_at, self._started_at)
        self._board = Board(Health(self._started_at, DEFAULT_EVERY_SECONDS))
        self._plan_next(self._started_at)
        self._board.write(
            cycles=self._state.cycles,
            last_cycle_at=self._state.last_cycle_at,
            last_ok_at=self._state.last_ok_at,
        )

    # --- for other threads -----------------------------------------------------

    @property
    def manifest(self) -> Manifest:
        """The last one that was good."""
        return self._manifest

    def health(self) -> Health:
        """How it is doing."""
        return self._board.read()

    def is_healthy(self) -> bool:
        """Whether it does what it should."""
        return self.health().is_healthy(self._clock.now())

    def is_turning(self) -> bool:
        """Whether the loop's thread is at work or waits as it should."""
        health = self.health()
        is_late = abs(self._clock.now() - self._last_turn) > TURN_SECONDS
        return health.is_alive and (health.is_in_cycle or not is_late)

    def deliver(self, repo: RepoId, digest: str) -> Answer:
        """A webhook says that ``repo`` changed; ``digest`` names the delivery."""
        now = self._clock.now()
        name = self._meaning.repo_of(repo)
        if name is None:
            return Answer.IGNORED
        if not self._deliveries.take(digest, now):
            return Answer.SEEN
        self._looks.offer(name, now)
        return Answer.QUEUED

    def reread(self) -> None:
        """Read the manifest again and look at everything now."""
        self._wants_reread = True
        self._wake.set()

    def take(self, event: Event) -> None:
        """An observer: how the cycle on its way gets on."""
        self._board.take(event, self._clock.now())

    # --- the loop --------------------------------------------------------------

    def run(self) -> None:
        """Go on until somebody asks to stop, which is the only orderly end."""
        self._cancel.on_cancel(self._wake.set)
        try:
            while not self._cancel.is_cancelled:
                self._turn()
        finally:
            self._keep()
            self._board.write(is_alive=False)

    def run_once(self) -> CycleDone:
        """One look at everything now, whatever the schedule and the quiet hours say.

        Raises:
            CancelledError: somebody asked to stop.
        """
        now = self._clock.now()
        slot = next_slot(self._manifest.watch, self._state.last_slot, now, self._zone)
        # Ahead of time it takes nobody's place: the grid stays what it was.
        self._slot = slot if slot <= now else self._state.last_slot
        self._is_once = True
        try:
            done = self._look(ALL)
        finally:
            self._keep()
        if done is None:
            raise CancelledError(T("stopped on request; run the same command again to go on"))
        return done

    def _turn(self) -> None:
        # Before anything is looked at: what is set from here on is for the next turn.
        self._wake.clear()
        now = self._clock.now()
        if now < self._last_turn - SET_BACK_SECONDS:
            self._plan_next(now)
            self._not_before = min(self._not_before, now + LONGEST_BACKOFF_SECONDS)
        self._last_turn = now
        if self._wants_reread:
            self._wants_reread = False
            self._reload(now)
            self._not_before = 0.0
            self._looks.put_back(ALL)
        wish, at = self._wish_at(now), self._next_at(now)
        # Put off by quiet hours, or in the middle of them: nothing is expected of it till then.
        calm = at if at > wish else self._end_of_quiet(now)
        self._board.write(next_due_at=at, calm_until=calm)
        if at > now:
            self._keep()
            self._clock.wait(at - now, self._wake)
            return
        self._reload(now)
        if self._next_at(now) <= now:  # by the manifest as it is now
            self._take_turn(now)

    def _take_turn(self, now: float) -> None:
        if self._due.at <= now:
            # Slots that have passed (a long cycle, quiet hours, a computer that slept) are one.
            latest = next_slot(self._manifest.watch, self._due.slot, now, self._zone)
            self._slot = latest if latest <= now else self._due.slot
            self._plan_next(now)
            # Not kept before it is done: a restart in the middle finds this slot open.
            self._looks.put_back(ALL)
        else:
            self._keep()
        self._look(self._looks.take())

    def _next_at(self, now: float) -> float:
        """When something may be done."""
        return self._end_of_quiet(self._wish_at(now))

    def _wish_at(self, now: float) -> float:
        """The same but for quiet hours: by the schedule, webhooks and back-off."""
        looks = self._looks.due_at()
        first = self._due.at if looks is None else min(self._due.at, looks)
        return max(first, self._not_before, now)

    def _end_of_quiet(self, when: float) -> float:
        return end_of_quiet(self._manifest.watch, when, self._zone)

    def _plan_next(self, now: float) -> None:
        settings = self._manifest.watch
        self._due = next_due(settings, self._slot, now, self._rng, self._zone)
        period = period_seconds(settings, self._due.slot, self._zone)
        self._board.write(period_seconds=period, next_due_at=self._due.at)

    # --- one cycle -------------------------------------------------------------

    def _look(self, wanted: Wanted) -> CycleDone | None:
        """Run one cycle; None if it was stopped."""
        started = self._clock.now()
        self._board.clear_held()
        self._board.write(is_in_cycle=True, last_sign_at=started)
        report, error = self._try_cycle(wanted)
        ended = self._last_turn = self._clock.now()
        self._board.write(is_in_cycle=False)
        if self._cancel.is_cancelled or (report is not None and report.was_cancelled):
            self._looks.put_back(wanted)
            self._cancel.cancel()
            return None
        self._remember(wanted, report, started, ended)
        if error is not None:
            self._back_off(wanted, error, ended)
        else:
            self._failures, self._not_before = 0, 0.0
        if report is not None and report.of(ItemState.STOPPED):
            self._looks.put_back(wanted)
            if self._end_of_quiet(ended) == ended:
                # Not for quiet hours, or they are over by now: no reason to be in a hurry.
                self._not_before = ended + FIRST_BACKOFF_SECONDS
        self._keep()
        done = CycleDone(
            self._state.cycles, started, ended, wanted, report, error, self._next_at(ended)
        )
        self._tell(done)
        return done

    def _tell(self, done: CycleDone) -> None:
        try:
            self._told(done)
        except CopyError as error:
            _log.warning("a cycle could not be told of: %s", error)

    def _try_cycle(self, wanted: Wanted) -> tuple[BatchReport | None, CopyError | None]:
        settings = self._manifest.watch
        try:
            report = self._cycle(
                self._manifest,
                only=wanted.only,
                cancel=self._cancel,
                may_start=lambda: (
                    self._is_once or not is_quiet(settings, self._clock.now(), self._zone)
                ),
            )
        except CancelledError:
            self._cancel.cancel()
            return None, None
        except CopyError as error:
            return None, error
        except Exception as error:  # noqa: BLE001 - whatever it was, the next may go well
            _log.exception("a cycle of watch ended unexpectedly")
            return None, unexpected(error)
        return report, None

    def _remember(
        self, wanted: Wanted, report: BatchReport | None, started: float, ended: float
    ) -> None:
        state = self._state
        state.cycles += 1
        state.last_cycle_at = ended
        if wanted.is_all and report is not None:
            state.last_slot = self._slot
        if report is not None:
            self._count_failing(wanted, report)
            if _went_well(report):
                state.last_ok_at = ended
        self._board.write(
            cycles=state.cycles,
            last_cycle_at=ended,
            last_ok_at=state.last_ok_at,
            failing_repos=len(self._failing),
        )

    def _count_failing(self, wanted: Wanted, report: BatchReport) -> None:
        if wanted.is_all:
            self._failing.clear()
        self._failing -= {item.target for item in report.items}
        self._failing |= {item.target for item in report.of(*_FAILING)}

    def _back_off(self, wanted: Wanted, error: CopyError, now: float) -> None:
        self._failures += 1
        exponent = min(self._failures - 1, 30)
        pause = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0**exponent)
        self._not_before = now + pause
        if self._is_once:
            return
        self._looks.put_back(wanted)
        self._warn(
            T(
                "the cycle failed: {reason}; next try in {minutes} min",
                reason=error,
                minutes=round(pause / 60),
            )
        )

    # --- what lasts ------------------------------------------------------------

    def _reload(self, now: float) -> None:
        """Read the manifest again; a wrong one is told once, and the last good one stays."""
        try:
            found = self._load()
            check_settings(found.watch)
        except CopyError as error:
            self._tell_manifest_error(error)
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, the last good one is there
            self._tell_manifest_error(unexpected(error))
            return
        if self._manifest_error is not None:
            self._manifest_error = None
            self._board.write(manifest_error=None)
            self._observe(Note("info", T("the manifest can be used again")))
        if found == self._manifest:
            return
        was = self._manifest.watch
        count = len(found.entries)
        self._observe(Note("info", T("the manifest has changed: {count} entries", count=count)))
        self._manifest = found
        self._meaning = Meaning(found)
        if found.watch != was:
            self._plan_next(now)
        mine, theirs = ((w.listen, w.webhook_secret) for w in (was, found.watch))
        if mine != theirs:
            # The port is bound, and the secret read, once: who changes a secret has to know.
            told = T("'listen' and 'webhook-secret' stay as they were until the watch is restarted")
            self._observe(Note("warning", told))

    def _tell_manifest_error(self, error: CopyError) -> None:
        text = f"{error.code}: {error}"
        if text == self._manifest_error:
            return
        self._manifest_error = text
        self._board.write(manifest_error=text)
        # A message may have a line for each mistake; a note is one line.
        told = error.message
        reason = Text(told.template.replace("\n", "; "), told.values)
        self._warn(
            T("the manifest is wrong, so the last good one is used: {reason}", reason=reason)
        )

    def _keep(self) -> None:
        """Write down what a restart needs, if it is news."""
        state = self._state
        before = (state.pending, state.is_all_pending, state.seen)
        state.keep_wanted(self._looks.peek())
        state.seen = self._deliveries.snapshot()
        is_news = before != (state.pending, state.is_all_pending, state.seen)
        if not is_news and state.cycles == self._kept_cycles:
            return
        self._kept_cycles = state.cycles
        try:
            self._file.save(state)
            self._save_error = None
        except CopyError as error:
            if self._save_error != str(error):
                self._warn(T("a restart would begin afresh: {reason}", reason=error))
            self._save_error = str(error)

    def _warn(self, text: Text) -> None:
        _log.info("%s", text)
        self._observe(Note("warning", text))


def _went_well(report: BatchReport) -> bool:
    """Single repositories may fail for reasons of their own; all of them, or the batch, may not."""
    if report.errors:
        return False
    return bool(report.of(*_FINE)) or not report.of(*_FAILING)
