"""What did happen: a record that saves time and never decides what is true.

SQLite through SQLAlchemy Core, in WAL mode, so that several processes share
one file. Losing it costs a read of each small file and the history, nothing
else. It holds no token and no signed URL: texts pass through the redaction of
whoever calls.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from hubferry.errors import LedgerError, UsageError
from hubferry.model import GitOid, Listing, Sha256
from hubferry.text import T

SCHEMA_VERSION = 1
BUSY_SECONDS = 10.0
"""How long to wait for another process's write; one write takes milliseconds."""

_metadata = sa.MetaData()

_runs = sa.Table(
    "runs",
    _metadata,
    sa.Column("run_id", sa.String, primary_key=True),
    sa.Column("command", sa.String, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("target", sa.String, nullable=False),
    sa.Column("started_at", sa.String, nullable=False, index=True),
    sa.Column("ended_at", sa.String),
    sa.Column("exit_code", sa.Integer),
    sa.Column("report", sa.Text),
)

_facts = sa.Table(
    "facts",
    _metadata,
    sa.Column("fact_id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String, nullable=False, index=True),
    sa.Column("at", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("path", sa.String),
    sa.Column("detail", sa.Text),
)

# One row per content that was read: what a hub that tells Git oids and a hub
# that tells SHA-256 call the same bytes.
_pairs = sa.Table(
    "digest_pairs",
    _metadata,
    sa.Column("git_oid", sa.String, primary_key=True),
    sa.Column("sha256", sa.String, nullable=False, index=True),
)

# Thousands of digests are one bound value: bound one by one they cost more than the search.
_BY_GIT_OID = (
    "SELECT git_oid, sha256 FROM json_each(?) AS asked JOIN digest_pairs ON git_oid = asked.value"
)
_BY_SHA256 = (
    "SELECT git_oid, sha256 FROM json_each(?) AS asked JOIN digest_pairs ON sha256 = asked.value"
)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


def _storable(text: str) -> str:
    """SQLite keeps UTF-8; a path that a hub made up may hold what that cannot say.

    In JSON the result is the escape for the same character.
    """
    return text.encode("utf-8", "backslashreplace").decode()


class Ledger:
    """The ledger file; safe from several threads and processes."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the ledger; None keeps it in memory for this process.

        Raises:
            LedgerError: the file cannot be used.
        """
        self._where = str(path) if path else "memory"
        with self._translated():
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._engine = sa.create_engine(
                    sa.URL.create("sqlite", database=str(path)),
                    connect_args={"timeout": BUSY_SECONDS},
                )
            else:
                self._engine = sa.create_engine(
                    "sqlite://",
                    connect_args={"check_same_thread": False},
                    poolclass=sa.pool.StaticPool,
                )
            with self._engine.connect() as connection:
                self._prepare(connection)

    def _prepare(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        # Several processes may open a new ledger at once: whoever comes second has to
        # find the tables made, not half made. (SQLite's driver begins nothing for DDL.)
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if version > SCHEMA_VERSION:
            raise LedgerError(
                T("the ledger {path} was written by a newer Hubferry", path=self._where),
                hint=T("update Hubferry, or name another file with HUBFERRY_LEDGER"),
            )
        if version < SCHEMA_VERSION:
            _metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.commit()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.SQLAlchemyError, OSError) as exc:
            cause = getattr(exc, "orig", None) or exc
            raise LedgerError(
                T("the ledger {path} cannot be used: {cause}", path=self._where, cause=cause),
                hint=T(
                    "it only saves time: move the file away, or name another with "
                    "HUBFERRY_LEDGER, and run the same command again"
                ),
            ) from exc

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with self._translated(), self._engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def start_run(self, run_id: str, command: str, source: str, target: str) -> None:
        """Note that a run began."""
        row = {
            "run_id": run_id,
            "command": command,
            "source": source,
            "target": target,
            "started_at": _now(),
        }
        with self._write() as connection:
            connection.execute(_runs.insert().values(**row))

    def end_run(self, run_id: str, exit_code: int, report: str) -> None:
        """Note how a run ended; ``report`` is its JSON."""
        with self._write() as connection:
            connection.execute(
                _runs.update()
                .where(_runs.c.run_id == run_id)
                .values(ended_at=_now(), exit_code=exit_code, report=_storable(report))
            )

    def note(
        self,
        run_id: str,
        kind: str,
        path: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """One fact: ``sent``, ``committed``, ``failed``, ``before`` (the target's state)."""
        self.note_all(run_id, kind, [(path, detail)])

    def note_all(
        self,
        run_id: str,
        kind: str,
        facts: Iterable[tuple[str | None, Mapping[str, Any] | None]],
    ) -> None:
        """Several facts of one kind in one write."""
        rows = [
            {
                "run_id": run_id,
                "at": _now(),
                "kind": kind,
                "path": _storable(path) if path else None,
                "detail": _storable(json.dumps(detail, ensure_ascii=False)) if detail else None,
            }
            for path, detail in facts
        ]
        if rows:
            with self._write() as connection:
                connection.execute(_facts.insert(), rows)

    def note_before(self, run_id: str, listing: Listing, head: str) -> None:
        """Record the target's state before the first change, so that it can be told again."""
        files = {
            entry.path: [entry.size_bytes, str(entry.sha256 or entry.git_oid or "")]
            for entry in listing.entries
        }
        self.note(run_id, "before", detail={"head": head, "files": files})

    def learn(self, pairs: Iterable[tuple[GitOid, Sha256]]) -> None:
        """Remember which Git oid and which SHA-256 name the same bytes."""
        rows = [{"git_oid": git.hex, "sha256": sha.hex} for git, sha in pairs]
        if rows:
            with self._write() as connection:
                connection.execute(insert(_pairs).on_conflict_do_nothing(), rows)

    def sha256_of(self, oids: Collection[GitOid]) -> dict[GitOid, Sha256]:
        """The known SHA-256 for these Git oids."""
        return {
            GitOid(git): Sha256(sha)
            for git, sha in self._lookup(_BY_GIT_OID, [oid.hex for oid in oids])
        }

    def git_oid_of(self, digests: Collection[Sha256]) -> dict[Sha256, GitOid]:
        """The known Git oid for these SHA-256."""
        return {
            Sha256(sha): GitOid(git)
            for git, sha in self._lookup(_BY_SHA256, [digest.hex for digest in digests])
        }

    def _lookup(self, query: str, values: list[str]) -> list[tuple[str, str]]:
        with self._translated(), self._engine.connect() as connection:
            found = connection.exec_driver_sql(query, (json.dumps(values),))
            return [(git, sha) for git, sha in found]

    def runs(self, limit: int = 50) -> list[dict[str, Any]]:
        """The latest runs, newest first."""
        newest_first = (_runs.c.started_at.desc(), _runs.c.run_id.desc())
        query = sa.select(_runs).order_by(*newest_first).limit(limit)
        with self._translated(), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def usual_speed(self, source_scheme: str, target_scheme: str) -> float | None:
        """Bytes a second that the latest copies between two hubs sent; None without any.

        Only runs that sent at least 8 MB count: shorter ones measure latency.
        """
        query = (
            sa.select(_runs.c.report)
            .where(
                _runs.c.source.startswith(f"{source_scheme}://"),
                _runs.c.target.startswith(f"{target_scheme}://"),
                _runs.c.report.is_not(None),
            )
            .order_by(_runs.c.started_at.desc())
            .limit(20)
        )
        with self._translated(), self._engine.connect() as connection:
            reports = [json.loads(row.report) for row in connection.execute(query)]
        pairs = [(r["bytes"]["sent"], r["seconds"]) for r in reports if "bytes" in r]
        pairs = [(sent, seconds) for sent, seconds in pairs if sent >= 8_000_000 and seconds > 0]
        if not pairs:
            return None
        return float(sum(sent for sent, _ in pairs) / sum(seconds for _, seconds in pairs))

    def run(self, run_id: str) -> dict[str, Any] | None:
        """One run by its id or a unique beginning of it, with its facts; None if unknown.

        Raises:
            UsageError: several runs begin like this, or it is blank.
        """
        if not run_id.strip():
            # Every id begins with nothing: an unset shell variable must not name a run.
            raise UsageError(
                T("the id of the run is empty"), hint=T("'hubferry runs list' shows them")
            )
        query = sa.select(_runs).where(_runs.c.run_id.startswith(run_id, autoescape=True)).limit(2)
        with self._translated(), self._engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
            if not rows:
                return None
            if len(rows) > 1:
                raise UsageError(T("several runs begin with {run_id}", run_id=run_id))
            facts = connection.execute(
                sa.select(_facts)
                .where(_facts.c.run_id == rows[0]["run_id"])
                .order_by(_facts.c.fact_id)
            )
            return rows[0] | {"facts": [dict(row) for row in facts.mappings()]}
