"""Every row of the ledger, for other programs; loaded by the command that asks for it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from hubferry.errors import UsageError
from hubferry.ledger.history import with_owner
from hubferry.ledger.store import ROWS_AT_ONCE, Store
from hubferry.ledger.tables import ALL, events, files, repositories
from hubferry.text import T

TABLES = tuple(table.name for table in ALL)
_JSON_COLUMNS = ("report", "detail", "error")


def export(store: Store, tables: Collection[str]) -> Iterator[dict[str, Any]]:
    """See ``Ledger.export``."""
    unknown = sorted(set(tables) - set(TABLES))
    if unknown:
        raise UsageError(
            T("the ledger has no table called {name}", name=unknown[0]),
            hint=T("its tables are {names}", names=", ".join(TABLES)),
        )
    return _rows(store, [table for table in ALL if not tables or table.name in tables])


def _rows(store: Store, tables: list[sa.Table]) -> Iterator[dict[str, Any]]:
    for table in tables:
        for row in _pages(store, table):
            yield {"table": table.name, **_told(table, row)}


def _pages(store: Store, table: sa.Table) -> Iterator[Mapping[str, Any]]:
    """All rows in order of the key, a page held in memory.

    Each page is a question of its own: whoever reads slowly keeps no writer's log from being
    emptied. A row that comes or goes meanwhile may be in it or not.
    """
    key = list(table.primary_key)
    query = _query(table).order_by(*key).limit(ROWS_AT_ONCE)
    page_query = query
    while True:
        with store.read() as connection:
            page = [dict(row) for row in connection.execute(page_query).mappings()]
        yield from page
        if len(page) < ROWS_AT_ONCE:
            return
        last = tuple(page[-1][column.name] for column in key)
        page_query = query.where(sa.tuple_(*key) > last)


def _query(table: sa.Table) -> sa.Select[Any]:
    if table is not files:
        return sa.select(table)
    c = repositories.c
    pairs = table.join(repositories, c.repo_id == table.c.repo_id)
    return sa.select(c.source, c.target, table).select_from(pairs)


def _told(table: sa.Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON can say it, without the numbers that mean something in the file alone."""
    found = with_owner(row) if table is events else dict(row)
    found.pop("repo_id", None)
    for name, value in found.items():
        if isinstance(value, bytes):
            found[name] = value.hex()
        elif name in _JSON_COLUMNS and value:
            found[name] = _parsed(value)
    return found


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
