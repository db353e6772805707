"""Keeping the ledger small and sound; loaded by the commands that ask for it, and by pruning."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hubferry.ledger.history import in_attempts_of, moment
from hubferry.ledger.schema import SCHEMA_VERSION
from hubferry.ledger.store import Store
from hubferry.ledger.tables import ALL, attempts, events, runs

DAY_SECONDS = 86_400.0
_ROWS_A_WRITE = 1000
_QUIET_DAYS = 7.0
"""A run without an end may be one that goes on: this long without a word, it does not."""


@dataclass(frozen=True, slots=True)
class _Old:
    """A run whose time is over, and where it stands in the order of all."""

    started_at: str
    run_id: str


def prune(store: Store, keep_days: float, now: float | None, limit: int) -> int:
    """See ``Ledger.prune``."""
    at = time.time() if now is None else now
    ended_before = moment(at - keep_days * DAY_SECONDS)
    quiet_since = moment(at - max(keep_days, _QUIET_DAYS) * DAY_SECONDS)
    removed = 0
    for old in _old_runs(store, ended_before, quiet_since):
        removed += _forget(store, old.run_id, limit - removed)
        if removed >= limit:
            break
    return removed


def _old_runs(store: Store, ended_before: str, quiet_since: str) -> Iterator[_Old]:
    order = (runs.c.started_at, runs.c.run_id)
    is_old = sa.or_(
        runs.c.ended_at < ended_before,
        sa.and_(
            runs.c.ended_at.is_(None),
            runs.c.started_at < quiet_since,
            ~_has_word_since(quiet_since),
        ),
    )
    after = sa.tuple_(*order)
    query = sa.select(*order).where(is_old, runs.c.started_at < ended_before).order_by(*order)
    last = _Old("", "")
    while True:
        page = query.where(after > (last.started_at, last.run_id)).limit(1)
        with store.read() as connection:
            found = connection.execute(page).one_or_none()
        if found is None:
            return
        last = _Old(found.started_at, found.run_id)
        yield last


def _has_word_since(since: str) -> sa.ColumnElement[bool]:
    """True of a run of which something happened, in itself or in an attempt."""
    begun = attempts.c.run_id == runs.c.run_id
    by_itself = sa.and_(events.c.owner_id == runs.c.run_id, events.c.at >= since)
    owner, run = events.c.owner_id, runs.c.run_id
    within = sa.and_(owner > run + "/", owner < run + "0", events.c.at >= since)
    return sa.or_(
        sa.exists().where(
            begun, sa.func.coalesce(attempts.c.ended_at, attempts.c.started_at) >= since
        ),
        sa.exists().where(by_itself),
        sa.exists().where(within),
    )


def _forget(store: Store, run_id: str, limit: int) -> int:
    """Remove up to ``limit`` rows of a run, itself last: what is cut short is gone on with."""
    parts = (
        (events, events.c.event_id, events.c.owner_id == run_id),
        (events, events.c.event_id, in_attempts_of(run_id, events.c.owner_id)),
        (attempts, attempts.c.attempt_id, attempts.c.run_id == run_id),
        (runs, runs.c.run_id, runs.c.run_id == run_id),
    )
    removed = 0
    for table, key, is_its in parts:
        while True:
            size = min(_ROWS_A_WRITE, limit - removed)
            if size <= 0:
                return removed
            some = sa.select(key).where(is_its).limit(size)
            with store.write() as connection:
                count = connection.execute(table.delete().where(key.in_(some))).rowcount
            removed += count
            if count < size:
                break
    return removed


def stats(store: Store) -> dict[str, Any]:
    """See ``Ledger.stats``."""
    with store.read() as connection:
        rows = {
            table.name: connection.execute(
                sa.select(sa.func.count()).select_from(table)
            ).scalar_one()
            for table in ALL
        }
        oldest = connection.execute(sa.select(sa.func.min(runs.c.started_at))).scalar_one()
        page_bytes, free_pages = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
            for name in ("page_size", "freelist_count")
        )
    return {
        "path": str(store.path) if store.path else None,
        "schema_version": SCHEMA_VERSION,
        "rows": rows,
        "file_bytes": store.file_bytes(),
        "wal_bytes": store.wal_bytes(),
        "free_bytes": page_bytes * free_pages,
        "oldest_run": oldest,
    }


def vacuum(store: Store) -> tuple[int, int]:
    """See ``Ledger.vacuum``."""
    before = store.file_bytes() + store.wal_bytes()
    store.outside("VACUUM")
    # What VACUUM wrote stands in the log until it is carried over; the log is emptied then.
    store.outside("PRAGMA wal_checkpoint(TRUNCATE)")
    return before, store.file_bytes() + store.wal_bytes()


def check(store: Store) -> list[str]:
    """See ``Ledger.check``."""
    found: list[str] = []
    with store.read() as connection:
        try:
            for row in connection.exec_driver_sql("PRAGMA quick_check"):
                found.append(str(row[0]))
        except sa.exc.DatabaseError as exc:
            # Broken so badly that the check itself cannot go on.
            found.append(str(exc.orig))
    return [] if found == ["ok"] else found
