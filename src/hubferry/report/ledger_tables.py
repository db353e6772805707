"""The ledger's size for people, and its rows for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console

from hubferry.i18n import tr
from hubferry.report import console as streams
from hubferry.report import words
from hubferry.report.tables import facts, say
from hubferry.text import T, Text

_TABLES = {
    "runs": T("runs"),
    "attempts": T("tries of repositories"),
    "events": T("events"),
    "repositories": T("pairs of repositories"),
    "files": T("verified files"),
    "blobs": T("known contents"),
}
_LINES_A_WRITE = 500

Row = Mapping[str, Any]


def print_ledger(console: Console, stats: Mapping[str, Any]) -> None:
    """How large the ledger is."""
    console.print(facts(_facts(stats)))


def print_vacuumed(console: Console, before_bytes: int, after_bytes: int) -> None:
    """What a vacuum gave back."""
    sizes = {"before": words.size(before_bytes), "after": words.size(after_bytes)}
    say(console, tr(T("The ledger took {before} and takes {after} now.", **sizes)))


def _facts(stats: Mapping[str, Any]) -> Iterator[tuple[Text, str]]:
    yield T("file"), words.clean(stats["path"] or "-")
    yield T("size"), words.size(stats["file_bytes"])
    yield T("of it free"), words.size(stats["free_bytes"])
    yield T("not yet carried over"), words.size(stats["wal_bytes"])
    yield T("oldest run"), words.moment(stats["oldest_run"]) if stats["oldest_run"] else "-"
    for table, count in stats["rows"].items():
        yield _TABLES.get(table, Text(table)), f"{count:,}"


def print_rows(rows: Iterable[Row]) -> None:
    """JSON lines on standard output; ends early, without an error, when nobody reads them.

    Raises:
        LocalError: standard output cannot be written (a full disk).
    """
    streams.print_all(_texts(rows))


def save_rows(rows: Iterable[Row], path: Path) -> None:
    """JSON lines in a file, which is there whole or not at all.

    Raises:
        LocalError: it cannot be written.
    """
    what = T("the record cannot be written to {path}", path=path)
    with streams.written_whole(path, what) as place:
        with place.open("w", encoding="utf-8", newline="\n") as written:
            for text in _texts(rows):
                written.write(text)


def _texts(rows: Iterable[Row]) -> Iterator[str]:
    """JSON lines, several hundred a piece: a write for each row would be most of the time."""
    rest = iter(rows)
    while lines := [_line(row) for row in islice(rest, _LINES_A_WRITE)]:
        yield "".join(lines)


def _line(row: Row) -> str:
    text = json.dumps(row, ensure_ascii=False)
    # A lone surrogate from a foreign path cannot be encoded: escape everything then.
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(row)
    return text + "\n"
