"""One fault at a time: the copy ends well, or says what stopped it, and never leaves rot.

The table is the one of the baseline measurements (2026-11-22), in which the tools of today commit
corruption, fail, or hang.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from tests.support.bench import TARGET, Bench, check_copied, summary
from tests.support.compare import rotten_files

from hubferry.lab.faults import Fault
from hubferry.lab.repos import Seed

BIG_BYTES = 3_000_000  # several blocks: a fault in the middle meets a file under way
FILES: Mapping[str, Seed] = {
    "weights-1.bin": bytes(range(250)) * (BIG_BYTES // 250),
    "weights-2.bin": bytes(range(1, 251)) * 4_000,
    ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
    "README.md": "# A model\n",
    "config.json": '{"model_type": "gpt2"}',
    **{f"data/{number}.txt": f"text {number}\n" for number in range(7)},
}


@dataclass(frozen=True)
class Case:
    """What goes wrong, in this order; ``waits`` is the longest pause the hub asked for."""

    name: str
    faults: tuple[Fault, ...]
    waits: float = 0.0
    max_commits: int = 1


def case(name: str, *faults: Fault, waits: float = 0.0, max_commits: int = 1) -> object:
    """One row of the table."""
    return pytest.param(
        Case(name, faults, waits, max_commits), id=name.replace(",", "").replace(" ", "-")
    )


NO_GIT = Fault("hf.git", "status", status=404)
"""Small files are then read one by one."""

SURVIVED = [
    case("source listing 503", Fault("hf.tree", "status", status=503)),
    case("source listing reset", Fault("hf.tree", "reset")),
    case("source listing cut short", Fault("hf.tree", "truncate")),
    case("source info 502", Fault("hf.info", "status", status=502)),
    case("resolve 429, pause", Fault("hf.resolve", "status", status=429, retry_after=9), waits=9),
    case("resolve 429 without a word", Fault("hf.resolve", "status", status=429), waits=3),
    case("resolve 500", Fault("hf.resolve", "status", status=500, times=2)),
    case("download 500", Fault("hf.cdn", "status", status=500)),
    case("download reset at half", Fault("hf.cdn", "reset")),
    case("download reset five times", Fault("hf.cdn", "reset", times=5)),
    case("download cut short", Fault("hf.cdn", "truncate")),
    case("download one byte wrong", Fault("hf.cdn", "corrupt")),
    case("download last byte wrong", Fault("hf.cdn", "corrupt", fraction=1.0)),
    case("download empty", Fault("hf.cdn", "empty")),
    case("many files at once cut short", Fault("hf.git", "truncate", after=1)),
    case("many files at once reset", Fault("hf.git", "reset", after=1)),
    case("many files at once garbled", Fault("hf.git", "corrupt", after=1)),
    case("many files at once refused", Fault("hf.git", "status", status=403)),
    case("many files at once not now", Fault("hf.git", "status", status=503)),
    case("many files too often", Fault("hf.git", "status", status=429, retry_after=6), waits=6),
    case("small file cut short", NO_GIT, Fault("hf.raw", "truncate", match="data/3")),
    case("small file one byte wrong", NO_GIT, Fault("hf.raw", "corrupt", match="data/3")),
    case("small file empty", NO_GIT, Fault("hf.raw", "empty", match="data/3")),
    case("download stalls", Fault("hf.cdn", "stall")),
    case("address runs out", Fault("hf.cdn", "reset"), Fault("hf.cdn", "status", status=403)),
    case("target listing 403 once", Fault("ms.files", "status", status=403, after=1)),
    case("target listing 500", Fault("ms.files", "status", status=500)),
    case("target listing reset", Fault("ms.files", "reset")),
    case("target listing cut short", Fault("ms.files", "truncate")),
    case("target info 500", Fault("ms.info", "status", status=500)),
    case("login 500", Fault("ms.login", "status", status=500)),
    case("batch 500", Fault("ms.batch", "status", status=500)),
    case("batch reset", Fault("ms.batch", "reset")),
    case("batch 429", Fault("ms.batch", "status", status=429, retry_after=7), waits=7),
    case("upload reset at half", Fault("ms.put", "reset")),
    case("upload 502 after the whole body", Fault("ms.put", "after_status", status=502)),
    case("upload 503 before the body", Fault("ms.put", "status", status=503)),
    case("upload address runs out", Fault("ms.put", "status", status=403)),
    case("upload stalls", Fault("ms.put", "stall")),
    case("upload never answered", Fault("ms.put", "after_hang")),
    case("upload one byte wrong", Fault("ms.put", "corrupt")),
    case("upload dropped", Fault("ms.put", "drop_blob")),
    case("create 500 before", Fault("ms.create", "status", status=500)),
    case("create done but 504", Fault("ms.create", "after_status", status=504)),
    case("create never answered", Fault("ms.create", "after_hang")),
    case("commit 500 before", Fault("ms.commit", "status", status=500)),
    case("commit done but 504", Fault("ms.commit", "after_status", status=504)),
    case("commit never answered", Fault("ms.commit", "after_hang")),
    case("commit reset at half", Fault("ms.commit", "reset")),
    case("commit 429, pause", Fault("ms.commit", "status", status=429, retry_after=8), waits=8),
    case("commit 429 three times", Fault("ms.commit", "status", status=429, times=3), waits=12),
]  # fmt: skip


@pytest.mark.parametrize("case", SURVIVED)
def test_a_fault_on_the_way_is_survived(
    bench: Bench, case: Case, quick_waits: list[float], short_timeouts: float
) -> None:
    bench.seed(FILES)
    for fault in case.faults:
        bench.lab.faults.add(fault)

    report = bench.copy()

    check_copied(bench, report)
    assert rotten_files(bench.target) == []
    struck = [fault["struck"] for fault in bench.lab.faults.snapshot()]
    assert all(struck), "the fault was not met, so nothing is shown"
    assert bench.lab.counters.commits_made("ms") == case.max_commits
    assert max(quick_waits, default=0.0) >= case.waits


def _envelope(code: object, message: str) -> bytes:
    return f'{{"Code": "{code}", "Message": "{message}", "Success": false}}'.encode()


@pytest.mark.parametrize(
    ("fault", "exit_code", "error"),
    [
        (Fault("ms.put", "status", status=507, times=None), 5, "quota"),
        (
            Fault(
                "ms.put", "status", status=403, times=None,
                body=_envelope("QuotaLimitExceed", "no room"),
            ),
            5,
            "quota",
        ),
        (
            Fault(
                "ms.commit", "status", status=403, times=None,
                body=_envelope("QuotaLimitExceed", "no room"),
            ),
            5,
            "quota",
        ),
        (Fault("ms.put", "status", status=413, times=None), 4, "too_large"),
        (Fault("ms.commit", "status", status=403, times=None), 11, "access"),
        (Fault("ms.create", "status", status=403, times=None), 11, "access"),
        (Fault("ms.batch", "status", status=500, times=None), 1, "unavailable"),
        (Fault("hf.tree", "empty", times=None), 1, "protocol"),
        (Fault("ms.files", "empty", times=None), 1, "protocol"),
        (Fault("ms.batch", "empty", times=None), 1, "protocol"),
        (Fault("hf.info", "empty", times=None), 1, "protocol"),
    ],
    ids=lambda value: f"{value.endpoint}-{value.kind}-{value.status}"
    if isinstance(value, Fault)
    else str(value),
)  # fmt: skip
def test_a_lasting_fault_ends_the_run_with_its_own_exit_code(
    bench: Bench, fault: Fault, exit_code: int, error: str, quick_waits: list[float]
) -> None:
    bench.seed({"weights-1.bin": FILES["weights-1.bin"]})
    bench.seed_target({})
    if fault.endpoint == "ms.create":
        bench.lab.ms.repos.delete("model", TARGET)
    bench.lab.faults.add(fault)

    report = bench.copy()

    assert (report.exit_code, report.errors[0].error) == (exit_code, error), summary(report)
    assert report.verified is not True
    assert bench.lab.counters.commits_made("ms") == 0

    bench.lab.faults.clear()
    check_copied(bench, bench.copy())
