"""The ledger's file: opened, migrated, and written by one at a time.

SQLite lets one process write at a time. Within this process writers queue at
a lock, which is fair and costs nothing; between processes SQLite waits, up to
``BUSY_SECONDS``. Every write begins with BEGIN IMMEDIATE, so that it gets its
turn before it has read anything: a transaction that has read first and wants
to write later may be refused at once, whatever the timeout.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from hubferry.errors import LedgerError
from hubferry.ledger.schema import SCHEMA_VERSION, STEPS, TABLES_OF
from hubferry.text import T, Text

R = TypeVar("R")

BUSY_SECONDS = 10.0
"""How long to wait for other writers; one write takes milliseconds."""
WAL_KEPT_BYTES = 16 << 20
"""How much of the write-ahead log stays on the disk after a large write: a guess."""
ROWS_AT_ONCE = 2000
"""Rows of one write or one page of a read, so that others get their turn in between."""

_PAUSE_SECONDS = 0.01
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_CLOSED = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}

_SIZE_PRAGMAS = ("page_count", "page_size")

_HINT_USUAL = T(
    "it only saves time: move the file away, or name another with "
    "HUBFERRY_LEDGER, and run the same command again"
)
_HINT_BUSY = T(
    "another process writes to it for long; wait until it has ended, or name another file with "
    "HUBFERRY_LEDGER, and run the same command again"
)
_HINT_FULL = T(
    "make room on its disk, or name a file on another disk with HUBFERRY_LEDGER, "
    "and run the same command again"
)
_HINT_CLOSED = T(
    "make the file and its folder writable, or name another file with HUBFERRY_LEDGER, "
    "and run the same command again"
)


def storable(text: str) -> str:
    """SQLite keeps UTF-8; a path that a hub made up may hold what that cannot say.

    In JSON the result is the escape for the same character.
    """
    return text.encode("utf-8", "backslashreplace").decode()


class Store:
    """One ledger file, or one in memory; safe from several threads and processes."""

    def __init__(self, path: Path | None) -> None:
        """Open or create it, and bring it to this version's tables.

        Raises:
            LedgerError: the file cannot be used.
        """
        self.path = path
        self._where = str(path) if path else "memory"
        self._writers = threading.RLock()
        with self._translated(OSError):
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._engine = _engine(path)
            try:
                self._patiently(self._prepare)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection for questions, each of which sees one state of the file.

        Not to be held while others are waited for: the log of writes grows meanwhile.
        """
        # All threads share the one connection to a ledger in memory, transactions included.
        turn = nullcontext() if self.path else self._turn(time.monotonic() + BUSY_SECONDS)
        with self._translated(), turn, self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(
        self, before: Callable[[sa.Connection], None] = lambda connection: None
    ) -> Iterator[sa.Connection]:
        """A connection in a transaction: all of it is kept, or nothing.

        ``before`` gets the connection while other processes may still write.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        with self._translated(), self._turn(deadline), self._engine.connect() as connection:
            before(connection)
            self._patiently(lambda: connection.exec_driver_sql("BEGIN IMMEDIATE"))
            yield connection
            # Without it, leaving the connection rolls everything back.
            connection.exec_driver_sql("COMMIT")

    def outside(self, statement: str) -> None:
        """Run what may not run inside a transaction, in a writer's turn."""
        deadline = time.monotonic() + BUSY_SECONDS
        with self._translated(), self._turn(deadline), self._engine.connect() as connection:
            self._patiently(lambda: connection.exec_driver_sql(statement), deadline)

    def file_bytes(self) -> int:
        """The size of the file; in memory, of what it would be."""
        if self.path:
            return _size_bytes(self.path)
        with self.read() as connection:
            found = (connection.exec_driver_sql(f"PRAGMA {name}") for name in _SIZE_PRAGMAS)
            pages, page_bytes = (int(value.scalar_one()) for value in found)
        return pages * page_bytes

    def wal_bytes(self) -> int:
        """The size of the log beside the file."""
        return _size_bytes(self.path.with_name(f"{self.path.name}-wal")) if self.path else 0

    @contextmanager
    def _turn(self, deadline: float) -> Iterator[None]:
        if not self._writers.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise self._error(T("another thread writes to it for long"), _HINT_BUSY)
        try:
            yield
        finally:
            self._writers.release()

    def _patiently(self, act: Callable[[], R], deadline: float | None = None) -> R:
        """Repeat while another process is in the way.

        SQLite waits by itself for most of what can be in the way, but not for all: not for
        another process that is just making the file's log, or just removing it.
        """
        until = time.monotonic() + BUSY_SECONDS if deadline is None else deadline
        while True:
            try:
                return act()
            except sa.exc.OperationalError as exc:
                if _code(exc) not in _BUSY or time.monotonic() >= until:
                    raise
                time.sleep(_PAUSE_SECONDS)

    def _prepare(self) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            version = self._known_version(connection)
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            while version < SCHEMA_VERSION:
                version = self._take_step(connection)

    def _take_step(self, connection: sa.Connection) -> int:
        """One step of the schema, unless another process has just taken it; the version now."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        version = self._known_version(connection)
        if version < SCHEMA_VERSION:
            for statement in STEPS[version]:
                connection.exec_driver_sql(statement)
            version += 1
            connection.exec_driver_sql(f"PRAGMA user_version={version}")
        connection.exec_driver_sql("COMMIT")
        return version

    def _known_version(self, connection: sa.Connection) -> int:
        version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        if version > SCHEMA_VERSION:
            raise LedgerError(
                T("the ledger {path} was written by a newer Hubferry", path=self._where),
                hint=T("update Hubferry, or name another file with HUBFERRY_LEDGER"),
            )
        if version < SCHEMA_VERSION:
            found = connection.exec_driver_sql(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
            if set(found.scalars()) != TABLES_OF[version]:
                raise self._error(T("it is the database of another program"), _HINT_USUAL)
        return version

    @contextmanager
    def _translated(self, *more: type[Exception]) -> Iterator[None]:
        kinds: tuple[type[Exception], ...] = (sa.exc.SQLAlchemyError, sqlite3.Error, *more)
        try:
            yield
        except kinds as exc:
            cause = getattr(exc, "orig", None) or exc
            raise self._error(cause, _hint(exc)) from exc

    def _error(self, cause: object, hint: Text) -> LedgerError:
        return LedgerError(
            T("the ledger {path} cannot be used: {cause}", path=self._where, cause=cause),
            hint=hint,
        )


def _engine(path: Path | None) -> sa.Engine:
    # AUTOCOMMIT: transactions begin and end where this module says so, not where the driver
    # thinks it has seen a write.
    if path is None:
        engine = sa.create_engine(
            "sqlite://",
            isolation_level="AUTOCOMMIT",
            connect_args={"check_same_thread": False},
            poolclass=sa.pool.StaticPool,
        )
    else:
        engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path)),
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": BUSY_SECONDS},
        )
    sa.event.listen(engine, "connect", _set_up)
    return engine


def _set_up(connection: sqlite3.Connection, record: object) -> None:
    # With a log, NORMAL is safe from corruption; a power cut may lose the last writes, which a
    # memory can afford.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA journal_size_limit={WAL_KEPT_BYTES}")
    connection.create_function("from_hex", 1, _from_hex, deterministic=True)


def _from_hex(text: str) -> bytes | None:
    # SQLite has its own, unhex, since 3.41 only.
    try:
        return bytes.fromhex(text)
    except (TypeError, ValueError):
        return None


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _code(error: BaseException) -> int:
    """SQLite's primary result code; 0 if it is not SQLite that speaks."""
    cause: Any = getattr(error, "orig", None) or error
    return int(getattr(cause, "sqlite_errorcode", 0)) & 0xFF


def _hint(error: BaseException) -> Text:
    code = _code(error)
    if code in _BUSY:
        return _HINT_BUSY
    if code in _FULL:
        return _HINT_FULL
    if code in _CLOSED or isinstance(error, PermissionError):
        return _HINT_CLOSED
    return _HINT_USUAL
