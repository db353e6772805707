"""Scenario B1, or alone: ``python -m bench.batch_scale``. What a batch costs as it grows.

Up to 10,000 repositories of 100 files stand on hubs that are computed (``synthetic_hub``); all
else is real: the app, the batch, the plans, a ledger in a file. Each figure is that of a process of
its own. Neither the time for one repository nor memory may grow with how many there are.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cases import MIB
from bench.report import Plain, render
from bench.results import Verdict

if TYPE_CHECKING:
    from bench.synthetic_hub import Fleet
    from hubferry.app import App
    from hubferry.ledger import Ledger, RepoRecord
    from hubferry.manifest.values import Manifest

NAME = "B1"
FILES_EACH = 100
MOST_RSS_BYTES = 300 * 10**6
TIME_SLACK = 1.5

NEW, UNCHANGED, SPARED, LOOKED, HELD = (
    "dry run, all new",
    "dry run, all unchanged",
    "batch, all unchanged",
    "batch, all looked at again",
    "batch, the first half held up",
)
STEPS = (NEW, UNCHANGED, SPARED, LOOKED, HELD)
_LEARNING, _REMEMBERING = "learn", "learn and remember"
"""What is done first, not measured: a ledger that knows digests alone, or the repositories too."""
_BASIS = {UNCHANGED: _REMEMBERING, SPARED: _REMEMBERING, LOOKED: _REMEMBERING, HELD: _LEARNING}
_MEANT: Mapping[str, Sequence[str]] = {
    NEW: ["copy"],
    UNCHANGED: ["unchanged"],
    SPARED: ["unchanged"],
    LOOKED: ["equal"],
    HELD: ["equal", "failed"],
}

_COUNTS = (100, 1_000, 10_000)
_QUICK_COUNTS = (50, 200)


@dataclass(frozen=True)
class Figures:
    """What one step took with so many repositories; the whole process is measured, but its start.

    ``step_rss_bytes`` is how far the peak rose above what the process had before the step.
    """

    step: str
    repos: int
    files: int
    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    step_rss_bytes: int

    @property
    def each_seconds(self) -> float:
        """Wall time for one repository."""
        return self.seconds / self.repos


def measure(step: str, repos: int, files: int, folder: Path) -> Figures:
    """Carry out one step over the state in ``folder``; takes a process of its own.

    Raises:
        RuntimeError: it did not come to what it must.
    """
    from bench.synthetic_hub import Fleet, computed_hubs
    from hubferry.app import App, Settings

    fleet = Fleet(repos, files)
    settings = Settings(state_dir=folder, spool_dir=folder / "spool")
    with ExitStack() as stack:
        stack.enter_context(computed_hubs(fleet, has_targets=step != NEW))
        app = stack.enter_context(App(settings))
        if step in (_LEARNING, _REMEMBERING):
            _fill(app.ledger(), fleet, has_records=step == _REMEMBERING)
            return Figures(step, repos, files, 0, 0, _peak_rss(), 0)
        app.ledger()
        rss_before, cpu_before, started = _peak_rss(), time.process_time(), time.perf_counter()
        states = _carry_out(app, step)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_before
        peak = _peak_rss()
    meant = _MEANT[step]
    if Counter(states) != {state: repos // len(meant) for state in meant}:
        raise RuntimeError(f"{step}: {Counter(states)}")
    return Figures(step, repos, files, seconds, cpu, peak, peak - rss_before)


def _carry_out(app: App, step: str) -> list[str]:
    from bench.synthetic_hub import FULL_OWNER, TARGET_OWNER
    from hubferry.batch.running import Limits
    from hubferry.batching import BatchOptions

    if step in (NEW, UNCHANGED):
        return [item.state for item in app.plan_batch(_manifest(TARGET_OWNER)).items]
    owners = (FULL_OWNER, TARGET_OWNER) if step == HELD else (TARGET_OWNER,)
    # Verified an instant ago is too long ago for 0 days.
    verify_days = None if step == SPARED else 0.0
    options = BatchOptions(verify_days=verify_days, limits=Limits(trouble_seconds=0.0))
    return [item.state.value for item in app.batch(_manifest(*owners), options).items]


def _manifest(*owners: str) -> Manifest:
    """The whole fleet for one owner, or its even and odd numbers for two."""
    from bench.synthetic_hub import SOURCE_OWNER
    from hubferry.manifest.values import Entry, Manifest, OwnerPattern, Place
    from hubferry.model import RepoQuery

    globs = ("*[02468]", "*[13579]") if len(owners) > 1 else ("*",)
    entries = [
        Entry(
            Place("fleet.yaml", line),
            OwnerPattern("hf", RepoQuery(owner=SOURCE_OWNER), glob),
            f"ms://{owner}/{{name}}",
        )
        for line, (owner, glob) in enumerate(zip(owners, globs, strict=True), 1)
    ]
    return Manifest("fleet.yaml", tuple(entries))


def _fill(ledger: Ledger, fleet: Fleet, *, has_records: bool) -> None:
    """What a batch that has verified them all leaves behind, as far as the next one asks for it."""
    if has_records:
        ledger.remember_all(_records(fleet))
    for number in range(fleet.repos):
        ledger.learn(fleet.digests(number))


def _records(fleet: Fleet) -> Iterator[RepoRecord]:
    from bench.synthetic_hub import SyntheticHub
    from hubferry.batch.records import EQUAL, wish_of
    from hubferry.hubs import HUBS
    from hubferry.ledger import RepoRecord
    from hubferry.plan import Policy

    wish, now = wish_of(Policy()), time.time()
    ends = [
        SyntheticHub(HUBS[scheme], fleet, is_source=is_source, has_repos=True)
        for scheme, is_source in (("hf", True), ("ms", False))
    ]
    for number in range(fleet.repos):
        source, target = (end.summary_of(number) for end in ends)
        yield RepoRecord(
            str(source.repo),
            str(target.repo),
            wish,
            EQUAL,
            source_mark=source.mark,
            target_mark=target.mark,
            source_commit=source.commit,
            verified_at=now,
            files=fleet.files,
            size_bytes=sum(entry.size_bytes for entry in fleet.entries(number, tells_git=True)),
            visibility=source.visibility.value,
        )


def _peak_rss() -> int:
    # ru_maxrss outlives exec: it may be that of the process which started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def measure_apart(step: str, repos: int, files: int, folder: Path) -> Figures:
    """:meth:`measure` in a process of its own."""
    arguments = ["--child", step, str(repos), str(files), str(folder)]
    command = [sys.executable, "-m", "bench.batch_scale", *arguments]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Figures(**json.loads(ran.stdout))


def measure_all(
    repos: int, files: int = FILES_EACH, steps: Sequence[str] = STEPS
) -> Iterator[Figures]:
    """Every step with so many repositories, one after the other."""
    with tempfile.TemporaryDirectory(prefix="hubferry-bench-") as name:
        folder = Path(name)
        for step in steps:
            basis = _BASIS.get(step, "nothing")
            state = folder / basis
            if basis in (_LEARNING, _REMEMBERING) and not state.exists():
                measure_apart(basis, repos, files, state)
            yield measure_apart(step, repos, files, state)


def run(*, quick: bool, tell: Callable[[str], None]) -> Plain:
    """Measure every count."""
    found: list[Figures] = []
    for count in _QUICK_COUNTS if quick else _COUNTS:
        for figures in measure_all(count):
            found.append(figures)
            tell(f"{NAME}: {count:,} repositories, {figures.step}: {figures.seconds:.1f} s")
    return told(found)


def told(found: Sequence[Figures], steps: Sequence[str] = STEPS) -> Plain:
    """The figures as a table, and what they must show."""
    most = max(figures.repos for figures in found)
    return Plain(
        NAME,
        f"a batch of up to {most:,} repositories of {found[-1].files} files",
        "Hubs that are computed answer at once, so this is what we cost ourselves. *Looked at "
        "again*: both ends are listed and compared file by file. *Held up*: the quota of their "
        "targets' owner is full, so they wait while the others pass them. *Above start* is how far "
        "the peak rose above what the process took before the step.",
        [title for title, _ in _COLUMNS],
        [[show(each) for _, show in _COLUMNS] for each in found],
        [verdict for step in steps for verdict in _verdicts(step, found)],
    )


_COLUMNS: Sequence[tuple[str, Callable[[Figures], str]]] = (
    ("step", lambda f: f.step),
    ("repositories", lambda f: f"{f.repos:,}"),
    ("files", lambda f: f"{f.repos * f.files:,}"),
    ("wall s", lambda f: f"{f.seconds:.2f}"),
    ("CPU s", lambda f: f"{f.cpu_seconds:.2f}"),
    ("ms a repository", lambda f: f"{f.each_seconds * 1000:.2f}"),
    ("peak RSS MB", lambda f: f"{f.peak_rss_bytes / 1e6:.0f}"),
    ("above start MiB", lambda f: f"{f.step_rss_bytes / MIB:.0f}"),
)


def _verdicts(step: str, found: Sequence[Figures]) -> Iterator[Verdict]:
    *_, before, last = [figures for figures in found if figures.step == step]
    files = f"{last.repos * last.files:,} files"
    each = last.each_seconds / before.each_seconds
    yield Verdict(
        f"{step}, {files}: peak RSS under {MOST_RSS_BYTES / 1e6:.0f} MB",
        f"{last.peak_rss_bytes / 1e6:.0f} MB",
        last.peak_rss_bytes < MOST_RSS_BYTES,
    )
    yield Verdict(
        f"{step}: a repository of {last.repos:,} takes at most {TIME_SLACK} times as long as one "
        f"of {before.repos:,}",
        f"{each:.2f} times ({last.each_seconds * 1000:.2f} ms)",
        each <= TIME_SLACK,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 if it does not show what it must."""
    parser = argparse.ArgumentParser(prog="python -m bench.batch_scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts: does it work at all?")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        step, repos, files, folder = options.child
        print(json.dumps(asdict(measure(step, int(repos), int(files), Path(folder)))))
        return 0
    plain = run(quick=options.quick, tell=lambda line: print(line, file=sys.stderr, flush=True))
    print(render(plain))
    for verdict in plain.verdicts:
        print(f"- {verdict.must}: {verdict.measured}: {'pass' if verdict.is_met else 'SHORT'}")
    return 0 if all(verdict.is_met for verdict in plain.verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
