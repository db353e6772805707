"""Tables of the results, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median

from bench.rounds import DISTURBED_LOAD, Run
from bench.scenarios import MIB, Scenario
from bench.tools import FLOOR

_MB = 1e6
_GB = 1e9
_RATED_FROM_BYTES = 50e6
"""Below this a run's time is start-up and requests; MB/s and s/GB would say nothing."""

LEGEND = f"""\
Each run has a HOME and a target repository of its own; tools take turns within a round. Figures are
medians of the rounds, wall time with (min-max). *CPU s* is user+system of the tool's processes,
*peak RSS* that of its largest process (a Python driver for the floor too), *written* what went to
file systems (ru_oublock), *read* and *sent* are body bytes at the source's and the target's data
origins. *Equal*: exit 0 and every file's digest at the target is the source's. *Other load* is how
many cores unrelated work used; a run above {DISTURBED_LOAD} was repeated once while there was
time for it, and has a `*` if it still was. Plain HTTP on loopback; tool and lab share the cores."""


@dataclass(frozen=True)
class Row:
    """All runs of one tool in one state."""

    runs: tuple[Run, ...]
    scenario: Scenario
    floor: tuple[Run, ...]

    def median(self, value: Callable[[Run], float]) -> float:
        """The median over the rounds."""
        return median(value(run) for run in self.runs)

    @property
    def seconds(self) -> float:
        """Median wall time."""
        return self.median(lambda run: run.usage.wall_seconds)


_Column = tuple[str, Callable[[Row], str]]


def render(scenario: Scenario, runs: Sequence[Run]) -> str:
    """One section: title, remark, table."""
    columns = _columns(scenario)
    head = f"## {scenario.name} - {scenario.title}\n"
    remark = f"\n{scenario.remark}\n" if scenario.remark else ""
    titles = [title for title, _ in columns]
    lines = [_line(titles), _line([":---" if t in _TEXTS else "---:" for t in titles])]
    lines += [_line([show(row) for _, show in columns]) for row in _rows(scenario, runs)]
    return f"{head}{remark}\n" + "\n".join(lines) + "\n"


def render_all(
    sections: Sequence[str], machine: Sequence[str], *, rounds: int, seconds: float
) -> str:
    """The whole report."""
    facts = [*machine, f"{date.today()}, up to {rounds} rounds, {seconds / 60:.1f} minutes in all"]
    head = "# Benchmark results\n\nMade by `make bench`.\n\n"
    return (
        head + "\n".join(f"- {fact}" for fact in facts) + f"\n\n{LEGEND}\n\n" + "\n".join(sections)
    )


def _rows(scenario: Scenario, runs: Sequence[Run]) -> list[Row]:
    floor = tuple(run for run in runs if run.tool is FLOOR and run.is_good)
    keys = dict.fromkeys(
        (tool, run.state) for tool in scenario.tools for run in runs if run.tool is tool
    )
    return [
        Row(tuple(r for r in runs if (r.tool, r.state) == key), scenario, floor) for key in keys
    ]


def _columns(scenario: Scenario) -> list[_Column]:
    columns: list[_Column] = [("tool", lambda row: row.runs[0].tool.label)]
    if scenario.steps == "nothing to do":
        columns.append(("state", lambda row: row.runs[0].state))
    columns.append(("wall s", _wall))
    if FLOOR in scenario.tools:
        columns.append(("vs floor", _ratio))
    if scenario.size_bytes >= _RATED_FROM_BYTES:
        columns += [("MB/s", _speed), ("CPU s", _cpu), ("CPU s/GB", _cpu_per_gb)]
    else:
        columns.append(("CPU s", _cpu))
    columns += [
        ("peak RSS MiB", lambda row: f"{max(r.usage.peak_rss_bytes for r in row.runs) / MIB:.0f}"),
        ("written MB", lambda row: f"{row.median(lambda r: r.usage.written_bytes) / _MB:.0f}"),
        ("HF req", lambda row: f"{row.median(lambda r: r.traffic.source_requests):.0f}"),
        ("MS req", lambda row: f"{row.median(lambda r: r.traffic.target_requests):.0f}"),
        ("commits", _commits),
    ]
    if scenario.steps == "killed":
        columns.append(
            ("read before MB", lambda row: _megabytes(row, lambda r: r.read_before_bytes))
        )
    columns.append(("read MB", lambda row: _megabytes(row, lambda r: r.traffic.source_bytes)))
    if scenario.steps == "killed":
        columns.append(("read in all / size", _share))
    return [
        *columns,
        ("sent MB", lambda row: _megabytes(row, lambda r: r.traffic.target_bytes)),
        ("equal", _equal),
        ("lab CPU s", lambda row: f"{row.median(lambda r: r.usage.lab_cpu_seconds):.1f}"),
        ("other load", _other_load),
        ("rounds", lambda row: str(len(row.runs))),
    ]


_TEXTS = ("tool", "state", "equal")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _wall(row: Row) -> str:
    walls = [run.usage.wall_seconds for run in row.runs]
    if any(run.usage.was_stopped for run in row.runs):
        return f"> {max(walls):.0f}, stopped"
    spread = f" ({min(walls):.1f}-{max(walls):.1f})" if len(walls) > 1 else ""
    return f"{row.seconds:.1f}{spread}"


def _ratio(row: Row) -> str:
    is_stopped = any(run.usage.was_stopped for run in row.runs)
    if is_stopped or not row.floor:
        return "-"
    mark = "*" if any(run.is_disturbed for run in (*row.runs, *row.floor)) else ""
    return f"{row.seconds / median(run.usage.wall_seconds for run in row.floor):.2f}{mark}"


def _speed(row: Row) -> str:
    return f"{row.scenario.size_bytes / _MB / row.seconds:.0f}"


def _cpu(row: Row) -> str:
    return f"{row.median(lambda run: run.usage.cpu_seconds):.1f}"


def _cpu_per_gb(row: Row) -> str:
    seconds = row.median(lambda run: run.usage.cpu_seconds)
    return f"{seconds / (row.scenario.size_bytes / _GB):.2f}"


def _commits(row: Row) -> str:
    made = row.median(lambda run: run.traffic.commits)
    refused = row.median(lambda run: run.traffic.commits_refused)
    return f"{made:.0f} (+{refused:.0f} refused)" if refused else f"{made:.0f}"


def _megabytes(row: Row, value: Callable[[Run], float]) -> str:
    return f"{row.median(value) / _MB:.1f}"


def _share(row: Row) -> str:
    read = row.median(lambda run: run.read_before_bytes + run.traffic.source_bytes)
    return f"{read / row.scenario.size_bytes:.2f}"


def _equal(row: Row) -> str:
    for run in row.runs:
        if run.differing:
            return f"no: {run.differing} of {len(row.scenario.files)} missing or other"
        if run.usage.exit_code:
            return f"yes, but exit {run.usage.exit_code}"
    return "yes"


def _other_load(row: Row) -> str:
    worst = max(run.usage.other_load for run in row.runs)
    mark = "*" if any(run.is_disturbed for run in row.runs) else ""
    return f"{worst:.2f}{mark}"
