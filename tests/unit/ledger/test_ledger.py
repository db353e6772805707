"""The ledger: shared by processes, never in the way, and a clear word when it is."""

from __future__ import annotations

import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hubferry.errors import ExitCode, LedgerError, UsageError
from hubferry.hubs.memory import git_oid_of, sha256_of
from hubferry.ledger import SCHEMA_VERSION, Ledger
from hubferry.model import FileEntry, GitOid, Listing, RepoId, Sha256

PAIRS = [(git_oid_of(bytes([n])), sha256_of(bytes([n]))) for n in range(200)]


def test_a_run_is_told_with_its_end_and_its_facts(ledger: Ledger) -> None:
    ledger.start_run("20260101-a", "copy", "hf://a/b", "ms://a/b")
    ledger.note("20260101-a", "committed", detail={"commit": "c1", "paths": ["a"]})
    ledger.note_all("20260101-a", "sent", [("x.bin", None), ("y.bin", {"n": 1})])
    ledger.end_run("20260101-a", 3, '{"commits": 1}')
    run = ledger.run("20260101-a")
    assert run is not None
    assert (run["command"], run["exit_code"], run["report"]) == ("copy", 3, '{"commits": 1}')
    assert run["ended_at"] >= run["started_at"]
    assert [(fact["kind"], fact["path"]) for fact in run["facts"]] == [
        ("committed", None),
        ("sent", "x.bin"),
        ("sent", "y.bin"),
    ]
    assert json.loads(run["facts"][0]["detail"]) == {"commit": "c1", "paths": ["a"]}


def test_runs_come_newest_first_and_limited(ledger: Ledger) -> None:
    for number in range(5):
        ledger.start_run(f"run-{number}", "copy", "a", "b")
    assert [run["run_id"] for run in ledger.runs(3)] == ["run-4", "run-3", "run-2"]


def test_a_run_is_found_by_a_unique_beginning(ledger: Ledger) -> None:
    for run_id in ("abc-1", "abd-1", "a%-1"):
        ledger.start_run(run_id, "copy", "a", "b")
    found = ledger.run("abc")
    assert found is not None
    assert found["run_id"] == "abc-1"
    assert ledger.run("zzz") is None
    percent = ledger.run("a%")
    assert percent is not None, "a pattern's sign is only a character"
    assert percent["run_id"] == "a%-1"
    with pytest.raises(UsageError, match="several"):
        ledger.run("ab")


@pytest.mark.parametrize("run_id", ["", " ", "\t\n"])
def test_a_blank_id_names_no_run_not_even_the_only_one(ledger: Ledger, run_id: str) -> None:
    ledger.start_run("abc-1", "copy", "a", "b")
    with pytest.raises(UsageError, match="the id of the run is empty"):
        ledger.run(run_id)


def test_digest_pairs_are_found_both_ways_and_in_any_number(ledger: Ledger) -> None:
    many = [
        (GitOid(f"{n:040x}"), Sha256(f"{n:064x}"))
        for n in range(1300)  # more than one query takes
    ]
    ledger.learn(many)
    assert ledger.sha256_of([git for git, _ in many]) == dict(many)
    assert ledger.git_oid_of([sha for _, sha in many]) == {sha: git for git, sha in many}
    assert ledger.sha256_of([]) == {}
    assert ledger.sha256_of([GitOid("f" * 40)]) == {}


def test_learning_twice_does_no_harm(ledger: Ledger) -> None:
    ledger.learn(PAIRS)
    ledger.learn(PAIRS)
    ledger.learn([])
    assert ledger.sha256_of([git for git, _ in PAIRS]) == dict(PAIRS)


def test_the_state_before_is_kept(ledger: Ledger) -> None:
    listing = Listing(
        RepoId("ms", "a/b"), "c1", (FileEntry("f", 3, sha256=sha256_of(b"abc")), FileEntry("g", 1))
    )
    ledger.start_run("run", "copy", "a", "b")
    ledger.note_before("run", listing, "c1")
    run = ledger.run("run")
    assert run is not None
    assert json.loads(run["facts"][0]["detail"]) == {
        "head": "c1",
        "files": {"f": [3, str(sha256_of(b"abc"))], "g": [1, ""]},
    }


def test_what_is_not_utf8_is_kept_escaped(ledger: Ledger) -> None:
    ledger.start_run("run", "copy", "a", "b")
    ledger.note("run", "failed", "bad-\udc80", {"path": "bad-\ud800", "also": "好"})
    ledger.end_run("run", 3, json.dumps({"path": "bad-\udc80"}, ensure_ascii=False))
    run = ledger.run("run")
    assert run is not None
    assert run["facts"][0]["path"] == r"bad-\udc80"
    assert json.loads(run["facts"][0]["detail"]) == {"path": "bad-\ud800", "also": "好"}
    assert json.loads(run["report"]) == {"path": "bad-\udc80"}


def test_it_is_still_there_when_opened_again(path: Path) -> None:
    first = Ledger(path)
    first.start_run("run", "copy", "a", "b")
    first.learn(PAIRS)
    first.close()
    second = Ledger(path)
    assert second.run("run") is not None
    assert len(second.git_oid_of([sha for _, sha in PAIRS])) == len(PAIRS)
    second.close()


@pytest.mark.parametrize(
    "name", ["led?ger.sqlite3", "a#b.sqlite3", "50%20.sqlite3", "账本 .sqlite3"]
)
def test_any_file_name_is_that_file(tmp_path: Path, name: str) -> None:
    Ledger(tmp_path / name).close()
    assert (tmp_path / name).is_file()


def test_many_may_open_a_new_ledger_at_once(path: Path) -> None:
    barrier = threading.Barrier(12)

    def begin(number: int) -> None:
        barrier.wait()
        ledger = Ledger(path)
        ledger.start_run(f"run-{number}", "copy", "a", "b")
        ledger.learn(PAIRS)
        ledger.close()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(begin, range(12)))
    ledger = Ledger(path)
    assert len(ledger.runs(100)) == 12
    ledger.close()


def test_two_threads_may_share_one_ledger(path: Path) -> None:
    ledger = Ledger(path)

    def work(name: str) -> None:
        ledger.start_run(name, "copy", "a", "b")
        for git, sha in PAIRS[:40]:
            ledger.learn([(git, sha)])
            ledger.note(name, "sent", git.hex)
            assert ledger.sha256_of([git]) == {git: sha}

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ["one", "two"]))
    for name in ("one", "two"):
        run = ledger.run(name)
        assert run is not None
        assert len(run["facts"]) == 40
    ledger.close()


# --- when it cannot be used -----------------------------------------------------


def told(path: Path) -> LedgerError:
    with pytest.raises(LedgerError) as caught:
        Ledger(path)
    assert caught.value.exit_code == ExitCode.LEDGER
    assert caught.value.hint is not None
    assert str(path) in str(caught.value)
    return caught.value


def test_a_file_that_is_no_ledger_is_told_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is not a database, whatever its name says" * 100)
    told(path)
    assert path.read_bytes().startswith(b"this is not")


def test_a_folder_in_its_place_is_told(path: Path) -> None:
    path.mkdir(parents=True)
    told(path)


def test_a_file_in_the_place_of_its_folder_is_told(path: Path) -> None:
    path.parent.write_bytes(b"")
    told(path)


def test_a_newer_ledger_is_left_alone(path: Path) -> None:
    Ledger(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    assert "newer" in str(told(path))


def test_a_ledger_that_breaks_under_us_is_told(path: Path) -> None:
    ledger = Ledger(path)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE runs")
    connection.close()
    with pytest.raises(LedgerError):
        ledger.start_run("run", "copy", "a", "b")
    ledger.close()
