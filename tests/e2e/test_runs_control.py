"""A copy paused, let go on and stopped from another terminal; and held to a bandwidth limit.

Real processes on the lab, told apart by what the lab counts: bytes that left the source's CDN
and bytes that came in at the target's store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.processes import Ended, Ferry, LabProcess, run_hubferry

pytestmark = pytest.mark.alone

SOURCE, TARGET = "source-org/model", "your-org/model"
MIB = 1 << 20
BIG_BYTES = 48 * MIB
RATE = 4 * MIB
"""Of the whole source, so that a copy takes twelve seconds: time enough to step in."""
QUIET_SECONDS = 1.0
"""So long nothing may move to call it stopped."""
DEADLINE_SECONDS = 30.0


class Terminals:
    """A lab whose source is slow, a copy in one terminal, and a second terminal beside it."""

    def __init__(self, lab: LabProcess, folder: Path) -> None:
        self._lab = lab
        self._folder = folder
        self._variables = lab.variables(folder / "home")
        self._ferry: Ferry | None = None

    def start(self, *options: str) -> None:
        """Begin to copy; back when bytes of the large file are on their way."""
        arguments = ["copy", SOURCE, TARGET, "--json", "--progress", "on", *options]
        self._ferry = Ferry(arguments, self._variables, self._folder / "first")
        self.await_that(lambda: self.moved()[0] > MIB)

    @property
    def ferry(self) -> Ferry:
        assert self._ferry is not None
        return self._ferry

    def hurry(self) -> None:
        """From now on the source is as fast as it can be."""
        self._lab.ask("DELETE", "/shape")

    def end(self) -> Ended:
        """How the first terminal's command ended."""
        return self.ferry.wait(60)

    def said(self) -> str:
        """What the first terminal shows so far."""
        return (self._folder / "first" / "err").read_text()

    def type(self, *arguments: str) -> Ended:
        """A command in the second terminal."""
        return run_hubferry([*arguments, "--json"], self._variables, self._folder / "second")

    def runs(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self.type("runs", "list").report["runs"]
        return runs

    def moved(self) -> tuple[int, int]:
        """Bytes that left the source, and bytes that came in at the target."""
        seen = self._lab.ask("GET", "/counters")["endpoints"]
        out, into = seen.get("hf.cdn", {}), seen.get("ms.put", {})
        return out.get("bytes_out", 0), into.get("bytes_in", 0)

    def await_that(self, is_so: Callable[[], bool]) -> float:
        """Look until it is so; the seconds that took."""
        began = time.monotonic()
        while not is_so():
            assert time.monotonic() - began < DEADLINE_SECONDS, self.said()
            assert self.ferry.process.poll() is None, self.said()
            time.sleep(0.05)
        return time.monotonic() - began

    def seconds_until_quiet(self) -> float:
        """How long bytes still moved on either side."""
        began = last_moved = time.monotonic()
        known = self.moved()
        while time.monotonic() - last_moved < QUIET_SECONDS:
            assert time.monotonic() - began < DEADLINE_SECONDS, "bytes never stop"
            time.sleep(0.05)
            now = self.moved()
            if now != known:
                known, last_moved = now, time.monotonic()
        return last_moved - began

    def check_copied(self) -> None:
        """The target is equal to the source."""
        wanted, shown = self._lab.tree("hf", SOURCE), self._lab.tree("ms", TARGET)
        for path, file in wanted.items():
            assert shown[path]["sha256"] == file["sha256"], path


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    with LabProcess(max_seconds=300) as lab:
        lab.ask("POST", "/shape", {"group": "hf.cdn", "total_bytes_per_second": RATE})
        big: dict[str, object] = {"size": BIG_BYTES, "seed": 1}
        lab.seed(SOURCE, {"config.json": {"text": "{}"}, "weights.safetensors": big})
        found = Terminals(lab, tmp_path)
        try:
            yield found
        finally:
            if found._ferry is not None and found._ferry.process.poll() is None:
                found._ferry.kill()


def test_a_paused_copy_moves_no_byte_and_completes_when_it_goes_on(terminals: Terminals) -> None:
    terminals.start()
    (run,) = terminals.runs()
    assert (run["command"], run["state"]) == ("copy", "running")

    paused = terminals.type("runs", "pause", run["run_id"])
    assert (paused.code, paused.report["runs"][0]["state"]) == (0, "paused"), paused.err
    # What the source had put on the line already still counts as it goes.
    seconds = terminals.seconds_until_quiet()
    print(f"bytes moved for {seconds:.2f} s after the answer")
    assert seconds < 2.0
    assert terminals.moved()[0] < BIG_BYTES
    assert terminals.runs()[0]["state"] == "paused"
    assert "paused" in terminals.said()
    assert terminals.ferry.process.poll() is None

    resumed = terminals.type("runs", "resume", run["run_id"][:-2])
    assert (resumed.code, resumed.report["runs"][0]["state"]) == (0, "running"), resumed.err
    terminals.hurry()
    ended = terminals.end()
    assert (ended.code, ended.report["verified"]) == (0, True), ended.err
    assert ended.report["bytes"]["read"] < BIG_BYTES * 1.1, "a pause costs no second read"
    terminals.check_copied()
    (run,) = terminals.runs()
    assert (run["state"], run["exit_code"]) == ("finished", 0)
    assert terminals.type("runs", "pause", run["run_id"]).code == 2


@pytest.mark.parametrize("is_paused", [False, True], ids=["running", "paused"])
def test_a_stopped_copy_ends_with_130_and_the_same_command_completes_it(
    terminals: Terminals, is_paused: bool
) -> None:
    terminals.start()
    run_id = terminals.runs()[0]["run_id"]
    if is_paused:
        assert terminals.type("runs", "pause", run_id).code == 0
    stopped = terminals.type("runs", "cancel", run_id)
    assert (stopped.code, stopped.report["errors"]) == (0, []), stopped.err
    ended = terminals.end()
    assert ended.code == 130, ended.err
    assert ended.report["errors"][0]["error"] == "cancelled"
    (run,) = terminals.runs()
    assert (run["state"], run["exit_code"]) == ("finished", 130)

    terminals.hurry()
    terminals.start()
    again = terminals.end()
    assert (again.code, again.report["verified"]) == (0, True), again.err
    terminals.check_copied()


def test_a_killed_copy_is_told_to_be_dead(terminals: Terminals) -> None:
    terminals.start()
    run_id = terminals.runs()[0]["run_id"]
    terminals.ferry.kill()
    assert terminals.runs()[0]["state"] == "dead"
    refused = terminals.type("runs", "resume", run_id)
    assert refused.code == 2
    assert "its process is gone" in refused.report["errors"][0]["message"]


@pytest.mark.parametrize("limits", ["off:12M", "12M:off"], ids=["download", "upload"])
def test_a_bandwidth_limit_holds_either_side(terminals: Terminals, limits: str) -> None:
    terminals.hurry()
    terminals.start("--bwlimit", limits)
    ended = terminals.end()
    assert (ended.code, ended.report["verified"]) == (0, True), ended.err
    terminals.check_copied()
    # 48 MiB at 12 MiB/s are four seconds; without the limit it is well below one.
    print(f"{ended.report['seconds']:.2f} s")
    assert ended.report["seconds"] > 3.6
