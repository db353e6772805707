"""CSV with a header: ``source,target`` and any key of an entry or of its conditions."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Sequence
from typing import Any

from hubferry.manifest.entries import EntryMaker
from hubferry.manifest.problems import Problems, shown
from hubferry.manifest.shapes import ConditionsShape, DefaultsShape, EntryShape
from hubferry.manifest.validating import validate
from hubferry.text import T

LIST_SEPARATOR = ";"
_CONDITIONS = tuple(ConditionsShape.key_names())
COLUMNS = (
    "source",
    *(name for name in DefaultsShape.key_names() if name != "conditions"),
    *_CONDITIONS,
)
LISTS = frozenset(
    {"revisions", "include", "exclude", "license-allow", "license-deny", "task", "family"}
)
BOOLS = frozenset({"delete", "only-new", "only-changed"})
NUMBERS = frozenset({"max-delete"})


def read_csv(text: str, problems: Problems, make: EntryMaker) -> None:
    """Add an entry for each row. Empty cells say nothing."""
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] | None = None
    line = 1
    try:
        for row in rows:
            start, line = line, rows.line_num + 1
            if not any(cell.strip() for cell in row):
                continue
            if columns is None:
                columns = _columns(row, start, problems)
                if columns is None:
                    return
                continue
            _add(row, columns, start, problems, make)
    except csv.Error as error:
        # The reader stands at the end of what it could not read, which may be the file's.
        problems.add(
            line,
            T("this row is no CSV: {reason}", reason=str(error)),
            T("close its quotation marks; a quotation mark inside a cell is written twice"),
        )
    if columns is None:
        problems.add(1, T("the file is empty"), T("begin with the line: source,target"))


def _columns(row: Sequence[str], line: int, problems: Problems) -> list[str] | None:
    found = [cell.strip().lower() for cell in row]
    before = len(problems)
    if len(found) == 1 and (";" in found[0] or "\t" in found[0]):
        problems.add(
            line,
            T("the columns are not divided by commas"),
            T("begin with the line: source,target"),
        )
        return None
    for name in found:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name.replace("_", "-"), COLUMNS, 1, 0.6)
            how = T("the columns are {names}", names=", ".join(COLUMNS))
            if near:
                how = T("did you mean {key}?", key=shown(near[0]))
            problems.add(line, T("unknown column {name}", name=shown(name)), how)
    for name in sorted({name for name in found if found.count(name) > 1}):
        problems.add(line, T("the column {name} is there twice", name=shown(name)), T("remove one"))
    if "source" not in found:
        problems.add(
            line, T("there is no column 'source'"), T("begin with the line: source,target")
        )
    return found if len(problems) == before else None


def _add(
    row: Sequence[str], columns: Sequence[str], line: int, problems: Problems, make: EntryMaker
) -> None:
    if len(row) > len(columns) and any(cell.strip() for cell in row[len(columns) :]):
        problems.add(
            line,
            T("{count} cells, but {columns} columns", count=len(row), columns=len(columns)),
            T("put cells that hold a comma in double quotes; lists are divided by ';'"),
        )
        return
    cells = {name: cell.strip() for name, cell in zip(columns, row, strict=False) if cell.strip()}
    if "source" not in cells:
        problems.add(line, T("the row has no source"), T("name one, or remove the row"))
    elif cells.keys() <= {"source", "target"}:
        make.add_plain(line, cells["source"], cells.get("target"))
    else:
        shape = validate(EntryShape, _values(cells), lambda at: line, problems)
        if shape is not None:
            make.add(shape, lambda at: line)


def _values(cells: dict[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    conditions: dict[str, Any] = {}
    for name, cell in cells.items():
        (conditions if name in _CONDITIONS else values)[name] = _value(name, cell)
    return {**values, "conditions": conditions} if conditions else values


def _value(name: str, cell: str) -> Any:
    """The cell as YAML would have given it; what it cannot be stays text and is refused."""
    if name in LISTS:
        return [part.strip() for part in cell.split(LIST_SEPARATOR) if part.strip()]
    if name in BOOLS:
        return {"true": True, "false": False}.get(cell.lower(), cell)
    if name in NUMBERS and cell.isascii() and cell.isdigit() and len(cell) < 20:
        return int(cell)
    return cell
