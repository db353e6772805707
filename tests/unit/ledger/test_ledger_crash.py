"""Killed, crowded, full, closed: the ledger stays sound, and says what to do."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.support import ledger_child
from tests.support.counts import TIERS, Counts
from tests.unit.ledger.conftest import ask

from hubferry.errors import LedgerError
from hubferry.ledger import Ledger, store

_CHILD = [sys.executable, "-m", "tests.support.ledger_child"]
_AT_ONCE = 4
_LONGEST_SECONDS = 0.4


def start(path: Path, name: str, *options: str) -> subprocess.Popen[str]:
    command = [*_CHILD, "write", str(path), "--name", name, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def rounds_done(child: subprocess.Popen[str]) -> int:
    """Wait for its end; how many rounds it said to have finished."""
    out, _ = child.communicate(timeout=120)
    return out.count("\n") if out.endswith("\n") or not out else out.count("\n") + 1


@pytest.mark.parametrize("counts", TIERS)
def test_killed_at_random_moments_it_has_all_that_was_done_and_nothing_by_halves(
    path: Path, counts: Counts
) -> None:
    seed = int(os.environ.get("HUBFERRY_TEST_SEED") or time.time())
    print(f"HUBFERRY_TEST_SEED={seed}")
    dice = random.Random(seed)
    Ledger(path).close()
    finished: dict[str, int] = {}
    for first in range(0, counts.ledger_kills, _AT_ONCE):
        children = {
            name: start(path, name, "--die-after", str(dice.uniform(0, _LONGEST_SECONDS)))
            for name in (f"n{first + n}" for n in range(_AT_ONCE))
        }
        # One that nobody kills must not notice anything.
        witness = start(path, f"w{first}", "--rounds", "10")
        finished |= {name: rounds_done(child) for name, child in children.items()}
        assert all(child.returncode == -9 for child in children.values())
        assert rounds_done(witness) == 10
        assert witness.returncode == 0
        assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert any(finished.values())
    ledger = Ledger(path)
    assert ledger.check() == []
    for name, rounds in finished.items():
        look_at(ledger, name, rounds)
    ledger.close()


def look_at(ledger: Ledger, name: str, finished: int) -> None:
    """What a killed process had finished is there, and what it had begun is whole or not there."""
    codes = {run["run_id"]: run["exit_code"] for run in ledger.runs(1_000_000)}
    for number in range(finished):
        assert codes[f"{name}-{number}"] == 0
        (attempt,) = ledger.attempts(f"{name}-{number}")
        assert attempt["state"] == "copied"
        assert len(list(ledger.events_of(f"{name}-{number}"))) == ledger_child.EVENTS
    assert len(list(ledger.events_of(f"{name}-{finished}"))) in (0, ledger_child.EVENTS)
    for record in ledger.recall_sources(f"hf://{name}/"):
        files = list(ledger.files_of(record.source, record.target))
        writes = {size for _, size, _ in files}
        assert len(writes) == 1, "files of two writes"
        assert len(files) == ledger_child.FILES - writes.pop() % 10


def test_many_processes_and_threads_write_and_none_is_refused(path: Path) -> None:
    children = [start(path, f"p{number}", "--rounds", "40") for number in range(4)]
    ledger = Ledger(path)

    def work(number: int) -> None:
        for turn in range(20):
            ledger_child.one_round(ledger, f"t{number}", turn)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    assert [rounds_done(child) for child in children] == [40] * 4
    assert [child.returncode for child in children] == [0] * 4
    assert ledger.stats()["rows"]["runs"] == 4 * 40 + 16 * 20
    assert ledger.check() == []
    ledger.close()


# --- others in the way -------------------------------------------------------------


@contextmanager
def held(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program in the middle of a write."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_a_write_waits_for_the_one_before_it(filed: Ledger, path: Path) -> None:
    with held(path) as other, ThreadPoolExecutor(1) as pool:
        writing = pool.submit(filed.note, "run", "sent", "x")
        assert filed.runs() == [], "questions wait for nobody"
        other.execute("COMMIT")
        writing.result(timeout=30)
    assert len(list(filed.events_of("run"))) == 1


def test_a_ledger_opens_while_another_writes(path: Path) -> None:
    Ledger(path).close()
    with held(path):
        ledger = Ledger(path)
        assert ledger.runs() == []
        ledger.close()


@pytest.mark.parametrize("writers", [1, 3])
def test_a_write_that_waits_in_vain_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, writers: int
) -> None:
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.1)
    ledger = Ledger(path)
    with held(path), ThreadPoolExecutor(writers) as pool:
        began = time.monotonic()
        waiting = [pool.submit(ledger.note, "run", "sent", "x") for _ in range(writers)]
        errors = [each.exception(timeout=30) for each in waiting]
    assert time.monotonic() - began < 5
    for error in errors:
        assert isinstance(error, LedgerError)
        assert "another process writes" in str(error.hint) or "another thread" in str(error)
    ledger.note("run", "sent", "x")
    assert len(list(ledger.events_of("run"))) == 1, "those that were refused left nothing"
    ledger.close()


def test_what_fails_within_a_write_leaves_nothing_of_it(ledger: Ledger) -> None:
    def write(then: str) -> None:
        with ledger._store.write() as connection:
            connection.exec_driver_sql("INSERT INTO blobs VALUES ('a', 'b')")
            if not then:
                raise KeyboardInterrupt
            connection.exec_driver_sql(then)

    with pytest.raises(LedgerError):
        write("INSERT INTO nowhere VALUES (1)")
    with pytest.raises(KeyboardInterrupt):
        write("")
    assert ledger.stats()["rows"]["blobs"] == 0
    ledger.note("run", "sent")
    assert len(list(ledger.events_of("run"))) == 1


def test_a_ledger_in_memory_is_safe_from_threads(path: Path) -> None:
    ledger = Ledger(None)

    def work(number: int) -> None:
        for turn in range(15):
            ledger_child.one_round(ledger, f"t{number}", turn)
            with pytest.raises(LedgerError):
                ledger.start_run(f"t{number}-{turn}", "copy", "a", "b")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert ledger.stats()["rows"]["runs"] == 6 * 15
    ledger.close()


# --- disks ---------------------------------------------------------------------------


@contextmanager
def on_every_connection(*statements: str) -> Iterator[None]:
    def run(connection: Any, record: object) -> None:
        for statement in statements:
            connection.execute(statement)

    sa.event.listen(sa.Engine, "connect", run)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "connect", run)


def test_a_full_disk_is_told_and_nothing_is_lost(path: Path) -> None:
    with on_every_connection("PRAGMA max_page_count=60"):
        ledger = Ledger(path)
        with pytest.raises(LedgerError, match="full") as caught:
            ledger_child.rounds(ledger, "full", 10_000)
        assert "room on its disk" in str(caught.value.hint)
        assert "HUBFERRY_LEDGER" in str(caught.value.hint)
        with pytest.raises(LedgerError, match="full"):
            ledger.note_all("more", "sent", [("x" * 100, None)] * 5000)
        assert list(ledger.events_of("more")) == []
        ledger.close()
    with closing_ledger(path) as again:
        assert again.check() == []
        ledger_child.one_round(again, "room", 0)


@contextmanager
def closing_ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(path)
    yield ledger
    ledger.close()


def test_a_disk_that_fails_in_the_middle_of_a_write_is_told_and_harms_nothing(path: Path) -> None:
    command = [*_CHILD, "fill", str(path), "--most-bytes", str(300_000)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "room on its disk" in ran.stdout
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    with closing_ledger(path) as ledger:
        look_at(ledger, "fill", 0)
        ledger_child.one_round(ledger, "room", 0)


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A folder that the process, for the length of the test, has no right to write to."""
    folder = Path(tempfile.mkdtemp())
    ledger = Ledger(folder / "ledger.sqlite3")
    ledger.start_run("run", "copy", "a", "b")
    ledger.close()
    for place, mode in ((folder / "ledger.sqlite3", 0o444), (folder, 0o555)):
        place.chmod(mode)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    yield folder / "ledger.sqlite3"
    if is_root:
        os.seteuid(0)
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_file_that_may_not_be_written_is_told(nobodys: Path) -> None:
    with pytest.raises(LedgerError) as caught:
        Ledger(nobodys).start_run("run-2", "copy", "a", "b")
    assert str(nobodys) in str(caught.value)
    assert "writable" in str(caught.value.hint)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_folder_that_may_not_be_written_is_told(nobodys: Path) -> None:
    for place in ("other.sqlite3", "deeper/other.sqlite3"):
        with pytest.raises(LedgerError) as caught:
            Ledger(nobodys.parent / place)
        assert "writable" in str(caught.value.hint)


def test_no_connection_is_left_open_by_a_ledger_that_cannot_be_opened(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    before = open_files()
    for _ in range(5):
        with pytest.raises(LedgerError):
            Ledger(path)
    assert open_files() == before


def open_files() -> Sequence[str]:
    return sorted(
        str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if "ledger" in _read(link)
    )


def _read(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def test_the_end_of_a_process_with_the_ledger_open_costs_nothing(path: Path) -> None:
    done = threading.Event()

    def last_words() -> None:
        ledger = Ledger(path)
        ledger_child.one_round(ledger, "left", 0)
        done.set()  # and never closed

    thread = threading.Thread(target=last_words)
    thread.start()
    thread.join()
    assert done.is_set()
    with closing_ledger(path) as ledger:
        look_at(ledger, "left", 1)
