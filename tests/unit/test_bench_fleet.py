"""What the benchmark of a fleet makes of its measurements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bench.fleet import AGAIN, BATCH, FIRST, PEER_LOOP, SCRIPT, WAYS, Fleet, Run, Way, told
from bench.lab import Traffic
from bench.measure import Usage
from bench.report import render_all

FLEET = Fleet(6)
USAGE = Usage(0, False, 2.0, 1.0, 1.0, 50_000_000, 0, 0.0)
TRAFFIC = Traffic(10, 10, FLEET.least_bytes, FLEET.least_bytes, 6, 0, 4, 0)
NOTHING = Traffic(2, 2, 0, 0, 0, 0, 0, 0)


def a_run(way: Way, state: str, seconds: float) -> Run:
    traffic = TRAFFIC if state == FIRST else NOTHING
    return Run(way, state, replace(USAGE, wall_seconds=seconds), traffic, unequal=0)


def runs_of(*, ours_seconds: float = 2.0) -> list[Run]:
    return [
        a_run(way, state, ours_seconds if way is BATCH else 10.0)
        for way in WAYS
        for state in (FIRST, AGAIN)
    ]


def is_met(runs: list[Run]) -> list[bool]:
    return [verdict.is_met for verdict in told(FLEET, runs).verdicts]


def test_what_is_shared_has_to_cross_once() -> None:
    sizes = [
        {path: file["size"] for path, file in FLEET.files(number).items() if "size" in file}
        for number in range(FLEET.repos)
    ]
    assert all(len(FLEET.files(number)) == 10 for number in range(FLEET.repos))
    assert sum(sum(each.values()) for each in sizes) == FLEET.all_bytes
    assert FLEET.all_bytes - FLEET.least_bytes == 3 * 5_000_000


def test_every_way_has_its_rows_beside_the_floor() -> None:
    plain = told(FLEET, [*runs_of(), *runs_of()])
    text = render_all([plain], ["a machine"], rounds=1, seconds=60)
    assert len(plain.rows) == 1 + 2 * len(WAYS)
    assert {len(row) for row in plain.rows} == {len(plain.headers)}
    assert "| all new | loop: hfms-bridge hf2ms | 10.0 (10.0-10.0) | 1.67 | 5.0 |" in text


@pytest.mark.parametrize("state", [FIRST, AGAIN])
def test_a_batch_that_is_slow_or_not_whole_is_told(state: str) -> None:
    assert all(is_met(runs_of()))
    slow = [
        replace(run, usage=replace(run.usage, wall_seconds=6.0))
        if run.way is BATCH and run.state == state
        else run
        for run in runs_of()
    ]
    assert is_met(slow).count(False) == 1
    unequal = [
        replace(run, unequal=1) if run.way is BATCH and run.state == state else run
        for run in runs_of()
    ]
    assert is_met(unequal).count(False) == 2
    others = [replace(run, unequal=1) if run.way is SCRIPT else run for run in runs_of()]
    assert all(is_met(others))


def test_a_loop_goes_over_the_list_and_tells_if_any_failed(tmp_path: Path) -> None:
    class Lab:
        ms_token = "a token"

    loop = PEER_LOOP.command(tmp_path / "models.txt", Lab())  # type: ignore[arg-type]
    assert loop[:2] == ["bash", "-c"]
    assert '"$source" "$target" --ms-token \'a token\' </dev/null || code=1' in loop[2]
    assert loop[-1] == str(tmp_path / "models.txt")
