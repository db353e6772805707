"""Many small files, and copies that find nothing to do: requests are what counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.cases import KIB, MIB, Case, Scenario, Steps
from bench.results import Results, Row, Verdict, at_least, at_most, holds
from bench.tools import FLOOR, HUBFERRY, PEER, TWO_STEP, Tool
from bench.world import FileSet, Setting
from hubferry.lab.faults import ShapeRule

SLOW_API = (ShapeRule("hf.", latency_seconds=0.02), ShapeRule("ms.", latency_seconds=0.02))

_SAME, _FRESH = "same machine", "fresh machine"
_STATES: tuple[tuple[str, Steps], ...] = ((_SAME, "again"), (_FRESH, "fresh"))
_FEW_FOLDERS = 3
"""With more, the others would take minutes to make what is then found to be equal."""
_FILES_PER_COMMIT = 256
_LISTED_PER_PAGE = 1000
_READ = "A read by HTTP is two requests: resolve, and the place on the same host it points to."


def many_small(count: int, *, commits_per_minute: int = 0) -> Scenario:
    """Files of 2 KiB, with the source's Git endpoint on; with a limit on commits, if one is set."""
    files = FileSet(_small_files(count, folders=3))
    title = f"{count:,} files of 2 KiB in 3 folders, 20 ms API latency"
    if commits_per_minute:
        tools, stop_after = (HUBFERRY, PEER, TWO_STEP), 45
        return Scenario(
            "S4c",
            f"{title}; at most {commits_per_minute} commits a minute",
            [_small_case(tool, files, stop_after, max_rounds=1) for tool in tools],
            _judge_limited,
            Setting(commits_per_minute=commits_per_minute),
        )
    return Scenario(
        "S4",
        title,
        [_small_case(tool, files, 150) for tool in (HUBFERRY, PEER, TWO_STEP, FLOOR)],
        lambda results: _judge_small(results, count),
        remark=_READ,
    )


def without_git(count: int) -> Scenario:
    """The same where the source has no Git endpoint."""
    files = FileSet(_small_files(count, folders=3))

    def judge(results: Results) -> Sequence[Verdict]:
        ours = results.row(HUBFERRY)
        return [holds("the same without the Git endpoint: completes", _seconds(ours), ours)]

    return Scenario(
        "S4b",
        f"{count:,} files of 2 KiB in 3 folders, 20 ms, no Git endpoint",
        [_small_case(HUBFERRY, files, 150)],
        judge,
        Setting(serves_git=False),
        _READ,
    )


def nothing_to_do(name: str, count: int, *, folders: int) -> Scenario:
    """A copy again, when all is equal."""
    large = count // 20
    large_bytes = MIB if folders <= _FEW_FOLDERS else 64 * KIB
    weights = {f"weights-{number}.bin": large_bytes for number in range(large)}
    files = FileSet({**weights, **_small_files(count - large, folders=folders)})
    is_large = folders > _FEW_FOLDERS
    tools = (HUBFERRY,) if is_large else (HUBFERRY, PEER, TWO_STEP)
    states = _STATES[:1] if is_large else _STATES
    cases = [
        Case(tool, files, state, SLOW_API, steps=steps, max_rounds=3)
        for tool in tools
        for state, steps in states
    ]
    return Scenario(
        name,
        f"nothing to do: {count:,} equal files, {large} of them LFS, {folders} folders, 20 ms",
        cases,
        lambda results: _judge_nothing(results, count, folders),
        remark=f"*{_SAME}* has the tool's files of an earlier run, *{_FRESH}* has none.",
    )


def _small_case(tool: Tool, files: FileSet, stop_after: float, max_rounds: int = 100) -> Case:
    return Case(tool, files, rules=SLOW_API, stop_after_seconds=stop_after, max_rounds=max_rounds)


def _judge_small(results: Results, count: int) -> Sequence[Verdict]:
    ours, peer, two_step = (results.row(tool) for tool in (HUBFERRY, PEER, TWO_STEP))
    most = math.ceil(count / _FILES_PER_COMMIT) + 2
    commits = ours.median(lambda run: run.traffic.commits)
    return [
        at_least(
            f"{count:,} small files: at least 10 times as fast as the peer",
            peer.seconds / ours.seconds,
            10,
            "times",
            ours,
        ),
        at_least(
            f"{count:,} small files: at least 3 times as fast as the two-step",
            two_step.seconds / ours.seconds,
            3,
            "times",
            ours,
        ),
        at_most(f"{count:,} small files: at most {most} commits", commits, most, "commits", ours),
    ]


def _judge_limited(results: Results) -> Sequence[Verdict]:
    ours = results.row(HUBFERRY)
    refused = ours.median(lambda run: run.traffic.commits_refused)
    must = "the same under 60 commits a minute: completes, no failed commit"
    measured = f"{_seconds(ours)}, {refused:.0f} refused"
    return [holds(must, measured, ours, also=refused == 0)]


def _judge_nothing(results: Results, count: int, folders: int) -> Sequence[Verdict]:
    ours = results.row(HUBFERRY, _SAME)
    pages = math.ceil((count + folders) / _LISTED_PER_PAGE)
    most = pages + folders + 5
    asked = [
        ours.median(lambda run: run.traffic.source_requests),
        ours.median(lambda run: run.traffic.target_requests),
    ]
    must = f"no-op of {count:,} files: at most {most} requests per hub (pages + folders + 5)"
    measured = f"{asked[0]:.0f} and {asked[1]:.0f}"
    verdicts = [holds(must, measured, ours, also=max(asked) <= most)]
    if count >= 10_000:
        must = f"no-op of {count:,} files: under 3 s at 20 ms"
        verdicts.append(at_most(must, ours.seconds, 3.0, "s", ours))
    return verdicts


def _seconds(row: Row) -> str:
    return f"{row.seconds:.3g} s"


def _small_files(count: int, *, folders: int) -> dict[str, int]:
    return {f"part-{number % folders}/{number:05}.txt": 2 * KIB for number in range(count)}
