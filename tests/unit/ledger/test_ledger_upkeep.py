"""Bounded growth: what is old goes, a little at a time; size, vacuum, export."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from tests.unit.ledger.conftest import ask

from hubferry.errors import UsageError
from hubferry.hubs.memory import git_oid_of, sha256_of
from hubferry.ledger import Ledger, RepoRecord
from hubferry.ledger.store import ROWS_AT_ONCE

DAY = 86_400.0
NOW = 1_800_000_000.0


def moment(days_ago: float) -> str:
    from hubferry.ledger.history import moment as told

    return told(NOW - days_ago * DAY)


def past(
    ledger: Ledger, run_id: str, began: float, ended: float | None, spoke: float | None = None
) -> None:
    """A run of so many days ago with an attempt and events, the last of which was ``spoke``."""
    ledger.start_run(run_id, "batch", "mirror.yaml", "")
    ledger.start_attempt(f"{run_id}/1.1", run_id, 1, "hf://a/b", "ms://a/b")
    ledger.note(run_id, "begun")
    ledger.note(f"{run_id}/1.1", "sent", "x")
    last = began if spoke is None else spoke
    with ledger._store.write() as connection:
        for query, values in (
            ("UPDATE runs SET started_at = ?, ended_at = ? WHERE run_id = ?",
             (moment(began), None if ended is None else moment(ended), run_id)),
            ("UPDATE attempts SET started_at = ? WHERE run_id = ?", (moment(began), run_id)),
            ("UPDATE events SET at = ? WHERE owner_id = ?", (moment(began), run_id)),
            ("UPDATE events SET at = ? WHERE owner_id = ?", (moment(last), f"{run_id}/1.1")),
        ):  # fmt: skip
            connection.exec_driver_sql(query, values)


def rows(ledger: Ledger) -> tuple[int, int, int]:
    found = ledger.stats()["rows"]
    return found["runs"], found["attempts"], found["events"]


def test_old_runs_go_with_all_that_is_theirs(ledger: Ledger) -> None:
    past(ledger, "old", 100, 99)
    past(ledger, "old-2", 91, 90.5)
    past(ledger, "young", 89, 88)
    ledger.remember(RepoRecord("hf://a/b", "ms://a/b", "w", "equal", last_run_id="old"))
    ledger.remember_files("hf://a/b", "ms://a/b", [("f", 1, None)])
    ledger.learn([(git_oid_of(b"x"), sha256_of(b"x"))])
    assert ledger.prune(90, now=NOW) == 2 * 4
    assert rows(ledger) == (1, 1, 2)
    assert [event["run_id"] for event in ledger.events_of("young")] == ["young"] * 2
    assert ledger.recall([("hf://a/b", "ms://a/b")]), "how things stand is not history"
    assert list(ledger.files_of("hf://a/b", "ms://a/b"))
    assert ledger.sha256_of([git_oid_of(b"x")])
    assert ledger.prune(90, now=NOW) == 0


@pytest.mark.parametrize(
    ("began", "ended", "spoke", "goes"),
    [
        (100, 80, None, False),  # it took long, and ended not long ago
        (100, None, None, True),  # its process died
        (100, None, 89, False),  # it goes on
        (89, None, None, False),  # younger than what is kept
    ],
)
def test_what_never_ended_stays_while_it_may_go_on(
    ledger: Ledger, began: float, ended: float | None, spoke: float | None, goes: bool
) -> None:
    past(ledger, "run", began, ended, spoke)
    ledger.prune(90, now=NOW)
    assert rows(ledger)[0] == (0 if goes else 1)


def test_a_run_that_has_just_begun_stays_whatever_is_kept(ledger: Ledger) -> None:
    past(ledger, "ended", 1, 0.5)
    past(ledger, "goes-on", 6, None, 6)
    assert ledger.prune(0, now=NOW) == 4
    assert [run["run_id"] for run in ledger.runs()] == ["goes-on"]


def test_runs_that_begin_alike_are_others(ledger: Ledger) -> None:
    past(ledger, "run", 100, 99)
    for run_id in ("run-2", "run0", "ru"):
        past(ledger, run_id, 1, 0.5)
    assert ledger.prune(90, now=NOW) == 4
    assert rows(ledger) == (3, 3, 6)


def test_no_call_removes_more_than_its_limit_and_the_next_goes_on(ledger: Ledger) -> None:
    past(ledger, "old", 100, 99)
    ledger.note_all("old/1.1", "sent", [("x", None)] * 2500)
    with ledger._store.write() as connection:
        connection.exec_driver_sql("UPDATE events SET at = ?", (moment(99),))
    past(ledger, "next", 98, 97)
    removed = []
    while count := ledger.prune(90, now=NOW, limit=1200):
        removed.append(count)
        if len(removed) == 1:
            assert ledger.run("old"), "the run itself goes last: what is cut short is gone on with"
    assert removed == [1200, 1200, 108]
    assert rows(ledger) == (0, 0, 0)


def test_others_write_while_much_is_removed(filed: Ledger) -> None:
    past(filed, "old", 100, 99)
    filed.note_all("old", "sent", [("x", None)] * 30_000)
    is_over = threading.Event()
    longest = 0.0

    def write() -> None:
        nonlocal longest
        while not is_over.is_set():
            began = time.monotonic()
            filed.note("young", "sent", "x")
            longest = max(longest, time.monotonic() - began)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        began = time.monotonic()
        filed.prune(90, now=NOW, limit=100_000)
        whole = time.monotonic() - began
    finally:
        is_over.set()
        thread.join()
    assert rows(filed)[0] == 0
    assert len(list(filed.events_of("young"))) > 5
    assert longest < max(whole, 1.0), "nobody waited for all of it"


# --- size ------------------------------------------------------------------------


def test_stats_tell_rows_and_sizes(filed: Ledger, path: Path) -> None:
    past(filed, "young", 2, 1)
    past(filed, "older", 3, 2)
    found = filed.stats()
    wal = path.with_name(path.name + "-wal")
    assert found == {
        "path": str(path),
        "schema_version": 2,
        "rows": {"runs": 2, "attempts": 2, "events": 4, "repositories": 0, "files": 0, "blobs": 0},
        "file_bytes": path.stat().st_size,
        "wal_bytes": wal.stat().st_size,
        "free_bytes": 0,
        "oldest_run": moment(3),
    }
    assert found["wal_bytes"] > 0


def test_stats_of_a_new_ledger(ledger: Ledger) -> None:
    found = ledger.stats()
    assert set(found["rows"].values()) == {0}
    assert found["oldest_run"] is None


def test_vacuum_gives_room_back_and_keeps_everything(filed: Ledger, path: Path) -> None:
    past(filed, "old", 100, 99)
    filed.note_all("old", "sent", [("x" * 100, None)] * 20_000)
    past(filed, "young", 2, 1)
    filed.prune(90, now=NOW, limit=100_000)
    assert filed.stats()["free_bytes"] > 1_000_000
    rows_before = list(filed.export())
    before, after = filed.vacuum()
    assert after < before / 4
    assert path.stat().st_size == after
    assert filed.stats()["free_bytes"] == filed.stats()["wal_bytes"] == 0
    assert list(filed.export()) == rows_before
    assert filed.check() == []


def test_a_ledger_in_memory_can_be_vacuumed_and_checked(ledger: Ledger) -> None:
    before, after = ledger.vacuum()
    assert 0 < after <= before
    assert ledger.check() == []


def test_the_log_beside_the_file_stays_small(filed: Ledger) -> None:
    for number in range(30):
        filed.note_all("run", "sent", [("x" * 200, {"n": number})] * 5000)
    assert filed.stats()["file_bytes"] > 30 << 20
    assert filed.stats()["wal_bytes"] <= 20 << 20


def test_check_tells_what_is_broken(filed: Ledger, path: Path) -> None:
    filed.note_all("run", "sent", [("x" * 200, None)] * 2000)
    filed.vacuum()
    filed.close()
    data = bytearray(path.read_bytes())
    data[40 * 4096 : 44 * 4096] = b"\xff" * (4 * 4096)
    path.write_bytes(data)
    broken = Ledger(path)
    assert broken.check()
    broken.close()


# --- export ----------------------------------------------------------------------


def test_every_row_of_every_table_is_exported_as_json(ledger: Ledger) -> None:
    past(ledger, "run", 2, 1)
    ledger.end_run("run", 3, '{"commits": 1}')
    ledger.end_attempt("run/1.1", "failed", 11, '{"errors": ["不"]}')
    ledger.note("run/1.1", "failed", "bad-\udc80", {"path": "bad-\ud800"})
    error = {"error": "access"}
    ledger.remember(RepoRecord("hf://a/b", "ms://a/b", "w", "failed", error=error))
    ledger.remember_files("hf://a/b", "ms://a/b", [("f", 1, "ab" * 32), ("g", 2, None)])
    ledger.learn([(git_oid_of(b"x"), sha256_of(b"x"))])
    found = [json.loads(json.dumps(row)) for row in ledger.export()]
    order = ["runs", "attempts", *["events"] * 3, "repositories", "files", "files", "blobs"]
    assert [row["table"] for row in found] == order
    run, attempt, *events, repository, first, second, blob = found
    assert (run["run_id"], run["report"]) == ("run", {"commits": 1})
    assert (attempt["attempt_id"], attempt["report"]) == ("run/1.1", {"errors": ["不"]})
    assert (events[-1]["run_id"], events[-1]["attempt_id"]) == ("run", "run/1.1")
    assert events[-1]["detail"] == {"path": "bad-\ud800"}
    assert (repository["wish"], repository["error"]) == ("w", error)
    assert first == {
        "table": "files",
        "source": "hf://a/b",
        "target": "ms://a/b",
        "path": "f",
        "size_bytes": 1,
        "sha256": "ab" * 32,
    }
    assert second["sha256"] is None
    oid, sha = git_oid_of(b"x").hex, sha256_of(b"x").hex
    assert blob == {"table": "blobs", "git_oid": oid, "sha256": sha}


def test_more_rows_than_a_page_are_exported_once_each(ledger: Ledger) -> None:
    count = ROWS_AT_ONCE + 3
    for pair in ("ms://1", "ms://2"):
        ledger.remember_files("hf://a/b", pair, [(f"f-{n}", n, None) for n in range(count)])
    ledger.note_all("run", "sent", [(str(n), None) for n in range(ROWS_AT_ONCE)])
    files = [(row["target"], row["path"]) for row in ledger.export(["files"])]
    assert len(files) == len(set(files)) == count * 2
    assert len(list(ledger.export(["events"]))) == ROWS_AT_ONCE


def test_some_tables_alone_may_be_exported(ledger: Ledger) -> None:
    past(ledger, "run", 2, 1)
    assert {row["table"] for row in ledger.export(["runs", "attempts"])} == {"runs", "attempts"}
    with pytest.raises(UsageError, match="run_s") as caught:
        ledger.export(["runs", "run_s"])
    assert "repositories" in str(caught.value.hint)


def test_whoever_reads_an_export_slowly_keeps_no_writer_waiting(filed: Ledger, path: Path) -> None:
    past(filed, "run", 2, 1)
    exported = filed.export()
    next(exported)
    for _ in range(12):
        filed.note_all("run", "sent", [("x" * 200, None)] * 5000)
    assert ask(path, "PRAGMA wal_checkpoint(TRUNCATE)") == [(0, 0, 0)], "no reader is in the way"
    assert len(list(exported)) > 60_000


def test_a_report_that_is_no_json_is_exported_as_text(ledger: Ledger) -> None:
    ledger.start_run("run", "copy", "a", "b")
    ledger.end_run("run", 0, "{broken")
    (run,) = ledger.export(["runs"])
    assert run["report"] == "{broken"
