"""Copies through Xet storage: by choice, by proof, and never at the price of a byte."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.bench import Bench, check_copied
from tests.support.counts import MIB
from tests.support.processes import Ended, Ferry, LabProcess

from hubferry.hubs.huggingface.xet import XetLimits
from hubferry.lab.content import SyntheticContent
from hubferry.lab.faults import Fault, ShapeRule

pytestmark = pytest.mark.alone

LARGE = {f"w-{n}.bin": SyntheticContent(65 * MIB + n, f"weights {n}") for n in range(4)}
_SLOWEST_BYTES_PER_SECOND = 10 * MIB


def requests(bench: Bench) -> tuple[int, int]:
    """Requests to the CDN, and to Xet's store."""
    counters = bench.lab.counters
    return counters.requests("hf.cdn"), counters.requests("xet.xorb")


def test_a_repository_is_copied_through_xet(bench: Bench) -> None:
    bench.seed({**LARGE, "config.json": b"{}", "small.bin": b"small"})
    check_copied(bench, bench.copy(transport="xet"))
    over_http, by_xet = requests(bench)
    assert over_http == 0
    assert by_xet > 0


def test_a_repository_is_copied_over_http_alone(bench: Bench) -> None:
    bench.seed(LARGE)
    check_copied(bench, bench.copy(transport="http"))
    assert requests(bench)[1] == 0
    assert bench.lab.counters.requests("xet.token") == 0


def test_auto_goes_on_with_xet_where_it_proves_to_be_faster(bench: Bench) -> None:
    bench.seed(LARGE)
    bench.lab.shape.set(ShapeRule("hf.cdn", total_bytes_per_second=15.0 * MIB))
    check_copied(bench, bench.copy(workers=1))
    assert bench.lab.counters.bytes_out("hf.cdn") < 1.5 * LARGE["w-0.bin"].size
    assert bench.lab.counters.requests("xet.token") == 1


def test_auto_tries_xet_once_and_stays_with_http_where_it_is_not_faster(bench: Bench) -> None:
    bench.seed(LARGE)
    bench.lab.shape.set(ShapeRule("hf.cdn", total_bytes_per_second=50.0 * MIB))
    bench.lab.shape.set(ShapeRule("xet.xorb", total_bytes_per_second=30.0 * MIB))
    check_copied(bench, bench.copy(workers=1))
    assert bench.lab.counters.bytes_out("hf.cdn") > 2.5 * LARGE["w-0.bin"].size
    assert bench.lab.counters.requests("xet.token") == 1


def test_auto_tries_nothing_where_the_target_is_the_slower_end(bench: Bench) -> None:
    bench.seed(dict(list(LARGE.items())[:2]))
    bench.lab.shape.set(ShapeRule("ms.put", total_bytes_per_second=20.0 * MIB))
    check_copied(bench, bench.copy(workers=1))
    assert bench.lab.counters.requests("xet.token") == 0


@pytest.mark.parametrize("endpoint", ["xet.token", "xet.reconstruction"])
def test_auto_copies_over_http_where_there_is_no_xet(
    bench: Bench, endpoint: str, quick_waits: list[float]
) -> None:
    bench.lab.faults.add(Fault(endpoint, "status", status=404, times=None))
    bench.seed(LARGE)
    check_copied(bench, bench.copy(workers=1))
    assert requests(bench)[1] == 0


def test_a_damaged_xorb_is_never_uploaded_as_good(bench: Bench, quick_waits: list[float]) -> None:
    bench.seed({"w.bin": SyntheticContent(20 * MIB, "one file")})
    bench.lab.faults.add(Fault("xet.xorb", "corrupt", times=None, fraction=0.3))
    report = bench.copy(transport="xet")
    assert report.exit_code != 0
    assert [error.error for error in report.errors] == ["corrupt_read"]
    assert not bench.has_target or "w.bin" not in bench.target.tree()
    bench.lab.faults.clear()
    check_copied(bench, bench.copy(transport="xet"))


@pytest.fixture
def discarding_lab() -> Iterator[LabProcess]:
    """A lab whose store keeps the digests of uploads only."""
    with LabProcess("--discard", max_seconds=3600) as lab:
        yield lab


def copied(lab: LabProcess, home: Path, sizes: list[int], *options: str) -> Ended:
    """Copy one repository of such files and note the peak of memory."""
    repo = f"source-org/{home.name}"
    files = {
        f"w-{n}.bin": {"size": size, "seed": f"{home.name} {n}"} for n, size in enumerate(sizes)
    }
    lab.seed(repo, {"README.md": {"text": "# big"}, **files})
    variables = lab.variables(home, PYTHONDONTWRITEBYTECODE="1")
    ferry = Ferry(["copy", repo, "your-org/", "--json", *options], variables, home / "out")
    ended = ferry.watch(60 + sum(sizes) / _SLOWEST_BYTES_PER_SECOND)
    assert ended.code == 0, ended.err
    assert ended.report["bytes"]["sent"] >= sum(sizes)
    return ended


def test_nothing_but_the_record_is_left_on_the_disk(
    discarding_lab: LabProcess, tmp_path: Path
) -> None:
    copied(discarding_lab, tmp_path / "xet", [20 * MIB], "--transport", "xet")
    files = [path for path in (tmp_path / "xet").rglob("*") if path.is_file()]
    # The governor's notes and locks are a few bytes each.
    assert all(path.stat().st_size < MIB for path in files if "governor" in path.parts)
    left = {path.parent.name for path in files if "governor" not in path.parts}
    assert left <= {"out", "state", "locks"}


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("streams", [1, 4])
def test_memory_of_xet_streams_stays_within_the_stated_formula(
    discarding_lab: LabProcess, tmp_path: Path, streams: int
) -> None:
    """docs/adr/0014: what HTTP takes, the library, three windows for every lane and stream."""
    limits, sizes = XetLimits(), [1024 * MIB] * streams
    plain = copied(discarding_lab, tmp_path / "http", sizes, "--transport", "http")
    xet = copied(discarding_lab, tmp_path / "xet", sizes, "--transport", "xet")
    lanes = sum(
        max(2, min(limits.lanes, limits.lanes_in_all // open_now))
        for open_now in range(1, streams + 1)
    )
    allowed = 16 * MIB + 3 * (lanes + streams) * limits.window_bytes
    print(f"{streams} streams: {plain.peak_bytes:,} over HTTP, {xet.peak_bytes:,} by Xet")
    assert xet.peak_bytes <= plain.peak_bytes + 1.15 * allowed
    left = sum(path.stat().st_size for path in (tmp_path / "xet").rglob("*") if path.is_file())
    assert left < 4 * MIB
