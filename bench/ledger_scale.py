"""Scenario L1, or alone: ``python -m bench.ledger_scale``. What the ledger costs as it grows.

For each number of repositories a process of its own fills a new ledger as a
batch would (how a pair stands, its files, an attempt with its events), then
asks it and changes little. Neither the time for one repository nor memory may
grow with what the ledger holds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cases import MIB
from bench.report import Plain, render
from bench.results import Verdict
from hubferry.model import GitOid, Sha256

if TYPE_CHECKING:
    from hubferry.ledger import Ledger

NAME = "L1"
FILES_EACH = 100

_COUNTS = (100, 1_000, 10_000)
_QUICK_COUNTS = (20, 100, 500)
_EVENTS_EACH = 5
_TRIES = 5
_TIME_SLACK = 1.5
_MEMORY_SLACK = 1.15
_MOST_SECONDS = 180.0

FileRow = tuple[str, int, str | None]


@dataclass(frozen=True)
class Figures:
    """What was measured with so many repositories; the peak is that of the whole process.

    Recalling all is left out of the peak: its answer is a list of all.
    """

    repositories: int
    fill_seconds: float
    learn_seconds: float
    export_seconds: float
    peak_rss_bytes: int
    file_bytes: int
    recall_seconds: float
    stats_seconds: float
    same_files_seconds: float
    one_file_seconds: float
    speed_seconds: float
    prune_seconds: float

    @property
    def fill_each_seconds(self) -> float:
        """Time to keep one repository."""
        return self.fill_seconds / self.repositories

    @property
    def seconds(self) -> float:
        """All of it."""
        parts = asdict(self).items()
        return float(sum(value for name, value in parts if name.endswith("_seconds")))


def measure(count: int, path: Path) -> Figures:
    """Fill a new ledger and ask it; takes a process of its own, for its memory."""
    from hubferry.ledger import Ledger

    ledger = Ledger(path)

    def fill() -> None:
        ledger.start_run("run", "batch", "mirror.yaml", "")
        for number in range(count):
            _keep(ledger, number)
        ledger.end_run("run", 0, "{}")

    def learn() -> None:
        for number in range(count):
            ledger.learn(_contents(number))

    fill_seconds = _timed(fill)
    learn_seconds = _timed(learn)
    export_seconds = _timed(lambda: _drain(ledger.export()))
    peak_rss_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    pairs = [_pair(number) for number in range(count)]
    middle = count // 2
    changed = [("new.bin", 1, None), *_files(middle)][:FILES_EACH]
    found = Figures(
        count,
        fill_seconds,
        learn_seconds,
        export_seconds,
        peak_rss_bytes,
        file_bytes=int(ledger.stats()["file_bytes"]),
        recall_seconds=_timed(lambda: ledger.recall(pairs)),
        stats_seconds=_timed(ledger.stats),
        same_files_seconds=_best(lambda: ledger.remember_files(*pairs[middle], _files(middle))),
        one_file_seconds=_timed(lambda: ledger.remember_files(*pairs[middle], changed)),
        speed_seconds=_best(lambda: ledger.usual_speed("hf", "ms")),
        prune_seconds=_timed(lambda: ledger.prune(1, now=time.time() + 2 * 86_400)),
    )
    if problems := ledger.check():
        raise RuntimeError(f"the ledger is not sound: {problems[0]}")
    ledger.close()
    return found


def _keep(ledger: Ledger, number: int) -> None:
    """What a batch keeps of one repository."""
    from hubferry.ledger import RepoRecord

    source, target = _pair(number)
    attempt_id = f"run/{number}.1"
    report = {"bytes": {"sent": 10_000_000, "read": 10_000_000}, "seconds": 2.0, "errors": []}
    ledger.start_attempt(attempt_id, "run", number, source, target)
    events = [(f"part-{event}.bin", {"size": number}) for event in range(_EVENTS_EACH)]
    ledger.note_all(attempt_id, "sent", events)
    ledger.end_attempt(attempt_id, "copied", 0, json.dumps(report))
    mark = f"{number:040x}"
    size_bytes = FILES_EACH << 20
    ledger.remember(
        RepoRecord(source, target, "wish", "equal", mark, mark, mark, 1.0, FILES_EACH, size_bytes)
    )
    ledger.remember_files(source, target, _files(number))


def _pair(number: int) -> tuple[str, str]:
    return f"hf://org-{number % 50}/model-{number}@main", f"ms://mirror/model-{number}@master"


def _files(number: int) -> Iterator[FileRow]:
    for file in range(FILES_EACH):
        yield (
            f"folder-{file % 7}/part-{file:05}-of-{FILES_EACH:05}.bin",
            1 << 20,
            _hex(number, file),
        )


def _contents(number: int) -> Iterator[tuple[GitOid, Sha256]]:
    """What is learned of a repository; digests come in no order, which is what makes it dear."""
    for file in range(FILES_EACH):
        data = f"{number} {file}".encode()
        oid = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        yield GitOid(oid), Sha256(hashlib.sha256(data).hexdigest())


def _hex(number: int, file: int) -> str:
    return f"{number * FILES_EACH + file:064x}"


def _drain(rows: Iterable[object]) -> None:
    for _ in rows:
        pass


def _timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _best(act: Callable[[], object]) -> float:
    return min(_timed(act) for _ in range(_TRIES))


def run(*, quick: bool, tell: Callable[[str], None]) -> Plain:
    """Measure each count in a process of its own."""
    found = []
    for count in _QUICK_COUNTS if quick else _COUNTS:
        with tempfile.TemporaryDirectory(prefix="hubferry-bench-") as folder:
            command = [sys.executable, "-m", "bench.ledger_scale", "--child", str(count), folder]
            ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found.append(Figures(**json.loads(ran.stdout)))
        tell(f"{NAME}: {count:,} repositories: {found[-1].seconds:.1f} s")
    return told(found)


def told(found: Sequence[Figures]) -> Plain:
    """The figures as a table, and what they must show."""
    files = found[-1].repositories * FILES_EACH
    return Plain(
        NAME,
        f"the ledger with up to {found[-1].repositories:,} repositories of {FILES_EACH} files",
        "Kept for each repository: how the pair stands, its files, an attempt, "
        f"{_EVENTS_EACH} events; *learn* is for {FILES_EACH} new contents. *Peak RSS* of a process "
        "that fills the ledger and exports it.",
        [title for title, _ in _COLUMNS],
        [[show(each) for _, show in _COLUMNS] for each in found],
        _verdicts(found, f"{files:,} files"),
    )


_COLUMNS: Sequence[tuple[str, Callable[[Figures], str]]] = (
    ("repositories", lambda f: f"{f.repositories:,}"),
    ("files", lambda f: f"{f.repositories * FILES_EACH:,}"),
    ("fill s", lambda f: f"{f.fill_seconds:.2f}"),
    ("ms a repository", lambda f: f"{f.fill_each_seconds * 1000:.2f}"),
    ("learn ms", lambda f: f"{f.learn_seconds / f.repositories * 1000:.2f}"),
    ("peak RSS MiB", lambda f: f"{f.peak_rss_bytes / MIB:.0f}"),
    ("file MiB", lambda f: f"{f.file_bytes / MIB:.1f}"),
    ("recall all s", lambda f: f"{f.recall_seconds:.3f}"),
    ("same files again ms", lambda f: f"{f.same_files_seconds * 1000:.2f}"),
    ("one file changed ms", lambda f: f"{f.one_file_seconds * 1000:.2f}"),
    ("usual speed ms", lambda f: f"{f.speed_seconds * 1000:.2f}"),
    ("stats s", lambda f: f"{f.stats_seconds:.3f}"),
    ("export s", lambda f: f"{f.export_seconds:.2f}"),
    ("prune 5,000 rows s", lambda f: f"{f.prune_seconds:.3f}"),
)


def _verdicts(found: Sequence[Figures], files: str) -> Sequence[Verdict]:
    before, last = found[-2], found[-1]
    each = last.fill_each_seconds / before.fill_each_seconds
    memory = last.peak_rss_bytes / before.peak_rss_bytes
    seconds = sum(figures.seconds for figures in found)
    return [
        Verdict(
            f"{files}: a repository takes at most {_TIME_SLACK} times as long as with a tenth "
            "of them",
            f"{each:.2f} times ({last.fill_each_seconds * 1000:.1f} ms)",
            each <= _TIME_SLACK,
        ),
        Verdict(
            f"{files}: peak RSS at most {_MEMORY_SLACK} times that with a tenth of them",
            f"{memory:.2f} times ({last.peak_rss_bytes / MIB:.0f} MiB)",
            memory <= _MEMORY_SLACK,
        ),
        Verdict(
            f"{files}: all of it within {_MOST_SECONDS / 60:.0f} minutes",
            f"{seconds:.0f} s",
            seconds <= _MOST_SECONDS,
        ),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 if it does not show what it must."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledger_scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts: does it work at all?")
    parser.add_argument("--child", nargs=2, metavar=("COUNT", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        count, folder = options.child
        print(json.dumps(asdict(measure(int(count), Path(folder) / "ledger.sqlite3"))))
        return 0
    plain = run(quick=options.quick, tell=lambda line: print(line, file=sys.stderr, flush=True))
    print(render(plain))
    for verdict in plain.verdicts:
        print(f"- {verdict.must}: {verdict.measured}: {'pass' if verdict.is_met else 'SHORT'}")
    return 0 if all(verdict.is_met for verdict in plain.verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
