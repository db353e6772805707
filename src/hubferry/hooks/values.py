"""What a hook tells, whichever form it takes: frozen values, sizes in bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from hubferry.batch.values import UNFINISHED, BatchReport, ItemState
from hubferry.errors import ExitCode
from hubferry.outcome import ErrorRecord, RepoRef, RunReport
from hubferry.text import Text

EVENTS = ("end", "failure", "stall")
KINDS = ("command", "webhook", "feishu", "dingtalk", "wecom", "slack")

WATCH = "watch"
"""The command whose runs are cycles."""
MAX_TROUBLES = 100
"""More of them are only counted: who wants all of them asks for the run's report."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A repository that is not done, and why. ``state`` is an ``ItemState`` value."""

    source: str
    target: str
    state: str
    error: ErrorRecord | None


@dataclass(frozen=True, slots=True)
class Stall:
    """Why nothing moves; ``repos`` wait for it, ``seconds`` is how long nothing has moved."""

    cause: str
    text: Text
    repos: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class News:
    """One thing worth telling of one run; ``exit_code`` None while it runs.

    ``counts``: repositories by state. ``troubles`` are the first ``MAX_TROUBLES``;
    ``more_troubles`` counts the rest. ``errors`` are of the run as a whole.
    ``is_failure``: this end is also a ``failure``.
    """

    run_id: str
    command: str
    subject: str
    target: str | None = None
    exit_code: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    sent_bytes: int = 0
    read_bytes: int = 0
    seconds: float = 0.0
    troubles: tuple[Trouble, ...] = ()
    more_troubles: int = 0
    errors: tuple[ErrorRecord, ...] = ()
    stall: Stall | None = None
    is_failure: bool = False


def is_news(report: BatchReport | RunReport) -> bool:
    """True if the end of a run is worth a message.

    Of a cycle of a watch only if it brought something over, or found something wrong that it
    had not found before: a message every quarter of an hour is one that nobody reads.
    """
    if not isinstance(report, BatchReport) or report.command != WATCH:
        return True
    return bool(report.of(ItemState.COPIED) or _has_failed(report))


def _has_failed(report: BatchReport) -> bool:
    """Of a watch, what waits for its hour or for the end of quiet hours is no failure."""
    if report.command != WATCH or report.was_cancelled:
        return report.exit_code != ExitCode.OK
    return bool(report.of(ItemState.FAILED, ItemState.GONE) or report.errors)


def news_of(report: BatchReport | RunReport) -> News:
    """What the end of a run is worth telling."""
    if isinstance(report, BatchReport):
        return _of_batch(report)
    return _of_run(report)


def news_of_stall(run_id: str, command: str, subject: str, stall: Stall) -> News:
    """What a run that stands still is worth telling."""
    return News(run_id, command, subject, stall=stall)


def _of_batch(report: BatchReport) -> News:
    bad = report.of(*UNFINISHED)
    # What failed comes before what was only stopped: the list may be cut.
    bad.sort(key=lambda item: item.state in (ItemState.STOPPED, ItemState.WAITING))
    troubles = tuple(
        Trouble(item.source, item.target, item.state.value, item.error) for item in bad
    )
    counts = Counter(item.state.value for item in report.items)
    if report.left_out:
        # Some of them never became items; those that did are counted once.
        counts[ItemState.LEFT_OUT.value] = len(report.left_out)
    return News(
        report.run_id,
        report.command,
        report.manifest,
        exit_code=report.exit_code,
        counts=dict(counts),
        sent_bytes=sum(item.sent_bytes for item in report.items),
        read_bytes=sum(item.read_bytes for item in report.items),
        seconds=report.seconds,
        troubles=troubles[:MAX_TROUBLES],
        more_troubles=max(0, len(troubles) - MAX_TROUBLES),
        errors=tuple(report.errors[:MAX_TROUBLES]),
        is_failure=_has_failed(report),
    )


def _of_run(report: RunReport) -> News:
    source, target = _place(report.source), _place(report.target) if report.target else None
    state = _state_of(report)
    troubles = tuple(Trouble(source, target or "", state, error) for error in report.errors)
    return News(
        report.run_id,
        report.command,
        source,
        target,
        exit_code=report.exit_code,
        counts={state: 1},
        sent_bytes=report.bytes.sent,
        read_bytes=report.bytes.read,
        seconds=report.seconds,
        troubles=troubles[:MAX_TROUBLES],
        more_troubles=max(0, len(troubles) - MAX_TROUBLES),
        is_failure=report.exit_code != ExitCode.OK,
    )


def _state_of(report: RunReport) -> str:
    if report.was_cancelled:
        return ItemState.STOPPED.value
    if report.exit_code != ExitCode.OK:
        return ItemState.FAILED.value
    did = report.commits or report.bytes.sent
    return (ItemState.COPIED if did else ItemState.EQUAL).value


def _place(ref: RepoRef) -> str:
    kind = "" if ref.repo_type == "model" else f"{ref.repo_type}s/"
    at = f"@{ref.revision}" if ref.revision else ""
    return f"{ref.hub}://{kind}{ref.repo}{at}"
