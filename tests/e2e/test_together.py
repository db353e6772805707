"""Two processes at one target, and a person who presses Ctrl-C, whatever is going on."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.processes import Ferry, LabProcess, run_hubferry

SOURCE, TARGET = "source-org/model", "your-org/model"
BIG_BYTES = 24_000_000
STOP_SECONDS = 2.0
COPY = ["copy", SOURCE, TARGET, "--json"]


@pytest.fixture
def slow_lab(tmp_path: Path) -> Iterator[LabProcess]:
    """A lab whose downloads take a few seconds."""
    with LabProcess(max_seconds=120) as lab:
        lab.ask("POST", "/shape", {"group": "hf.cdn", "total_bytes_per_second": BIG_BYTES / 4})
        files = {f"weights-{n}.bin": {"size": BIG_BYTES // 4, "seed": n} for n in range(4)}
        lab.seed(SOURCE, {**files, "README.md": {"text": "# slow"}})
        yield lab


def _start(lab: LabProcess, home: Path, *options: str) -> Ferry:
    ferry = Ferry([*COPY, *options], lab.variables(home), home / "first")
    deadline = time.monotonic() + 30
    while not lab.ask("GET", "/counters")["endpoints"].get("hf.cdn", {}).get("bytes_out"):
        assert time.monotonic() < deadline, "the copy did not begin"
        time.sleep(0.05)
    return ferry


def test_a_second_process_waits_and_finds_the_work_done(
    slow_lab: LabProcess, tmp_path: Path
) -> None:
    first = _start(slow_lab, tmp_path)
    hasty = run_hubferry(
        [*COPY, "--wait-lock", "1s"], slow_lab.variables(tmp_path), tmp_path / "hasty"
    )
    second = run_hubferry(COPY, slow_lab.variables(tmp_path), tmp_path / "second")
    done = first.wait()

    assert hasty.code == 4, hasty.err
    assert done.code == second.code == 0, done.err + second.err
    assert done.report["commits"] == 1
    assert second.report["commits"] == second.report["bytes"]["sent"] == 0
    assert second.report["verified"] is True


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_stops_within_two_seconds_and_the_next_run_goes_on(
    slow_lab: LabProcess, tmp_path: Path
) -> None:
    ferry = _start(slow_lab, tmp_path)
    began = time.monotonic()
    ended = ferry.interrupt()

    assert ended.code == 130, ended.err
    assert time.monotonic() - began < STOP_SECONDS
    assert ferry.children() == []
    assert ended.report["verified"] is not True

    slow_lab.ask("DELETE", "/shape")
    again = run_hubferry(COPY, slow_lab.variables(tmp_path), tmp_path / "again")
    assert again.code == 0, again.err
    assert again.report["verified"] is True


def _stuck(fault: dict[str, object], *marks: pytest.MarkDecorator) -> object:
    return pytest.param(fault, id=f"{fault['endpoint']}-{fault['kind']}", marks=marks)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    "fault",
    [
        _stuck({"endpoint": "hf.cdn", "kind": "stall"}),
        _stuck({"endpoint": "ms.commit", "kind": "after_hang"}),
        _stuck({"endpoint": "hf.info", "kind": "slow", "seconds": 60}, pytest.mark.long),
        _stuck({"endpoint": "ms.put", "kind": "after_hang"}, pytest.mark.long),
        _stuck(
            {"endpoint": "ms.commit", "kind": "status", "status": 429, "retry_after": 600},
            pytest.mark.long,
        ),
    ],
)
def test_ctrl_c_stops_whatever_is_waited_for(tmp_path: Path, fault: dict[str, object]) -> None:
    with LabProcess(max_seconds=120) as lab:
        lab.seed(SOURCE, {"weights.bin": {"size": 200_000}, "README.md": {"text": "# hi"}})
        lab.ask("POST", "/faults", fault)
        ferry = Ferry(COPY, lab.variables(tmp_path), tmp_path / "stuck")
        deadline = time.monotonic() + 30
        while not lab.ask("GET", "/faults")[0]["struck"]:
            assert time.monotonic() < deadline, "the fault was not met"
            time.sleep(0.05)
        time.sleep(0.3)
        began = time.monotonic()
        ended = ferry.interrupt()
        seconds = time.monotonic() - began

    assert ended.code == 130, ended.err
    assert seconds < STOP_SECONDS
    assert ended.report["verified"] is not True
