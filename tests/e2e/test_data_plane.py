"""What the benchmark times, as behaviour: connections, bytes over the border, faults, digests."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tests.support.bench import Bench, check_copied, summary
from tests.support.counts import MIB
from tests.support.processes import Ferry, LabProcess, run_hubferry

from hubferry.events import Note
from hubferry.lab.config import LabConfig
from hubferry.lab.content import SyntheticContent
from hubferry.lab.faults import Fault, ShapeRule
from hubferry.spool import SpoolMode

pytestmark = pytest.mark.alone

SOURCE = "source-org/model"
BIG = 48 * MIB
DATA_ORIGIN = "hf.cdn"


def seed_big(bench: Bench, *sizes: int) -> int:
    """Large files of these sizes; their bytes in all."""
    bench.seed(
        {f"model-{n}.safetensors": SyntheticContent(size, f"{n}") for n, size in enumerate(sizes)}
    )
    return sum(sizes)


def bytes_read(bench: Bench) -> int:
    return bench.lab.counters.bytes_out(DATA_ORIGIN)


def most_connections(bench: Bench) -> int:
    found = bench.lab.counters.snapshot()["connections"][DATA_ORIGIN]["max_at_once"]
    return int(found)


@pytest.fixture
def idle_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lab works in this very process, and the machine may be busy with other things."""
    monkeypatch.setattr("hubferry.processors.Processors.are_busy", lambda self: False)


def test_a_far_source_is_read_over_many_connections_and_no_byte_twice(
    bench: Bench, idle_processors: None
) -> None:
    bench.lab.shape.set(ShapeRule("hf.cdn", latency_seconds=0.05, connection_bytes_per_second=4e6))
    size = seed_big(bench, BIG)
    check_copied(bench, bench.copy())
    assert most_connections(bench) >= 8
    # What is on its way when a long range is shared out among more connections is lost.
    assert bytes_read(bench) <= size * 1.1
    assert bench.lab.counters.requests("hf.resolve") <= 3, "the signed address serves every range"


def test_a_shared_link_is_not_crowded_with_connections(bench: Bench) -> None:
    bench.lab.shape.set(ShapeRule("hf.cdn", total_bytes_per_second=16e6))
    seed_big(bench, BIG)
    check_copied(bench, bench.copy())
    assert most_connections(bench) <= 8, "a first step may be tried, and is taken back"


def test_files_travel_side_by_side_to_a_target_that_gives_each_connection_little(
    bench: Bench,
) -> None:
    bench.lab.shape.set(ShapeRule("ms.put", connection_bytes_per_second=8e6))
    seed_big(bench, *[6 * MIB] * 8)
    check_copied(bench, bench.copy())
    put = bench.lab.counters.snapshot()["endpoints"]["ms.put"]
    assert put["max_in_flight"] >= 7


def test_reading_and_sending_overlap(bench: Bench) -> None:
    bench.lab.shape.set(ShapeRule("hf.cdn", total_bytes_per_second=20e6))
    bench.lab.shape.set(ShapeRule("ms.put", total_bytes_per_second=20e6))
    size = seed_big(bench, BIG)
    sent_when_read: list[int] = []

    def watch(event: object) -> None:
        counters = bench.lab.counters
        if not sent_when_read and bytes_read(bench) >= size * 0.9:
            sent_when_read.append(counters.bytes_in("ms.put"))

    bench.on_event = watch
    check_copied(bench, bench.copy())
    assert sent_when_read[0] >= size * 0.5, "the upload follows the download"


BROKEN_TWICE = Fault("ms.put", "reset", times=2, fraction=0.9)


@pytest.mark.parametrize(
    ("mode", "most"), [(SpoolMode.ALWAYS, 1.1), (SpoolMode.AUTO, 2.1), (SpoolMode.OFF, 3.1)]
)
def test_a_put_that_breaks_twice_at_its_end_costs_what_the_spool_allows(
    bench: Bench, tmp_path: Path, mode: SpoolMode, most: float
) -> None:
    size = seed_big(bench, BIG)
    bench.lab.faults.add(BROKEN_TWICE)
    spool = tmp_path / "spool"
    report = bench.copy(spool_mode=mode, spool_dir=spool)
    check_copied(bench, report)
    assert bytes_read(bench) <= size * most
    assert not list(spool.glob("*.data")), "nothing of the model stays on the disk"


def test_the_first_try_never_touches_the_disk(bench: Bench, tmp_path: Path) -> None:
    seed_big(bench, BIG)
    check_copied(bench, bench.copy(spool_dir=tmp_path / "spool"))
    assert not (tmp_path / "spool").exists()


def test_a_spool_without_room_is_told_and_the_copy_goes_on(bench: Bench, tmp_path: Path) -> None:
    seed_big(bench, BIG)
    check_copied(
        bench,
        bench.copy(
            spool_mode=SpoolMode.ALWAYS, spool_dir=tmp_path / "spool", spool_limit_bytes=MIB
        ),
    )
    notes = [str(event.text) for event in bench.events if isinstance(event, Note)]
    assert [note for note in notes if "no room in the spool" in note]


def test_a_spool_on_a_broken_disk_is_told_and_the_copy_goes_on(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    seed_big(bench, BIG)
    check_copied(bench, bench.copy(spool_mode=SpoolMode.ALWAYS, spool_dir=tmp_path / "spool"))
    assert [event for event in bench.events if isinstance(event, Note)]


def test_rotten_bytes_in_the_spool_are_found_and_read_anew(bench: Bench, tmp_path: Path) -> None:
    size = seed_big(bench, BIG)
    spool = tmp_path / "spool"
    bench.lab.faults.add(Fault("ms.put", "status", status=413, times=None))
    assert bench.copy(spool_mode=SpoolMode.ALWAYS, spool_dir=spool).exit_code != 0
    bench.lab.faults.clear()
    (kept,) = spool.glob("*.data")
    with kept.open("r+b") as file:
        file.seek(size // 2)
        byte = file.read(1)
        file.seek(size // 2)
        file.write(bytes([byte[0] ^ 1]))
    check_copied(bench, bench.copy(spool_dir=spool))
    assert not list(spool.glob("*.data"))


def test_a_killed_run_goes_on_from_its_spool(tmp_path: Path) -> None:
    size = 160 * MIB
    with LabProcess("--discard") as lab:
        lab.seed(SOURCE, {"model.safetensors": {"size": size, "seed": 1}})
        lab.ask("POST", "/shape", {"group": "hf.cdn", "connection_bytes_per_second": 30e6})
        arguments = ["copy", SOURCE, "your-org/model", "--json", "--spool", "always"]
        arguments += ["--spool-dir", str(tmp_path / "spool")]
        variables = lab.variables(tmp_path)
        ferry = Ferry(arguments, variables, tmp_path / "first")
        while _read_by(lab) < size / 2 and ferry.process.poll() is None:
            pass
        killed = ferry.kill()
        assert killed.code < 0, "it was to be killed in the middle"
        done = run_hubferry(arguments, variables, tmp_path / "second")
        assert done.code == 0, done.err
        assert done.report["verified"] is True
        # What a killed process had received of unfinished blocks is lost with it.
        assert _read_by(lab) <= size * 1.05 + 20 * MIB / 2
        assert not list((tmp_path / "spool").glob("*.data"))


def _read_by(lab: LabProcess) -> int:
    endpoints = lab.ask("GET", "/counters")["endpoints"]
    return int(endpoints.get("hf.cdn", {}).get("bytes_out", 0))


@pytest.mark.parametrize("lab", [LabConfig(resolvers_quota=10**6)], indirect=True)
@pytest.mark.parametrize(
    "faults",
    [
        [Fault(DATA_ORIGIN, "reset", times=None, every_bytes=5 * MIB)],
        [Fault(DATA_ORIGIN, "truncate", times=None, every_bytes=7 * MIB)],
        [
            Fault(DATA_ORIGIN, "status", status=503, times=None, probability=0.1, seed=1),
            Fault(DATA_ORIGIN, "status", status=429, times=None, probability=0.1, seed=2),
            Fault("hf.resolve", "status", status=500, times=None, probability=0.1, seed=3),
        ],
        [Fault(DATA_ORIGIN, "status", status=403, times=3, after=2)],
    ],
    ids=["drops", "early-ends", "refusals", "expired-addresses"],
)
def test_a_bad_line_costs_little_and_ends_equal(bench: Bench, faults: list[Fault]) -> None:
    bench.lab.shape.set(ShapeRule("hf.cdn", connection_bytes_per_second=20e6))
    size = seed_big(bench, BIG)
    for fault in faults:
        bench.lab.faults.add(fault)
    check_copied(bench, bench.copy())
    assert bytes_read(bench) <= size * 1.25


def test_a_stalled_connection_is_left_long_before_its_socket_gives_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubferry.stalls.STALL_SECONDS", (0.5, 1.0, 2.0, 30.0))
    size = seed_big(bench, BIG)
    bench.lab.faults.add(Fault(DATA_ORIGIN, "stall", times=2, after=1, fraction=0.3))
    report = bench.copy()
    check_copied(bench, report)
    assert report.seconds < 20
    assert bytes_read(bench) <= size * 1.25


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.999])
def test_a_corrupted_byte_is_never_sent_on_as_good(bench: Bench, fraction: float) -> None:
    seed_big(bench, BIG)
    bench.lab.faults.add(Fault(DATA_ORIGIN, "corrupt", times=1, fraction=fraction))
    check_copied(bench, bench.copy())
    stored = bench.lab.counters.snapshot()["endpoints"]["ms.put"]["statuses"]
    assert stored.get("200", 0) + stored.get("204", 0) == 1, "only the good one was completed"


def test_lasting_corruption_is_an_integrity_error_and_nothing_is_stored(bench: Bench) -> None:
    seed_big(bench, BIG)
    bench.lab.faults.add(Fault(DATA_ORIGIN, "corrupt", times=None))
    report = bench.copy()
    assert report.exit_code == 12, summary(report)
    assert report.verified is not True
    assert "model-0.safetensors" not in bench.target.tree()


def test_many_small_files_cost_few_requests_and_few_commits(bench: Bench) -> None:
    count = 1200
    bench.seed({f"part-{n % 3}/{n:04}.txt": f"sample {n}\n" * 50 for n in range(count)})
    check_copied(bench, bench.copy())
    counters = bench.lab.counters
    assert counters.commits_made("ms") <= math.ceil(count / 256) + 2
    assert counters.requests("hf.resolve") <= 1
    assert counters.requests("hf.git") <= 2 + math.ceil(count / 256)


@pytest.mark.parametrize("lab", [LabConfig(serve_git=False)], indirect=True)
def test_small_files_come_one_by_one_where_git_is_not_served(bench: Bench) -> None:
    count = 300
    bench.seed({f"part-{n % 3}/{n:04}.txt": f"sample {n}\n" * 50 for n in range(count)})
    check_copied(bench, bench.copy())
    counters = bench.lab.counters
    assert counters.requests("hf.resolve") <= count + 1
    cached = counters.snapshot()["endpoints"]["hf.raw"]
    assert 4 < cached["max_in_flight"] <= 20


@pytest.mark.parametrize("mode", [SpoolMode.ALWAYS, SpoolMode.AUTO])
def test_nothing_stays_in_the_spool_when_the_answer_to_an_upload_was_lost(
    bench: Bench, tmp_path: Path, mode: SpoolMode
) -> None:
    seed_big(bench, BIG)
    if mode is SpoolMode.AUTO:
        bench.lab.faults.add(Fault("ms.put", "reset", fraction=0.5))
    bench.lab.faults.add(Fault("ms.put", "after_status", status=500))
    check_copied(bench, bench.copy(spool_mode=mode, spool_dir=tmp_path / "spool"))
    assert not list((tmp_path / "spool").glob("*.data"))


def test_nothing_stays_in_the_spool_of_a_run_killed_before_its_commit(tmp_path: Path) -> None:
    with LabProcess() as lab:
        lab.seed(SOURCE, {"model.safetensors": {"size": 20 * MIB, "seed": 1}})
        lab.ask("POST", "/faults", {"endpoint": "ms.commit", "kind": "slow", "seconds": 60})
        arguments = ["copy", SOURCE, "your-org/model", "--json", "--spool", "always"]
        arguments += ["--spool-dir", str(tmp_path / "spool")]
        variables = lab.variables(tmp_path)
        ferry = Ferry(arguments, variables, tmp_path / "first")
        while "ms.commit" not in lab.ask("GET", "/counters")["endpoints"]:
            assert ferry.process.poll() is None
        ferry.kill()
        lab.ask("DELETE", "/faults")
        done = run_hubferry(arguments, variables, tmp_path / "second")
        assert done.code == 0, done.err
        assert not list((tmp_path / "spool").glob("*.data"))


def test_a_store_that_is_silent_before_its_answers_costs_little(bench: Bench) -> None:
    bench.lab.shape.set(ShapeRule("hf.cdn", connection_bytes_per_second=20e6))
    seed_big(bench, BIG)
    slow = Fault(DATA_ORIGIN, "slow", seconds=60, times=None, probability=0.2, seed=4, after=4)
    bench.lab.faults.add(slow)
    report = bench.copy()
    check_copied(bench, report)
    assert report.seconds < 30, "each such connection was given up long before its time limit"


def test_git_that_is_limited_for_ever_does_not_hold_up_single_files(bench: Bench) -> None:
    bench.seed({f"{n}.json": b"{}" + b" " * n for n in range(40)})
    bench.lab.faults.add(Fault("hf.git", "status", times=None, status=429, retry_after=1))
    check_copied(bench, bench.copy(wait_on_limit_seconds=20.0))
