"""What breaks on the way, and what it costs: bytes read twice, time, or nothing but a message."""

from __future__ import annotations

from collections.abc import Sequence

from bench.cases import MIB, Case, Scenario
from bench.results import Results, Verdict, at_least, at_most, holds
from bench.scenarios.shaped import FAR_SOURCE
from bench.tools import HUBFERRY, PEER, TWO_STEP
from bench.world import FileSet
from hubferry.lab.faults import Fault, ShapeRule

_SPOOLED = HUBFERRY.having("--spool", "always")

_LINKS = (
    ShapeRule("hf.", latency_seconds=0.02, total_bytes_per_second=200e6),
    ShapeRule("ms.", latency_seconds=0.02, total_bytes_per_second=200e6),
)
_INTEGRITY_EXIT = 12


def broken_puts(size_bytes: int) -> Scenario:
    """An upload that breaks off near its end, twice."""
    files = FileSet({"model.safetensors": size_bytes})
    faults = [Fault("ms.put", "reset", times=2, fraction=0.9)]
    most = {_SPOOLED: 1.1, HUBFERRY: 2.0}
    cases = [Case(tool, files, rules=_LINKS, faults=faults, max_rounds=1) for tool in (*most, PEER)]

    def judge(results: Results) -> Sequence[Verdict]:
        peer = results.row(PEER).median(lambda run: run.read_share)
        return [
            at_most(
                f"PUT breaks at 90 % twice, --spool {mode}: source sends at most {most[tool]} x",
                results.row(tool).median(lambda run: run.read_share),
                most[tool],
                f"x (peer {peer:.3g})",
                results.row(tool),
            )
            for mode, tool in (("always", _SPOOLED), ("auto", HUBFERRY))
        ]

    return Scenario(
        "S6",
        f"the PUT breaks at 90 % of {size_bytes // MIB} MiB, twice; both sides 200 MB/s, 20 ms",
        cases,
        judge,
    )


def killed(size_bytes: int) -> Scenario:
    """SIGKILL half-way, then again."""
    files = FileSet({"model.safetensors": size_bytes})
    tools = (_SPOOLED, HUBFERRY, PEER, TWO_STEP)
    cases = [
        Case(tool, files, rules=_LINKS, steps="killed", max_rounds=1, stop_after_seconds=90)
        for tool in tools
    ]

    def judge(results: Results) -> Sequence[Verdict]:
        row, peer = results.row(_SPOOLED), results.row(PEER)
        must = "SIGKILL at 50 % with --spool always, restart: source sends at most 1.05 x"
        share, theirs = (each.median(lambda run: run.read_share) for each in (row, peer))
        return [at_most(must, share, 1.05, f"x (peer {theirs:.3g})", row)]

    return Scenario(
        "S7",
        f"SIGKILL when half of {size_bytes // MIB} MiB was read, then again; 200 MB/s, 20 ms",
        cases,
        judge,
        remark="Figures of the second run, but for what was read in all.",
    )


def lossy(size_bytes: int) -> Scenario:
    """A bad line: one fault at a time against the same copy without any."""
    files = FileSet({f"model-{number}.safetensors": size_bytes // 2 for number in range(2)})
    refused = [
        Fault(f"{side}.", "status", times=None, status=status, probability=0.005, seed=status,
              retry_after=1 if status == 429 else None)
        for side in ("hf", "ms") for status in (503, 429)
    ]  # fmt: skip
    states: dict[str, Sequence[Fault]] = {
        "no fault": (),
        "drops every 64 MiB": [Fault("hf.cdn", "reset", times=None, every_bytes=64 * MIB)],
        "stalls for ever, 2 % of reads": [
            # Chance alone might spare a short run.
            Fault("hf.cdn", "stall", after=5),
            Fault("hf.cdn", "stall", times=None, probability=0.02, seed=1),
        ],
        "1 % of requests 503 or 429": refused,
    }
    cases = [
        Case(HUBFERRY, files, state, FAR_SOURCE, faults, max_rounds=3)
        for state, faults in states.items()
    ]

    def judge(results: Results) -> Sequence[Verdict]:
        good = results.row(HUBFERRY, "no fault")
        return [
            at_least(
                f"source, {state}: completes, goodput at least 0.7 of the run without",
                good.seconds / row.seconds,
                0.7,
                f"of it ({row.median(lambda run: run.traffic.faults):.0f} faults)",
                row,
            )
            for state in states
            if state != "no fault" and (row := results.row(HUBFERRY, state))
        ]

    return Scenario(
        "S8",
        f"faults of the source on the links of S2, 2 x {size_bytes // 2 // MIB} MiB",
        cases,
        judge,
    )


def corrupted(size_bytes: int) -> Scenario:
    """One wrong byte, once and always, by HTTP and out of a xorb."""
    by_xet = HUBFERRY.having("--transport", "xet")
    ways = {
        "plain": (HUBFERRY, FileSet({"model.safetensors": size_bytes}), "hf.cdn"),
        "xorb": (by_xet, FileSet({"model.safetensors": size_bytes}, is_in_xet=True), "xet.xorb"),
    }
    times = {"once": 1, "always": None}
    cases = [
        Case(
            tool,
            files,
            f"{way}, {word}",
            faults=[Fault(endpoint, "corrupt", times=count)],
            max_rounds=1,
            exit_code=0 if count else _INTEGRITY_EXIT,
        )
        for way, (tool, files, endpoint) in ways.items()
        for word, count in times.items()
    ]

    def judge(results: Results) -> Sequence[Verdict]:
        musts = {
            "once": "corrupted byte once: never uploaded as good, retried, equal in the end",
            "always": "corrupted byte always: integrity error, nothing wrong at the target",
        }
        return [
            holds(f"{musts[word]} ({way})", f"exit {row.runs[0].usage.exit_code}", row)
            for way, (tool, _, _) in ways.items()
            for word in times
            if (row := results.row(tool, f"{way}, {word}"))
        ]

    return Scenario(
        "S9", f"one byte of {size_bytes // MIB} MiB corrupted by the source", cases, judge
    )
