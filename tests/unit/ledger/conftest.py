"""Ledgers in a file and in memory, and the file as another program sees it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hubferry.ledger import Ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite3"


@pytest.fixture(params=["file", "memory"])
def ledger(request: pytest.FixtureRequest, path: Path) -> Iterator[Ledger]:
    made = Ledger(path if request.param == "file" else None)
    yield made
    made.close()


@pytest.fixture
def filed(path: Path) -> Iterator[Ledger]:
    """A ledger in the file ``path``."""
    made = Ledger(path)
    yield made
    made.close()


def ask(path: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What SQLite alone says of a file; a write is kept."""
    with closing(sqlite3.connect(path, timeout=20)) as connection:
        found = connection.execute(query, values).fetchall()
        connection.commit()
        return found
