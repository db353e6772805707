"""Many small files: few commits, few requests, and nothing left to do the second time."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.bench import Bench, check_copied

from hubferry.events import Waiting
from hubferry.lab import ms_commit
from hubferry.lab.config import LabConfig
from hubferry.lab.limits import RateWindow
from hubferry.lab.repos import Seed
from hubferry.lab.server import Lab
from hubferry.reading import BULK_FILES

FOLDERS = 4
SMALL_FILES = 3_500
BIG_FILES = 5
PAGES = -(-(SMALL_FILES + BIG_FILES + FOLDERS) // LabConfig.page_size)
MAX_COMMITS = 20
BATCHES = -(-SMALL_FILES // BULK_FILES)


def many_files() -> dict[str, Seed]:
    """3,500 different small files in four folders, and five files in LFS."""
    found: dict[str, Seed] = {
        f"part-{number % FOLDERS}/sample-{number:04}.txt": f"sample {number}\n" * (number % 90 + 1)
        for number in range(SMALL_FILES)
    }
    return found | {f"weights-{n}.bin": bytes([n]) * 70_000 for n in range(BIG_FILES)}


# Two runs read every file once: more than the free plan's requests in five minutes.
ROOMY = LabConfig(commits_per_minute=60, resolvers_quota=20_000)


@pytest.mark.parametrize("lab", [ROOMY], indirect=True)
def test_many_small_files_take_few_commits_and_a_second_run_does_nothing(bench: Bench) -> None:
    bench.seed(many_files())
    counters = bench.lab.counters

    check_copied(bench, bench.copy())
    assert counters.commits_made("ms") <= MAX_COMMITS
    tried = 1  # one byte of one file may be read before a target is created
    assert counters.requests("hf.resolve") <= BIG_FILES + tried
    assert counters.requests("hf.git") <= BATCHES + 1

    _check_nothing_to_do(bench, batches=0)
    spent = counters.requests("hf.") + counters.requests("ms.")
    assert spent <= PAGES + FOLDERS + 5, counters.snapshot()["endpoints"]

    bench.forget()
    _check_nothing_to_do(bench, batches=BATCHES + 1)


def _check_nothing_to_do(bench: Bench, *, batches: int) -> None:
    counters = bench.lab.counters
    counters.reset()
    report = bench.copy()
    check_copied(bench, report)
    assert (report.bytes.sent, report.commits, report.files.sent) == (0, 0, 0)
    assert counters.bytes_in("ms.put") == counters.requests("ms.commit") == 0
    assert counters.requests("hf.resolve") == 0
    assert counters.requests("hf.git") <= batches
    print(counters.requests("hf."), counters.requests("ms."), "requests,", report.seconds, "s")


def test_a_commit_limit_is_waited_for_and_the_copy_completes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The hub's window is a minute long; three seconds show the same.
    monkeypatch.setattr(ms_commit, "RateWindow", lambda quota, _seconds: RateWindow(quota, 3))
    with Lab(LabConfig(commits_per_minute=1)) as lab:
        bench = Bench(lab, tmp_path)
        bench.seed({f"sample-{number:03}.txt": f"sample {number}" for number in range(700)})

        check_copied(bench, bench.copy())

        commits = lab.counters.snapshot()["commits"]["ms"]
        assert commits["made"] == 3
        assert 1 <= commits["refused"] <= 4
        assert any(isinstance(event, Waiting) and event.until_unix for event in bench.events)
