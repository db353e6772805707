"""Peak memory: constant in file size, and bounded per worker."""

from __future__ import annotations

from collections.abc import Sequence

from bench.cases import MIB, Case, Scenario
from bench.results import MB, Results, Row, Verdict, at_most, holds
from bench.tools import HUBFERRY
from bench.world import FileSet
from hubferry.lanes import LANE_BYTES
from hubferry.stream import BLOCK_BYTES

_FILES = 8
_WORKERS = (1, 4, 8)
_SMALLER = 20
"""How much smaller the set is that shows whether size matters."""
_FORMULA_SLACK = 0.15


def stated_bytes(base_bytes: float, connections: float, files: int) -> float:
    """What the product says it takes: the base, a window for each connection, a block a file."""
    return base_bytes + connections * LANE_BYTES + files * BLOCK_BYTES


def memory(size_bytes: int) -> Scenario:
    """One, four and eight workers on a large set of files, at full speed."""
    large, small = (
        FileSet({f"model-{number}.safetensors": size // _FILES for number in range(_FILES)})
        for size in (size_bytes, size_bytes // _SMALLER)
    )
    base = FileSet({"config.json": 1024})
    tools = {count: HUBFERRY.having("--workers", str(count)) for count in _WORKERS}
    most = _WORKERS[-1]
    cases = [
        Case(HUBFERRY, base, "one small file", max_rounds=1),
        Case(tools[most], small, "smaller set", max_rounds=1),
        *(
            Case(tool, large, "whole set", max_rounds=1, stop_after_seconds=300)
            for tool in tools.values()
        ),
    ]

    def judge(results: Results) -> Sequence[Verdict]:
        base_row = results.row(HUBFERRY, "one small file")
        rows = {count: results.row(tool, "whole set") for count, tool in tools.items()}
        small_row = results.row(tools[most], "smaller set")
        above = {
            count: (row.peak_rss_bytes - base_row.peak_rss_bytes) / count / MB
            for count, row in rows.items()
        }
        stated = {
            count: row.peak_rss_bytes
            / stated_bytes(base_row.peak_rss_bytes, _connections(row), count)
            for count, row in rows.items()
        }
        of_stated = ", ".join(f"{count}: {each:.2f}" for count, each in stated.items())
        grown = rows[most].peak_rss_bytes / small_row.peak_rss_bytes
        shown = ", ".join(f"{count}: {each:.0f}" for count, each in above.items())
        return [
            at_most(
                f"peak RSS constant in file size ({_SMALLER} times the bytes: at most 15 % more)",
                grown,
                1.15,
                "times the RSS",
                *rows.values(),
                small_row,
            ),
            at_most(
                "HTTP path: at most 64 MB a worker above the base",
                max(above.values()),
                64,
                f"MB a worker at the most (workers: MB each: {shown}; base "
                f"{base_row.peak_rss_bytes / MB:.0f} MB)",
                *rows.values(),
            ),
            holds(
                "base + connections x window + files x block holds within 15 %",
                f"measured / stated by workers: {of_stated}",
                *rows.values(),
                also=all(abs(each - 1) <= _FORMULA_SLACK for each in stated.values()),
            ),
        ]

    return Scenario(
        "S10",
        f"peak memory: {_FILES} x {size_bytes // _FILES // MIB} MiB, no shaping",
        cases,
        judge,
        remark="The lab hashes what it takes in and keeps digests only.",
    )


def _connections(row: Row) -> float:
    return row.median(lambda run: run.traffic.connections)
