"""A batch for people: what was done, what was not and why, what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Console

from hubferry.batch.values import (
    UNFINISHED,
    BatchPlan,
    BatchReport,
    ItemOutcome,
    ItemPlan,
    LeftOut,
    Notice,
)
from hubferry.i18n import tr
from hubferry.outcome import ErrorRecord
from hubferry.report import words
from hubferry.report.item_words import STATES
from hubferry.report.tables import facts, print_grid, say
from hubferry.text import T, Text

_PLANNED = {
    "copy": T("to copy"),
    "unchanged": T("unchanged"),
    "left_out": T("left out"),
    "failed": T("cannot be planned"),
}


def print_batch(console: Console, report: BatchReport) -> None:
    """What a batch did: the counts, then only what is not as it should be."""
    is_fine = report.exit_code == 0
    headline = T("Batch finished: {manifest}") if is_fine else T("Batch not finished: {manifest}")
    values = {"manifest": words.clean(report.manifest)}
    style = "bold green" if is_fine else "bold yellow"
    say(console, tr(Text(headline.template, values)), style)
    console.print(facts(_batch_facts(report)))
    print_left_out(console, report.left_out)
    print_notices(console, report.notices)
    print_failed(console, report.of(*UNFINISHED))


def _batch_facts(report: BatchReport) -> Iterable[tuple[Text, str]]:
    counts = Counter(item.state.value for item in report.items)
    named = [f"{tr(text)} {counts[state]}" for state, text in STATES.items() if counts[state]]
    yield T("repositories"), tr(T(", ")).join(named) or "0"
    sent = sum(item.sent_bytes for item in report.items)
    rate = sent / report.seconds if report.seconds > 0 else 0.0
    moved = T("{size} ({speed})", size=words.size(sent), speed=words.speed(rate))
    yield T("sent"), tr(moved)
    yield T("commits"), str(sum(item.commits for item in report.items))
    yield T("time"), words.duration(report.seconds)
    yield T("run"), report.run_id


def print_failed(console: Console, items: Sequence[ItemOutcome]) -> None:
    """What could not be finished, why, and what to do; what was not begun is only counted."""
    unbegun = sum(item.error is None for item in items)
    rows = [
        (
            tr(STATES[item.state.value]),
            words.clean(item.source),
            words.clean(item.target),
            _why(item.error),
        )
        for item in items
        if item.error is not None
    ]
    if rows:
        print_grid(console, (T("state"), T("source"), T("target"), T("why, and what to do")), rows)
    if unbegun:
        text = T(
            "{count} repositories were not finished; the same command again takes them up first",
            count=unbegun,
        )
        say(console, "  " + tr(text), "yellow")


def _why(error: ErrorRecord) -> str:
    said = words.clean(tr(error.message))
    path = f"{words.clean(error.path)}: " if error.path else ""
    hint = f" → {words.clean(tr(error.hint))}" if error.hint else ""
    return path + said + hint


def print_left_out(console: Console, items: Sequence[LeftOut]) -> None:
    """What conditions left out, counted by condition, each with its reason."""
    if not items:
        return
    counts = Counter(item.condition for item in items)
    named = tr(T(", ")).join(f"{name} {count}" for name, count in counts.most_common())
    say(console, tr(T("Left out by conditions: {counts}", counts=named)))
    rows = [(words.clean(i.source), i.condition, words.clean(tr(i.reason))) for i in items]
    print_grid(console, (T("source"), T("condition"), T("reason")), rows)


def print_notices(console: Console, notices: Sequence[Notice]) -> None:
    """What is to be seen although nothing failed."""
    for notice in notices[:50]:
        text = tr(T("{repo}: {text}", repo=words.clean(notice.repo), text=notice.text))
        say(console, "  " + words.clean(text), "yellow")
    if len(notices) > 50:
        more = T("… and {count} more (all of them with --json)", count=len(notices) - 50)
        say(console, "  " + tr(more))


def print_batch_plan(console: Console, plan: BatchPlan) -> None:
    """The expanded list with sizes, and what it comes to."""
    title = T("Plan of {manifest}", manifest=words.clean(plan.manifest))
    say(console, tr(title), "bold")
    console.print(facts(_plan_facts(plan)))
    print_left_out(console, plan.left_out)
    print_notices(console, plan.notices)
    shown = [item for item in plan.items if item.state != "left_out"]
    if shown:
        headers = (T("state"), T("source"), T("target"), T("size"), T("held"), T("to send"))
        print_grid(console, headers, [_plan_row(item) for item in shown], right=(3, 4, 5))
    for item in shown:
        if item.error is not None:
            say(console, f"  {words.clean(item.source)}: {_why(item.error)}", "red")
    say(console, tr(T("Nothing was written.")))


def _plan_facts(plan: BatchPlan) -> Iterable[tuple[Text, str]]:
    counts = Counter(item.state for item in plan.items)
    named = [f"{tr(text)} {counts[state]}" for state, text in _PLANNED.items() if counts[state]]
    yield T("repositories"), tr(T(", ")).join(named) or "0"
    yield T("size"), words.size(sum(item.total_bytes for item in plan.items))
    yield T("held by the target"), words.size(sum(item.held_bytes for item in plan.items))
    yield T("to send"), words.size(plan.send_bytes)
    yield T("commits"), str(sum(item.commits for item in plan.items))
    time = words.duration(plan.seconds_estimate)
    speed = words.speed(plan.speed_bytes_per_second)
    estimate = (
        T("{time} (at {speed}, as in earlier runs)", time=time, speed=speed)
        if plan.is_speed_measured
        else T("{time} (assuming {speed})", time=time, speed=speed)
    )
    yield T("time, about"), tr(estimate)


def _plan_row(item: ItemPlan) -> tuple[str, ...]:
    return (
        tr(_PLANNED.get(item.state, Text(item.state))),
        words.clean(item.source),
        words.clean(item.target),
        words.size(item.total_bytes),
        words.size(item.held_bytes),
        words.size(item.send_bytes),
    )
