"""A process that writes to a ledger until it dies; run as a program by the tests.

``write``: rounds of everything that a batch keeps, each said when it is done;
``--die-after`` is when to end by SIGKILL, in seconds. ``migrate``: for each
line heard, open the ledger and die at one statement later than before; says
``killed`` or, when no statement was left to die at, ``ended``. ``fill``: write
until the disk takes no more, and say what was told then.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hubferry.errors import LedgerError
from hubferry.ledger import Ledger, RepoRecord
from hubferry.model import GitOid, Sha256

FILES = 50
EVENTS = 20
REPOSITORIES = 3


def one_round(ledger: Ledger, name: str, number: int) -> None:
    """What one copy of a batch keeps; every part of it is one write."""
    run_id = f"{name}-{number}"
    source, target = f"hf://{name}/{number % REPOSITORIES}", f"ms://{name}/x"
    ledger.start_run(run_id, "batch", "mirror.yaml", "")
    ledger.start_attempt(f"{run_id}/1.1", run_id, 1, source, target)
    ledger.note_all(f"{run_id}/1.1", "sent", [(f"part-{n}", None) for n in range(EVENTS)])
    # All files of one write have the number of the round: a mixture would tell a torn one.
    count = FILES - number % 10
    ledger.remember_files(source, target, [(f"part-{n}", number, None) for n in range(count)])
    ledger.remember(RepoRecord(source, target, str(number), "equal", files=number))
    shas = [(GitOid(f"{number:032x}{n:08x}"), Sha256(f"{number:056x}{n:08x}")) for n in range(9)]
    ledger.learn(shas)
    ledger.end_attempt(f"{run_id}/1.1", "copied", 0, "{}")
    ledger.end_run(run_id, 0, "{}")
    if number % 7 == 6:
        ledger.prune(1)


def rounds(ledger: Ledger, name: str, count: int) -> None:
    """So many rounds, each said when it is done."""
    for number in range(count):
        one_round(ledger, name, number)
        print(number, flush=True)


def write(path: Path, name: str, count: int, die_after_seconds: float | None) -> None:
    """See the module."""
    if die_after_seconds is not None:
        timer = threading.Timer(die_after_seconds, os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()
    ledger = Ledger(path)
    rounds(ledger, name, count)
    ledger.close()


def die_at_statement(left: int) -> None:
    """End by SIGKILL before this many more statements have been run."""

    def count(*args: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "before_cursor_execute", count)


def migrate(path: Path) -> None:
    """See the module."""
    for statements in itertools.count():
        if not sys.stdin.readline():
            return
        child = os.fork()  # much quicker than a new program
        if not child:
            die_at_statement(statements)
            Ledger(path)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print("ended" if status == 0 else "killed", flush=True)


def fill(path: Path, most_bytes: int) -> None:
    """See the module."""
    ledger = Ledger(path)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    try:
        rounds(ledger, "fill", 1_000_000)
    except LedgerError as error:
        print(error.hint, flush=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("act", choices=["write", "migrate", "fill"])
    parser.add_argument("path", type=Path)
    parser.add_argument("--name", default="one")
    parser.add_argument("--rounds", type=int, default=1_000_000)
    parser.add_argument("--die-after", type=float)
    parser.add_argument("--most-bytes", type=int, default=1 << 20)
    given = parser.parse_args()
    if given.act == "write":
        write(given.path, given.name, given.rounds, given.die_after)
    elif given.act == "migrate":
        migrate(given.path)
    else:
        fill(given.path, given.most_bytes)


if __name__ == "__main__":
    main()
