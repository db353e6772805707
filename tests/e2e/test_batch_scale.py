"""A batch takes the memory of a few repositories and the time of each, however many there are.

The hubs are computed (``bench.synthetic_hub``); all else is real, in processes of their own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench.batch_scale import (
    FILES_EACH,
    HELD,
    MOST_RSS_BYTES,
    NEW,
    TIME_SLACK,
    UNCHANGED,
    Figures,
    measure,
    measure_all,
    told,
)
from bench.report import render_all

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

MIB = 1 << 20
_NOISE = 1.5
"""For a machine that does other things meanwhile."""


@dataclass(frozen=True)
class Scale:
    """``more`` repositories may each take ``time_slack`` times the CPU time of ``few``."""

    few: int
    more: int
    most_rss_bytes: int
    most_growth_bytes: int
    time_slack: float


SCALES = [
    # 20,000 files; measured: 52 MB, of which 4 MiB are those of the repositories.
    pytest.param(Scale(50, 200, 100 * 10**6, 16 * MIB, TIME_SLACK * _NOISE), id="quick"),
    pytest.param(
        Scale(1_000, 10_000, MOST_RSS_BYTES, 100 * MIB, TIME_SLACK),
        id="full",
        marks=pytest.mark.long,
    ),
]


@pytest.mark.parametrize("scale", SCALES)
def test_a_repository_costs_the_same_however_many_there_are(scale: Scale) -> None:
    for few, more in zip(measure_all(scale.few), measure_all(scale.more), strict=True):
        print(_line(few), _line(more), sep="\n")
        assert more.repos * more.files == scale.more * FILES_EACH
        assert more.peak_rss_bytes < scale.most_rss_bytes, more
        assert more.step_rss_bytes - few.step_rss_bytes < scale.most_growth_bytes, more
        assert more.cpu_seconds / more.repos < few.cpu_seconds / few.repos * scale.time_slack, more


def test_a_dry_run_holds_a_few_plans_whatever_there_is_in_all() -> None:
    (small,) = measure_all(8, 1_000, [NEW])
    (large,) = measure_all(80, 1_000, [NEW])
    print(_line(small), _line(large), sep="\n")
    assert large.step_rss_bytes - small.step_rss_bytes < 8 * MIB


@pytest.mark.parametrize("step", [NEW, HELD])
def test_a_benchmark_that_does_not_come_to_what_it_must_is_an_error(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.batch_scale._MEANT", {step: ["unchanged"]})
    with pytest.raises(RuntimeError, match=step):
        measure(step, 4, 3, tmp_path)


def test_what_grows_is_told() -> None:
    small = Figures(UNCHANGED, 1_000, 100, 2.0, 1.0, 60 * 10**6, 4 * MIB)
    large = Figures(UNCHANGED, 10_000, 100, 20.0, 10.0, 90 * 10**6, 34 * MIB)
    slow = Figures(UNCHANGED, 10_000, 100, 40.0, 10.0, 400 * 10**6, 34 * MIB)
    for last, is_met in ((large, True), (slow, False)):
        plain = told([small, last], steps=[UNCHANGED])
        assert [verdict.is_met for verdict in plain.verdicts] == [is_met, is_met]
        text = render_all([plain], ["a machine"], rounds=1, seconds=1)
        assert "1,000,000" in text


def _line(figures: Figures) -> str:
    return (
        f"{figures.step}, {figures.repos:,} repositories: {figures.seconds:.1f} s, CPU "
        f"{figures.cpu_seconds:.1f} s, peak {figures.peak_rss_bytes / 1e6:.0f} MB"
    )
