"""An old ledger becomes a new one, whole or not at all, whoever opens it and how often."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.unit.ledger.conftest import ask

from hubferry.errors import LedgerError
from hubferry.hubs.memory import git_oid_of, sha256_of
from hubferry.ledger import SCHEMA_VERSION, Ledger, RepoRecord, tables

VERSION_1 = Path(__file__).parent / "data" / "version-1.sqlite3"
"""Written by the last program that knew no other version: 40 runs, 200 pairs."""
RUNS, PAIRS = 40, 200
OLD_TABLES = {"runs", "facts", "digest_pairs"}
NEW_TABLES = {"runs", "attempts", "events", "repositories", "files", "blobs"}


@pytest.fixture
def old(path: Path) -> Path:
    path.parent.mkdir()
    shutil.copy(VERSION_1, path)
    return path


def table_names(path: Path) -> set[str]:
    return {name for (name,) in ask(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}


def schema(path: Path) -> list[tuple[Any, ...]]:
    found = ask(path, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name")
    # Whitespace, and quotes that ALTER TABLE puts around a new name.
    return [
        (kind, name, table, " ".join((sql or "").replace('"', "").split()))
        for kind, name, table, sql in found
    ]


def test_what_an_old_ledger_knew_is_still_known(old: Path) -> None:
    ledger = Ledger(old)
    runs = ledger.runs(100)
    assert len(runs) == RUNS
    assert [run["run_id"][-6:] for run in runs[-2:]] == ["000001", "000000"]
    run = ledger.run("20261120-100700")
    assert run is not None
    assert run["source"] == "hf://org/model-7"
    kinds = [fact["kind"] for fact in run["facts"]]
    assert kinds == ["before", *["sent"] * 8, "failed"]
    assert run["facts"][-1]["path"] == r"bad-\udc80"
    assert set(run["facts"][0]) == {"fact_id", "run_id", "at", "kind", "path", "detail"}
    pairs = {git_oid_of(bytes([n])): sha256_of(bytes([n])) for n in range(PAIRS)}
    assert ledger.sha256_of(list(pairs)) == pairs
    assert ledger.git_oid_of(list(pairs.values())) == {sha: git for git, sha in pairs.items()}
    assert ledger.usual_speed("hf", "ms") == 5_000_000
    ledger.close()


def test_a_damaged_pair_does_not_keep_the_rest_from_moving_on(old: Path) -> None:
    ask(old, "INSERT INTO digest_pairs VALUES ('no hex', 'ab'), ('ab', 'nor this')")
    ledger = Ledger(old)
    assert ledger.stats()["rows"]["blobs"] == PAIRS
    ledger.close()


def test_an_old_ledger_takes_what_is_new(old: Path) -> None:
    ledger = Ledger(old)
    record = RepoRecord("hf://a/b", "ms://a/b", "w", "equal")
    ledger.remember(record)
    ledger.remember_files("hf://a/b", "ms://a/b", [("f", 1, None)])
    ledger.start_attempt("r/1.1", "r", 1, "hf://a/b", "ms://a/b")
    ledger.note("r/1.1", "sent", "f")
    assert ledger.recall([("hf://a/b", "ms://a/b")]) == {("hf://a/b", "ms://a/b"): record}
    assert ledger.check() == []
    ledger.close()


def test_a_ledger_that_grew_up_and_a_new_one_have_the_same_tables(
    old: Path, tmp_path: Path
) -> None:
    for file in (old, tmp_path / "new.sqlite3"):
        Ledger(file).close()
    without_primary_keys = [
        [(kind, name, table) for kind, name, table, _ in schema(file)]
        for file in (old, tmp_path / "new.sqlite3")
    ]
    assert without_primary_keys[0] == without_primary_keys[1]
    assert columns(old) == columns(tmp_path / "new.sqlite3")
    for index in ("events_by_owner", "runs_by_hubs", "blobs_by_sha256"):
        assert any(name == index for _, name, _, _ in schema(old))


def columns(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: [tuple(row[1:]) for row in ask(path, f"PRAGMA table_info({name})")]
        for name in NEW_TABLES
    }


def test_queries_and_schema_speak_of_the_same_columns(path: Path) -> None:
    Ledger(path).close()
    found = sa.inspect(sa.create_engine(f"sqlite:///{path}"))
    assert set(found.get_table_names()) == {table.name for table in tables.ALL} == NEW_TABLES
    for table in tables.ALL:
        real = found.get_columns(table.name)
        assert [column["name"] for column in real] == [column.name for column in table.columns]
        assert [column["nullable"] for column in real] == [c.nullable for c in table.columns]
        keys = found.get_pk_constraint(table.name)["constrained_columns"]
        assert keys == [column.name for column in table.primary_key]


def test_many_may_open_an_old_ledger_at_once(old: Path) -> None:
    barrier = threading.Barrier(8)

    def begin(number: int) -> None:
        barrier.wait()
        ledger = Ledger(old)
        ledger.start_run(f"run-{number}", "copy", "a", "b")
        ledger.note(f"run-{number}", "sent", "x")
        ledger.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(begin, range(8)))
    assert ask(old, "SELECT count(*) FROM runs") == [(RUNS + 8,)]
    assert ask(old, "PRAGMA user_version") == [(SCHEMA_VERSION,)]


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "old"])
def test_many_processes_may_open_one_at_once(old: Path, is_new: bool) -> None:
    if is_new:
        old.unlink()
    command = [sys.executable, "-m", "tests.support.ledger_child", "write", str(old)]
    children = [
        subprocess.Popen(
            [*command, "--rounds", "2", "--name", name], stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two", "three", "four")
    ]
    assert [child.communicate(timeout=60)[0] for child in children] == ["0\n1\n"] * 4
    assert [child.returncode for child in children] == [0] * 4
    assert ask(old, "SELECT count(*) FROM runs") == [(8 + (0 if is_new else RUNS),)]


def test_killed_at_any_moment_of_the_migration_it_is_old_or_new(old: Path) -> None:
    command = [sys.executable, "-m", "tests.support.ledger_child", "migrate", str(old)]
    seen: list[int] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        answer = "killed"
        while answer == "killed":
            for file in old.parent.iterdir():
                file.unlink()
            shutil.copy(VERSION_1, old)
            child.stdin.write("again\n")
            answer = child.stdout.readline().strip()
            seen.append(version_left_whole(old))
        child.stdin.close()
    assert answer == "ended"
    assert seen[-1] == SCHEMA_VERSION
    assert seen == sorted(seen), "once new it stays new"
    assert len(seen) > 15, "there were that many moments to die at"


def version_left_whole(path: Path) -> int:
    """The version of a file, which has everything of that version and nothing of another."""
    ((version,),) = ask(path, "PRAGMA user_version")
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert table_names(path) == (OLD_TABLES if version == 1 else NEW_TABLES)
    pairs, facts = ("digest_pairs", "facts") if version == 1 else ("blobs", "events")
    assert ask(path, "SELECT count(*) FROM runs") == [(RUNS,)]
    assert ask(path, f"SELECT count(*) FROM {pairs}") == [(PAIRS,)]
    assert ask(path, f"SELECT count(*) FROM {facts}") == [(RUNS * 9 + 4,)]
    ledger = Ledger(path)
    assert len(ledger.runs(100)) == RUNS, "and the next one goes on from there"
    ledger.close()
    return int(version)


def test_a_newer_ledger_is_left_as_it_is(path: Path) -> None:
    Ledger(path).close()
    ask(path, f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="newer"):
        Ledger(path)
    assert path.read_bytes() == before


def another_programs(path: Path) -> None:
    ask(path, "CREATE TABLE bookmarks (url TEXT)")


def another_programs_first(path: Path) -> None:
    ask(path, "CREATE TABLE bookmarks (url TEXT)")
    ask(path, "PRAGMA user_version=1")


@pytest.mark.parametrize("make", [another_programs, another_programs_first])
def test_the_database_of_another_program_is_told_and_left_alone(
    path: Path, make: Callable[[Path], None]
) -> None:
    path.parent.mkdir()
    make(path)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="another program") as caught:
        Ledger(path)
    assert caught.value.hint is not None
    assert path.read_bytes() == before


def test_the_old_file_is_what_it_is_taken_for() -> None:
    with sqlite3.connect(f"file:{VERSION_1}?mode=ro&immutable=1", uri=True) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        (report,) = connection.execute("SELECT report FROM runs LIMIT 1").fetchone()
    connection.close()
    assert json.loads(report)["bytes"]["sent"] == 10_000_000
