"""Verify: what each level of looking finds, what it reads for it, and what it never claims."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.memory_world import MODEL, PLAIN, SOURCE, TARGET, World, big

from hubferry.errors import ExitCode, UnavailableError
from hubferry.model import FileEntry, Listing, RepoInfo
from hubferry.outcome import RunReport
from hubferry.plan import Policy
from hubferry.throttle import Throttle
from hubferry.transfer import Job
from hubferry.verify import SAMPLE_BYTES, SAMPLES, Level, sample_ranges, verify_repo

LARGE = 5 * SAMPLES * SAMPLE_BYTES


def verify(
    world: World, level: Level = Level.LISTING, *, is_exact: bool = False, policy: Policy = PLAIN
) -> RunReport:
    job = Job("run", "verify", SOURCE, TARGET, policy)
    return verify_repo(job, world.tools, world.target, level, is_exact=is_exact)


def pair(source: dict[str, bytes], target: dict[str, bytes]) -> World:
    world = World()
    world.seed(source)
    world.seed_target(target)
    return world


def kinds(report: RunReport) -> dict[str, str]:
    return {difference.path: difference.kind for difference in report.differences}


def rotten(world: World, path: str, data: bytes) -> None:
    """Let the target serve other bytes than its listing says."""
    honest: dict[str, FileEntry] = {}
    list_files = world.target.list_files

    def lying(info: RepoInfo) -> Listing:
        return replace(honest_listing, entries=tuple(honest[p] for p in sorted(honest)))

    info = world.target.resolve(TARGET.repo, None)
    honest_listing = list_files(info)
    honest.update(honest_listing.by_path)
    world.target.repos[TARGET.repo.name].files[path] = data
    world.target.list_files = lying  # type: ignore[method-assign]


@pytest.mark.parametrize("level", Level)
def test_equal_repositories_are_verified(level: Level) -> None:
    report = verify(pair(dict(MODEL), dict(MODEL)), level)
    assert (report.exit_code, report.verified, report.errors) == (0, True, [])
    assert report.differences == []
    assert report.files.total == len(MODEL)


@pytest.mark.parametrize("level", Level)
def test_every_difference_is_told_and_ends_with_12(level: Level) -> None:
    target = {**MODEL, "config.json": b"{}", "weights-1.bin": big(9), "extra": b"e"}
    del target["README.md"]
    report = verify(pair(dict(MODEL), target), level)
    assert kinds(report) == {
        "README.md": "missing",
        "config.json": "differs",
        "weights-1.bin": "differs",
        "extra": "extra",
    }
    assert (report.exit_code, report.verified) == (ExitCode.INTEGRITY, False)
    assert report.files.failed == 3


def test_extra_files_fail_only_when_exactness_is_asked_for() -> None:
    world = pair({"a": b"1"}, {"a": b"1", "b": b"2"})
    assert verify(world).exit_code == 0
    report = verify(world, is_exact=True)
    assert (report.exit_code, report.verified) == (ExitCode.INTEGRITY, False)


def test_what_is_not_selected_is_not_looked_at() -> None:
    world = pair({"a": b"1", "b.bin": b"1"}, {"a": b"1"})
    assert verify(world, policy=Policy(exclude=("*.bin",))).verified is True


def test_the_listing_level_believes_listings_and_reads_no_large_file() -> None:
    world = pair(dict(MODEL), dict(MODEL))
    rotten(world, "weights-1.bin", big(9))
    report = verify(world)
    assert report.verified is True
    assert not [r for r in world.target.requests if r.startswith("open")]
    assert not [r for r in world.source.requests if r.endswith(".bin")]


def test_the_full_level_believes_nobody() -> None:
    world = pair(dict(MODEL), dict(MODEL))
    rotten(world, "weights-1.bin", big(9))
    report = verify(world, Level.FULL)
    assert kinds(report) == {"weights-1.bin": "differs"}
    assert report.exit_code == ExitCode.INTEGRITY
    large = sum(len(data) for path, data in MODEL.items() if path.endswith(".bin"))
    assert report.bytes.read >= 2 * large, "both sides were read"


def test_the_full_level_notices_bytes_past_the_end() -> None:
    world = pair({"w.bin": big(1)}, {"w.bin": big(1)})
    rotten(world, "w.bin", big(1) + b"more")
    assert kinds(verify(world, Level.FULL)) == {"w.bin": "differs"}


def test_samples_find_a_rotten_head_or_end_and_read_little() -> None:
    data = bytes(LARGE)
    for spoiled in (b"x" + data[1:], data[:-1] + b"x"):
        world = pair({"w.bin": data}, {"w.bin": data})
        rotten(world, "w.bin", spoiled)
        report = verify(world, Level.SAMPLE)
        assert kinds(report) == {"w.bin": "differs"}
    world = pair({"w.bin": data}, {"w.bin": data})
    report = verify(world, Level.SAMPLE)
    assert report.verified is True
    assert report.bytes.read <= 2 * SAMPLES * SAMPLE_BYTES


def test_a_sample_asks_for_its_range_only() -> None:
    world = pair({"w.bin": bytes(LARGE)}, {"w.bin": bytes(LARGE)})
    asked: list[tuple[int, int | None]] = []
    opened = world.source.open

    def watching(info: RepoInfo, entry: FileEntry, start: int = 0, end: int | None = None):  # type: ignore[no-untyped-def]
        asked.append((start, end))
        return opened(info, entry, start, end)

    world.source.open = watching  # type: ignore[method-assign]
    verify(world, Level.SAMPLE)
    assert asked
    assert all(end is not None and end - start == SAMPLE_BYTES for start, end in asked)


def test_what_no_digest_can_tell_is_unchecked_until_it_is_read() -> None:
    world = pair({"a": b"1"}, {"a": b"1"})
    list_files = world.target.list_files

    def silent(info: RepoInfo) -> Listing:
        found = list_files(info)
        return replace(found, entries=tuple(replace(e, sha256=None) for e in found.entries))

    world.target.list_files = silent  # type: ignore[method-assign]
    report = verify(world)
    assert kinds(report) == {"a": "unchecked"}
    assert (report.exit_code, report.verified) == (ExitCode.PARTIAL, False)
    assert verify(world, Level.FULL).verified is True


def test_a_source_that_fails_is_told_with_its_side() -> None:
    world = pair(dict(MODEL), dict(MODEL))

    def down(request: str) -> None:
        if request == "open weights-2.bin":
            raise UnavailableError("no connection")

    world.source.before = down
    report = verify(world, Level.FULL)
    (error,) = report.errors
    assert (error.side, error.step, error.path) == ("source", "verify", "weights-2.bin")
    assert report.verified is not True
    assert report.exit_code == ExitCode.UNEXPECTED


def test_a_target_that_is_not_there_is_told() -> None:
    world = World()
    world.seed()
    report = verify(world)
    assert (report.exit_code, report.verified) == (ExitCode.NOT_FOUND, None)
    assert report.errors[0].side == "target"


def test_a_stopped_verify_ends_with_130_and_no_word() -> None:
    world = pair(dict(MODEL), dict(MODEL))
    world.source.before = lambda request: world.cancel.cancel()
    report = verify(world, Level.FULL)
    assert (report.exit_code, report.verified, report.errors) == (ExitCode.CANCELLED, None, [])


def test_verify_writes_nothing() -> None:
    world = pair(dict(MODEL), {"a": b"1"})
    for level in Level:
        verify(world, level, is_exact=True)
    assert not {"commit", "put_blob", "create", "tag"} & set(world.target.requests)


@given(st.integers(0, 10**13), st.text(max_size=5))
def test_samples_lie_inside_the_file_and_hold_its_head_and_end(size: int, seed: str) -> None:
    ranges = sample_ranges(size, seed)
    assert ranges == sorted(set(ranges))
    assert ranges == sample_ranges(size, seed), "the same run reads the same ranges"
    assert all(0 <= start < end <= size for start, end in ranges)
    assert sum(end - start for start, end in ranges) <= SAMPLES * SAMPLE_BYTES
    if size:
        assert ranges[0][0] == 0
        assert ranges[-1][1] == size
        assert len(ranges) <= SAMPLES
    else:
        assert ranges == []


def test_other_runs_read_other_samples() -> None:
    assert len({str(sample_ranges(10**12, f"run-{n}")) for n in range(20)}) == 20


@pytest.mark.parametrize("level", [Level.SAMPLE, Level.FULL])
def test_what_is_read_to_verify_is_held_to_the_limit(level: Level) -> None:
    class Counting(Throttle):
        granted = 0

        def grant(self, wanted: int) -> int:
            self.granted += wanted
            return super().grant(wanted)

    world = pair(dict(MODEL), dict(MODEL))
    throttle = Counting()
    tools = replace(world.tools, read_throttle=throttle)
    job = Job("run", "verify", SOURCE, TARGET, PLAIN)
    verify_repo(job, tools, world.target, level, is_exact=False)
    assert throttle.granted >= tools.traffic.read_bytes > 0
