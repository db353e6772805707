"""No shaping: what a byte costs, nginx on both sides so that the tools are what is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.cases import MIB, Case, Scenario
from bench.results import GB, Results, Row, Verdict, at_least, at_most
from bench.tools import FLOOR, HUBFERRY, PEER, USUAL
from bench.world import FileSet, Setting

_FILES = 4
_SMALL, _LARGE = "smaller files", "larger files"
_LEAST_SECONDS = 1e-9
"""Never nothing, to be divided by."""
_CPU_PLAIN, _CPU_TLS = 1.25, 2.6


def unshaped(file_bytes: int, *, is_tls: bool) -> Scenario:
    """Throughput beside everyone else's."""
    files = _files(file_bytes)
    return Scenario(
        "S1t" if is_tls else "S1",
        f"no shaping, {_FILES} x {file_bytes // MIB} MiB{_over(is_tls)}",
        [Case(tool, files, stop_after_seconds=120) for tool in USUAL],
        _judge_unshaped,
        _setting(is_tls),
        "Tools and nginx share the cores.",
    )


def marginal(small_bytes: int, *, is_tls: bool) -> Scenario:
    """CPU a byte, start-up and commits taken out: the slope between two sizes, as many files."""
    sizes = {_SMALL: small_bytes, _LARGE: 4 * small_bytes}
    cases = [
        Case(tool, _files(size), state, stop_after_seconds=120, max_rounds=3)
        for state, size in sizes.items()
        for tool in (HUBFERRY, FLOOR)
    ]
    bound = _CPU_TLS if is_tls else _CPU_PLAIN

    def judge(results: Results) -> Sequence[Verdict]:
        ours = results.row(HUBFERRY, _SMALL), results.row(HUBFERRY, _LARGE)
        floor = results.row(FLOOR, _SMALL), results.row(FLOOR, _LARGE)
        cpu = _slope(*ours, lambda row: row.cpu_seconds)
        floor_cpu = _slope(*floor, lambda row: row.cpu_seconds)
        wall, floor_wall = (_slope(*pair, lambda row: row.seconds) for pair in (ours, floor))
        must = f"marginal CPU at most {bound} s/GB{_over(is_tls)}"
        unit = f"s/GB (curl piped into curl, no hash: {floor_cpu:.3g})"
        speed_must = f"marginal throughput at least 0.9 of curl's{_over(is_tls)}, start-up left out"
        speed_unit = f"of it ({1000 / wall:.0f} and {1000 / floor_wall:.0f} MB/s)"
        return [
            at_most(must, cpu, bound, unit, *results),
            at_least(speed_must, floor_wall / wall, 0.9, speed_unit, *results),
        ]

    return Scenario(
        "S1tc" if is_tls else "S1c",
        f"marginal CPU: {_FILES} x {small_bytes // MIB} and 4 x {4 * small_bytes // MIB} MiB"
        f"{_over(is_tls)}",
        cases,
        judge,
        _setting(is_tls),
    )


def _judge_unshaped(results: Results) -> Sequence[Verdict]:
    ours, peer, floor = (results.row(tool) for tool in (HUBFERRY, PEER, FLOOR))
    return [
        at_least(
            "with SHA-256, at least 0.9 of the throughput of curl piped into curl",
            floor.seconds / ours.seconds,
            0.9,
            "of it",
            ours,
            floor,
        ),
        at_least(
            "at least 2.5 times as fast as the peer",
            peer.seconds / ours.seconds,
            2.5,
            "times",
            ours,
        ),
    ]


def _slope(small: Row, large: Row, seconds: Callable[[Row], float]) -> float:
    """Seconds that each further GB takes."""
    more_bytes = large.case.files.size_bytes - small.case.files.size_bytes
    return max(_LEAST_SECONDS, seconds(large) - seconds(small)) / (more_bytes / GB)


def _files(size_bytes: int) -> FileSet:
    return FileSet({f"model-{number}.safetensors": size_bytes for number in range(_FILES)})


def _over(is_tls: bool) -> str:
    return " over TLS" if is_tls else ""


def _setting(is_tls: bool) -> Setting:
    return Setting("nginx with TLS" if is_tls else "nginx")
