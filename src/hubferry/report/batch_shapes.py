"""The ``--json`` shapes of batches; see ``shapes`` for what is promised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hubferry.batch.values import BatchCheck, BatchPlan, BatchReport, ItemOutcome, LeftOut, Notice
from hubferry.i18n import tr
from hubferry.report import shapes
from hubferry.report.json_report import failure


@dataclass(frozen=True)
class BatchItem:
    """One repository. ``sent_bytes`` and ``commits`` count all of its tries in this run."""

    number: int
    source: str
    target: str
    state: Literal[
        "unchanged", "copied", "equal", "left_out", "failed", "gone", "stopped", "waiting"
    ]
    attempts: int
    verified: bool | None
    files: shapes.Files
    bytes: shapes.Bytes
    sent_bytes: int
    commits: int
    seconds: float
    errors: list[shapes.Failure]
    target_url: str | None


@dataclass(frozen=True)
class LeftOutItem:
    """A repository that a condition left out."""

    source: str
    target: str
    condition: str
    reason: str


@dataclass(frozen=True)
class NoticeItem:
    """Something to be seen, though nothing failed: ``renamed``, ``gone``, ``gated``..."""

    kind: str
    repo: str
    text: str


@dataclass(frozen=True)
class BatchShape:
    """What ``batch``, a cycle of ``watch`` and ``runs retry`` print. ``counts`` by state."""

    run_id: str
    command: str
    manifest: str
    counts: dict[str, int]
    sent_bytes: int
    read_bytes: int
    commits: int
    seconds: float
    items: list[BatchItem]
    left_out: list[LeftOutItem]
    notices: list[NoticeItem]
    errors: list[shapes.Failure]
    exit_code: int


@dataclass(frozen=True)
class BatchPlanItem:
    """What would be done with one repository."""

    number: int
    source: str
    target: str
    state: Literal["unchanged", "left_out", "copy", "failed"]
    files: int
    total_bytes: int
    held_bytes: int
    send_bytes: int
    commits: int
    target_exists: bool | None
    error: shapes.Failure | None


@dataclass(frozen=True)
class BatchPlanShape:
    """What ``batch --dry-run`` prints."""

    run_id: str
    command: str
    manifest: str
    counts: dict[str, int]
    total_bytes: int
    held_bytes: int
    send_bytes: int
    seconds_estimate: float
    speed_bytes_per_second: float
    is_speed_measured: bool
    seconds: float
    items: list[BatchPlanItem]
    left_out: list[LeftOutItem]
    notices: list[NoticeItem]
    errors: list[shapes.Failure]
    exit_code: int


@dataclass(frozen=True)
class BatchCheckShape:
    """What ``batch --check`` prints of a manifest whose lines are right."""

    command: str
    manifest: str
    entries: int
    repos: int
    hubs: list[str]
    notices: list[NoticeItem]
    errors: list[shapes.Failure]
    exit_code: int


def check_shape(check: BatchCheck, entries: int) -> BatchCheckShape:
    """A look at a manifest as it is printed."""
    return BatchCheckShape(
        "batch",
        check.manifest,
        entries,
        check.repos,
        check.hubs,
        _notices(check.notices),
        [failure(error) for error in check.errors],
        int(check.exit_code),
    )


def batch_shape(report: BatchReport) -> BatchShape:
    """A batch as it is printed."""
    return BatchShape(
        run_id=report.run_id,
        command=report.command,
        manifest=report.manifest,
        counts=dict(Counter(item.state.value for item in report.items)),
        sent_bytes=sum(item.sent_bytes for item in report.items),
        read_bytes=sum(item.read_bytes for item in report.items),
        commits=sum(item.commits for item in report.items),
        seconds=report.seconds,
        items=[_item(item) for item in report.items],
        left_out=_left_out(report.left_out),
        notices=_notices(report.notices),
        errors=[failure(error) for error in report.errors],
        exit_code=int(report.exit_code),
    )


def _item(item: ItemOutcome) -> BatchItem:
    done = item.report
    errors = list(done.errors) if done else []
    if item.error is not None and item.error not in errors:
        errors.insert(0, item.error)
    return BatchItem(
        item.number,
        item.source,
        item.target,
        item.state.value,
        item.attempts,
        done.verified if done else None,
        shapes.Files(**_fields(done.files)) if done else shapes.Files(),
        shapes.Bytes(**_fields(done.bytes)) if done else shapes.Bytes(),
        item.sent_bytes,
        item.commits,
        item.seconds,
        # Errors of a try that a later one made good are history.
        [failure(error) for error in errors] if item.error else [],
        done.target_url if done else None,
    )


def _fields(counts: object) -> dict[str, int]:
    return {name: getattr(counts, name) for name in counts.__slots__}  # type: ignore[attr-defined]


def plan_shape(plan: BatchPlan) -> BatchPlanShape:
    """A dry run as it is printed."""
    return BatchPlanShape(
        run_id=plan.run_id,
        command="batch",
        manifest=plan.manifest,
        counts=dict(Counter(item.state for item in plan.items)),
        total_bytes=sum(item.total_bytes for item in plan.items),
        held_bytes=sum(item.held_bytes for item in plan.items),
        send_bytes=plan.send_bytes,
        seconds_estimate=round(plan.seconds_estimate, 3),
        speed_bytes_per_second=plan.speed_bytes_per_second,
        is_speed_measured=plan.is_speed_measured,
        seconds=plan.seconds,
        items=[
            BatchPlanItem(
                item.number,
                item.source,
                item.target,
                item.state,  # type: ignore[arg-type]
                item.files,
                item.total_bytes,
                item.held_bytes,
                item.send_bytes,
                item.commits,
                item.target_exists,
                failure(item.error) if item.error else None,
            )
            for item in plan.items
        ],
        left_out=_left_out(plan.left_out),
        notices=_notices(plan.notices),
        errors=[failure(error) for error in plan.errors],
        exit_code=int(plan.exit_code),
    )


def _left_out(items: Sequence[LeftOut]) -> list[LeftOutItem]:
    return [LeftOutItem(i.source, i.target, i.condition, tr(i.reason)) for i in items]


def _notices(items: Sequence[Notice]) -> list[NoticeItem]:
    return [NoticeItem(item.kind, item.repo, tr(item.text)) for item in items]
