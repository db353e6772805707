"""Delivery: what is committed when, how much waits in memory, and what a failure takes along."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.memory_world import BIG, KIB, MODEL, TARGET, CountingHub, World, big

from hubferry.climbing import Climber
from hubferry.delivery import NETWORK_DOWN_AFTER, RESEND_ROUNDS, Delivery
from hubferry.engines import make_engine
from hubferry.errors import (
    AccessError,
    CancelledError,
    CopyError,
    HubError,
    IntegrityError,
    NotFoundError,
    QuotaError,
    UnavailableError,
)
from hubferry.events import FileFinished
from hubferry.governor.byte_locks import ByteLocks
from hubferry.governor.slots import ByteSlots
from hubferry.hubs.base import BlobBody, ByteStream, UploadTicket
from hubferry.hubs.memory import sha256_of
from hubferry.model import Blob, FileEntry, RepoInfo, Sha256, Visibility


def fresh(files: dict[str, bytes] | None = None, workers: int = 1) -> World:
    world = World(target=CountingHub(), workers=workers)
    world.seed(MODEL if files is None else files)
    world.target.create_repo(TARGET.repo, Visibility.PUBLIC, None)
    return world


def deliver(world: World) -> Delivery:
    found, plan = world.draw()
    tools = world.tools
    made = Delivery(plan.writes, found, tools, lambda n, total: f"{n}/{total}", "run")
    made.run()
    return made


def failing(world: World, paths: Sequence[str], error: Callable[[], CopyError]) -> None:
    """Let the source fail whenever one of ``paths`` is opened."""

    def before(request: str) -> None:
        if request.removeprefix("open ") in paths:
            raise error()

    world.source.before = before


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("max_changes", [1, 2, 3, 256])
def test_everything_arrives_in_commit_order(workers: int, max_changes: int) -> None:
    world = fresh(workers=workers)
    world.limit_commits(max_changes)
    tally = deliver(world).tally
    assert dict(world.target_files) == MODEL
    assert tally.commits == -(-len(MODEL) // max_changes)
    assert not tally.failures
    assert tally.sent_paths | tally.reused_paths == set(MODEL)
    messages = world.target.repos[TARGET.repo.name].messages
    assert messages == [f"{n}/{tally.commits}" for n in range(1, tally.commits + 1)]


@pytest.mark.parametrize("workers", [1, 4])
def test_the_same_bytes_at_ten_paths_travel_once(workers: int) -> None:
    world = fresh({f"copy-{n}.bin": big(1) for n in range(10)}, workers)
    tally = deliver(world).tally
    assert isinstance(world.target, CountingHub)
    assert len(world.target.stored) == 1
    assert len(tally.sent_paths) == 1
    assert len(tally.reused_paths) == 9
    assert sum(request.startswith("open") for request in world.source.requests) == 1


def test_a_blob_the_target_holds_is_not_read_and_not_sent() -> None:
    world = fresh({"weights.bin": big(1)})
    world.target.blobs[sha256_of(big(1))] = big(1)
    tally = deliver(world).tally
    assert tally.reused_paths == {"weights.bin"}
    assert "put_blob" not in world.target.requests
    assert not [request for request in world.source.requests if request.startswith("open")]


def test_a_content_that_fails_is_told_for_each_of_its_paths() -> None:
    paths = ["a.bin", "b.bin", "c/d.bin"]
    world = fresh({**dict.fromkeys(paths, big(1)), "other.bin": big(2)})
    failing(world, paths, lambda: NotFoundError("gone", what="path"))
    failures = deliver(world).tally.failures
    assert {path: error.path for path, error in failures.items()} == {path: path for path in paths}
    assert {error.code for error in failures.values()} == {"not_found"}
    assert set(world.target_files) == {"other.bin"}


def test_a_failed_file_is_told_once_to_observers() -> None:
    world = fresh({"a.bin": big(1), "b.bin": big(2)})
    failing(world, ["a.bin"], lambda: NotFoundError("gone", what="path"))
    deliver(world)
    ends = [event for event in world.events if isinstance(event, FileFinished)]
    assert [(event.path, event.error is not None) for event in ends] == [
        ("a.bin", True),
        ("b.bin", False),
    ]


@pytest.mark.parametrize("error", [QuotaError, AccessError])
def test_what_every_file_would_meet_ends_the_run(error: type[CopyError]) -> None:
    world = fresh({f"{n}.bin": big(n) for n in range(5)})

    def before(request: str) -> None:
        if request == "put_blob":
            raise error("no")

    world.target.before = before
    with pytest.raises(error):
        deliver(world)
    assert world.requests("put_blob") == 1


def test_a_network_that_is_down_is_noticed_after_a_few_files() -> None:
    world = fresh({f"{n:02}.bin": big(n) for n in range(20)})
    failing(world, [f"{n:02}.bin" for n in range(20)], lambda: UnavailableError("no connection"))
    with pytest.raises(UnavailableError):
        deliver(world)
    opened = {request for request in world.source.requests if request.startswith("open")}
    assert len(opened) == NETWORK_DOWN_AFTER


def test_outages_that_are_not_in_a_row_do_not_end_the_run() -> None:
    files = {f"{n:02}.bin": big(n) for n in range(12)}
    world = fresh(files)
    bad = [f"{n:02}.bin" for n in range(0, 12, 2)]
    failing(world, bad, lambda: UnavailableError("no connection"))
    assert set(deliver(world).tally.failures) == set(bad)
    assert set(world.target_files) == set(files) - set(bad)


# --- a store that loses blobs -----------------------------------------------


def forgetting(world: World, times: int) -> None:
    """Let the target drop what it stored, the first ``times`` times."""
    left = [times]

    def after(request: str) -> None:
        if request == "put_blob" and left[0]:
            left[0] -= 1
            world.target.blobs.clear()

    assert isinstance(world.target, CountingHub)
    world.target.after = after


@pytest.mark.parametrize("times", range(1, RESEND_ROUNDS + 1))
def test_a_blob_the_target_lost_is_sent_again(times: int) -> None:
    world = fresh({"weights.bin": big(1), "twin.bin": big(1)})
    forgetting(world, times)
    assert not deliver(world).tally.failures
    assert world.target_files["weights.bin"] == world.target_files["twin.bin"] == big(1)
    assert world.requests("put_blob") == times + 1


def test_a_blob_the_target_never_keeps_is_not_committed() -> None:
    world = fresh({"weights.bin": big(1), "twin.bin": big(1), "notes.txt": b"n"})
    forgetting(world, 100)
    failures = deliver(world).tally.failures
    assert set(failures) == {"weights.bin", "twin.bin"}
    assert all(isinstance(error, IntegrityError) for error in failures.values())
    assert set(world.target_files) == {"notes.txt"}
    assert world.requests("put_blob") == RESEND_ROUNDS + 1


def test_a_resend_that_fails_is_that_files_failure_only() -> None:
    world = fresh({"weights.bin": big(1), "other.bin": big(2)})
    world.limit_commits(1)
    forgotten: list[str] = []
    bad = sha256_of(big(1))

    def after(request: str) -> None:
        if world.target.blobs.pop(bad, None) is not None:
            forgotten.append(request)
            failing(world, ["weights.bin"], lambda: NotFoundError("gone meanwhile", what="path"))

    assert isinstance(world.target, CountingHub)
    world.target.after = after
    failures = deliver(world).tally.failures
    assert forgotten
    assert {path: error.code for path, error in failures.items()} == {"weights.bin": "not_found"}
    assert world.requests("put_blob") == 3
    assert set(world.target_files) == {"other.bin"}


# --- memory -----------------------------------------------------------------


class HeldMeter:
    """Counts the bytes of small files between their read and their commit."""

    def __init__(self, world: World) -> None:
        self.held = self.peak = 0
        self._lock = threading.Lock()
        self._inner_open = world.source.open
        self._inner_commit = world.target.commit
        world.source.open = self.open  # type: ignore[method-assign,assignment]
        world.target.commit = self.commit  # type: ignore[method-assign]

    def open(
        self, info: RepoInfo, entry: FileEntry, start: int = 0, end: int | None = None
    ) -> ByteStream:
        if entry.size_bytes <= 64 * KIB:
            with self._lock:
                self.held += entry.size_bytes
                self.peak = max(self.peak, self.held)
        return self._inner_open(info, entry, start, end)

    def commit(self, info: RepoInfo, changes: Sequence[object], message: str) -> str | None:
        done = self._inner_commit(info, changes, message)  # type: ignore[arg-type]
        contents = {change.content for change in changes if hasattr(change, "content")}
        with self._lock:
            self.held -= sum(map(len, contents))
        return done


@pytest.mark.parametrize("workers", [1, 4])
def test_small_files_wait_in_bounded_memory_behind_a_slow_blob(
    workers: int,
) -> None:
    limit, size, count = 64 * KIB, 1 * KIB, 2000
    files = {"aaa-slow.bin": big(1)}
    files |= {f"small/{n:05}.txt": n.to_bytes(8, "big") * (size // 8) for n in range(count)}
    world = fresh(files, workers)
    world.held_content_bytes = limit
    world.limit_commits(256, 32 * KIB)
    meter = HeldMeter(world)
    may_end = threading.Event()
    is_paused = threading.Event()

    def before(request: str) -> None:
        if request == "open aaa-slow.bin" and workers > 1:
            is_paused.set()
            assert may_end.wait(20)

    world.source.before = before
    engine = make_engine(workers)
    world.engine = engine
    commits_while_slow: list[int] = []

    def watch() -> None:
        is_paused.wait(20)
        last = -1
        while last != (last := len(world.source.requests)):
            threading.Event().wait(0.05)
        commits_while_slow.append(world.requests("commit"))
        may_end.set()

    watcher = threading.Thread(target=watch)
    if workers > 1:
        watcher.start()
    tally = deliver(world).tally
    if workers > 1:
        watcher.join()
        assert commits_while_slow[0] > 10, "small files waited for the slow blob"
    assert not tally.failures
    assert dict(world.target_files) == files
    assert meter.peak <= limit + size, "more small files were held than allowed"


def test_repeated_small_contents_do_not_fill_the_memory() -> None:
    """Each content is wanted in an early and in a late commit: it is read twice, not kept."""
    limit, size, count = 16 * KIB, 1 * KIB, 200
    data = [n.to_bytes(8, "big") * (size // 8) for n in range(count)]
    files = {f"a/{n:04}.txt": data[n] for n in range(count)}
    files |= {f"z/{n:04}.txt": data[n] for n in range(count)}
    world = fresh(files)
    world.held_content_bytes = limit
    world.limit_commits(256, 8 * KIB)
    meter = HeldMeter(world)
    deliver(world)
    assert dict(world.target_files) == files
    assert meter.peak <= limit + size


def test_blobs_go_on_while_the_memory_for_small_files_is_full() -> None:
    files = {f"a/{n:03}.txt": bytes([n]) * KIB for n in range(40)}
    files |= {f"m/{n}.bin": big(n) for n in range(6)}
    files |= {f"z/{n:03}.txt": bytes([100 + n]) * KIB for n in range(40)}
    world = fresh(files, workers=3)
    world.held_content_bytes = 2 * KIB
    world.limit_commits(7)
    deliver(world)
    assert dict(world.target_files) == files


def test_a_plan_of_stored_blobs_only_needs_no_worker() -> None:
    world = fresh({f"{n}.bin": big(n) for n in range(4)})
    for n in range(4):
        world.target.blobs[sha256_of(big(n))] = big(n)
    tally = deliver(world).tally
    assert tally.commits == 1
    assert tally.reused_paths == set(world.source_files)


# --- refusals ---------------------------------------------------------------


def test_a_refused_group_is_halved_until_the_culprit_is_alone() -> None:
    files = {f"{n:02}.txt": bytes([n]) for n in range(16)}
    world = fresh(files)
    commit = world.target.commit

    def picky(info, changes, message):  # type: ignore[no-untyped-def]
        if any(change.path == "05.txt" for change in changes):
            raise HubError("05.txt is not wanted here")
        return commit(info, changes, message)

    world.target.commit = picky  # type: ignore[method-assign]
    failures = deliver(world).tally.failures
    assert set(failures) == {"05.txt"}
    assert failures["05.txt"].path == "05.txt"
    assert set(world.target_files) == set(files) - {"05.txt"}


def test_content_of_another_size_than_listed_never_gets_in() -> None:
    world = fresh({"a.txt": b"four", "b.bin": big(1)})
    listing = world.source.list_files

    def lying(info: RepoInfo):  # type: ignore[no-untyped-def]
        found = listing(info)
        return replace(
            found,
            entries=tuple(replace(e, size_bytes=e.size_bytes - 1) for e in found.entries),
        )

    world.source.list_files = lying  # type: ignore[method-assign]
    failures = deliver(world).tally.failures
    assert {error.code for error in failures.values()} == {"corrupt_read"}
    assert dict(world.target_files) == {}


def in_bulk(world: World, files: int = 100, size_bytes: int = 1 << 20) -> World:
    """Let the source give many small files in one go."""
    world.source.traits = replace(world.source.traits, bulk_files=files, bulk_bytes=size_bytes)
    return world


def small_files(count: int) -> dict[str, bytes]:
    return {f"s/{n:04}.txt": f"small {n}\n".encode() for n in range(count)}


@pytest.mark.parametrize("workers", [1, 4])
def test_small_files_come_many_at_a_time(workers: int) -> None:
    files = {**small_files(1000), "w.bin": big(1)}
    world = in_bulk(fresh(files, workers))
    tally = deliver(world).tally
    assert dict(world.target_files) == files
    assert world.source.requests.count("read_many 100") == 10
    assert [r for r in world.source.requests if r.startswith("open")] == ["open w.bin"]
    assert tally.commits <= -(-1001 // 256) + 1


def test_a_batch_is_bounded_by_its_bytes() -> None:
    files = {f"{n}.txt": bytes([n]) * 400 for n in range(10)}
    world = in_bulk(fresh(files), size_bytes=1000)
    deliver(world)
    assert dict(world.target_files) == files
    assert world.source.requests.count("read_many 2") == 5


def test_what_a_batch_leaves_out_is_read_alone() -> None:
    world = in_bulk(fresh(small_files(20)))
    inner = world.source.read_many

    def forgetful(
        info: RepoInfo, entries: Sequence[FileEntry]
    ) -> Iterator[tuple[FileEntry, bytes]]:
        return (pair for pair in inner(info, entries) if not pair[0].path.endswith("7.txt"))

    world.source.read_many = forgetful  # type: ignore[method-assign]
    deliver(world)
    assert dict(world.target_files) == small_files(20)
    opened = [r for r in world.source.requests if r.startswith("open")]
    assert sorted(opened) == ["open s/0007.txt", "open s/0017.txt"]


def test_what_a_batch_brings_damaged_is_read_alone() -> None:
    world = in_bulk(fresh(small_files(3)))
    inner = world.source.read_many

    def rotten(info: RepoInfo, entries: Sequence[FileEntry]) -> Iterator[tuple[FileEntry, bytes]]:
        return ((e, b"x" + d[1:] if e.path == "s/0001.txt" else d) for e, d in inner(info, entries))

    world.source.read_many = rotten  # type: ignore[method-assign]
    deliver(world)
    assert dict(world.target_files) == small_files(3)
    assert "open s/0001.txt" in world.source.requests


@pytest.mark.parametrize("workers", [1, 4])
def test_a_source_that_gives_no_batch_after_all_is_not_asked_again(workers: int) -> None:
    world = in_bulk(fresh(small_files(500), workers), files=50)
    asked: list[int] = []

    def nothing(info: RepoInfo, entries: Sequence[FileEntry]) -> Iterator[tuple[FileEntry, bytes]]:
        asked.append(len(entries))
        return iter(())

    world.source.read_many = nothing  # type: ignore[method-assign]
    deliver(world)
    assert dict(world.target_files) == small_files(500)
    assert len(asked) <= 2


def test_a_way_for_many_that_is_down_does_not_stop_single_files() -> None:
    world = in_bulk(fresh(small_files(30)))

    def down(info: RepoInfo, entries: Sequence[FileEntry]) -> Iterator[tuple[FileEntry, bytes]]:
        raise UnavailableError("down")

    world.source.read_many = down  # type: ignore[method-assign]
    tally = deliver(world).tally
    assert dict(world.target_files) == small_files(30)
    assert not tally.failures


def test_a_pointer_text_in_a_batch_is_an_error_of_that_file() -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    world = in_bulk(fresh({**small_files(3), "broken.txt": pointer}))
    failures = deliver(world).tally.failures
    assert {path: type(error) for path, error in failures.items()} == {"broken.txt": IntegrityError}
    assert set(world.target_files) == set(small_files(3))


def test_the_largest_blob_goes_first() -> None:
    files = {f"{name}.bin": big(seed, BIG + seed) for seed, name in enumerate("bdacfe")}
    world = fresh(files)
    deliver(world)
    opened = [r for r in world.source.requests if r.startswith("open")]
    assert opened == [f"open {name}.bin" for name in "efcadb"]


def test_no_more_blobs_travel_than_help() -> None:
    world = fresh({f"{n}.bin": big(n) for n in range(20)}, workers=8)
    at_once, most, lock = 0, 0, threading.Lock()
    inner = world.target.put_blob

    def put_blob(info: RepoInfo, ticket: UploadTicket, body: BlobBody) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        threading.Event().wait(0.02)
        inner(info, ticket, body)
        with lock:
            at_once -= 1

    world.target.put_blob = put_blob  # type: ignore[method-assign]
    found, plan = world.draw()
    tools = replace(world.tools, uploads=Climber(3, 3))
    Delivery(plan.writes, found, tools, lambda n, total: "", "run").run()
    assert most == 3


def test_a_commit_on_its_way_does_not_hold_up_blobs() -> None:
    world = fresh({"a.txt": b"a", "b.txt": b"b", **{f"{n}.bin": big(n) for n in range(9)}}, 4)
    world.limit_commits(1)
    is_committing, may_end = threading.Event(), threading.Event()

    def before(request: str) -> None:
        if request == "commit" and not is_committing.is_set():
            is_committing.set()
            assert may_end.wait(20), "nothing was sent while a commit was on its way"
        elif request == "put_blob" and is_committing.is_set():
            may_end.set()

    world.target.before = before
    deliver(world)
    assert len(world.target_files) == 11


def test_a_blob_that_is_not_kept_fails_for_each_commit_that_names_it() -> None:
    world = fresh({"a.bin": big(1), "b.bin": big(1), "c.bin": big(2)})
    world.limit_commits(1)
    inner = world.target.missing_blobs

    def forgets(info: RepoInfo, blobs: Collection[Blob]) -> Mapping[Sha256, UploadTicket]:
        world.target.blobs.pop(sha256_of(big(1)), None)
        return inner(info, blobs)

    world.target.missing_blobs = forgets  # type: ignore[method-assign]
    failures = deliver(world).tally.failures
    assert {path: type(error) for path, error in failures.items()} == {
        "a.bin": IntegrityError,
        "b.bin": IntegrityError,
    }
    assert set(world.target_files) == {"c.bin"}


def test_what_came_before_a_drop_is_not_asked_for_again() -> None:
    world = in_bulk(fresh(small_files(10)))
    inner = world.source.read_many
    asked: list[int] = []

    def drops(info: RepoInfo, entries: Sequence[FileEntry]) -> Iterator[tuple[FileEntry, bytes]]:
        asked.append(len(entries))
        for number, pair in enumerate(inner(info, entries)):
            if number == 4:
                raise UnavailableError("dropped")
            yield pair

    world.source.read_many = drops  # type: ignore[method-assign]
    deliver(world)
    assert dict(world.target_files) == small_files(10)
    assert asked == [10, 6, 2]


def test_deliveries_at_the_same_time_share_one_level(tmp_path: Path) -> None:
    level, repos = 3, 5
    locks = ByteLocks(tmp_path / "slots")
    slots = ByteSlots(lambda: locks, lambda: level, 16)
    inside, peak, lock = 0, 0, threading.Lock()

    def before(request: str) -> None:
        nonlocal inside, peak
        if request == "put_blob":
            with lock:
                inside += 1
                peak = max(peak, inside)

    def after(request: str) -> None:
        nonlocal inside
        if request == "put_blob":
            threading.Event().wait(0.01)
            with lock:
                inside -= 1

    worlds = []
    for number in range(repos):
        world = fresh({f"{n}.bin": big(10 * number + n) for n in range(6)}, workers=4)
        world.slots = slots
        world.target.before = before
        assert isinstance(world.target, CountingHub)
        world.target.after = after
        worlds.append(world)
    threads = [threading.Thread(target=deliver, args=(world,)) for world in worlds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(dict(world.target_files) == world.source_files for world in worlds)
    assert peak <= level
    assert slots.in_use == 0


def test_a_delivery_that_is_stopped_while_it_waits_for_a_slot_ends_at_once(
    tmp_path: Path,
) -> None:
    locks = ByteLocks(tmp_path / "slots")
    assert locks.try_acquire(0)  # as if by another process
    world = fresh({"a.bin": big(1)}, workers=2)
    world.slots = ByteSlots(lambda: locks, lambda: 1, 1)
    ended = threading.Event()

    def run() -> None:
        with pytest.raises(CancelledError):
            deliver(world)
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    threading.Event().wait(0.1)
    world.cancel.cancel()
    assert ended.wait(5)
