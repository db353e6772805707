"""Tables of the results, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from bench.cases import MIB, Scenario
from bench.results import DISTURBED_LOAD, GB, MB, Results, Row, Run, Verdict
from bench.tools import FLOOR, PEER

_RATED_FROM_BYTES = 50e6
"""Below this a run's time is start-up and requests; MB/s and s/GB would say nothing."""

LEGEND = f"""\
Each run has a HOME and a target repository of its own; cases take turns within a round. Figures are
medians of the rounds, wall time with (min-max); what takes long or is counted rather than timed is
measured less often (*rounds*). *CPU s* is user+system of the tool's processes, *peak RSS* that of
its largest process (a Python driver for the floor too), *written* what went to file systems on disk
(ru_oublock), *read* and *sent* are body bytes at the source's and the target's data origins,
*conns* the most connections at once to the lab's data origins of the source. *Equal*: the expected
exit code, and every file's digest at the target is the source's; digests of what was really stored
are computed while no clock runs. *Hubs CPU* is what the lab and nginx took. *Other load* is how
many cores unrelated work used; a run above {DISTURBED_LOAD} was repeated once while there was time
for it, and has a `*` if it still was. All on loopback; tools, lab and nginx share the cores."""


@dataclass(frozen=True)
class Section:
    """One scenario, measured."""

    scenario: Scenario
    results: Results
    verdicts: Sequence[Verdict]

    @property
    def name(self) -> str:
        """The scenario's."""
        return self.scenario.name


@dataclass(frozen=True)
class Plain:
    """A scenario that copies nothing: its table as it is to be shown."""

    name: str
    title: str
    remark: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    verdicts: Sequence[Verdict]


@dataclass(frozen=True)
class _Column:
    title: str
    show: Callable[[Row], str]
    is_shown: Callable[[Results], bool] = lambda results: True


def render_all(
    sections: Sequence[Section | Plain], machine: Sequence[str], *, rounds: int, seconds: float
) -> str:
    """The whole report: what must be shown and whether it is, then every scenario."""
    facts = [*machine, f"{date.today()}, up to {rounds} rounds, {seconds / 60:.1f} minutes in all"]
    parts = [
        "# Benchmark results\n\nMade by `make bench`.\n",
        "\n".join(f"- {fact}" for fact in facts) + "\n",
        _verdicts(sections),
        LEGEND + "\n",
        *(render(section) for section in sections),
    ]
    return "\n".join(parts)


def _verdicts(sections: Sequence[Section | Plain]) -> str:
    lines = [_line(["scenario", "must show", "measured", ""]), _line([":---"] * 4)]
    lines += [
        _line([each.name, verdict.must, verdict.measured, _mark(verdict)])
        for each in sections
        for verdict in each.verdicts
    ]
    return "## What must be shown\n\n" + "\n".join(lines) + "\n"


def _mark(verdict: Verdict) -> str:
    return "pass" if verdict.is_met else "**short**"


def render(section: Section | Plain) -> str:
    """One scenario's table."""
    if isinstance(section, Plain):
        lines = [
            _line(section.headers),
            _line(["---:"] * len(section.headers)),
            *(_line(row) for row in section.rows),
        ]
        return _part(section.name, section.title, section.remark, lines)
    scenario, results = section.scenario, section.results
    columns = [column for column in _columns(results) if column.is_shown(results)]
    lines = [
        _line([column.title for column in columns]),
        _line([":---" if column.title in _TEXTS else "---:" for column in columns]),
        *(_line([column.show(row) for column in columns]) for row in results),
    ]
    return _part(scenario.name, scenario.title, scenario.remark, lines)


def _part(name: str, title: str, remark: str, lines: Sequence[str]) -> str:
    shown = f"\n{remark}\n" if remark else ""
    return f"## {name} - {title}\n{shown}\n" + "\n".join(lines) + "\n"


_TEXTS = ("tool", "state", "equal")


def _columns(results: Results) -> list[_Column]:
    return [
        _Column("tool", lambda row: row.case.tool.label),
        _Column("state", lambda row: row.case.state, lambda all_: _any(all_, _has_state)),
        _Column("wall s", _wall),
        _Column("vs floor", lambda row: _ratio(row, _beside(results, row, FLOOR)), _has(FLOOR)),
        _Column("vs peer", lambda row: _ratio(row, _beside(results, row, PEER)), _has(PEER)),
        _Column("MB/s", _speed, _is_rated),
        _Column("steady MB/s", _steady, lambda all_: _any(all_, lambda row: row.case.is_sampled)),
        _Column("CPU s", lambda row: f"{row.cpu_seconds:.1f}"),
        _Column("CPU s/GB", lambda row: _per_gb(row, row.cpu_seconds), _is_rated),
        _Column("peak RSS MiB", lambda row: f"{row.peak_rss_bytes / MIB:.0f}"),
        _Column("written MB", lambda row: _median_mb(row, lambda run: run.usage.written_bytes)),
        _Column("HF req", lambda row: f"{row.median(lambda r: r.traffic.source_requests):.0f}"),
        _Column("MS req", lambda row: f"{row.median(lambda r: r.traffic.target_requests):.0f}"),
        _Column("conns", lambda row: f"{row.median(lambda r: r.traffic.connections):.0f}"),
        _Column("commits", _commits),
        _Column("read MB", lambda row: _median_mb(row, _read_in_all)),
        _Column("read / size", lambda row: f"{row.median(lambda r: r.read_share):.2f}", _is_rated),
        _Column("sent MB", lambda row: _median_mb(row, lambda run: run.traffic.target_bytes)),
        _Column(
            "faults",
            lambda row: f"{row.median(lambda r: r.traffic.faults):.0f}",
            lambda all_: _any(all_, lambda row: bool(row.case.faults)),
        ),
        _Column("equal", _equal),
        _Column("hubs CPU s", lambda row: f"{_hubs_cpu(row):.1f}"),
        _Column("hubs CPU s/GB", lambda row: _per_gb(row, _hubs_cpu(row)), _is_rated),
        _Column("other load", _other_load),
        _Column("rounds", lambda row: str(len(row.runs))),
    ]


def _any(results: Iterable[Row], is_so: Callable[[Row], bool]) -> bool:
    return any(is_so(row) for row in results)


def _has_state(row: Row) -> bool:
    return bool(row.case.state)


def _has(tool: object) -> Callable[[Results], bool]:
    return lambda results: _any(results, lambda row: row.case.tool == tool)


def _is_rated(results: Results) -> bool:
    return _any(results, lambda row: row.case.files.size_bytes >= _RATED_FROM_BYTES)


def _beside(results: Results, row: Row, tool: object) -> Row | None:
    """The row to compare with: the tool's in the same state, else its only one."""
    rows = [each for each in results if each.case.tool == tool]
    same = [each for each in rows if each.case.state == row.case.state]
    found = same or (rows if len(rows) == 1 else [])
    return found[0] if found else None


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _wall(row: Row) -> str:
    walls = [run.usage.wall_seconds for run in row.runs]
    if row.was_stopped:
        return f"> {max(walls):.0f}, stopped"
    spread = f" ({min(walls):.1f}-{max(walls):.1f})" if len(walls) > 1 else ""
    return f"{row.seconds:.1f}{spread}"


def _ratio(row: Row, other: Row | None) -> str:
    if other is None or row.was_stopped or other.was_stopped:
        return "-"
    mark = "*" if row.is_disturbed or other.is_disturbed else ""
    return f"{row.seconds / other.seconds:.2f}{mark}"


def _speed(row: Row) -> str:
    is_rated = row.case.files.size_bytes >= _RATED_FROM_BYTES
    return f"{row.mb_per_second:.0f}" if is_rated else "-"


def _steady(row: Row) -> str:
    return f"{row.median(lambda run: run.steady_mb):.0f}" if row.case.is_sampled else "-"


def _per_gb(row: Row, seconds: float) -> str:
    if row.case.files.size_bytes < _RATED_FROM_BYTES:
        return "-"
    return f"{seconds / (row.case.files.size_bytes / GB):.2f}"


def _hubs_cpu(row: Row) -> float:
    return row.median(lambda run: run.usage.lab_cpu_seconds)


def _read_in_all(run: Run) -> float:
    return run.read_before_bytes + run.traffic.source_bytes


def _median_mb(row: Row, value: Callable[[Run], float]) -> str:
    return f"{row.median(value) / MB:.1f}"


def _commits(row: Row) -> str:
    made = row.median(lambda run: run.traffic.commits)
    refused = row.median(lambda run: run.traffic.commits_refused)
    return f"{made:.0f} (+{refused:.0f} refused)" if refused else f"{made:.0f}"


def _equal(row: Row) -> str:
    for run in row.runs:
        ended = "" if run.is_good else f", exit {run.usage.exit_code}"
        if run.differing:
            return f"no: {run.differing} of {len(row.case.files.files)} missing or other{ended}"
        if not run.is_good:
            return f"yes, but exit {run.usage.exit_code}"
    return "yes"


def _other_load(row: Row) -> str:
    worst = max(run.usage.other_load for run in row.runs)
    return f"{worst:.2f}{'*' if row.is_disturbed else ''}"
