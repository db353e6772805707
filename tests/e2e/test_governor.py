"""Budgets of several processes and threads, on the lab: what crosses once, what is refused once."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.bench import Bench, check_copied
from tests.support.processes import Ferry, LabProcess
from tests.support.storm_child import REPO, Asker

from hubferry.errors import RateLimitedError
from hubferry.events import Note, Waiting
from hubferry.lab.config import LabConfig
from hubferry.lab.content import SyntheticContent
from hubferry.lab.faults import Fault, ShapeRule
from hubferry.lab.server import Lab

MIB = 1 << 20
BIG = 6 * MIB


@pytest.fixture
def lab_process() -> Iterator[LabProcess]:
    with LabProcess(max_seconds=120) as lab:
        yield lab


def endpoint(lab: LabProcess, name: str) -> dict[str, Any]:
    found: dict[str, Any] = lab.ask("GET", "/counters")["endpoints"].get(name, {})
    return found


def put_bytes(lab: LabProcess) -> int:
    return int(endpoint(lab, "ms.put").get("bytes_in", 0))


def copy(lab: LabProcess, home: Path, number: int, *options: str) -> Ferry:
    arguments = ["copy", f"source-org/model-{number}", f"your-org/model-{number}", "--json"]
    return Ferry([*arguments, *options], lab.variables(home), home / f"copy-{number}")


def await_that(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- blobs --------------------------------------------------------------------------


def seed_alike(lab: LabProcess, count: int, blobs: int) -> None:
    """Repositories that hold the same large files, and a card of their own."""
    files = {f"base-{n}.safetensors": {"size": BIG, "seed": n} for n in range(blobs)}
    for number in range(count):
        card = {"README.md": {"text": f"# model {number}"}}
        lab.seed(f"source-org/model-{number}", {**files, **card})


def test_processes_that_copy_the_same_blobs_send_each_once(
    lab_process: LabProcess, tmp_path: Path
) -> None:
    seed_alike(lab_process, 3, 4)
    lab_process.ask("POST", "/shape", {"group": "ms.put", "connection_bytes_per_second": 4e6})
    ends = [copy(lab_process, tmp_path, number) for number in range(3)]
    done = [ferry.wait() for ferry in ends]
    assert [end.code for end in done] == [0, 0, 0], [end.err for end in done]
    assert all(end.report["verified"] for end in done)
    assert put_bytes(lab_process) == 4 * BIG
    assert sum(end.report["bytes"]["sent"] for end in done) < 4 * BIG + 10_000


def test_a_process_that_is_killed_leaves_its_blobs_to_the_one_that_waits(
    lab_process: LabProcess, tmp_path: Path
) -> None:
    seed_alike(lab_process, 2, 1)
    lab_process.ask("POST", "/shape", {"group": "ms.put", "connection_bytes_per_second": 2e6})
    first = copy(lab_process, tmp_path, 0)
    await_that(lambda: put_bytes(lab_process) > MIB)
    second = copy(lab_process, tmp_path, 1)
    time.sleep(1.5)
    assert endpoint(lab_process, "ms.put")["requests"] == 1
    first.kill()
    lab_process.ask("DELETE", "/shape")
    done = second.wait()
    assert done.code == 0, done.err
    assert done.report["bytes"]["sent"] >= BIG
    again = copy(lab_process, tmp_path, 0).wait()
    assert again.code == 0, again.err
    assert endpoint(lab_process, "ms.put")["requests"] == 2


def test_two_processes_together_have_no_more_transfers_than_one(
    lab_process: LabProcess, tmp_path: Path
) -> None:
    for number in range(2):
        files = {f"{n}.bin": {"size": MIB, "seed": f"{number}-{n}"} for n in range(12)}
        lab_process.seed(f"source-org/model-{number}", files)
    lab_process.ask("POST", "/shape", {"group": "ms.put", "connection_bytes_per_second": 2e6})
    ferries = [copy(lab_process, tmp_path, number, "--workers", "4") for number in range(2)]
    done = [ferry.wait() for ferry in ferries]
    assert [end.code for end in done] == [0, 0], [end.err for end in done]
    assert endpoint(lab_process, "ms.put")["max_in_flight"] <= 4


def test_stopping_a_copy_that_waits_for_another_takes_no_time(
    lab_process: LabProcess, tmp_path: Path
) -> None:
    seed_alike(lab_process, 2, 1)
    lab_process.ask("POST", "/shape", {"group": "ms.put", "connection_bytes_per_second": 0.5e6})
    first = copy(lab_process, tmp_path, 0)
    await_that(lambda: put_bytes(lab_process) > 0)
    second = copy(lab_process, tmp_path, 1, "--progress", "on")
    said = tmp_path / "copy-1" / "err"
    await_that(lambda: "another copy sends" in said.read_text())
    began = time.monotonic()
    ended = second.interrupt()
    assert ended.code == 130, ended.err
    assert time.monotonic() - began < 2
    lab_process.ask("DELETE", "/shape")
    first.kill()


# --- refusals -----------------------------------------------------------------------

THREADS = 16
STORM = Path(__file__).parents[1] / "support" / "storm_child.py"


@contextmanager
def storms(lab: Lab, folder: Path, processes: int, requests: int) -> Iterator[None]:
    """That many processes whose threads all ask at once; the block begins when they are ready."""
    (folder / "token").write_text(lab.ms.token)
    words = [lab.ms.endpoint, folder / "token", folder / "state", THREADS, requests]
    children = [
        subprocess.Popen(
            [sys.executable, str(STORM), *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        yield
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        assert [child.wait(90) for child in children] == [0] * processes
    finally:
        for child in children:
            child.kill()
            child.communicate()


def refused(lab: Lab) -> int:
    statuses = lab.counters.snapshot()["endpoints"]["ms.info"]["statuses"]
    return int(statuses.get("429", 0))


def limit_for(lab: Lab, seconds: float, retry_after: float) -> threading.Timer:
    """From now on every question is refused, until ``seconds`` have passed."""
    lab.faults.add(Fault("ms.info", "status", status=429, times=None, retry_after=retry_after))
    timer = threading.Timer(seconds, lab.faults.clear)
    timer.start()
    return timer


@pytest.mark.parametrize("processes", [1, 2])
def test_a_refusal_is_met_by_those_on_their_way_and_then_by_one_at_a_time(
    lab: Lab, tmp_path: Path, processes: int
) -> None:
    lab.ms.repos.create("model", "your-org/model")
    lab.shape.set(ShapeRule("ms.info", latency_seconds=0.05))
    with storms(lab, tmp_path, processes, requests=6):
        timer = limit_for(lab, 2.5, retry_after=1)
    timer.join()
    at_most = lab.counters.snapshot()["endpoints"]["ms.info"]["max_in_flight"]
    assert at_most <= THREADS * processes
    # Those on their way, and one probe for each of the three times that were told.
    assert refused(lab) <= at_most + 3
    assert list((tmp_path / "state").rglob("*.hold")) == []


def test_without_sharing_everybody_is_refused_again_each_time(lab: Lab, tmp_path: Path) -> None:
    """What the test before would see without holds: it can fail."""
    lab.ms.repos.create("model", "your-org/model")
    lab.shape.set(ShapeRule("ms.info", latency_seconds=0.05))
    timer = limit_for(lab, 2.5, retry_after=1)
    Asker(lab.ms.endpoint, lab.ms.token, None).storm(THREADS, 6)
    timer.join()
    assert refused(lab) >= 2 * THREADS


def test_a_limit_on_commits_does_not_brake_reads(lab: Lab, tmp_path: Path) -> None:
    lab.ms.repos.create("model", "your-org/model")
    asker = Asker(lab.ms.endpoint, lab.ms.token, tmp_path / "state")
    info = asker.hub.resolve(REPO, None)
    lab.faults.add(Fault("ms.commit", "status", status=429, retry_after=600))
    with pytest.raises(RateLimitedError):
        asker.hub.commit(info, [], "nothing")
    began = time.monotonic()
    asker.ask(3)
    assert time.monotonic() - began < 2


def test_a_process_that_starts_later_knows_of_the_refusal(
    lab_process: LabProcess, tmp_path: Path
) -> None:
    for number in range(2):
        lab_process.seed(f"source-org/model-{number}", {"README.md": {"text": f"# {number}"}})
    fault = {"endpoint": "ms.create", "kind": "status", "status": 429, "retry_after": 600}
    lab_process.ask("POST", "/faults", fault)
    for number in range(2):
        ferry = copy(lab_process, tmp_path, number, "--wait-on-limit", "2s")
        ended = ferry.wait()
        assert ended.code == 5, ended.err
    assert endpoint(lab_process, "ms.create")["requests"] == 1


def test_the_wait_for_a_hold_is_told(bench: Bench) -> None:
    bench.seed({"README.md": b"# hi"})
    bench.lab.faults.add(Fault("ms.create", "status", status=429, retry_after=1))
    check_copied(bench, bench.copy())
    reasons = [str(e.reason) for e in bench.events if isinstance(e, Waiting) and e.until_unix]
    assert "rate limit" in reasons


# --- nothing to do ------------------------------------------------------------------


def test_a_copy_with_nothing_to_do_makes_no_file_of_a_governor(
    lab_process: LabProcess, tmp_path: Path
) -> None:
    lab_process.seed("source-org/model-0", {"w.bin": {"size": BIG}, "README.md": {"text": "# hi"}})
    assert copy(lab_process, tmp_path / "one", 0).wait().code == 0
    assert (tmp_path / "one" / "state" / "governor").is_dir()
    again = copy(lab_process, tmp_path / "two", 0).wait()
    assert again.code == 0
    assert again.report["commits"] == 0
    assert not (tmp_path / "two" / "state" / "governor").exists()


def test_no_file_of_a_governor_holds_a_token(lab_process: LabProcess, tmp_path: Path) -> None:
    lab_process.seed("source-org/model-0", {"w.bin": {"size": BIG}})
    lab_process.ask(
        "POST", "/faults", {"endpoint": "ms.", "kind": "status", "status": 429, "retry_after": 1}
    )
    assert copy(lab_process, tmp_path, 0).wait().code == 0
    folder = tmp_path / "state" / "governor"
    tokens = [lab_process.ready[f"{side}_token"] for side in ("hf", "ms")]
    for path in folder.rglob("*"):
        told = str(path).encode() + (path.read_bytes() if path.is_file() else b"")
        assert not [token for token in tokens if token.encode() in told]


@pytest.mark.parametrize("lab", [LabConfig(commits_per_minute=None)], indirect=True)
def test_a_state_folder_without_locks_is_told_once_and_the_copy_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*args: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("hubferry.governor.byte_locks._try_lock", no_locks)
    bench.seed({f"{n}.bin": SyntheticContent(MIB, f"{n}") for n in range(8)})
    check_copied(bench, bench.copy())
    notes = [str(e.text) for e in bench.events if isinstance(e, Note)]
    assert len([note for note in notes if re.search("goes on alone", note)]) == 1


def test_a_refusal_of_the_source_is_known_to_the_next_process_too(
    lab_process: LabProcess, tmp_path: Path
) -> None:
    lab_process.seed("source-org/model-0", {"README.md": {"text": "# hi"}})
    fault = {"endpoint": "hf.tree", "kind": "status", "status": 429, "retry_after": 600}
    lab_process.ask("POST", "/faults", fault)
    for _ in range(2):
        ended = copy(lab_process, tmp_path, 0, "--wait-on-limit", "2s").wait()
        assert ended.code == 5, ended.err
    assert endpoint(lab_process, "hf.tree")["requests"] == 1
