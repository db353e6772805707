"""One item's turn: what has to be asked, whether it is wanted, whether it is unchanged, the copy.

Used from many threads. It decides nothing about other items.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hubferry.batch.catalogue import Catalogue
from hubferry.batch.conditions import (
    needs_size,
    needs_summary,
    refused_by_past,
    refused_by_size,
    refused_by_summary,
)
from hubferry.batch.expanding import audience_notice, rename_notice
from hubferry.batch.judging import (
    Marks,
    is_half_done,
    is_not_due,
    is_unchanged,
    may_be_unchanged,
    next_try_at,
    policy_of,
    was_copied,
)
from hubferry.batch.records import EQUAL, FAILED, GONE, PARTIAL, SIZED, verified_record, wish_of
from hubferry.batch.values import Item, ItemState, LeftOut, Notice
from hubferry.errors import (
    AccessError,
    CancelledError,
    CopyError,
    LedgerError,
    NotFoundError,
    Side,
)
from hubferry.history import error_of_row, error_row
from hubferry.ledger import Ledger, RepoRecord
from hubferry.model import RepoSummary
from hubferry.outcome import ErrorRecord, RunReport
from hubferry.plan import Policy
from hubferry.text import Text


@dataclass(frozen=True, slots=True)
class Turn:
    """A try at one item."""

    item: Item
    attempt: int
    record: RepoRecord | None

    @property
    def policy(self) -> Policy:
        """What the copy is to do."""
        return policy_of(self.item.entry)

    @property
    def wish(self) -> str:
        """Names what is asked for."""
        return wish_of(self.policy, self.item.tags)


@dataclass(frozen=True)
class TurnResult:
    """How a turn ended. ``report`` only if something was copied or tried to be."""

    state: ItemState
    report: RunReport | None = None
    left_out: LeftOut | None = None
    notices: tuple[Notice, ...] = ()
    errors: tuple[ErrorRecord, ...] = ()


@dataclass(frozen=True)
class Look:
    """What was found before a copy: the turn's result if that settles it (``early``)."""

    notices: tuple[Notice, ...]
    early: TurnResult | None


@dataclass(frozen=True)
class Turns:
    """What a turn needs.

    ``copy`` brings one item over; ``size_of`` lists its source and adds up what the policy
    selects. Both raise or report our errors.
    """

    sources: Catalogue
    targets: Catalogue
    ledger: Ledger
    copy: Callable[[Turn], RunReport]
    size_of: Callable[[Turn], int]
    verify_seconds: float
    now: Callable[[], float]
    retry_seconds: float | None = None
    """What failed waits this long, then twice as long...; None: it is tried each time."""
    is_named: bool = False
    """Somebody says that these very sources have changed: none waits for its next try."""

    def settled_by_lists(self, turn: Turn) -> TurnResult | None:
        """The result, where lists and the ledger answer everything; asks nobody."""
        item = turn.item
        if self.retry_seconds is not None and not self.is_named:
            mark = item.source_summary.mark if item.source_summary else None
            if is_not_due(turn.record, turn.wish, mark, self.now()):
                return _waiting(turn)
        if item.source_summary is None or item.source.revision is not None:
            return None
        conditions = item.entry.conditions
        refusal = refused_by_summary(conditions, item.source_summary, self.now())
        if refusal is not None:
            return _left_out(turn, *refusal)
        if self._is_unchanged(turn, item.source_summary, item.target_summary):
            notice = audience_notice(turn.record, item.source_summary)
            return TurnResult(ItemState.UNCHANGED, notices=(notice,) if notice else ())
        return None

    def take(self, turn: Turn) -> TurnResult:
        """Carry the turn out.

        Raises:
            CopyError: cancelled, or the ledger cannot be used; nothing was copied.
        """
        look = self.look(turn)
        if look.early is not None:
            self._note_early(turn, look.early)
            return look.early
        turn = self._begun(turn)
        report = self.copy(turn)
        try:
            return self._after(turn, report, look.notices)
        except LedgerError as error:
            # What was done was done: the report tells it, and this too.
            report.errors.append(ErrorRecord.of(error))
            errors = tuple(report.errors)
            return TurnResult(ItemState.FAILED, report, notices=look.notices, errors=errors)

    def look(self, turn: Turn) -> Look:
        """What can be known before a copy; asks as little as the conditions allow.

        Also for dry runs: it remembers sizes and no failure.
        """
        notices: list[Notice] = []
        early: TurnResult | None
        try:
            summary = self._source_summary(turn)
            notices += [n for n in (rename_notice(turn.item.source.repo, summary),) if n]
            notices += [n for n in (audience_notice(turn.record, summary),) if n]
            early = self._settled(turn, summary)
        except (NotFoundError, AccessError) as error:
            early = self._lost(turn, error)
        except CancelledError:
            raise
        except CopyError as error:
            early = _failed(error)
        if early is not None:
            early = replace(early, notices=tuple(notices))
        return Look(tuple(notices), early)

    def _begun(self, turn: Turn) -> Turn:
        """Note, of a target that must be new, that it is ours: it may be half done later."""
        if not turn.item.entry.conditions.only_new or is_half_done(turn.record):
            return turn
        ends = str(turn.item.source), str(turn.item.target)
        known = turn.record or RepoRecord(*ends, turn.wish, PARTIAL)
        record = replace(known, state=PARTIAL)
        self.ledger.remember(record)
        return replace(turn, record=record)

    def _note_early(self, turn: Turn, early: TurnResult) -> None:
        """Remember what was found wrong with this source before anything was copied."""
        if early.state not in (ItemState.GONE, ItemState.FAILED):
            return
        first = early.errors[0]
        if first.side == "source" and first.error in ("not_found", "access"):
            self._remember_failure(turn, GONE if early.state is ItemState.GONE else FAILED, first)

    # --- before -------------------------------------------------------------------

    def _source_summary(self, turn: Turn) -> RepoSummary | None:
        """What is known of the source, asked if something depends on it."""
        item = turn.item
        if item.source_summary is not None:
            return item.source_summary
        is_asked = needs_summary(item.entry.conditions) or self._may_be_unchanged(turn)
        return self.sources.summary(item.source.repo) if is_asked else None

    def _settled(self, turn: Turn, summary: RepoSummary | None) -> TurnResult | None:
        item, conditions = turn.item, turn.item.entry.conditions
        refusal = refused_by_summary(conditions, summary, self.now())
        target: RepoSummary | None = None
        has_target = False
        if refusal is None and (conditions.only_new or self._may_be_unchanged(turn)):
            target = self._target_summary(item)
            has_target = target is not None
        if refusal is None:
            refusal = refused_by_past(
                conditions,
                # What we have begun ourselves is finished.
                is_taken=has_target and not is_half_done(turn.record),
                was_equal=was_copied(turn.record),
                is_changed=self._is_source_changed(turn, summary),
            )
        if refusal is not None:
            return _left_out(turn, *refusal)
        if summary is not None and self._is_unchanged(turn, summary, target):
            return TurnResult(ItemState.UNCHANGED)
        if needs_size(conditions):
            return self._refused_by_size(turn, summary)
        return None

    def _target_summary(self, item: Item) -> RepoSummary | None:
        if item.is_target_known:
            return item.target_summary
        try:
            return self.targets.summary(item.target.repo)
        except NotFoundError:
            return None

    def _may_be_unchanged(self, turn: Turn) -> bool:
        source, target = turn.item.source, turn.item.target
        own = (None, self.targets.hub_of(target.repo.hub).traits.default_branch)
        if source.revision is not None or target.revision not in own:
            return False  # lists tell the default branch only
        return may_be_unchanged(turn.record, turn.wish, self.now(), self.verify_seconds)

    def _is_unchanged(self, turn: Turn, source: RepoSummary, target: RepoSummary | None) -> bool:
        if turn.record is None or target is None or not self._may_be_unchanged(turn):
            return False
        return is_unchanged(turn.record, Marks(source.mark, target.mark))

    @staticmethod
    def _is_source_changed(turn: Turn, summary: RepoSummary | None) -> bool:
        if turn.record is None or summary is None or summary.mark is None:
            return True
        if turn.record.state != EQUAL:
            return True  # the mark is that of a state whose copy failed
        return summary.mark != turn.record.source_mark

    def _refused_by_size(self, turn: Turn, summary: RepoSummary | None) -> TurnResult | None:
        record, mark = turn.record, summary.mark if summary else None
        is_known = (
            record is not None
            # What failed has the mark of the state that was tried, and not its size.
            and record.state in (EQUAL, SIZED)
            and record.wish == turn.wish
            and mark is not None
            and record.source_mark == mark
        )
        size = record.size_bytes if is_known and record else self.size_of(turn)
        refusal = refused_by_size(turn.item.entry.conditions, size)
        if refusal is None:
            return None
        if record is None or record.state == SIZED:
            self.ledger.remember(
                RepoRecord(
                    str(turn.item.source),
                    str(turn.item.target),
                    turn.wish,
                    SIZED,
                    source_mark=mark,
                    size_bytes=size,
                )
            )
        return _left_out(turn, *refusal)

    # --- after --------------------------------------------------------------------

    def _lost(self, turn: Turn, error: CopyError) -> TurnResult:
        is_token = error.code == "invalid_token"
        if not was_copied(turn.record) or is_token or error.side is Side.TARGET:
            return _failed(error)
        return TurnResult(ItemState.GONE, errors=(ErrorRecord.of(error),))

    def _after(self, turn: Turn, report: RunReport, told: tuple[Notice, ...]) -> TurnResult:
        if report.was_cancelled:
            return TurnResult(ItemState.STOPPED, report, notices=told, errors=tuple(report.errors))
        if not report.errors:
            self.ledger.remember(record_of(turn, report, self.now()))
            state = ItemState.COPIED if report.commits else ItemState.EQUAL
            return TurnResult(state, report, notices=told)
        first = report.errors[0]
        is_lost = first.side == "source" and first.error in ("not_found", "access")
        if is_lost and was_copied(turn.record) and not report.commits:
            self._remember_failure(turn, GONE, first)
            return TurnResult(ItemState.GONE, report, notices=told, errors=tuple(report.errors))
        self._remember_failure(turn, PARTIAL if report.commits else FAILED, first)
        return TurnResult(ItemState.FAILED, report, notices=told, errors=tuple(report.errors))

    def _remember_failure(self, turn: Turn, state: str, error: ErrorRecord) -> None:
        """Note the failure; what was true of the target before may not be so any more."""
        known = turn.record or RepoRecord(
            str(turn.item.source), str(turn.item.target), turn.wish, state
        )
        if state == FAILED and known.state == PARTIAL:
            state = PARTIAL
        failures = known.failures + 1
        due = next_try_at(self.now(), self.retry_seconds, failures) if self.retry_seconds else None
        summary = turn.item.source_summary
        self.ledger.remember(
            replace(
                known,
                state=state,
                wish=turn.wish,
                source_mark=summary.mark if summary else known.source_mark,
                failures=failures,
                next_try_at=due,
                error=error_row(error),
            )
        )


def record_of(turn: Turn, report: RunReport, now: float) -> RepoRecord:
    """What the ledger keeps of a copy that ended well."""
    item = turn.item
    return verified_record(
        str(item.source),
        str(item.target),
        turn.wish,
        report,
        now,
        listed_mark=_lists_own_mark(turn, report),
    )


def _lists_own_mark(turn: Turn, report: RunReport) -> str | None:
    """What a list says of the target, where a hub's lists and its single answers disagree.

    They do if what was kept of the last look, by the single answer, is still so and the list
    said something else. Elsewhere the single answer counts: it is younger, and what another
    process has committed since the list is in it.
    """
    record, summary = turn.record, turn.item.target_summary
    is_the_same = record is not None and record.target_mark == report.target_mark is not None
    return summary.mark if is_the_same and summary is not None else None


def _waiting(turn: Turn) -> TurnResult:
    assert turn.record is not None, "only what has failed waits"
    error = error_of_row(turn.record.error or {})
    return TurnResult(ItemState.WAITING, errors=(error,))


def _left_out(turn: Turn, condition: str, reason: Text) -> TurnResult:
    left = LeftOut(str(turn.item.source), str(turn.item.target), condition, reason)
    return TurnResult(ItemState.LEFT_OUT, left_out=left)


def _failed(error: CopyError) -> TurnResult:
    return TurnResult(ItemState.FAILED, errors=(ErrorRecord.of(error),))
