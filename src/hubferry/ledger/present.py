"""Repositories, files and contents: how things stand."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import fields
from functools import cache
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import Insert, insert

from hubferry.ledger.records import RepoRecord
from hubferry.ledger.store import ROWS_AT_ONCE, Store, storable
from hubferry.ledger.tables import files, repositories
from hubferry.model import GitOid, Sha256

V = TypeVar("V")
Pair = tuple[str, str]
FileRow = tuple[str, int, str | None]
"""Path, size in bytes, SHA-256 in hex where it is known."""

_FIELDS = tuple(field.name for field in fields(RepoRecord))
_COLUMNS = ", ".join(f"repositories.{name}" for name in _FIELDS)
_KEY = ("source", "target")
_HIGHEST = "\U0010ffff"

# Thousands of keys are one bound value: bound one by one they cost more than the search.
_RECALL = f"""
    SELECT {_COLUMNS} FROM json_each(?) AS asked CROSS JOIN repositories
    ON source = json_extract(asked.value, '$[0]') AND target = json_extract(asked.value, '$[1]')
"""  # noqa: S608 - names of our own fields
_BY_GIT_OID, _BY_SHA256 = (
    f"SELECT git_oid, sha256 FROM json_each(?) AS asked CROSS JOIN blobs "  # noqa: S608 - constants
    f"ON {column} = from_hex(asked.value)"
    for column in ("git_oid", "sha256")
)
_LEARN = "INSERT INTO blobs (git_oid, sha256) VALUES (?, ?) ON CONFLICT DO NOTHING"

# A table of the connection alone: filling it keeps nobody waiting and takes no memory of ours.
_NEW_FILES = """
    CREATE TEMP TABLE IF NOT EXISTS new_files (
        path VARCHAR NOT NULL PRIMARY KEY, size_bytes INTEGER NOT NULL, sha256 BLOB
    ) WITHOUT ROWID
"""
_ADD_NEW = "INSERT OR REPLACE INTO new_files (path, size_bytes, sha256) VALUES (?, ?, ?)"
_CLEAR_NEW = "DELETE FROM new_files"
_DROP_OLD = "DELETE FROM files WHERE repo_id = ? AND path NOT IN (SELECT path FROM new_files)"
_KEEP_NEW = """
    INSERT INTO files (repo_id, path, size_bytes, sha256)
    SELECT ?, path, size_bytes, sha256 FROM new_files WHERE NOT EXISTS (
        SELECT 1 FROM files AS kept WHERE kept.repo_id = ? AND kept.path = new_files.path
            AND kept.size_bytes = new_files.size_bytes AND kept.sha256 IS new_files.sha256
    )
    ON CONFLICT (repo_id, path)
    DO UPDATE SET size_bytes = excluded.size_bytes, sha256 = excluded.sha256
"""


def chunks(values: Iterable[V], size: int = ROWS_AT_ONCE) -> Iterator[list[V]]:
    """Lists of ``size`` values; the last may be shorter."""
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk


class Present:
    """The part of the ledger that tells how things stand."""

    _store: Store

    def remember(self, record: RepoRecord) -> None:
        """Keep how a pair stands, in place of what was known of it."""
        self.remember_all([record])

    def remember_all(self, records: Iterable[RepoRecord]) -> None:
        """Keep how many pairs stand; a few thousand are kept together or not at all."""
        upsert = _upsert()
        for chunk in chunks(records):
            rows = [_row(record) for record in chunk]
            with self._store.write() as connection:
                connection.execute(upsert, rows)

    def recall(self, pairs: Collection[Pair]) -> dict[Pair, RepoRecord]:
        """What is known of these pairs of source and target; unknown ones are left out."""
        found: dict[Pair, RepoRecord] = {}
        for chunk in chunks(pairs):
            asked = {
                (storable(source), storable(target)): (source, target) for source, target in chunk
            }
            with self._store.read() as connection:
                rows = connection.exec_driver_sql(_RECALL, (json.dumps(list(asked)),))
                for record in map(_record, rows):
                    found[asked[record.source, record.target]] = record
        return found

    def recall_sources(self, prefix: str) -> list[RepoRecord]:
        """What is known of the pairs whose source begins so, in order of source and target."""
        c, begin = repositories.c, storable(prefix)
        query = (
            sa.select(*(c[name] for name in _FIELDS))
            .where(c.source >= begin, c.source <= begin + _HIGHEST)
            .order_by(c.source, c.target)
        )
        with self._store.read() as connection:
            return [_record(row) for row in connection.execute(query)]

    def remember_files(self, source: str, target: str, files: Iterable[FileRow]) -> None:
        """Keep which files a pair was verified to have, in place of those known before.

        Rows that are as before are not written again. All or nothing; memory does not grow with
        the number of files. A pair that nobody remembered is remembered as ``partial``.
        """

        def fill(connection: sa.Connection) -> None:
            connection.exec_driver_sql(_NEW_FILES)
            connection.exec_driver_sql(_CLEAR_NEW)
            for chunk in chunks(files):
                rows = [_file_row(*file) for file in chunk]
                connection.exec_driver_sql("BEGIN")
                connection.exec_driver_sql(_ADD_NEW, rows)
                connection.exec_driver_sql("COMMIT")

        with self._store.write(before=fill) as connection:
            repo_id = _pair_id(connection, storable(source), storable(target))
            connection.exec_driver_sql(_DROP_OLD, (repo_id,))
            connection.exec_driver_sql(_KEEP_NEW, (repo_id, repo_id))
            connection.exec_driver_sql(_CLEAR_NEW)

    def knows_files(self, source: str, target: str) -> bool:
        """Whether ``remember_files`` was ever called for a pair."""
        query = (
            sa.select(sa.literal(1))
            .select_from(files.join(repositories, files.c.repo_id == repositories.c.repo_id))
            .where(repositories.c.source == storable(source))
            .where(repositories.c.target == storable(target))
            .limit(1)
        )
        with self._store.read() as connection:
            return connection.execute(query).first() is not None

    def files_of(self, source: str, target: str) -> Iterator[FileRow]:
        """The files that a pair was verified to have, by path; a page is held in memory."""
        pair = sa.and_(
            repositories.c.source == storable(source), repositories.c.target == storable(target)
        )
        columns = (files.c.path, files.c.size_bytes, files.c.sha256)
        query = (
            sa.select(*columns)
            .where(
                files.c.repo_id == sa.select(repositories.c.repo_id).where(pair).scalar_subquery()
            )
            .order_by(files.c.path)
            .limit(ROWS_AT_ONCE)
        )
        after = ""
        while True:
            with self._store.read() as connection:
                page = connection.execute(query.where(files.c.path > after)).all()
            for path, size_bytes, sha256 in page:
                yield path, size_bytes, sha256.hex() if sha256 else None
            if len(page) < ROWS_AT_ONCE:
                return
            after = page[-1].path

    def learn(self, pairs: Iterable[tuple[GitOid, Sha256]]) -> None:
        """Remember which Git oid and which SHA-256 name the same bytes."""
        for chunk in chunks(pairs):
            rows = [(bytes.fromhex(git.hex), bytes.fromhex(sha.hex)) for git, sha in chunk]
            with self._store.write() as connection:
                connection.exec_driver_sql(_LEARN, rows)

    def sha256_of(self, oids: Collection[GitOid]) -> dict[GitOid, Sha256]:
        """The known SHA-256 for these Git oids."""
        found = self._lookup(_BY_GIT_OID, [oid.hex for oid in oids])
        return {GitOid(git): Sha256(sha) for git, sha in found}

    def git_oid_of(self, digests: Collection[Sha256]) -> dict[Sha256, GitOid]:
        """The known Git oid for these SHA-256."""
        found = self._lookup(_BY_SHA256, [digest.hex for digest in digests])
        return {Sha256(sha): GitOid(git) for git, sha in found}

    def _lookup(self, query: str, values: list[str]) -> list[tuple[str, str]]:
        with self._store.read() as connection:
            found = connection.exec_driver_sql(query, (json.dumps(values),))
            return [(git.hex(), sha.hex()) for git, sha in found]


@cache
def _upsert() -> Insert:
    """Built once: that takes longer than carrying it out."""
    statement = insert(repositories)
    replaced = {name: statement.excluded[name] for name in _FIELDS if name not in _KEY}
    return statement.on_conflict_do_update(index_elements=_KEY, set_=replaced)


def _row(record: RepoRecord) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in _FIELDS}
    row["error"] = None if record.error is None else json.dumps(dict(record.error))
    return {
        name: storable(value) if isinstance(value, str) else value for name, value in row.items()
    }


def _record(row: sa.Row[Any]) -> RepoRecord:
    found = dict(zip(_FIELDS, row, strict=True))
    found["error"] = json.loads(found["error"]) if found["error"] else None
    return RepoRecord(**found)


def _file_row(path: str, size_bytes: int, sha256_hex: str | None) -> tuple[str, int, bytes | None]:
    return storable(path), size_bytes, bytes.fromhex(sha256_hex) if sha256_hex else None


def _pair_id(connection: sa.Connection, source: str, target: str) -> int:
    """The number of a pair, which may be new."""
    c = repositories.c
    unknown = {"source": source, "target": target, "wish": "", "state": "partial"}
    blank = {"files": 0, "size_bytes": 0, "failures": 0}
    connection.execute(insert(repositories).on_conflict_do_nothing(), unknown | blank)
    query = sa.select(c.repo_id).where(c.source == source, c.target == target)
    return int(connection.execute(query).scalar_one())
