"""Errors for people: a searchable English first line, the rest in the user's language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hubferry.i18n import tr
from hubferry.outcome import ErrorRecord
from hubferry.report.words import clean
from hubferry.text import T, Text

_SIDES = {"source": T("source"), "target": T("target"), "local": T("this computer")}
MAX_SHOWN = 20


def error_lines(record: ErrorRecord) -> Iterator[str]:
    """``Error: <headline>``, then what, where, how to fix, and the hub's request id."""
    yield f"Error: {record.headline}"
    yield _line(T("what"), clean(tr(record.message)))
    if where := _where(record):
        yield _line(T("where"), where)
    if record.hint:
        yield _line(T("fix"), clean(tr(record.hint)))
    if record.request_id:
        yield _line(T("request id"), clean(record.request_id))


def errors_text(records: Iterable[ErrorRecord]) -> str:
    """All errors, one block each; after ``MAX_SHOWN`` only their number."""
    found = list(records)
    blocks = ["\n".join(error_lines(record)) for record in found[:MAX_SHOWN]]
    if len(found) > MAX_SHOWN:
        more = len(found) - MAX_SHOWN
        blocks.append(tr(T("… and {count} more errors (all of them with --json)", count=more)))
    return "\n".join(blocks)


def _line(label: Text, value: str) -> str:
    return "  " + tr(T("{label}: {text}", label=label, text=value))


def _where(record: ErrorRecord) -> str:
    side = _SIDES.get(record.side or "")
    parts = [tr(side)] if side else []
    parts += [clean(part) for part in (record.repo, record.path) if part]
    if record.step:
        parts.append(tr(T("step {step}", step=clean(record.step))))
    return tr(T(", ")).join(parts)
