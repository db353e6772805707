"""Several random faults at once, on random repositories: equal in the end, and never rot."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from tests.support.bench import Bench, check_copied, summary
from tests.support.compare import rotten_files
from tests.support.counts import TIERS, Counts

from hubferry.lab.config import LabConfig
from hubferry.lab.faults import Fault, FaultKind
from hubferry.lab.repos import Seed
from hubferry.lab.server import Lab
from hubferry.plan import Policy

READS = (
    "hf.info",
    "hf.tree",
    "hf.git",
    "hf.resolve",
    "hf.raw",
    "hf.cdn",
    "ms.info",
    "ms.files",
    "ms.me",
)
WRITES = ("ms.login", "ms.create", "ms.batch", "ms.put", "ms.commit")
KINDS: tuple[FaultKind, ...] = (
    "status", "status", "reset", "truncate", "corrupt", "empty", "drop_blob", "after_status",
)  # fmt: skip
STATUSES = (408, 429, 500, 502, 503, 504)


@pytest.mark.parametrize("counts", TIERS)
def test_a_storm_leaves_no_rot_and_the_next_run_mends_all(
    tmp_path: Path, counts: Counts, quick_waits: list[float], short_timeouts: float
) -> None:
    seed = int(os.environ.get("HUBFERRY_TEST_SEED") or time.time())
    config = LabConfig(
        commits_per_minute=None, api_quota=10**6, resolvers_quota=10**6, make_first_files=False
    )
    calm = 0
    for number in range(counts.storms):
        print(f"storm with HUBFERRY_TEST_SEED={seed + number}")
        with Lab(config) as lab:
            bench = Bench(lab, tmp_path / f"{number}")
            calm += _weather(bench, random.Random(seed + number))
    print(f"{calm} of {counts.storms} copies ended well in spite of their faults")


def _weather(bench: Bench, dice: random.Random) -> bool:
    bench.seed(_files(dice))
    if dice.random() < 0.5:
        bench.seed_target(_files(dice))
    for _ in range(dice.randint(1, 6)):
        bench.lab.faults.add(_fault(dice))
    is_mirror = dice.random() < 0.3
    policy = Policy(max_delete=1000)

    report = bench.mirror(policy) if is_mirror else bench.copy(policy)

    assert rotten_files(bench.target if bench.has_target else None) == []
    if report.verified:
        check_copied(bench, report)
    else:
        assert report.exit_code not in (0, 2), summary(report)
        assert report.errors
    bench.lab.faults.clear()
    if dice.random() < 0.5:
        bench.forget()
    again = bench.mirror(policy) if is_mirror else bench.copy(policy)
    check_copied(bench, again)
    assert rotten_files(bench.target) == []
    if is_mirror:
        assert set(bench.target.tree()) - {".gitattributes"} <= set(bench.source.tree())
    return report.exit_code == 0


def _files(dice: random.Random) -> dict[str, Seed]:
    """A handful of files from a small stock, so that bytes and paths repeat."""
    stock = [bytes([n]) * size for n, size in enumerate((0, 1, 900, 40_000, 66_000, 300_000))]
    names = ["config.json", "README.md", "a.txt", "sub/b.txt", "sub/deep/c.json", "d.gguf"]
    names += [f"weights-{n}.safetensors" for n in range(4)] + ["e.bin", "tokenizer.json"]
    chosen = dice.sample(names, dice.randint(1, len(names)))
    return {name: dice.choice(stock) for name in chosen}


def _fault(dice: random.Random) -> Fault:
    endpoint = dice.choice(dice.choice((READS, WRITES)))
    kind = dice.choice(KINDS)
    if kind == "drop_blob":
        endpoint = "ms.put"
    status = dice.choice(STATUSES)
    return Fault(
        endpoint,
        kind,
        times=dice.choice((1, 1, 2, 3)),
        after=dice.choice((0, 0, 1, 2)),
        status=status,
        retry_after=1 if status == 429 else None,
        fraction=dice.random(),
    )
