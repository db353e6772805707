"""Scenario B2, or alone: ``python -m bench.fleet``. Many repositories beside the alternatives.

A fleet of fine-tuned models stands on a lab 20 ms away: 10 files each, and two of three have the
weights of the same base. Each tool brings them over to a lab of its own, and then once more when
nothing has changed. Rounds are interleaved; whoever takes long is measured once.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.cases import KIB
from bench.lab import TARGET_OWNER, LabProcess, Traffic
from bench.measure import Command, Usage, run_measured
from bench.report import Plain, render
from bench.results import DISTURBED_LOAD, MB, Verdict
from bench.tools import HUBFERRY, PEER, TWO_STEP, Tool, check_peer, lab_variables
from hubferry.lab.faults import ShapeRule

NAME = "B2"
LATENCY_SECONDS = 0.02
LINK_BYTES_PER_SECOND = 25e6
BASE_BYTES, OWN_BYTES, SMALL_BYTES = 5_000_000, 100_000, 2 * KIB
FILES = 10
REPOS, QUICK_REPOS = 40, 6
ROUNDS = 3
LONG_SECONDS = 12.0
"""Runs of others that take longer are measured in the first round only."""

_MOST_SECONDS = 300.0
_LEAST_TIMES = 2.0
_MOST_READ = 1.1
_SOURCE_OWNER = "source-org"
_SCRIPT = Path(__file__).parent.parent / "scripts" / "batch_transfer.sh"
_RULES = tuple(
    ShapeRule(prefix, latency_seconds=LATENCY_SECONDS, total_bytes_per_second=LINK_BYTES_PER_SECOND)
    for prefix in ("hf.", "ms.")
)

FIRST, AGAIN = "all new", "again, nothing changed"


@dataclass(frozen=True)
class Way:
    """One way to bring a list of repositories over, as an argument vector of its list's path."""

    label: str
    command: Callable[[Path, LabProcess], list[str]]
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether it is the batch."""
        return self is BATCH


def _one_by_one(tool: Tool) -> Way:
    """A shell loop over the list, one process a repository."""

    def command(listed: Path, lab: LabProcess) -> list[str]:
        words = {"source": '"$source"', "target": '"$target"', "ms_token": lab.ms_token}
        called = " ".join(
            part if part.startswith('"$') else shlex.quote(part)
            for part in (argument.format(**words) for argument in tool.arguments)
        )
        loop = f'while read -r source target; do {called} </dev/null || code=1; done <"$1"'
        return ["bash", "-c", f"code=0; {loop}; exit $code", "loop", str(listed)]

    return Way(f"loop: {tool.label}", command, tool.variables)


BATCH = Way(
    "hubferry batch",
    lambda listed, lab: [HUBFERRY.arguments[0], "batch", str(listed), "--json"],
)
SCRIPT = Way(
    "scripts/batch_transfer.sh",
    lambda listed, lab: ["bash", str(_SCRIPT), str(listed)],
    (("HUBFERRY_PYTHON", sys.executable),),
)
PEER_LOOP, TWO_STEP_LOOP = _one_by_one(PEER), _one_by_one(TWO_STEP)
WAYS = (BATCH, SCRIPT, TWO_STEP_LOOP, PEER_LOOP)


@dataclass(frozen=True)
class Run:
    """One way, once."""

    way: Way
    state: str
    usage: Usage
    traffic: Traffic
    unequal: int
    """Repositories whose target does not hold what the source does."""

    @property
    def is_good(self) -> bool:
        """Whether it ended by itself and well, and all is there."""
        return not (self.usage.was_stopped or self.usage.exit_code or self.unequal)


@dataclass(frozen=True)
class Fleet:
    """``repos`` repositories of ``FILES`` files."""

    repos: int

    def names(self) -> list[str]:
        """Without their owner."""
        return [f"model-{number:03}" for number in range(self.repos)]

    def files(self, number: int) -> dict[str, dict[str, Any]]:
        """How the lab is given them."""
        files: dict[str, dict[str, Any]] = {
            "README.md": {"text": f"# Model {number}\n\n" + "Words. " * 200},
            "own.safetensors": {"size": OWN_BYTES, "seed": f"own {number}"},
        }
        if self._has_base(number):
            files["base.safetensors"] = {"size": BASE_BYTES, "seed": "base"}
        while len(files) < FILES:
            line = f"{number} {len(files)}\n"
            files[f"notes-{len(files)}.txt"] = {"text": line * (SMALL_BYTES // len(line))}
        return files

    @staticmethod
    def _has_base(number: int) -> bool:
        return number % 3 > 0

    @property
    def least_bytes(self) -> int:
        """What has to cross: what different files there are in LFS, each once."""
        has_base = any(map(self._has_base, range(self.repos)))
        return self.repos * OWN_BYTES + has_base * BASE_BYTES

    @property
    def all_bytes(self) -> int:
        """The same, whatever it shares."""
        bases = sum(map(self._has_base, range(self.repos)))
        return self.repos * OWN_BYTES + bases * BASE_BYTES

    @property
    def floor_seconds(self) -> float:
        """Bytes that have to cross over what the link takes."""
        return self.least_bytes / LINK_BYTES_PER_SECOND

    def seed(self, lab: LabProcess) -> None:
        """Make the sources."""
        for number, name in enumerate(self.names()):
            lab.seed(f"{_SOURCE_OWNER}/{name}", self.files(number), xet=False)

    def write_list(self, path: Path) -> None:
        """``SOURCE TARGET`` a line, which all of the tools can take."""
        lines = (f"{_SOURCE_OWNER}/{name} {TARGET_OWNER}/{name}\n" for name in self.names())
        path.write_text("".join(lines))

    def unequal(self, lab: LabProcess) -> int:
        """How many targets do not hold what their source does."""
        return sum(not self._is_equal(lab, name) for name in self.names())

    @staticmethod
    def _is_equal(lab: LabProcess, name: str) -> bool:
        wanted = lab.tree("hf", f"{_SOURCE_OWNER}/{name}")
        found = lab.tree("ms", f"{TARGET_OWNER}/{name}")
        return all(
            path in found
            and found[path]["is_stored"]
            and (found[path]["sha256"], found[path]["size"]) == (file["sha256"], file["size"])
            for path, file in wanted.items()
        )


def measure(way: Way, fleet: Fleet) -> list[Run]:
    """Both runs of one way, on a lab and in a HOME of their own."""
    with (
        tempfile.TemporaryDirectory(prefix="hubferry-bench-") as name,
        LabProcess("--discard", "--commits-per-minute", "0") as lab,
    ):
        folder = Path(name)
        home, listed = folder / "home", folder / "models.txt"
        home.mkdir()
        fleet.seed(lab)
        fleet.write_list(listed)
        lab.shape(_RULES)
        variables = {**lab_variables(lab, home), **dict(way.variables)}
        command = Command(way.command(listed, lab), variables, home)
        runs = [_run(way, state, command, lab, fleet) for state in (FIRST, AGAIN)]
        if not all(run.is_good for run in runs):
            output = (home / "output.txt").read_text(errors="replace")
            print(output[-2000:], file=sys.stderr)
        return runs


def _run(way: Way, state: str, command: Command, lab: LabProcess, fleet: Fleet) -> Run:
    lab.reset_counters()
    usage = run_measured(command, lab.cpu_seconds, stop_after_seconds=_MOST_SECONDS)
    traffic = lab.traffic()
    return Run(way, state, usage, traffic, fleet.unequal(lab))


def run(
    *, quick: bool, tell: Callable[[str], None], repos: int | None = None, rounds: int | None = None
) -> Plain:
    """Measure all ways, round after round."""
    fleet = Fleet(repos or (QUICK_REPOS if quick else REPOS))
    found: list[Run] = []
    started = time.monotonic()
    for number in range(rounds or (1 if quick else ROUNDS)):
        # Nobody is always first.
        for way in (*WAYS[number % len(WAYS) :], *WAYS[: number % len(WAYS)]):
            known = [each for each in found if each.way is way]
            is_long = any(each.usage.wall_seconds > LONG_SECONDS for each in known)
            if is_long and not way.is_ours:
                continue
            for each in measure(way, fleet):
                found.append(each)
                tell(_line(number, each))
    tell(f"{NAME}: {time.monotonic() - started:.0f} s in all")
    return told(fleet, found)


def _line(number: int, run: Run) -> str:
    mark = "good" if run.is_good else f"exit {run.usage.exit_code}, {run.unequal} unequal"
    text = f"{NAME} round {number + 1}: {run.way.label}, {run.state}"
    return f"{text}: {run.usage.wall_seconds:.1f} s, {mark}"


@dataclass(frozen=True)
class Row:
    """All runs of one way in one state; figures are medians."""

    fleet: Fleet
    runs: Sequence[Run]
    ours_seconds: float

    def median(self, value: Callable[[Run], float]) -> float:
        """Over the rounds."""
        return median(map(value, self.runs))

    @property
    def seconds(self) -> float:
        """Wall time."""
        return self.median(lambda run: run.usage.wall_seconds)

    @property
    def read_bytes(self) -> float:
        """What the source sent."""
        return self.median(lambda run: run.traffic.source_bytes)

    @property
    def requests(self) -> tuple[float, float]:
        """To the source and to the target."""
        return (
            self.median(lambda run: run.traffic.source_requests),
            self.median(lambda run: run.traffic.target_requests),
        )

    @property
    def is_good(self) -> bool:
        """Whether every run was."""
        return all(run.is_good for run in self.runs)


def rows_of(fleet: Fleet, found: Sequence[Run]) -> dict[tuple[Way, str], Row]:
    """The rows, by way and state."""
    runs = {
        (way, state): [run for run in found if run.way is way and run.state == state]
        for state in (FIRST, AGAIN)
        for way in WAYS
    }
    ours = {
        state: median(run.usage.wall_seconds for run in runs[BATCH, state])
        for state in (FIRST, AGAIN)
    }
    return {key: Row(fleet, some, ours[key[1]]) for key, some in runs.items() if some}


def told(fleet: Fleet, found: Sequence[Run]) -> Plain:
    """The figures as a table, and what they must show."""
    rows = rows_of(fleet, found)
    return Plain(
        NAME,
        f"{fleet.repos} repositories of {FILES} files, one after the other or as a batch",
        f"{LATENCY_SECONDS * 1000:.0f} ms, and {LINK_BYTES_PER_SECOND / MB:.0f} MB/s on each side. "
        f"Each has a blob of {OWN_BYTES / MB:g} MB of its own, two of three have the same base of "
        f"{BASE_BYTES / MB:g} MB, the others are small. LFS files come to "
        f"{fleet.all_bytes / MB:.1f} MB; {fleet.least_bytes / MB:.1f} MB are different and have "
        f"to cross, {fleet.floor_seconds:.2f} s on the link. A loop starts a process a "
        "repository; the two-step and the peer keep what they downloaded or noted for the second "
        "run, as they do on a user's machine. Each way has a lab of its own.",
        ["run", *(title for title, _ in _COLUMNS)],
        [
            _floor(fleet, rows[BATCH, FIRST]),
            *([state, *(show(row) for _, show in _COLUMNS)] for (_, state), row in rows.items()),
        ],
        _verdicts(rows),
    )


def _floor(fleet: Fleet, ours: Row) -> list[str]:
    """A row for what no tool can do without: bytes over the link, no request, no process."""
    seconds, least = fleet.floor_seconds, f"{fleet.least_bytes / MB:.1f}"
    known = {
        "tool": "floor: LFS bytes that have to cross / link",
        "wall s": f"{seconds:.1f}",
        "s a repository": f"{seconds / fleet.repos:.2f}",
        "vs batch": f"{seconds / ours.seconds:.1f}",
        "read MB": least,
        "read / least": "1.00",
        "sent MB": least,
    }
    return [FIRST, *(known.get(title, "-") for title, _ in _COLUMNS)]


def _wall(row: Row) -> str:
    walls = [run.usage.wall_seconds for run in row.runs]
    if any(run.usage.was_stopped for run in row.runs):
        return f"> {max(walls):.0f}, stopped"
    spread = f" ({min(walls):.1f}-{max(walls):.1f})" if len(walls) > 1 else ""
    return f"{row.seconds:.1f}{spread}"


def _equal(row: Row) -> str:
    unequal = max(run.unequal for run in row.runs)
    if unequal:
        return f"no: {unequal} of {row.fleet.repos}"
    codes = {run.usage.exit_code for run in row.runs} - {0}
    return f"yes, but exit {min(codes)}" if codes else "yes"


def _load(row: Row) -> str:
    worst = max(run.usage.other_load for run in row.runs)
    return f"{worst:.2f}{'*' if worst > DISTURBED_LOAD else ''}"


_COLUMNS: Sequence[tuple[str, Callable[[Row], str]]] = (
    ("tool", lambda row: row.runs[0].way.label),
    ("wall s", _wall),
    ("s a repository", lambda row: f"{row.seconds / row.fleet.repos:.2f}"),
    ("vs batch", lambda row: f"{row.seconds / row.ours_seconds:.1f}"),
    ("CPU s", lambda row: f"{row.median(lambda r: r.usage.cpu_seconds):.1f}"),
    ("HF req", lambda row: f"{row.requests[0]:.0f}"),
    ("MS req", lambda row: f"{row.requests[1]:.0f}"),
    ("read MB", lambda row: f"{row.read_bytes / MB:.1f}"),
    ("read / least", lambda row: f"{row.read_bytes / row.fleet.least_bytes:.2f}"),
    ("sent MB", lambda row: f"{row.median(lambda r: r.traffic.target_bytes) / MB:.1f}"),
    ("written MB", lambda row: f"{row.median(lambda r: r.usage.written_bytes) / MB:.1f}"),
    ("commits", lambda row: f"{row.median(lambda r: r.traffic.commits):.0f}"),
    ("equal", _equal),
    ("other load", _load),
    ("rounds", lambda row: str(len(row.runs))),
)


def _verdicts(rows: Mapping[tuple[Way, str], Row]) -> list[Verdict]:
    first, again = rows[BATCH, FIRST], rows[BATCH, AGAIN]
    share = first.read_bytes / first.fleet.least_bytes
    found = [
        Verdict(
            f"what several repositories share is read once: at most {_MOST_READ} x of the LFS "
            "bytes that have to cross, small files included",
            f"{share:.2f} x",
            first.is_good and share <= _MOST_READ,
        ),
        Verdict(
            "a batch again, nothing changed: at most 3 requests per hub, however many repositories",
            f"{again.requests[0]:.0f} and {again.requests[1]:.0f}",
            again.is_good and max(again.requests) <= 3,
        ),
    ]
    for state, ours in ((FIRST, first), (AGAIN, again)):
        others = [row for (way, at), row in rows.items() if at == state and way is not BATCH]
        fastest = min(others, key=lambda row: row.seconds)
        times = fastest.seconds / ours.seconds
        found.append(
            Verdict(
                f"{state}: at least {_LEAST_TIMES:g} times as fast as the fastest alternative",
                f"{times:.1f} times ({fastest.runs[0].way.label})",
                ours.is_good and times >= _LEAST_TIMES,
            )
        )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 if it does not show what it must, 2 if a tool is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_REPOS} repositories, once")
    parser.add_argument("--repos", type=int, metavar="N", help=f"default {REPOS}")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default {ROUNDS}")
    options = parser.parse_args(argv)
    try:
        check_peer()
    except RuntimeError as exc:
        print(exc, file=sys.stderr)
        return 2

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    plain = run(quick=options.quick, tell=tell, repos=options.repos, rounds=options.rounds)
    print(render(plain))
    for verdict in plain.verdicts:
        print(f"- {verdict.must}: {verdict.measured}: {'pass' if verdict.is_met else 'SHORT'}")
    return 0 if all(verdict.is_met for verdict in plain.verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
