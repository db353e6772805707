"""Memory is a fixed amount a connection whatever the size; no payload touches the disk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.counts import MIB, TIERS, Counts
from tests.support.processes import Ended, Ferry, LabProcess

from hubferry.lanes import LANE_BYTES
from hubferry.stream import BLOCK_BYTES

SOURCE = "source-org/model"
LIMIT_BYTES = 250 * 10**6
DISK_BYTES = 4 * MIB
_SLOWEST_BYTES_PER_SECOND = 20 * MIB

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


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
def test_memory_is_what_the_connections_take(
    discarding_lab: LabProcess, tmp_path: Path, counts: Counts
) -> None:
    """``base + connections x LANE_BYTES``; a far source makes it open as many as it may."""
    base = _copy(discarding_lab, tmp_path / "base", [MIB]).peak_bytes
    for workers in (1, 4, 8):
        shape = {"group": "hf.cdn", "latency_seconds": 0.05, "connection_bytes_per_second": 10e6}
        discarding_lab.ask("POST", "/shape", shape)
        discarding_lab.ask("DELETE", "/counters")
        sizes = [counts.crowd_bytes // 4 // workers] * workers
        ended = _copy(discarding_lab, tmp_path / f"w{workers}", sizes, workers)
        seen = discarding_lab.ask("GET", "/counters")["connections"]["hf.cdn"]["max_at_once"]
        above, stated = ended.peak_bytes - base, seen * LANE_BYTES + workers * BLOCK_BYTES
        print(f"{workers} workers: {above:,} above {base:,} over {seen} connections; {stated:,}")
        assert above <= 64 * 10**6 * workers
        assert base + above <= (base + stated) * 1.15


@pytest.mark.parametrize("counts", TIERS)
def test_four_files_at_once_stay_in_bounds(
    discarding_lab: LabProcess, tmp_path: Path, counts: Counts
) -> None:
    ended = _copy(discarding_lab, tmp_path, [counts.crowd_bytes] * 4)

    print(f"peak {ended.peak_bytes:,} for four files in {ended.seconds:.1f} s")
    assert ended.peak_bytes < LIMIT_BYTES


def _copy(lab: LabProcess, home: Path, sizes: list[int], workers: int = 4) -> Ended:
    """Copy one repository of such files, and check what it left on the disk."""
    repo = f"{SOURCE}-{home.name}"
    files = {f"weights-{n}.bin": {"size": size, "seed": f"{n}"} for n, size in enumerate(sizes)}
    lab.seed(repo, {"README.md": {"text": "# big"}, **files})
    variables = lab.variables(home, PYTHONDONTWRITEBYTECODE="1")
    arguments = ["copy", repo, "your-org/", "--workers", f"{workers}", "--json"]
    ferry = Ferry(arguments, variables, home / "out")
    ended = ferry.watch(60 + sum(sizes) / _SLOWEST_BYTES_PER_SECOND)

    assert ended.code == 0, ended.err
    assert ended.report["verified"] is True
    assert ended.report["bytes"]["sent"] >= sum(sizes)
    assert ended.written_bytes < DISK_BYTES
    left = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    assert left < DISK_BYTES
    return ended
