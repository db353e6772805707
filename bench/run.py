"""Run the benchmark: ``python -m bench.run``, or ``make bench``. Linux."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import batch_scale, fleet, ledger_scale
from bench.report import LEGEND, Plain, Section, render_all
from bench.results import Results
from bench.rounds import Pace, run_scenario
from bench.scenarios import all_scenarios, warm_up
from bench.tools import HUBFERRY, check_installed, check_peer, machine

RESULTS = Path(__file__).parent / "RESULTS.md"

_ALONE = (ledger_scale.NAME, batch_scale.NAME, fleet.NAME)
"""Scenarios that are more than a tool, files and a link, and see to themselves."""
_REPEAT_SECONDS = 180.0
_ROUNDS = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report; 1 if a copy of ours did not end as it should, 2 if a tool is missing."""
    options = _parser().parse_args(argv)
    copies = [
        scenario
        for scenario in all_scenarios(quick=options.quick)
        if not options.only or scenario.name in options.only
    ]
    alone = [name for name in _ALONE if not options.only or name in options.only]
    try:
        if copies:
            check_installed()
        if fleet.NAME in alone:
            check_peer()
    except RuntimeError as exc:
        print(exc, file=sys.stderr)
        return 2
    started = time.monotonic()
    rounds = options.rounds or (1 if options.quick else _ROUNDS)
    deadline = started + options.minutes * 60
    pace = Pace(rounds, options.long_run_seconds, 0 if options.quick else _REPEAT_SECONDS, deadline)
    if copies:
        run_scenario(warm_up(), Pace(1, 0, 0, deadline), _tell)
    sections: list[Section | Plain] = []
    for scenario in copies:
        results = Results(scenario.cases, run_scenario(scenario, pace, _tell))
        sections.append(Section(scenario, results, scenario.judge(results)))
    sections += [_measured_alone(name, options) for name in alone]
    facts = machine(has_copies=bool(copies) or fleet.NAME in alone)
    text = render_all(sections, facts, rounds=rounds, seconds=time.monotonic() - started)
    print(text)
    output = options.output or (RESULTS if not (options.quick or options.only) else None)
    if output:
        output.write_text(text)
    measured = [each for each in sections if isinstance(each, Section)]
    ours = [row for each in measured for row in each.results if row.case.tool.name == HUBFERRY.name]
    return 0 if all(row.is_good for row in ours) else 1


def _measured_alone(name: str, options: argparse.Namespace) -> Plain:
    if name == fleet.NAME:
        return fleet.run(quick=options.quick, tell=_tell, rounds=options.rounds)
    run = ledger_scale.run if name == ledger_scale.NAME else batch_scale.run
    return run(quick=options.quick, tell=_tell)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    names = [*(scenario.name for scenario in all_scenarios(quick=True)), *_ALONE]
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__, epilog=LEGEND)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work at all?")
    parser.add_argument("--only", action="append", choices=names, help="may be repeated")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help=f"default {_ROUNDS}, or 1 with --quick"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=36.0,
        metavar="MINUTES",
        help="after this long the rest is measured once each (default %(default)g)",
    )
    parser.add_argument(
        "--long-run-seconds",
        type=float,
        default=12.0,
        metavar="SECONDS",
        help="measure others once where a run takes longer (default %(default)g)",
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
