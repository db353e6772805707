"""The benchmark of the ledger measures, and judges what it measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.ledger_scale import FILES_EACH, Figures, measure, told
from bench.report import render_all


def test_what_was_measured_can_be_shown_and_judged(tmp_path: Path) -> None:
    found = [measure(count, tmp_path / f"{count}.sqlite3") for count in (2, 20)]
    plain = told(found)
    assert f"{20 * FILES_EACH:,} files" in plain.verdicts[0].must
    text = render_all([plain], ["a machine"], rounds=1, seconds=1)
    assert "## L1 - the ledger with up to 20 repositories of 100 files" in text
    assert text.count("| L1 |") == len(plain.verdicts)


def test_a_ledger_that_slows_down_or_takes_more_memory_is_told() -> None:
    small = Figures(1000, 2.0, 1.0, 1.0, 50 << 20, 1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)
    large = replace(small, repositories=10_000, fill_seconds=20.0)
    slow, fat = replace(large, fill_seconds=40.0), replace(large, peak_rss_bytes=80 << 20)
    for last, met in (
        (large, [True, True, True]),
        (slow, [False, True, True]),
        (fat, [True, False, True]),
        (replace(large, export_seconds=200.0), [True, True, False]),
    ):
        assert [verdict.is_met for verdict in told([small, last]).verdicts] == met
