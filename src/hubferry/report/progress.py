"""Which progress a run shows."""

from __future__ import annotations

import sys

from hubferry.report.console import PipeSafeConsole
from hubferry.report.lines import LineProgress
from hubferry.report.observer import Progress
from hubferry.report.tty import BarProgress


def make_progress(mode: str, *, is_quiet: bool, workers: int) -> Progress:
    """``auto``: bars on a terminal, plain lines elsewhere; ``on``: bars; ``off``: nothing."""
    if mode == "off" or is_quiet:
        return Progress()
    if mode == "on" or sys.stderr.isatty():
        console = PipeSafeConsole(sys.stderr, force_terminal=True if mode == "on" else None)
        return BarProgress(console, workers)
    return LineProgress(sys.stderr)


def make_batch_progress(mode: str, *, is_quiet: bool, shown: int) -> Progress:
    """The same for many repositories at a time."""
    from hubferry.report.batch_bars import BatchBars
    from hubferry.report.batch_lines import BatchLines

    if mode == "off" or is_quiet:
        return Progress()
    if mode == "on" or sys.stderr.isatty():
        console = PipeSafeConsole(sys.stderr, force_terminal=True if mode == "on" else None)
        return BatchBars(console, shown)
    return BatchLines(sys.stderr)
