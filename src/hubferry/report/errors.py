"""Errors for people: a searchable English first line, the rest in the user's language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from hubferry.i18n import tr
from hubferry.outcome import ErrorRecord
from hubferry.report.words import clean
from hubferry.text import T, Text

_SIDES = {"source": T("source"), "target": T("target"), "local": T("this computer")}
MAX_SHOWN = 20
MAX_PATHS = 10


def error_lines(record: ErrorRecord, paths: Sequence[str] = ()) -> Iterator[str]:
    """``Error: <headline>``, then what, where, how to fix, and the hub's request id.

    ``paths``: several files that failed alike, told in one go.
    """
    if len(paths) > 1:
        record = replace(record, path=None)
    yield f"Error: {record.headline}"
    first, *more = _message_lines(record)
    yield _line(T("what"), first)
    yield from (f"    {line}" for line in more)
    if where := where_of(record):
        yield _line(T("where"), where)
    if len(paths) > 1:
        yield _line(T("files"), _some(paths))
    if record.hint:
        yield _line(T("fix"), clean(tr(record.hint)))
    if record.request_id:
        yield _line(T("request id"), clean(record.request_id))


def _message_lines(record: ErrorRecord) -> list[str]:
    """A manifest's mistakes stand a line each; nobody else's text may break a line."""
    told = tr(record.message)
    return [clean(line) for line in (told.split("\n") if record.error == "manifest" else [told])]


def errors_text(records: Iterable[ErrorRecord]) -> str:
    """All errors, one block for those that are alike; after ``MAX_SHOWN`` only their number."""
    alike: dict[tuple[object, ...], list[ErrorRecord]] = {}
    for record in records:
        alike.setdefault(_kind(record), []).append(record)
    found = list(alike.values())
    blocks = [
        "\n".join(error_lines(group[0], [record.path or "" for record in group]))
        for group in found[:MAX_SHOWN]
    ]
    if len(found) > MAX_SHOWN:
        more = sum(len(group) for group in found[MAX_SHOWN:])
        blocks.append(tr(T("… and {count} more errors (all of them with --json)", count=more)))
    return "\n".join(blocks)


def _kind(record: ErrorRecord) -> tuple[object, ...]:
    """What is equal in errors that can be told in one go; those of no file stand alone."""
    if not record.path:
        return (id(record),)
    texts = (tr(record.message), tr(record.hint) if record.hint else "")
    return (record.error, *texts, record.side, record.step, record.repo)


def _some(paths: Sequence[str]) -> str:
    shown = tr(T(", ")).join(clean(path) for path in paths[:MAX_PATHS])
    more = len(paths) - MAX_PATHS
    if more > 0:
        return tr(T("{paths} and {count} more (all of them with --json)", paths=shown, count=more))
    return shown


def _line(label: Text, value: str) -> str:
    return "  " + tr(T("{label}: {text}", label=label, text=value))


def where_of(record: ErrorRecord, *, with_path: bool = True) -> str:
    """Side, repository, path and step of an error, as far as they are known."""
    side = _SIDES.get(record.side or "")
    parts = [tr(side)] if side else []
    path = record.path if with_path else None
    parts += [clean(part) for part in (record.repo, path) if part]
    if record.step:
        parts.append(tr(T("step {step}", step=clean(record.step))))
    return tr(T(", ")).join(parts)
