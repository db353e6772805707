"""Memory is a few blocks a worker whatever the size, and no payload touches the disk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.counts import MIB, TIERS, Counts
from tests.support.processes import Ended, Ferry, LabProcess

SOURCE = "source-org/model"
LIMIT_BYTES = 250 * 10**6
DISK_BYTES = 4 * MIB
_SLOWEST_BYTES_PER_SECOND = 20 * MIB

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def discarding_lab() -> Iterator[LabProcess]:
    """A lab whose store keeps the digests of uploads only."""
    with LabProcess("--discard", max_seconds=3600) as lab:
        yield lab


@pytest.mark.parametrize("counts", TIERS)
def test_memory_does_not_grow_with_the_size_of_a_file(
    discarding_lab: LabProcess, tmp_path: Path, counts: Counts
) -> None:
    small = _copy(discarding_lab, tmp_path / "small", [counts.small_bytes])
    big = _copy(discarding_lab, tmp_path / "big", [counts.big_bytes])

    print(f"peak {small.peak_bytes:,} for {counts.small_bytes:,} bytes in {small.seconds:.1f} s")
    print(f"peak {big.peak_bytes:,} for {counts.big_bytes:,} bytes in {big.seconds:.1f} s")
    assert big.peak_bytes < LIMIT_BYTES
    assert big.peak_bytes <= small.peak_bytes * 1.10


@pytest.mark.parametrize("counts", TIERS)
def test_four_files_at_once_stay_in_bounds(
    discarding_lab: LabProcess, tmp_path: Path, counts: Counts
) -> None:
    ended = _copy(discarding_lab, tmp_path, [counts.crowd_bytes] * 4)

    print(f"peak {ended.peak_bytes:,} for four files in {ended.seconds:.1f} s")
    assert ended.peak_bytes < LIMIT_BYTES


def _copy(lab: LabProcess, home: Path, sizes: list[int]) -> Ended:
    """Copy one repository of such files, and check what it left on the disk."""
    repo = f"{SOURCE}-{home.name}"
    files = {f"weights-{n}.bin": {"size": size, "seed": f"{n}"} for n, size in enumerate(sizes)}
    lab.seed(repo, {"README.md": {"text": "# big"}, **files})
    variables = lab.variables(home, PYTHONDONTWRITEBYTECODE="1")
    ferry = Ferry(["copy", repo, "your-org/", "--workers", "4", "--json"], variables, home / "out")
    ended = ferry.watch(60 + sum(sizes) / _SLOWEST_BYTES_PER_SECOND)

    assert ended.code == 0, ended.err
    assert ended.report["verified"] is True
    assert ended.report["bytes"]["sent"] >= sum(sizes)
    assert ended.written_bytes < DISK_BYTES
    left = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    assert left < DISK_BYTES
    return ended
