"""Many repositories, several at a time, whatever single ones do.

The items go through an engine; which one is next is decided here, in the thread
that consumes the outcomes. A failure is the repository's own (it is tried again
later, a few times), or a cause that others share (see ``causes``), or another
process is at the same target (it is looked at again when that one is done).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hubferry.batch.causes import Cause, Causes, Held
from hubferry.batch.judging import rank_of
from hubferry.batch.todo import Todo
from hubferry.batch.turns import Turn, TurnResult, Turns
from hubferry.batch.values import BatchReport, Item, ItemOutcome, ItemState
from hubferry.control import CancelToken
from hubferry.engines.base import Engine, Outcome
from hubferry.errors import CancelledError, CopyError, LedgerError, is_retryable, unexpected
from hubferry.events import BatchStarted, HeldUp, Observer, RepoFinished, RepoStarted
from hubferry.ledger import RepoRecord
from hubferry.outcome import ErrorRecord

ATTEMPTS = 3
"""Tries of one repository in a batch, each with the full patience of a copy."""
FIRST_PAUSE_SECONDS = 5.0
LOCKED_PAUSE_SECONDS = 2.0
LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Limits:
    """How long a batch puts up with things, in seconds."""

    trouble_seconds: float = 6 * 3600.0
    """For causes, when nothing else is left to do."""
    lock_seconds: float = 600.0
    """For another process that writes to the same target."""
    attempts: int = ATTEMPTS


@dataclass
class _State:
    """An item on its way through the batch."""

    turn: Turn
    outcome: ItemOutcome
    locked_since: float | None = None


@dataclass
class Batch:
    """One batch; one use."""

    items: Sequence[Item]
    report: BatchReport
    turns: Turns
    engine: Engine
    cancel: CancelToken
    observe: Observer
    limits: Limits = field(default_factory=Limits)
    may_start: Callable[[], bool] = lambda: True
    before_first: Callable[[Sequence[Item]], Mapping[int, CopyError]] = lambda items: {}
    """Called before anything is started, unless there is nothing to do, with the items that have
    to be looked at: why some of them, by number, need not be tried. May raise."""
    on_probe: Callable[[Cause], None] = lambda cause: None
    """Called before an item is let through to see whether a cause is over."""
    clock: Callable[[], float] = time.monotonic
    _causes: Causes = field(init=False)
    _todo: Todo[_State] = field(init=False)
    _in_flight: int = 0
    _progress_at: float = 0.0

    def __post_init__(self) -> None:
        self._causes = Causes(self.clock)
        self._todo = Todo(self._causes, self.clock, lambda state: state.turn.item)
        self._progress_at = self.clock()

    def run(self) -> BatchReport:
        """Carry everything out; failures are in the report."""
        report, listed = self.report, len(self.items) + len(self.report.left_out)
        self._take_in()
        self.observe(BatchStarted(report.run_id, report.manifest, listed, len(self._todo)))
        if self._todo:
            self._refuse(self.before_first([state.turn.item for state in self._todo]))
        by_number = {state.turn.item.number: state for state in self._todo}
        try:
            outcomes: Iterator[Outcome[Turn, TurnResult]] = self.engine.run(
                self._schedule(), self.turns.take, self.cancel
            )
            for done in outcomes:
                self._in_flight -= 1
                self._settle(by_number[done.task.item.number], done)
            self.cancel.check()
        except CancelledError:
            self.report.was_cancelled = True
        self._stop_rest()
        return self.report

    # --- what there is to do ------------------------------------------------------

    def _take_in(self) -> None:
        """Settle what lists and the ledger answer; queue the rest, half-done first."""
        pairs = [(str(item.source), str(item.target)) for item in self.items]
        known = self.turns.ledger.recall(pairs)
        rest: list[_State] = []
        for item, pair in zip(self.items, pairs, strict=True):
            turn = Turn(item, 1, known.get(pair))
            outcome = ItemOutcome(item.number, *pair, ItemState.STOPPED)
            self.report.items.append(outcome)
            result = self.turns.settled_by_lists(turn)
            if result is not None:
                self._keep(outcome, result)
            else:
                rest.append(_State(turn, outcome))
        for state in sorted(rest, key=lambda s: (rank_of(s.turn.record), s.turn.item.number)):
            self._todo.add(state)

    def _refuse(self, refused: Mapping[int, CopyError]) -> None:
        """Fail what is known to fail; the others go on."""
        for state in self._todo.remove_if(lambda state: state.turn.item.number in refused):
            record = ErrorRecord.of(refused[state.turn.item.number])
            state.outcome.state, state.outcome.error = ItemState.FAILED, record
            self._finished(state, error_record=record)

    def _schedule(self) -> Iterator[Turn | None]:
        while self._todo or self._in_flight:
            state = self._todo.take() if self.may_start() else None
            if state is not None:
                self._in_flight += 1
                self._start(state)
                yield state.turn
            elif self._in_flight:
                yield None
            elif not self.may_start():
                return
            else:
                self._wait()

    def _start(self, state: _State) -> None:
        item = state.turn.item
        for held in self._holding(state):
            self.on_probe(held.cause)
        self.observe(RepoStarted(item.number, item.source, item.target, state.turn.attempt))

    def _wait(self) -> None:
        """Nothing is under way and nothing may start: wait, or give up what waited too long."""
        if self.clock() - self._progress_at >= self.limits.trouble_seconds:
            given_up = self._todo.remove_if(lambda state: bool(self._holding(state)))
            for state in given_up:
                self._give_up(state)
            if given_up:
                return
        self.cancel.sleep(LOOK_SECONDS)

    def _holding(self, state: _State) -> list[Held]:
        return self._causes.holding(state.turn.item.source, state.turn.item.target)

    def _give_up(self, state: _State) -> None:
        error = self._holding(state)[0].error
        state.outcome.state = ItemState.FAILED
        state.outcome.error = error
        self._finished(state, error_record=error)

    # --- what became of it ----------------------------------------------------------

    def _settle(self, state: _State, done: Outcome[Turn, TurnResult]) -> None:
        number, item = state.turn.item.number, state.turn.item
        result = done.result or self._unexpected(done.error)
        self._count(state.outcome, result)
        if self.cancel.is_cancelled and result.state is not ItemState.COPIED:
            self._causes.gave_up(number)
            return
        if result.state is not ItemState.FAILED:
            self._progress_at = self.clock()
            self._went_well(state, result)
            self._keep(state.outcome, result)
            self._finished(state)
            return
        held, is_news = self._causes.failed(number, result.errors, item.source, item.target)
        if held is not None:
            if is_news:
                self._tell(held, is_over=False)
            self._again(state, result, pause_seconds=0.0, counts=False)
            return
        self._progress_at = self.clock()
        self._causes.gave_up(number)
        if self._is_locked(state, result):
            self._again(state, result, pause_seconds=LOCKED_PAUSE_SECONDS, counts=False)
        elif self._may_retry(state, result):
            pause = FIRST_PAUSE_SECONDS * 2.0 ** (state.turn.attempt - 1)
            self._again(state, result, pause_seconds=pause, counts=True)
        else:
            self._keep(state.outcome, result)
            self._finished(state, error_record=state.outcome.error)

    def _went_well(self, state: _State, result: TurnResult) -> None:
        """Tell what it shows to be over."""
        item, report = state.turn.item, result.report
        if report is None:
            # Lists or conditions settled it: nothing that a cause is about was tried.
            self._causes.told_nothing(item.number)
            return
        has_written = report.commits > 0
        for over in self._causes.worked(
            item.number, item.source, item.target, has_written=has_written
        ):
            self._tell(over, is_over=True)

    def _unexpected(self, error: Exception | None) -> TurnResult:
        """A worker's surprise is that repository's failure, never the batch's."""
        assert error is not None
        if isinstance(error, CancelledError):
            return TurnResult(ItemState.STOPPED)
        return TurnResult(ItemState.FAILED, errors=(ErrorRecord.of(unexpected(error)),))

    def _is_locked(self, state: _State, result: TurnResult) -> bool:
        if not any(e.error == "conflict" and e.step == "lock" for e in result.errors):
            return False
        if state.locked_since is None:
            state.locked_since = self.clock()
        return self.clock() - state.locked_since < self.limits.lock_seconds

    def _may_retry(self, state: _State, result: TurnResult) -> bool:
        is_worth_it = any(is_retryable(error.error) for error in result.errors)
        return is_worth_it and state.turn.attempt < self.limits.attempts

    def _again(
        self, state: _State, result: TurnResult, *, pause_seconds: float, counts: bool
    ) -> None:
        state.outcome.error = result.errors[0] if result.errors else None
        attempt = state.turn.attempt + (1 if counts else 0)
        state.turn = replace(state.turn, attempt=attempt, record=self._known(state))
        self._todo.add(state, not_before=self.clock() + pause_seconds)
        self._finished(state, error_record=state.outcome.error, will_retry=True)

    def _known(self, state: _State) -> RepoRecord | None:
        """What the ledger knows by now; a ledger that fails meanwhile must not end the others."""
        pair = state.outcome.source, state.outcome.target
        try:
            return self.turns.ledger.recall([pair]).get(pair, state.turn.record)
        except LedgerError:
            return state.turn.record

    def _count(self, outcome: ItemOutcome, result: TurnResult) -> None:
        outcome.attempts += 1
        report = result.report
        if report is not None:
            outcome.report = report
            outcome.seconds = round(outcome.seconds + report.seconds, 3)
            outcome.sent_bytes += report.bytes.sent
            outcome.read_bytes += report.bytes.read
            outcome.commits += report.commits

    def _keep(self, outcome: ItemOutcome, result: TurnResult) -> None:
        outcome.state = result.state
        outcome.error = result.errors[0] if result.errors else None
        self.report.notices.extend(result.notices)
        if result.left_out is not None:
            self.report.left_out.append(result.left_out)

    def _finished(
        self, state: _State, error_record: ErrorRecord | None = None, *, will_retry: bool = False
    ) -> None:
        item, outcome = state.turn.item, state.outcome
        self.observe(
            RepoFinished(
                item.number,
                item.source,
                item.target,
                ItemState.FAILED.value if will_retry else outcome.state.value,
                outcome.sent_bytes,
                outcome.seconds,
                error_record.message if error_record else None,
                will_retry,
            )
        )

    def _tell(self, held: Held, *, is_over: bool) -> None:
        waiting = sum(
            held.cause.concerns(state.turn.item.source, state.turn.item.target)
            for state in self._todo
        )
        self.observe(HeldUp(str(held.cause), held.text, waiting, is_over))

    def _stop_rest(self) -> None:
        """What was not finished is told as such; it is taken up first the next time."""
        for outcome in self.report.items:
            if outcome.state is not ItemState.STOPPED or outcome.error is None:
                continue
            if not self.report.was_cancelled:
                outcome.state = ItemState.FAILED
