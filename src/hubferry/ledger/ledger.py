"""The ledger as the rest of the program uses it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from hubferry.ledger.history import History
from hubferry.ledger.present import Present
from hubferry.ledger.store import Store

KEEP_DAYS = 90.0
PRUNED_ROWS = 5000
"""How many old rows one call removes at most: some 50 ms."""


class Ledger(History, Present):
    """The ledger file; safe from several threads and processes."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the ledger; None keeps it in memory for this process.

        Raises:
            LedgerError: the file cannot be used.
        """
        self._store = Store(path)

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    def prune(
        self, keep_days: float = KEEP_DAYS, now: float | None = None, limit: int = PRUNED_ROWS
    ) -> int:
        """Remove old runs with their attempts and events; the number of rows removed.

        Old is what ended more than ``keep_days`` ago, and what never ended, is as old, and of which
        nothing was heard for as long (and for a week at least). Rows go in small writes, ``limit``
        of them at most; the next call goes on. 0 means that nothing old is left.

        Args:
            now: Unix seconds; the present by default.
        """
        from hubferry.ledger import upkeep

        return upkeep.prune(self._store, keep_days, now, limit)

    def stats(self) -> dict[str, Any]:
        """How large the ledger is.

        ``path`` (None: in memory), ``schema_version``, ``rows`` by table, ``file_bytes``,
        ``wal_bytes`` (writes not yet carried over into the file), ``free_bytes`` (inside the file,
        used again by later rows or given back by ``vacuum``), ``oldest_run`` (when it began).
        """
        from hubferry.ledger import upkeep

        return upkeep.stats(self._store)

    def bytes_on_disk(self) -> int:
        """The size of the file and of the log beside it."""
        return self._store.file_bytes() + self._store.wal_bytes()

    def vacuum(self) -> tuple[int, int]:
        """Give free space back to the disk; bytes before and after, the log included.

        Takes as much room again while it works, and others' writes wait meanwhile.
        """
        from hubferry.ledger import upkeep

        return upkeep.vacuum(self._store)

    def check(self) -> list[str]:
        """What is wrong with the file by SQLite's own check; empty if it is sound."""
        from hubferry.ledger import upkeep

        return upkeep.check(self._store)

    def export(self, tables: Collection[str] = ()) -> Iterator[dict[str, Any]]:
        """Every row of these tables, or of all, as JSON can say it, with its ``table``.

        A page is held in memory. Digests are hex, reports and details JSON, files are told with
        the source and the target they belong to.

        Raises:
            UsageError: there is no such table.
        """
        from hubferry.ledger import exporting

        return exporting.export(self._store, tables)
