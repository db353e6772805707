"""Run the benchmark: ``python -m bench.run``, or ``make bench``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.report import LEGEND, render, render_all
from bench.rounds import Pace, run_scenario
from bench.scenarios import Scenario, all_scenarios, warm_up
from bench.tools import machine

RESULTS = Path(__file__).parent / "RESULTS.md"

_REPEAT_SECONDS = 40.0
"""For all repetitions of disturbed runs: the whole stays under 12 minutes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report; 1 if a copy of ours did not end well."""
    options = _parser().parse_args(argv)
    started = time.monotonic()
    chosen = [
        scenario
        for scenario in all_scenarios(quick=options.quick)
        if not options.scenario or scenario.name in options.scenario
    ]
    pace = Pace(options.rounds, options.long_run_seconds, _REPEAT_SECONDS)
    run_scenario(warm_up(), Pace(1, 0, 0), _tell)
    sections, is_good = [], True
    for scenario in chosen:
        section, went_well = _measure(scenario, pace)
        sections.append(section)
        is_good &= went_well
    text = render_all(
        sections, machine(), rounds=options.rounds, seconds=time.monotonic() - started
    )
    print(text)
    output = options.output or (RESULTS if not (options.quick or options.scenario) else None)
    if output:
        output.write_text(text)
    return 0 if is_good else 1


def _measure(scenario: Scenario, pace: Pace) -> tuple[str, bool]:
    runs = run_scenario(scenario, pace, _tell)
    return render(scenario, runs), all(r.is_good for r in runs if r.tool.name == "hubferry")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    names = [scenario.name for scenario in all_scenarios(quick=True)]
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__, epilog=LEGEND)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work at all?")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default %(default)s")
    parser.add_argument(
        "--scenario", action="append", choices=names, help="only this one; may be repeated"
    )
    parser.add_argument(
        "--long-run-seconds",
        type=float,
        default=12.0,
        metavar="SECONDS",
        help="measure a tool once where a run takes longer (default %(default)g)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help=f"where the report goes (default: bench/{RESULTS.name}, for a full run only)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
