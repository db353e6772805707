"""The ledger's history for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console

from hubferry.i18n import tr
from hubferry.report import words
from hubferry.report.tables import facts, print_grid, say
from hubferry.text import T, Text

_STATES = {
    "running": T("running"),
    "paused": T("paused"),
    "stopping": T("stopping"),
    "finished": T("finished"),
    "dead": T("dead"),
}
_ENDED = T("run {run_id} has ended")
_ANSWERS = {
    "running": T("run {run_id} goes on"),
    "paused": T("run {run_id} is paused; 'hubferry runs resume {run_id}' lets it go on"),
    "stopping": T("run {run_id} stops; the same command again goes on where it stopped"),
}


def kept_report(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a row keeps of its run's report; None while it runs."""
    report = row.get("report")
    return json.loads(report) if isinstance(report, str) and report else report or None


def print_runs(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """The ledger's latest runs."""
    if not rows:
        say(console, tr(T("no runs yet")))
        return
    headers = (T("run"), T("started"), T("command"), T("source"), T("target"), T("state"))
    cells = [
        (
            row["run_id"],
            words.moment(row["started_at"]),
            row["command"],
            words.clean(row["source"]),
            words.clean(row["target"]),
            _state_and_code(row),
        )
        for row in rows
    ]
    print_grid(console, headers, cells, whole=(0, 5))


def _state(row: Mapping[str, Any]) -> str:
    return tr(_STATES[row["state"]])


def _state_and_code(row: Mapping[str, Any]) -> str:
    code = row["exit_code"]
    return _state(row) if code is None else f"{_state(row)}: {code}"


def _exit_code(row: Mapping[str, Any]) -> str:
    return "-" if row["exit_code"] is None else str(row["exit_code"])


def print_run_row(console: Console, row: Mapping[str, Any]) -> None:
    """One run with what happened in it, in order, and its errors."""
    kept = kept_report(row) or {}
    shown = (
        (T("run"), row["run_id"]),
        (T("command"), row["command"]),
        (T("source"), row["source"]),
        (T("target"), row["target"]),
        (T("started"), words.moment(row["started_at"])),
        (T("ended"), _end(row)),
        (T("state"), _state(row)),
        (T("exit code"), _exit_code(row)),
        *_kept_facts(kept),
    )
    console.print(facts((label, words.clean(value)) for label, value in shown))
    counted = [fact for fact in row.get("facts") or () if fact["kind"] != "before"]
    if counted:
        rows = [
            (words.moment(fact["at"])[11:], fact["kind"], words.clean(fact["path"] or ""))
            for fact in counted
        ]
        print_grid(console, (T("at"), T("event"), T("path")), rows)
    if errors := kept.get("errors"):
        cells = [(words.clean(e["path"] or "-"), words.clean(e["message"])) for e in errors]
        print_grid(console, (T("path"), T("error")), cells)


def print_control(console: Console, row: Mapping[str, Any]) -> None:
    """What a run that was asked for something does now."""
    answer = _ANSWERS.get(row["state"], _ENDED)
    say(console, tr(Text(answer.template, {"run_id": row["run_id"]})))


def _end(row: Mapping[str, Any]) -> str:
    if row["ended_at"] is None:
        return "-"
    return words.moment(row["ended_at"])


def _kept_facts(report: Mapping[str, Any]) -> Iterable[tuple[Text, str]]:
    """The figures that the ledger keeps of a run that got as far as having some."""
    files = report.get("files") or {}
    if not files.get("total"):
        return
    counts = (
        T("{count} in all", count=files["total"]),
        T("{count} sent", count=files["sent"]),
        T("{count} already stored there", count=files["reused"]),
        T("{count} failed", count=files["failed"]),
    )
    yield T("files"), tr(T(", ")).join(tr(text) for text in counts)
    yield T("sent"), words.size(report["bytes"]["sent"])
    yield T("commits"), str(report["commits"])
