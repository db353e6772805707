"""What the benchmark makes of its measurements."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bench.cases import Case
from bench.lab import Traffic
from bench.measure import Usage
from bench.report import Section, render_all
from bench.results import Results, Run, at_least, at_most
from bench.rounds import Pace
from bench.scenarios import all_scenarios
from bench.tools import FLOOR, HUBFERRY
from bench.world import FileSet

FILES = FileSet({"model.safetensors": 100_000_000})
USAGE = Usage(0, False, 2.0, 1.0, 1.0, 50_000_000, 0, 0.0)
TRAFFIC = Traffic(10, 10, 110_000_000, 100_000_000, 1, 0, 4, 0)


def a_run(case: Case, **usage: float) -> Run:
    return Run(case, replace(USAGE, **usage), TRAFFIC, differing=0)  # type: ignore[arg-type]


def test_the_steady_rate_leaves_out_the_start_and_the_end() -> None:
    slow_start = [(0.0, 0), (5.0, 10_000_000), (6.0, 60_000_000), (6.8, 100_000_000)]
    run = replace(a_run(Case(HUBFERRY, FILES)), samples=slow_start)
    assert run.steady_mb == pytest.approx(50)
    assert a_run(Case(HUBFERRY, FILES)).steady_mb == 0


def test_medians_are_taken_over_the_runs_of_a_case() -> None:
    ours, floor = Case(HUBFERRY, FILES), Case(FLOOR, FILES)
    runs = [a_run(ours, wall_seconds=seconds) for seconds in (9.0, 2.0, 3.0)]
    results = Results([ours, floor], [*runs, a_run(floor)])
    assert results.row(HUBFERRY).seconds == 3.0
    assert [row.case for row in results] == [ours, floor]
    assert results.row(HUBFERRY).median(lambda run: run.read_share) == pytest.approx(1.1)


def test_a_number_that_is_good_enough_does_not_hide_a_copy_that_was_not() -> None:
    case = Case(HUBFERRY, FILES)
    good = Results([case], [a_run(case)]).row(HUBFERRY)
    bad = Results([case], [a_run(case, exit_code=1)]).row(HUBFERRY)
    assert at_least("fast", 2.0, 1.0, "times", good).is_met
    assert not at_least("fast", 0.5, 1.0, "times", good).is_met
    assert at_most("small", 0.5, 1.0, "times", good).is_met
    verdict = at_least("fast", 2.0, 1.0, "times", bad)
    assert not verdict.is_met
    assert "not well: hubferry" in verdict.measured


def test_a_failure_that_was_asked_for_must_leave_nothing_at_the_target() -> None:
    case = Case(HUBFERRY, FILES, exit_code=12)
    failed = a_run(case, exit_code=12)
    assert not failed.is_good
    assert replace(failed, differing=1).is_good


def test_what_takes_long_is_measured_less_often() -> None:
    pace = Pace(5, long_run_seconds=10, repeat_seconds=0, deadline=float("inf"))
    ours, floor = Case(HUBFERRY, FILES), Case(FLOOR, FILES)
    assert not pace.is_enough(floor, [a_run(floor)])
    assert pace.is_enough(floor, [a_run(floor, wall_seconds=11)])
    assert not pace.is_enough(ours, [a_run(ours, wall_seconds=11)])
    late = replace(pace, deadline=0)
    assert not late.is_enough(ours, [])
    assert late.is_enough(ours, [a_run(ours)])


@pytest.mark.parametrize("quick", [True, False])
def test_every_scenario_can_be_judged_and_shown(quick: bool) -> None:
    sections = []
    for scenario in all_scenarios(quick=quick):
        results = Results(scenario.cases, [a_run(case) for case in scenario.cases])
        sections.append(Section(scenario, results, scenario.judge(results)))
    assert all(section.verdicts for section in sections)
    text = render_all(sections, ["a machine"], rounds=1, seconds=60)
    assert text.count("\n## ") == len(sections) + 1
    names = [section.scenario.name for section in sections]
    assert len(names) == len(set(names))
