"""Carrying out a scenario: fresh homes and targets, interleaved rounds, disturbed runs repeated."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.lab import TARGET_OWNER, LabProcess, Traffic
from bench.measure import Usage, run_measured
from bench.scenarios import Scenario
from bench.tools import Tool

DISTURBED_LOAD = 0.3
"""Cores kept busy by others above which a run is marked and repeated: a guess that keeps the
machine's own housekeeping (seen: up to 0.1) out."""

_SHOWN_OUTPUT_CHARS = 2000


@dataclass(frozen=True)
class Run:
    """One measured run. ``state`` tells several runs of one tool apart; ``read_before_bytes`` is
    what a killed predecessor had read."""

    tool: Tool
    state: str
    usage: Usage
    traffic: Traffic
    differing: int
    read_before_bytes: int = 0

    @property
    def is_disturbed(self) -> bool:
        """True if other work on the machine took part of its time."""
        return self.usage.other_load > DISTURBED_LOAD

    @property
    def is_good(self) -> bool:
        """True if it ended by itself, well, and the target equals the source."""
        return not (self.usage.was_stopped or self.usage.exit_code or self.differing)


@dataclass
class Pace:
    """How often to measure.

    A tool whose runs take longer than ``long_run_seconds`` is measured once: its spread is small
    against its length. Repeating disturbed runs may take ``repeat_seconds`` in all, and what is
    spent is taken off, so that the whole ends in time on a busy machine too.
    """

    rounds: int
    long_run_seconds: float
    repeat_seconds: float

    def may_repeat(self, seconds: float) -> bool:
        """Take the time of one repetition; False if it is not left."""
        if seconds > self.repeat_seconds:
            return False
        self.repeat_seconds -= seconds
        return True


def run_scenario(scenario: Scenario, pace: Pace, tell: Callable[[str], None]) -> list[Run]:
    """Run every tool in turn, round after round."""
    found: list[Run] = []
    bench = _Bench(scenario)
    with LabProcess(commits_per_minute=scenario.commits_per_minute) as lab:
        lab.seed(scenario.files)
        for number in range(min(pace.rounds, scenario.max_rounds)):
            for tool in _turns(scenario, number):
                if _is_long(tool, found, pace):
                    continue
                runs = bench.measure(tool, lab, pace)
                found += runs
                for run in runs:
                    tell(_line(scenario, number, run))
    return found


def _turns(scenario: Scenario, number: int) -> tuple[Tool, ...]:
    """The order of a round: nobody is always first, or always after the same neighbour."""
    start = number % len(scenario.tools)
    turns = scenario.tools[start:] + scenario.tools[:start]
    return turns[::-1] if number % 2 else turns


def _is_long(tool: Tool, found: list[Run], pace: Pace) -> bool:
    return any(run.tool is tool and run.usage.wall_seconds > pace.long_run_seconds for run in found)


def _line(scenario: Scenario, number: int, run: Run) -> str:
    usage = run.usage
    text = f"{scenario.name} round {number + 1}: {run.tool.label} {run.state}".rstrip()
    end = "stopped" if usage.was_stopped else f"exit {usage.exit_code}"
    marks = f"{end}, {run.differing} files differ" if not run.is_good else "equal"
    load = f", other load {usage.other_load:.2f}" if run.is_disturbed else ""
    return f"{text}: {usage.wall_seconds:.1f} s, {marks}{load}"


class _Bench:
    """The runs of one scenario, each with a HOME and a target of its own."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._targets = 0

    def measure(self, tool: Tool, lab: LabProcess, pace: Pace) -> list[Run]:
        """Measure once; once more if it was disturbed, keeping the quieter of the two."""
        started = time.monotonic()
        runs = self._measure(tool, lab)
        is_quiet = not any(run.is_disturbed for run in runs)
        if is_quiet or not pace.may_repeat(time.monotonic() - started):
            return runs
        return min(runs, self._measure(tool, lab), key=_worst_load)

    def _measure(self, tool: Tool, lab: LabProcess) -> list[Run]:
        self._targets += 1
        target = f"{TARGET_OWNER}/copy-{self._targets}"
        steps = {
            "copy": self._copy,
            "nothing to do": self._nothing_to_do,
            "killed": self._killed,
        }[self._scenario.steps]
        # What the run before left unwritten must not be written on this one's time.
        os.sync()
        try:
            with TemporaryDirectory(prefix="hubferry-bench-") as folder:
                return steps(tool, lab, target, Path(folder))
        finally:
            lab.forget(target)

    def _copy(self, tool: Tool, lab: LabProcess, target: str, folder: Path) -> list[Run]:
        lab.shape(self._scenario.rules)
        return [self._run(tool, lab, target, folder)]

    def _nothing_to_do(self, tool: Tool, lab: LabProcess, target: str, folder: Path) -> list[Run]:
        home, fresh = folder / "home", folder / "fresh"
        lab.shape(())
        self._run(tool, lab, target, home)
        lab.shape(self._scenario.rules)
        return [
            self._run(tool, lab, target, home, state="same machine"),
            self._run(tool, lab, target, fresh, state="fresh machine"),
        ]

    def _killed(self, tool: Tool, lab: LabProcess, target: str, folder: Path) -> list[Run]:
        lab.shape(self._scenario.rules)
        half = self._scenario.size_bytes // 2
        killed = self._run(
            tool, lab, target, folder, stop_when=lambda: lab.traffic().source_bytes >= half
        )
        read = killed.traffic.source_bytes
        return [self._run(tool, lab, target, folder, read_before_bytes=read)]

    def _run(
        self,
        tool: Tool,
        lab: LabProcess,
        target: str,
        home: Path,
        *,
        state: str = "",
        stop_when: Callable[[], bool] | None = None,
        read_before_bytes: int = 0,
    ) -> Run:
        home.mkdir(exist_ok=True)
        command = tool.command(lab, target, home)
        lab.reset_counters()
        usage = run_measured(
            command,
            lab.cpu_seconds,
            stop_after_seconds=self._scenario.stop_after_seconds,
            stop_when=stop_when,
        )
        traffic = lab.traffic()
        if usage.exit_code and not usage.was_stopped:
            output = (home / "output.txt").read_text(errors="replace")
            print(output[-_SHOWN_OUTPUT_CHARS:], file=sys.stderr)
        differing = len(lab.differences(target))
        return Run(tool, state, usage, traffic, differing, read_before_bytes)


def _worst_load(runs: list[Run]) -> float:
    return max(run.usage.other_load for run in runs)
