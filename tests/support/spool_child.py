"""A process that spools a blob when told to; run as a program, killed by the tests.

Says ``ready``, waits for a line, opens the blob and says ``held`` or
``refused``; with ``--seed`` it then writes all blocks in some order. Imports no
test tools: it has to be quick to start.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import sys
from pathlib import Path

from hubferry.model import Sha256
from hubferry.spool import BLOCK_BYTES, Spool, SpoolFile, SpoolMode, SpoolPolicy

_STEPS = frozenset({"open", "os.truncate", "os.remove", "os.mkdir"})


def content(block: int, size_bytes: int = BLOCK_BYTES) -> bytes:
    """What a block of every test's blob holds."""
    return f"{block:16d}".encode() * (size_bytes // 16) + b"." * (size_bytes % 16)


def put(file: SpoolFile, *blocks: int) -> None:
    """Write and mark these blocks."""
    for block in blocks:
        start = block * BLOCK_BYTES
        end = min(start + BLOCK_BYTES, file.size_bytes)
        file.write(start, memoryview(content(block, end - start)))
        file.mark(start, end)


def die_at_step(steps: int, folder: Path) -> None:
    """End by SIGKILL when something below ``folder`` is touched for the ``steps``-th time."""
    left = steps

    def count(event: str, args: tuple[object, ...]) -> None:
        nonlocal left
        if event in _STEPS and str(args[0]).startswith(str(folder)):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def die_everywhere(spool: Spool, sha256: Sha256, size_bytes: int) -> None:
    """For each line heard, open, write and remove the blob, and die one step later than before.

    Says ``killed`` each time, and ``ended`` when there was no step left to die at.
    """
    for steps in itertools.count():
        sys.stdin.readline()
        child = os.fork()  # much quicker than a new program
        if not child:
            die_at_step(steps, spool.policy.folder)
            file = spool.open(sha256, size_bytes)
            assert file is not None
            put(file, *range(-(-size_bytes // BLOCK_BYTES)))
            file.remove()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print("ended" if status == 0 else "killed", flush=True)


def write_all(file: SpoolFile, seed: int) -> None:
    """Write all blocks in some order, saying each one."""
    blocks = list(range(-(-file.size_bytes // BLOCK_BYTES)))
    random.Random(seed).shuffle(blocks)
    for block in blocks:
        put(file, block)
        print(block, flush=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("sha256", type=Sha256)
    parser.add_argument("size_bytes", type=int)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--die-everywhere", action="store_true")
    given = parser.parse_args()
    spool = Spool(SpoolPolicy(SpoolMode.AUTO, given.folder, given.limit, 0))
    print("ready", flush=True)
    if given.die_everywhere:
        die_everywhere(spool, given.sha256, given.size_bytes)
    sys.stdin.readline()
    file = spool.open(given.sha256, given.size_bytes)
    print("held" if file else "refused", flush=True)
    if file is not None and given.seed is not None:
        write_all(file, given.seed)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
