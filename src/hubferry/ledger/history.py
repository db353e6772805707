"""Runs, attempts and events: what happened, in order."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from hubferry.errors import UsageError
from hubferry.ledger.schema import SOURCE_HUB, TARGET_HUB
from hubferry.ledger.store import ROWS_AT_ONCE, Store, storable
from hubferry.ledger.tables import attempts, events, runs
from hubferry.model import Listing
from hubferry.text import T

Row = dict[str, Any]

_SPEED_RUNS = 20
_SPEED_BYTES = 8_000_000
"""Shorter ones measure latency."""

# SOURCE_HUB and TARGET_HUB as the index has them, or it would not be used.
_REPORTS_OF_HUBS = tuple(
    sa.text(
        f"SELECT started_at, report FROM {table} "  # noqa: S608 - constants only
        f"WHERE {SOURCE_HUB} = :source AND {TARGET_HUB} = :target AND report IS NOT NULL "
        f"ORDER BY started_at DESC LIMIT {_SPEED_RUNS}"
    )
    for table in ("runs", "attempts")
)


def moment(unix_seconds: float | None = None) -> str:
    """A time as the ledger keeps it, which sorts as text; now by default."""
    if unix_seconds is None:
        at = dt.datetime.now(dt.UTC)
    else:
        at = dt.datetime.fromtimestamp(unix_seconds, dt.UTC)
    return at.isoformat(timespec="milliseconds")


def in_attempts_of(run_id: str, owner: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """True of the ids of a run's attempts: its own, a slash, and more ("0" follows "/")."""
    return sa.and_(owner > f"{run_id}/", owner < f"{run_id}0")


def with_owner(row: Mapping[str, Any]) -> Row:
    """An event with ``run_id`` and ``attempt_id`` (None: the run's own) for its ``owner_id``."""
    found = dict(row)
    owner = found.pop("owner_id")
    run_id, slash, _ = owner.partition("/")
    return {"run_id": run_id, "attempt_id": owner if slash else None, **found}


class History:
    """The part of the ledger that tells what happened."""

    _store: Store

    def start_run(self, run_id: str, command: str, source: str, target: str) -> None:
        """Note that a run began."""
        row = {
            "run_id": run_id,
            "command": command,
            "source": storable(source),
            "target": storable(target),
            "started_at": moment(),
        }
        with self._store.write() as connection:
            connection.execute(runs.insert(), row)

    def end_run(self, run_id: str, exit_code: int, report: str) -> None:
        """Note how a run ended; ``report`` is its JSON."""
        ending = runs.update().where(runs.c.run_id == run_id)
        row = {"ended_at": moment(), "exit_code": exit_code, "report": storable(report)}
        with self._store.write() as connection:
            connection.execute(ending.values(**row))

    def start_attempt(
        self, attempt_id: str, run_id: str, number: int, source: str, target: str
    ) -> None:
        """Note that a try at one repository of a run began.

        ``attempt_id`` is ``<run id>/<number>.<try>``; where something happens in this try, it is
        also what ``note`` takes for ``run_id``.
        """
        row = {
            "attempt_id": attempt_id,
            "run_id": run_id,
            "number": number,
            "source": storable(source),
            "target": storable(target),
            "started_at": moment(),
        }
        with self._store.write() as connection:
            connection.execute(attempts.insert(), row)

    def end_attempt(self, attempt_id: str, state: str, exit_code: int, report_json: str) -> None:
        """Note how a try ended; ``report_json`` is its own report."""
        ending = attempts.update().where(attempts.c.attempt_id == attempt_id)
        row = {
            "ended_at": moment(),
            "state": str(state),
            "exit_code": exit_code,
            "report": storable(report_json),
        }
        with self._store.write() as connection:
            connection.execute(ending.values(**row))

    def note(
        self,
        run_id: str,
        kind: str,
        path: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """One event of a run or an attempt: ``sent``, ``committed``, ``failed``..."""
        self.note_all(run_id, kind, [(path, detail)])

    def note_all(
        self,
        run_id: str,
        kind: str,
        facts: Iterable[tuple[str | None, Mapping[str, Any] | None]],
    ) -> None:
        """Several events of one kind in one write."""
        at = moment()
        rows = [
            {
                "owner_id": run_id,
                "at": at,
                "kind": kind,
                "path": storable(path) if path else None,
                "detail": storable(json.dumps(detail, ensure_ascii=False)) if detail else None,
            }
            for path, detail in facts
        ]
        if rows:
            with self._store.write() as connection:
                connection.execute(events.insert(), rows)

    def note_before(self, run_id: str, listing: Listing, head: str) -> None:
        """Record the target's state before the first change, so that it can be told again."""
        files = {
            entry.path: [entry.size_bytes, str(entry.sha256 or entry.git_oid or "")]
            for entry in listing.entries
        }
        self.note(run_id, "before", detail={"head": head, "files": files})

    def runs(
        self,
        limit: int = 50,
        *,
        command: str | None = None,
        is_failed: bool = False,
        since_unix: float | None = None,
    ) -> list[Row]:
        """The latest runs, newest first.

        Args:
            is_failed: only those with another exit code than 0, or none yet.
            since_unix: only those that began then or later.
        """
        newest_first = (runs.c.started_at.desc(), runs.c.run_id.desc())
        query = sa.select(runs).order_by(*newest_first).limit(limit)
        if command is not None:
            query = query.where(runs.c.command == command)
        if is_failed:
            query = query.where(sa.or_(runs.c.exit_code != 0, runs.c.exit_code.is_(None)))
        if since_unix is not None:
            query = query.where(runs.c.started_at >= moment(since_unix))
        with self._store.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def run(self, run_id: str) -> Row | None:
        """One run by its id or a unique beginning of it, with its facts; None if unknown.

        ``facts`` are the run's own events; those of its attempts are told by ``events_of``.

        Raises:
            UsageError: several runs begin like this, or it is blank.
        """
        if not run_id.strip():
            # Every id begins with nothing: an unset shell variable must not name a run.
            raise UsageError(
                T("the id of the run is empty"), hint=T("'hubferry runs list' shows them")
            )
        query = sa.select(runs).where(runs.c.run_id.startswith(run_id, autoescape=True)).limit(2)
        with self._store.read() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
            if not rows:
                return None
            if len(rows) > 1:
                raise UsageError(T("several runs begin with {run_id}", run_id=run_id))
            facts = connection.execute(_facts_of(rows[0]["run_id"]))
            return rows[0] | {"facts": [dict(row) for row in facts.mappings()]}

    def attempts(self, run_id: str, states: Collection[str] = ()) -> list[Row]:
        """A run's tries, by repository number and in order; those with one of ``states``, if given.

        ``is_last`` marks the last try at its repository, whatever its state. ``state``,
        ``ended_at``, ``exit_code`` and ``report`` (JSON text) are None while it goes on.
        """
        # Tries at a repository follow each other, so the last one has the highest rowid.
        order = sa.literal_column("rowid", sa.Integer)
        latest = sa.func.max(order).over(partition_by=attempts.c.number)
        query = (
            sa.select(attempts, (order == latest).label("is_last"))
            .where(attempts.c.run_id == run_id)
            .order_by(attempts.c.number, order)
        )
        with self._store.read() as connection:
            return [
                {**row, "is_last": bool(row["is_last"])}
                for row in connection.execute(query).mappings()
                if not states or row["state"] in states
            ]

    def events_of(self, run_or_attempt_id: str) -> Iterator[Row]:
        """The events of an attempt, or of a run with all its attempts, oldest first.

        Each has ``event_id``, ``run_id``, ``attempt_id`` (None: the run's own), ``at``, ``kind``,
        ``path`` and ``detail`` (JSON text). A page at a time is held in memory.
        """
        first, last = self._span(run_or_attempt_id)
        # Along the events themselves (the + keeps SQLite from the index): those of a run are
        # close together, and sorting them anew for each page would make a long run slow.
        owner = sa.literal_column("+owner_id", sa.String)
        is_its = sa.or_(owner == run_or_attempt_id, in_attempts_of(run_or_attempt_id, owner))
        query = sa.select(events).where(is_its).order_by(events.c.event_id).limit(ROWS_AT_ONCE)
        while first <= last:
            page_query = query.where(events.c.event_id.between(first, last))
            with self._store.read() as connection:
                page = connection.execute(page_query).mappings().all()
            for row in page:
                yield with_owner(dict(row))
            first = page[-1]["event_id"] + 1 if len(page) == ROWS_AT_ONCE else last + 1

    def _span(self, run_or_attempt_id: str) -> tuple[int, int]:
        """The first and the last id of what ``events_of`` tells; (1, 0) if there is nothing."""
        ids = events.c.event_id
        parts = (
            events.c.owner_id == run_or_attempt_id,
            in_attempts_of(run_or_attempt_id, events.c.owner_id),
        )
        query = sa.union_all(
            *(sa.select(sa.func.min(ids), sa.func.max(ids)).where(part) for part in parts)
        )
        with self._store.read() as connection:
            found = [row for row in connection.execute(query) if row[0] is not None]
        if not found:
            return 1, 0
        return min(first for first, _ in found), max(last for _, last in found)

    def usual_speed(self, source_scheme: str, target_scheme: str) -> float | None:
        """Bytes a second that the latest copies between two hubs sent; None without any.

        Copies alone and within batches; only those that sent at least 8 MB count.
        """
        hubs = {"source": f"{source_scheme}:", "target": f"{target_scheme}:"}
        with self._store.read() as connection:
            found = [
                (row.started_at, row.report)
                for query in _REPORTS_OF_HUBS
                for row in connection.execute(query, hubs)
            ]
        latest = sorted(found, reverse=True)[:_SPEED_RUNS]
        figures = (_sent_and_seconds(report) for _, report in latest)
        pairs = [(sent, took) for sent, took in figures if sent >= _SPEED_BYTES and took > 0]
        if not pairs:
            return None
        return float(sum(sent for sent, _ in pairs) / sum(took for _, took in pairs))


def _sent_and_seconds(report: str) -> tuple[float, float]:
    """Bytes that a copy sent, and how long it took; zeros of a report that does not tell."""
    try:
        found = json.loads(report)
        return float(found["bytes"]["sent"]), float(found["seconds"])
    except (ValueError, KeyError, TypeError):
        return 0.0, 0.0


def _facts_of(run_id: str) -> sa.Select[Any]:
    """A run's own events, under the names that ``run`` tells."""
    c = events.c
    return (
        sa.select(
            c.event_id.label("fact_id"), c.owner_id.label("run_id"), c.at, c.kind, c.path, c.detail
        )
        .where(c.owner_id == run_id)
        .order_by(c.event_id)
    )
