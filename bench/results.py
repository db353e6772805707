"""What was measured, and whether it is what it must be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from bench.cases import Case
from bench.lab import Traffic
from bench.measure import Usage
from bench.tools import Tool

DISTURBED_LOAD = 0.3
"""Cores kept busy by others above which a run is marked and repeated: a guess that keeps the
machine's own housekeeping (seen: up to 0.1) out."""

MB, GB = 1e6, 1e9

_STEADY_FROM, _STEADY_TO = 0.25, 0.9


@dataclass(frozen=True)
class Run:
    """One measured run.

    ``differing`` counts the files that the target does not hold as the source does;
    ``read_before_bytes`` is what a killed predecessor had read; ``samples`` are seconds since the
    start and bytes at the target.
    """

    case: Case
    usage: Usage
    traffic: Traffic
    differing: int
    read_before_bytes: int = 0
    samples: Sequence[tuple[float, int]] = ()

    @property
    def is_disturbed(self) -> bool:
        """True if other work on the machine took part of its time."""
        return self.usage.other_load > DISTURBED_LOAD

    @property
    def is_good(self) -> bool:
        """True if it ended by itself and as it should, with what it should at the target."""
        if self.usage.was_stopped or self.usage.exit_code != self.case.exit_code:
            return False
        # After a failure that was asked for, the bad files must not be there.
        return bool(self.differing) == bool(self.case.exit_code)

    @property
    def read_share(self) -> float:
        """Bytes the source sent, over all attempts, per byte of the files."""
        read = self.read_before_bytes + self.traffic.source_bytes
        return read / self.case.files.size_bytes

    @property
    def steady_mb(self) -> float:
        """MB/s between a quarter and nine tenths of the bytes; 0 where nothing was sampled."""
        size = self.case.files.size_bytes
        first, last = (_time_of(self.samples, size * part) for part in (_STEADY_FROM, _STEADY_TO))
        if first is None or last is None or last <= first:
            return 0.0
        return size * (_STEADY_TO - _STEADY_FROM) / MB / (last - first)


@dataclass(frozen=True)
class Row:
    """All runs of one case."""

    case: Case
    runs: Sequence[Run]

    def median(self, value: Callable[[Run], float]) -> float:
        """The median over the rounds."""
        return median(value(run) for run in self.runs)

    @property
    def seconds(self) -> float:
        """Median wall time."""
        return self.median(lambda run: run.usage.wall_seconds)

    @property
    def cpu_seconds(self) -> float:
        """Median CPU time of the tool."""
        return self.median(lambda run: run.usage.cpu_seconds)

    @property
    def peak_rss_bytes(self) -> float:
        """The highest of all rounds."""
        return max(run.usage.peak_rss_bytes for run in self.runs)

    @property
    def mb_per_second(self) -> float:
        """Payload over wall time, start-up and commits included."""
        return self.case.files.size_bytes / MB / self.seconds

    @property
    def is_good(self) -> bool:
        """True if every run was."""
        return all(run.is_good for run in self.runs)

    @property
    def was_stopped(self) -> bool:
        """True if any run took too long, so that times are lower bounds."""
        return any(run.usage.was_stopped for run in self.runs)

    @property
    def is_disturbed(self) -> bool:
        """True if any run was."""
        return any(run.is_disturbed for run in self.runs)


class Results:
    """The rows of one scenario; iterates in the order of its cases."""

    def __init__(self, cases: Sequence[Case], runs: Sequence[Run]) -> None:
        found = [Row(case, [run for run in runs if run.case is case]) for case in cases]
        self._rows = [row for row in found if row.runs]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def row(self, tool: Tool, state: str = "") -> Row:
        """The row of a case.

        Raises:
            KeyError: there is none.
        """
        found = self.find(tool, state)
        if found is None:
            raise KeyError((tool.label, state))
        return found

    def find(self, tool: Tool, state: str) -> Row | None:
        """The row of a case, or None."""
        rows = (row for row in self._rows if row.case.tool == tool and row.case.state == state)
        return next(rows, None)


@dataclass(frozen=True)
class Verdict:
    """One demand: what must be, what was measured, and whether that is enough."""

    must: str
    measured: str
    is_met: bool


def at_least(must: str, value: float, bound: float, unit: str, *rows: Row) -> Verdict:
    """``value`` must reach ``bound``, and the rows it speaks of must be good."""
    return _judged(must, value, value >= bound, unit, rows)


def at_most(must: str, value: float, bound: float, unit: str, *rows: Row) -> Verdict:
    """``value`` must not exceed ``bound``, and the rows it speaks of must be good."""
    return _judged(must, value, value <= bound, unit, rows)


def holds(must: str, measured: str, *rows: Row, also: bool = True) -> Verdict:
    """The rows must be good; ``also`` is one more condition."""
    bad = _faulty(rows)
    return Verdict(must, ", ".join(filter(None, [measured, bad])), also and not bad)


def _judged(must: str, value: float, is_enough: bool, unit: str, rows: Sequence[Row]) -> Verdict:
    return holds(must, f"{value:.3g} {unit}".strip(), *rows, also=is_enough)


def _faulty(rows: Sequence[Row]) -> str:
    names = [f"{row.case.tool.name} {row.case.state}".strip() for row in rows if not row.is_good]
    return f"not well: {', '.join(names)}" if names else ""


def _time_of(samples: Sequence[tuple[float, int]], wanted_bytes: float) -> float | None:
    """When so many bytes had arrived, between two samples by proportion."""
    for (earlier, less), (later, more) in pairwise(samples):
        if less <= wanted_bytes <= more and more > less:
            return earlier + (later - earlier) * (wanted_bytes - less) / (more - less)
    return None
