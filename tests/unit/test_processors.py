"""Processors that our own work fills are seen where the system tells."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubferry.processors import Processors

SECOND = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@pytest.mark.parametrize(
    ("user", "idle", "disk", "own", "busy"),
    [(9, 1, 0, 5, True), (9, 1, 0, 1, False), (3, 7, 0, 3, False), (5, 0, 5, 5, False)],
    ids=["ours", "somebody-else's", "idle", "disk"],
)
def test_little_idle_time_and_much_of_our_own_is_busy(
    tmp_path: Path, user: int, idle: int, disk: int, own: int, busy: bool
) -> None:
    stat, used = tmp_path / "stat", [100.0]
    stat.write_text("cpu  1000 0 1000 9000 0 0\ncpu0 1 2 3\n")
    processors = Processors(stat, lambda: used[0])
    now = (1000 + user * SECOND, 0, 1000, 9000 + idle * SECOND, disk * SECOND, 0)
    stat.write_text(f"cpu  {' '.join(map(str, now))}\n")
    used[0] += own
    assert processors.are_busy() is busy
    assert processors.are_busy() is False, "no time has passed since"


@pytest.mark.parametrize("text", [None, "", "cpu nonsense\n"])
def test_what_the_system_does_not_tell_is_not_busy(tmp_path: Path, text: str | None) -> None:
    stat = tmp_path / "stat"
    if text is not None:
        stat.write_text(text)
    processors = Processors(stat)
    assert processors.are_busy() is False
