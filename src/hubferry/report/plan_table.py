"""A plan for people: what would happen to which file, and what may stand in the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.console import Console

from hubferry.i18n import tr
from hubferry.model import Visibility
from hubferry.outcome import Advice, PlanReport
from hubferry.plan import Action, PlanEntry
from hubferry.report import words
from hubferry.report.tables import ACCESS, VISIBILITIES, facts, place, print_grid, say
from hubferry.text import T, Text

_ACTIONS = {
    Action.PRESENT: T("present"),
    Action.READ: T("read to compare"),
    Action.INLINE: T("send with the commit"),
    Action.UPLOAD: T("send"),
    Action.REUSE: T("already stored there"),
    Action.DELETE: T("delete"),
    Action.KEEP: T("keep"),
    Action.CONFLICT: T("conflict"),
    Action.REFUSED: T("refused"),
    Action.FILTERED: T("not selected"),
}
_QUIET = frozenset({Action.PRESENT, Action.KEEP, Action.FILTERED})
"""Nothing happens to these: counted, not listed."""
_LEVELS = {
    "refused": (T("refused"), "bold red"),
    "warning": (T("warning"), "yellow"),
    "info": (T("note"), ""),
}


def print_plan(console: Console, report: PlanReport) -> None:
    """What would be written, and the preflight."""
    title = T(
        "Plan: {source} to {target}", source=place(report.source), target=place(report.target)
    )
    say(console, tr(title), "bold")
    console.print(facts(_plan_facts(report)))
    for advice in report.preflight.advice:
        _print_advice(console, advice)
    shown = [entry for entry in report.plan.entries if entry.action not in _QUIET]
    if shown:
        headers = (T("action"), T("size"), T("path"), T("reason"))
        print_grid(console, headers, [_row(entry) for entry in shown], right=(1,))
    say(console, tr(T("Nothing was written.")))


def _row(entry: PlanEntry) -> tuple[str, str, str, str]:
    return (
        tr(_ACTIONS[entry.action]),
        words.size(entry.size_bytes),
        words.clean(entry.path),
        words.clean(tr(entry.reason)),
    )


def _plan_facts(report: PlanReport) -> Iterable[tuple[Text, str]]:
    counts = Counter(entry.action for entry in report.plan.entries)
    named = [f"{tr(text)} {counts[action]}" for action, text in _ACTIONS.items() if counts[action]]
    yield T("files"), tr(T(", ")).join(named) or "0"
    yield T("to send"), words.size(report.send_bytes)
    yield T("held by the target"), words.size(report.held_bytes)
    if report.blobs_unasked:
        unasked = T(
            "{count} files: the target can be asked about them once its repository exists",
            count=report.blobs_unasked,
        )
        yield T("not asked"), tr(unasked)
    yield T("commits"), str(report.commits)
    yield T("time, about"), tr(_estimate(report))
    yield T("target"), tr(_target_state(report))
    yield T("may write"), tr(ACCESS[report.preflight.write_access])
    yield T("visibility"), tr(VISIBILITIES[Visibility(report.visibility)])
    yield T("licence"), words.clean(report.license) if report.license else tr(T("not stated"))


def _estimate(report: PlanReport) -> Text:
    time = words.duration(report.seconds_estimate)
    speed = words.speed(report.speed_bytes_per_second)
    if report.is_speed_measured:
        return T("{time} (at {speed}, as in earlier runs)", time=time, speed=speed)
    return T("{time} (assuming {speed})", time=time, speed=speed)


def _target_state(report: PlanReport) -> Text:
    return T("exists") if report.target_exists else T("will be created")


def _print_advice(console: Console, advice: Advice) -> None:
    label, style = _LEVELS.get(advice.level, _LEVELS["info"])
    line = tr(T("{label}: {text}", label=label, text=words.clean(tr(advice.text))))
    if advice.path:
        line += f" [{words.clean(advice.path)}]"
    if advice.source:
        line += tr(T(" (source: {source})", source=words.clean(advice.source)))
    say(console, "  " + line, style)
