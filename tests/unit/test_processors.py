"""Busy processors are seen where the system tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubferry.processors import Processors


@pytest.mark.parametrize(
    ("ticks", "busy"), [("20 0 70 10 0", True), ("20 0 20 60 0", False), ("20 0 30 0 50", False)]
)
def test_little_idle_time_since_the_last_look_is_busy(
    tmp_path: Path, ticks: str, busy: bool
) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  1000 0 1000 9000 0 0\ncpu0 1 2 3\n")
    processors = Processors(stat)
    more = [int(tick) for tick in ticks.split()]
    total = [1000 + more[0], more[1], 1000 + more[2], 9000 + more[3], more[4], 0]
    stat.write_text(f"cpu  {' '.join(map(str, total))}\n")
    assert processors.are_busy() is busy
    assert processors.are_busy() is False, "no time has passed since"


@pytest.mark.parametrize("text", [None, "", "cpu nonsense\n"])
def test_what_the_system_does_not_tell_is_not_busy(tmp_path: Path, text: str | None) -> None:
    stat = tmp_path / "stat"
    if text is not None:
        stat.write_text(text)
    processors = Processors(stat)
    assert processors.are_busy() is False
