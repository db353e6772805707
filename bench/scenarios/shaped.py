"""Links with limits: per connection, or for all together; the lab shapes them."""

from __future__ import annotations

from collections.abc import Sequence

from bench.cases import MIB, Case, Scenario
from bench.results import MB, Results, Verdict, at_least, at_most
from bench.tools import FLOOR, HUBFERRY, PEER, TWO_STEP, TWO_STEP_XET, USUAL
from bench.world import FileSet
from hubferry.lab.faults import ShapeRule

FAR_SOURCE = (
    ShapeRule("hf.", latency_seconds=0.08, connection_bytes_per_second=20e6),
    ShapeRule("xet.", latency_seconds=0.08, connection_bytes_per_second=20e6),
    ShapeRule("ms.put", connection_bytes_per_second=200e6),
)
"""A source that gives each connection little, 80 ms away."""

_PUT_RATE = 20e6
_LINK_RATE = 100e6
_PLAIN, _XET = "LFS file", "Xet file"


def far_source(size_bytes: int) -> Scenario:
    """One large file from far away, plain and in Xet storage."""
    plain = FileSet({"model.safetensors": size_bytes})
    xet = FileSet({"model.safetensors": size_bytes}, is_in_xet=True)
    by_xet = HUBFERRY.having("--transport", "xet")
    cases = [
        Case(HUBFERRY, plain, _PLAIN, FAR_SOURCE, is_sampled=True),
        Case(HUBFERRY, xet, _XET, FAR_SOURCE, is_sampled=True),
        Case(by_xet, xet, _XET, FAR_SOURCE, is_sampled=True, max_rounds=2),
        *(Case(tool, plain, _PLAIN, FAR_SOURCE) for tool in (PEER, TWO_STEP, FLOOR)),
        Case(TWO_STEP_XET, xet, _XET, FAR_SOURCE),
    ]
    # For 1 GiB this is 8 s: 5.4 s on the link, and what start, first requests and commit may take.
    most_seconds = round(size_bytes / 200e6 + 2.63, 1)

    def judge(results: Results) -> Sequence[Verdict]:
        ours, in_xet = (results.row(HUBFERRY, state) for state in (_PLAIN, _XET))
        steady, slower = ours.median(lambda run: run.steady_mb), in_xet.seconds / ours.seconds
        speed_must = "one far file, default settings: at least 170 MB/s steady"
        time_must = f"one far file: at most {most_seconds:g} s in all"
        xet_must = "the same as a Xet file: no slower (5 % allowed), bytes checked"
        return [
            at_least(speed_must, steady, 170, "MB/s", ours),
            at_most(time_must, ours.seconds, most_seconds, "s", ours),
            at_most(xet_must, slower, 1.05, "of the time", ours, in_xet),
        ]

    return Scenario(
        "S2",
        f"source 20 MB/s per connection and 80 ms, target 200 MB/s; one file of "
        f"{size_bytes // MIB} MiB",
        cases,
        judge,
        remark=(
            f"Over one source connection {size_bytes / 20e6:.1f} s is the limit; with enough of "
            f"them the upload's {size_bytes / 200e6:.1f} s is. *Steady* is the target's rate "
            "between 25 % and 90 % of the bytes."
        ),
    )


def slow_target(file_bytes: int) -> Scenario:
    """A target that gives each connection little: only parallel uploads help."""
    count = 8
    rules = (ShapeRule("ms.put", connection_bytes_per_second=_PUT_RATE),)
    limit_mb = count * _PUT_RATE / MB

    def judge(results: Results) -> Sequence[Verdict]:
        ours = results.row(HUBFERRY)
        must = f"target 20 MB/s per connection, {count} files: at least 0.9 of the limit"
        unit = f"of {limit_mb:g} MB/s (steady {ours.median(lambda r: r.steady_mb):.0f} MB/s)"
        return [at_least(must, ours.mb_per_second / limit_mb, 0.9, unit, ours)]

    files = _large_files(count, file_bytes)
    return Scenario(
        "S3a",
        f"target 20 MB/s per connection, {count} x {file_bytes // MIB} MiB",
        [Case(tool, files, rules=rules, is_sampled=tool is HUBFERRY) for tool in USUAL],
        judge,
        remark=f"All files at once reach {limit_mb:g} MB/s; the floor sends four at a time.",
    )


def equal_links(file_bytes: int) -> Scenario:
    """Both sides equally slow: time tells whether reading and writing overlap."""
    count = 4
    rules = (
        ShapeRule("hf.", latency_seconds=0.02, total_bytes_per_second=_LINK_RATE),
        ShapeRule("ms.", latency_seconds=0.02, total_bytes_per_second=_LINK_RATE),
    )
    ideal_seconds = count * file_bytes / _LINK_RATE

    def judge(results: Results) -> Sequence[Verdict]:
        ours, two_step = results.row(HUBFERRY), results.row(TWO_STEP)
        must = "both sides shaped equally: at most 1.1 x bytes/link"
        unit = f"x (two-step {two_step.seconds / ideal_seconds:.3g})"
        return [at_most(must, ours.seconds / ideal_seconds, 1.1, unit, ours)]

    files = _large_files(count, file_bytes)
    return Scenario(
        "S3b",
        f"both sides 100 MB/s in all and 20 ms, {count} x {file_bytes // MIB} MiB",
        [Case(tool, files, rules=rules, is_sampled=tool is HUBFERRY) for tool in USUAL],
        judge,
        remark=f"Bytes / link is {ideal_seconds:.1f} s.",
    )


def _large_files(count: int, size_bytes: int) -> FileSet:
    return FileSet({f"model-{number}.safetensors": size_bytes for number in range(count)})
