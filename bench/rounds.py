"""Carrying out a scenario: fresh homes and targets, interleaved rounds, disturbed runs repeated."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.cases import Case, Scenario
from bench.lab import TARGET_OWNER
from bench.measure import Watch, run_measured
from bench.results import Run
from bench.tools import HUBFERRY
from bench.world import World

_SHOWN_OUTPUT_CHARS = 2000
_WATCH_EVERY_SECONDS = 0.02
_SAMPLE_EVERY_SECONDS = 0.1


@dataclass
class Pace:
    """How often to measure.

    A case whose runs take longer than ``long_run_seconds`` is measured once (ours up to three
    times): its spread is small against its length. After ``deadline`` (monotonic seconds) each
    case is measured once. Repeating disturbed runs may take ``repeat_seconds`` in all.
    """

    rounds: int
    long_run_seconds: float
    repeat_seconds: float
    deadline: float

    def is_enough(self, case: Case, runs: Sequence[Run]) -> bool:
        """Tell whether a case that has these runs needs no more."""
        if not runs:
            return False
        is_long = any(run.usage.wall_seconds > self.long_run_seconds for run in runs)
        most = min(self.rounds, case.max_rounds)
        if is_long:
            most = min(most, 3 if case.tool.name == HUBFERRY.name else 1)
        return len(runs) >= most or time.monotonic() > self.deadline

    def may_repeat(self, seconds: float) -> bool:
        """Take the time of one repetition; False if it is not left."""
        if seconds > self.repeat_seconds or time.monotonic() > self.deadline:
            return False
        self.repeat_seconds -= seconds
        return True


def run_scenario(scenario: Scenario, pace: Pace, tell: Callable[[str], None]) -> list[Run]:
    """Run every case in turn, round after round."""
    found: list[Run] = []
    with World(scenario.setting) as world:
        bench = _Bench(world)
        for number in range(pace.rounds):
            for case in _turns(scenario.cases, number):
                if pace.is_enough(case, [run for run in found if run.case is case]):
                    continue
                run = bench.measure(case, pace)
                found.append(run)
                tell(_line(scenario, number, run))
    return found


def _turns(cases: Sequence[Case], number: int) -> Sequence[Case]:
    """The order of a round: nobody is always first, or always after the same neighbour."""
    start = number % len(cases)
    turns = [*cases[start:], *cases[:start]]
    return turns[::-1] if number % 2 else turns


def _line(scenario: Scenario, number: int, run: Run) -> str:
    usage, case = run.usage, run.case
    text = f"{scenario.name} round {number + 1}: {case.tool.label} {case.state}".rstrip()
    end = "stopped" if usage.was_stopped else f"exit {usage.exit_code}"
    mark = "good" if run.is_good else f"{end}, {run.differing} files differ"
    load = f", other load {usage.other_load:.2f}" if run.is_disturbed else ""
    return f"{text}: {usage.wall_seconds:.1f} s, {mark}{load}"


class _Bench:
    """The runs of one scenario, each with a HOME and a target of its own."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._targets = 0

    def measure(self, case: Case, pace: Pace) -> Run:
        """Measure once; once more if it was disturbed, keeping the quieter of the two."""
        started = time.monotonic()
        run = self._measure(case)
        if not run.is_disturbed or not pace.may_repeat(time.monotonic() - started):
            return run
        return min(run, self._measure(case), key=lambda each: each.usage.other_load)

    def _measure(self, case: Case) -> Run:
        self._targets += 1
        target = f"{TARGET_OWNER}/copy-{self._targets}"
        source = self._world.source(case.files)
        # What the run before left unwritten must not be written on this one's time.
        os.sync()
        try:
            with TemporaryDirectory(prefix="hubferry-bench-") as folder:
                return _Attempt(self._world, case, source, target, Path(folder)).run()
        finally:
            self._world.lab.fail(())
            self._world.lab.forget(source, target)


@dataclass(frozen=True)
class _Attempt:
    world: World
    case: Case
    source: str
    target: str
    folder: Path

    def run(self) -> Run:
        """Take the steps before the measured one, and that."""
        lab, steps = self.world.lab, self.case.steps
        home, read_before = self.folder / "home", 0
        if steps in ("again", "fresh"):
            lab.shape(())
            self._once(home)
            home = home if steps == "again" else self.folder / "other-home"
        lab.shape(self.case.rules)
        lab.fail(self.case.faults)
        if steps == "killed":
            half = self.case.files.size_bytes // 2
            watch = Watch(lambda: lab.source_bytes() >= half, _WATCH_EVERY_SECONDS)
            read_before = self._once(home, watch).traffic.source_bytes
        samples: list[tuple[float, int]] = []
        run = self._once(home, self._sampling(samples))
        if not run.is_good and not run.usage.was_stopped:
            output = (home / "output.txt").read_text(errors="replace")
            print(output[-_SHOWN_OUTPUT_CHARS:], file=sys.stderr)
        return replace(run, read_before_bytes=read_before, samples=samples)

    def _sampling(self, samples: list[tuple[float, int]]) -> Watch | None:
        if not self.case.is_sampled:
            return None
        started = time.monotonic()

        def ask() -> bool:
            samples.append((time.monotonic() - started, self.world.lab.target_bytes()))
            return False

        return Watch(ask, _SAMPLE_EVERY_SECONDS)

    def _once(self, home: Path, watch: Watch | None = None) -> Run:
        home.mkdir(exist_ok=True)
        command = self.case.tool.command(self.world, self.source, self.target, home)
        self.world.reset_counters()
        usage = run_measured(
            command,
            self.world.cpu_seconds,
            stop_after_seconds=self.case.stop_after_seconds,
            watch=watch,
        )
        traffic = self.world.traffic()
        differing = len(self.world.differences(self.source, self.target))
        return Run(self.case, usage, traffic, differing)
