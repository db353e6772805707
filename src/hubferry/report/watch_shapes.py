"""What ``watch`` says of each cycle: a line for people, an object for scripts."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

from hubferry.batch.values import BatchReport
from hubferry.i18n import tr
from hubferry.outcome import ErrorRecord
from hubferry.report import shapes, words
from hubferry.report.batch_shapes import BatchShape, batch_shape
from hubferry.report.item_words import counted
from hubferry.report.json_report import failure
from hubferry.text import T, Text


@dataclass(frozen=True)
class WatchShape:
    """What ``watch`` prints after each cycle, on a line of its own.

    ``repos``: the source repositories that webhooks named, null for a look at
    everything. ``batch`` is null when the cycle failed as a whole; its
    ``items`` leave out what is unchanged, which ``counts`` counts.
    """

    command: str
    cycle: int
    started_at: str
    ended_at: str
    next_at: str
    repos: list[str] | None
    batch: BatchShape | None
    errors: list[shapes.Failure]
    exit_code: int


@dataclass(frozen=True, slots=True)
class CycleNews:
    """One cycle of watch, as far as it is told. Moments are Unix seconds."""

    number: int
    started_at: float
    ended_at: float
    next_at: float
    repos: Collection[str] | None
    report: BatchReport | None
    error: ErrorRecord | None

    @property
    def exit_code(self) -> int:
        """What a single cycle ends with."""
        if self.error is not None:
            return self.error.exit_code
        return int(self.report.exit_code) if self.report else 0


def watch_shape(command: str, news: CycleNews) -> WatchShape:
    """A cycle for scripts."""
    batch = batch_shape(news.report) if news.report else None
    if batch is not None:
        batch = replace(batch, items=[item for item in batch.items if item.state != "unchanged"])
    return WatchShape(
        command,
        news.number,
        _utc(news.started_at),
        _utc(news.ended_at),
        _utc(news.next_at),
        None if news.repos is None else sorted(news.repos),
        batch,
        [failure(news.error)] if news.error else [],
        news.exit_code,
    )


def watch_line(news: CycleNews, *, has_next: bool = True) -> str:
    """``2026-11-26 12:00:34 cycle 12: 3 copied, 497 unchanged; 1.2 GB sent in 34 s; next ...``."""
    values: dict[str, object] = {
        "at": _local(news.ended_at).strftime("%Y-%m-%d %H:%M:%S"),
        "number": news.number,
        "what": _what(news),
        "next": _next(news),
    }
    if not has_next:
        return tr(T("{at} cycle {number}: {what}", **values))
    return tr(T("{at} cycle {number}: {what}; next {next}", **values))


def _what(news: CycleNews) -> Text:
    if news.report is None:
        reason = words.clean(tr(news.error.message)) if news.error else ""
        return T("failed: {reason}", reason=reason)
    items = news.report.items
    counts = Counter(item.state.value for item in items)
    said = T(
        "{counts}; {size} sent in {time}",
        counts=counted(counts) or tr(T("nothing to do")),
        size=words.size(sum(item.sent_bytes for item in items)),
        time=words.duration(news.ended_at - news.started_at),
    )
    return said if news.repos is None else T("by webhook: {what}", what=said)


def _next(news: CycleNews) -> str:
    """The time of day, with the day where it is another one."""
    then, now = _local(news.next_at), _local(news.ended_at)
    return then.strftime("%H:%M:%S" if then.date() == now.date() else "%Y-%m-%d %H:%M:%S")


def _local(moment: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(moment).astimezone()


def _utc(moment: float) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).isoformat(timespec="seconds")
