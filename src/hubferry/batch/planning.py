"""A dry run of a batch: what it would do with each repository, and what that comes to.

Holds a few numbers a repository and one plan a worker, whatever there is in all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hubferry.batch.expanding import Expanded
from hubferry.batch.turns import Turn, TurnResult, Turns
from hubferry.batch.values import BatchPlan, ItemPlan, ItemState
from hubferry.control import CancelToken
from hubferry.engines.base import Engine, Outcome
from hubferry.errors import unexpected
from hubferry.outcome import ErrorRecord, PlanReport
from hubferry.plan import Action

PlanItem = Callable[[Turn], PlanReport]
_NOT_OURS = frozenset({Action.FILTERED, Action.KEEP, Action.DELETE})
CHUNK = 1000
"""Items whose records are recalled at a time."""


@dataclass(frozen=True)
class Planned:
    """What one item would need; no plan is kept."""

    plan: ItemPlan
    seconds: float = 0.0


class Planner:
    """Plans every item of an expanded manifest; one use."""

    def __init__(self, turns: Turns, plan_item: PlanItem, engine: Engine) -> None:
        self._turns = turns
        self._plan_item = plan_item
        self._engine = engine

    def run(self, expanded: Expanded, plan: BatchPlan, cancel: CancelToken) -> BatchPlan:
        """Fill in ``plan``.

        Raises:
            CancelledError: someone asked to stop.
        """
        started = time.monotonic()
        plan.left_out.extend(expanded.left_out)
        plan.errors.extend(ErrorRecord.of(error) for error in expanded.errors)
        seconds = 0.0
        outcomes: Iterator[Outcome[Turn, tuple[Planned, TurnResult | None]]] = self._engine.run(
            self._turns_of(expanded), self._one, cancel
        )
        for done in outcomes:
            planned, early = done.result or (_failed(done.task, done.error), None)
            seconds += planned.seconds
            plan.items.append(planned.plan)
            if early is not None:
                plan.notices.extend(early.notices)
                plan.left_out.extend([early.left_out] if early.left_out else [])
        cancel.check()
        plan.items.sort(key=lambda item: item.number)
        plan.seconds_estimate = seconds / self._engine.width
        if plan.speed_bytes_per_second:
            plan.seconds_estimate += plan.send_bytes / plan.speed_bytes_per_second
        plan.seconds = round(time.monotonic() - started, 3)
        return plan

    def _turns_of(self, expanded: Expanded) -> Iterator[Turn]:
        items = expanded.items
        for first in range(0, len(items), CHUNK):
            some = items[first : first + CHUNK]
            pairs = [(str(item.source), str(item.target)) for item in some]
            known = self._turns.ledger.recall(pairs)
            for item, pair in zip(some, pairs, strict=True):
                yield Turn(item, 1, known.get(pair))

    def _one(self, turn: Turn) -> tuple[Planned, TurnResult | None]:
        early = self._turns.settled_by_lists(turn) or self._turns.look(turn).early
        if early is not None:
            return Planned(_settled(turn, early)), early
        report = self._plan_item(turn)
        entries = [e for e in report.plan.entries if e.action not in _NOT_OURS]
        item = ItemPlan(
            turn.item.number,
            str(turn.item.source),
            str(turn.item.target),
            "copy",
            files=len(entries),
            total_bytes=sum(entry.size_bytes for entry in entries),
            held_bytes=report.held_bytes,
            send_bytes=report.send_bytes,
            commits=report.commits,
            target_exists=report.target_exists,
        )
        speed = report.speed_bytes_per_second
        return Planned(item, report.seconds_estimate - report.send_bytes / speed), None


def _settled(turn: Turn, early: TurnResult) -> ItemPlan:
    record = turn.record
    is_unchanged = early.state is ItemState.UNCHANGED and record is not None
    names = {ItemState.UNCHANGED: "unchanged", ItemState.LEFT_OUT: "left_out"}
    return ItemPlan(
        turn.item.number,
        str(turn.item.source),
        str(turn.item.target),
        names.get(early.state, "failed"),
        files=record.files if is_unchanged and record else 0,
        total_bytes=record.size_bytes if is_unchanged and record else 0,
        held_bytes=record.size_bytes if is_unchanged and record else 0,
        target_exists=True if is_unchanged else None,
        error=early.errors[0] if early.errors else None,
    )


def _failed(turn: Turn, error: Exception | None) -> Planned:
    assert error is not None, "whoever did not fail has a result"
    item = ItemPlan(
        turn.item.number,
        str(turn.item.source),
        str(turn.item.target),
        "failed",
        error=ErrorRecord.of(unexpected(error)),
    )
    return Planned(item)
