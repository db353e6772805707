"""The same bytes travel once, and what the target already holds does not travel at all."""

from __future__ import annotations

import hashlib

import pytest
from tests.support.bench import Bench, check_copied, summary
from tests.support.compare import rotten_files

from hubferry.lab.config import LabConfig
from hubferry.lab.faults import Fault
from hubferry.lab.server import Lab

BIG = bytes(range(256)) * 1200
TRIED = 1  # one byte of one file may be read before a target is created
SMALL = b"the same few words\n" * 20


def test_the_same_bytes_at_ten_paths_travel_once(bench: Bench) -> None:
    files = {f"copy-{n}/weights.bin": BIG for n in range(10)}
    bench.seed({**files, **{f"copy-{n}/notes.txt": SMALL for n in range(10)}})

    report = bench.copy()

    check_copied(bench, report)
    counters = bench.lab.counters
    assert counters.requests("ms.put") == 1
    assert counters.bytes_in("ms.put") == len(BIG)
    assert counters.bytes_out("hf.cdn") == len(BIG)
    assert counters.requests("hf.resolve") <= 2 + TRIED, "ten small files, too, are read once"
    assert report.bytes.read == len(BIG) + len(SMALL)


def test_a_blob_in_another_repository_of_the_target_is_not_sent(bench: Bench) -> None:
    bench.lab.ms.repos.create("model", "somebody/else").commit({"theirs.bin": BIG})
    bench.seed({"weights.bin": BIG, "README.md": "# hi"})

    report = bench.copy()

    check_copied(bench, report)
    assert bench.lab.counters.requests("ms.put") == 0
    assert bench.lab.counters.bytes_out("hf.cdn") <= TRIED
    assert report.files.reused == 1


def test_a_small_file_travels_as_a_blob_once_although_small(bench: Bench) -> None:
    # By its suffix ModelScope keeps it in LFS, while the source may have it inline.
    bench.seed({f"{n}/tiny.safetensors": SMALL for n in range(10)}, lfs=[])

    check_copied(bench, bench.copy())
    assert bench.lab.counters.requests("ms.put") == 1


@pytest.mark.parametrize(
    "lab",
    [
        pytest.param(LabConfig(check_blobs_on_commit=True), id="commit-checks"),
        pytest.param(LabConfig(check_blobs_on_commit=False), id="commit-does-not-check"),
    ],
    indirect=True,
)
@pytest.mark.parametrize("drops", [1, 3])
def test_a_dropped_blob_is_sent_again(bench: Bench, lab: Lab, drops: int) -> None:
    bench.seed({"weights.bin": BIG, "config.json": "{}", "README.md": "# hi"})
    lab.faults.add(Fault("ms.put", "drop_blob", times=drops))

    check_copied(bench, bench.copy())
    assert lab.counters.requests("ms.put") == drops + 1
    assert rotten_files(bench.target) == []


@pytest.mark.parametrize(
    "lab", [LabConfig(check_blobs_on_commit=False)], indirect=True, ids=["commit-does-not-check"]
)
def test_a_store_that_keeps_nothing_is_never_believed(bench: Bench, lab: Lab) -> None:
    bench.seed({"weights.bin": BIG, "other.txt": "fine", "config.json": "{}", "README.md": "# hi"})
    lab.faults.add(Fault("ms.put", "drop_blob", times=None))

    report = bench.copy()

    assert report.exit_code in (3, 12), summary(report)
    assert report.verified is not True
    failed = {record.path: record.error for record in report.errors}
    assert failed["weights.bin"] == "integrity"
    assert "weights.bin" not in bench.target.tree()
    assert rotten_files(bench.target) == []
    digest = hashlib.sha256(BIG).hexdigest()
    assert digest not in lab.ms.repos.blobs
    # What describes the weights is held back with them; the rest is there.
    assert "config.json" not in bench.target.tree()
    assert bench.target.read("other.txt") == b"fine"

    lab.faults.clear()
    check_copied(bench, bench.copy())
