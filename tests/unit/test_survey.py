"""Looking at both ends: what is asked, what is read, and what is remembered for next time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.support.memory_world import MODEL, PLAIN, SOURCE, TARGET, World, big

from hubferry.errors import (
    AccessError,
    CancelledError,
    CopyError,
    CorruptReadError,
    IntegrityError,
    NotFoundError,
    Side,
    UnavailableError,
)
from hubferry.events import Listed, Note, Resolved
from hubferry.hubs.memory import git_oid_of, sha256_of
from hubferry.learning import KEPT_CONTENT_BYTES, learn_digests
from hubferry.model import Address, FileEntry, Listing, RepoInfo
from hubferry.plan import Action, Policy
from hubferry.stream import LFS_POINTER_START
from hubferry.survey import (
    ask_write_access,
    both,
    draw_plan,
    stored_blobs,
    survey,
)

SMALL = {path: data for path, data in MODEL.items() if not path.endswith(".bin") and data}


def void(anything: object) -> None:
    """Make a request's hook of a call that gives something back."""


def pair(source: dict[str, bytes] | None = None, target: dict[str, bytes] | None = None) -> World:
    world = World()
    world.seed(dict(MODEL) if source is None else source)
    if target is not None:
        world.seed_target(target)
    return world


def opened(world: World) -> list[str]:
    return [r.removeprefix("open ") for r in world.source.requests if r.startswith("open ")]


def learn(world: World) -> dict[str, CopyError]:
    found = world.look()
    return learn_digests(found, draw_plan(found, world.tools, PLAIN), world.tools)


# --- both ends --------------------------------------------------------------


def test_both_ends_are_pinned_once_and_told() -> None:
    world = pair(target=dict(MODEL))
    found = world.look()
    assert world.source.requests == world.target.requests == ["resolve", "list"]
    assert found.target_exists
    assert [(e.side, e.info.commit) for e in world.events if isinstance(e, Resolved)] == [
        (Side.SOURCE, "c0"),
        (Side.TARGET, "c0"),
    ]
    listed = [event for event in world.events if isinstance(event, Listed)]
    assert [event.files for event in listed] == [len(MODEL)] * 2


def test_both_ends_are_looked_at_at_the_same_time() -> None:
    world = pair(target=dict(MODEL))
    world.workers = 2
    # Each request of one end waits for the same one of the other; alone, it breaks in the end.
    together = threading.Barrier(2)
    world.source.before = world.target.before = lambda request: void(together.wait(20))
    found = world.look()
    assert len(found.source_listing.entries) == len(found.target_listing.entries) == len(MODEL)
    assert sorted(world.source.requests) == sorted(world.target.requests) == ["list", "resolve"]


def test_questions_before_the_first_write_are_asked_at_the_same_time() -> None:
    world = pair(target={})
    world.workers = 2
    together = threading.Barrier(2)
    found = world.look()
    tools = world.tools
    waits = (lambda: void(together.wait(20)), lambda: void(together.wait(20)))
    assert both(*waits, tools) == (None, None)
    assert found.target_exists


@pytest.mark.parametrize("workers", [1, 2])
def test_where_both_ends_fail_the_source_is_told(workers: int) -> None:
    world = pair(target={})
    world.workers = workers
    target_failed = threading.Event()

    def fail(request: str) -> None:
        target_failed.set()
        raise AccessError("not yours")

    def fail_later(request: str) -> None:
        if workers > 1:
            target_failed.wait(20)
        raise AccessError("not ours")

    world.target.before, world.source.before = fail, fail_later
    with pytest.raises(AccessError) as caught:
        world.look()
    assert caught.value.side is Side.SOURCE


def test_a_source_that_fails_is_told_while_the_target_is_still_asked() -> None:
    world = pair(target={})
    world.workers = 2
    is_asked, may_end = threading.Event(), threading.Event()

    def never_ends(request: str) -> None:
        is_asked.set()
        may_end.wait(60)

    def fail(request: str) -> None:
        is_asked.wait(20)
        raise AccessError("not yours")

    world.target.before, world.source.before = never_ends, fail
    try:
        with pytest.raises(AccessError):
            world.look()
    finally:
        may_end.set()


def test_a_stop_while_both_ends_are_asked_is_a_stop() -> None:
    world = pair(target={})
    world.workers = 2
    may_end = threading.Event()

    def stop(request: str) -> None:
        world.cancel.cancel()
        may_end.wait(60)

    world.target.before = world.source.before = stop
    try:
        with pytest.raises(CancelledError):
            world.look()
    finally:
        may_end.set()


def test_a_plan_is_drawn_again_only_when_more_is_known() -> None:
    world = pair(target=dict(MODEL))
    found, plan = world.draw()
    assert draw_plan(found, world.tools, PLAIN) is plan
    assert draw_plan(found, world.tools, replace(PLAIN, exclude=("*.bin",))) is not plan
    found.known = found.known.with_pairs([])
    assert draw_plan(found, world.tools, PLAIN) == plan


def test_later_reads_are_pinned_to_the_commit_that_was_resolved() -> None:
    world = pair({"a": b"1"})
    found = world.look()
    world.seed({"a": b"2"})
    assert world.source.list_files(found.source).by_path["a"].git_oid == git_oid_of(b"1")


def test_a_target_that_is_not_there_is_an_empty_one() -> None:
    world = pair()
    found = survey(SOURCE, replace(TARGET, revision="dev"), world.tools, PLAIN)
    assert not found.target_exists
    assert found.target_listing.entries == ()
    assert found.target.revision == "dev"
    assert found.target_head(world.tools) is None
    assert world.look().target.revision == "main"


def test_a_missing_branch_of_a_target_is_not_a_missing_target() -> None:
    world = pair(target={})
    with pytest.raises(NotFoundError) as caught:
        survey(SOURCE, Address(TARGET.repo, "dev"), world.tools, PLAIN)
    assert (caught.value.what, caught.value.side) == ("revision", Side.TARGET)


@pytest.mark.parametrize("request_name", ["resolve", "list"])
@pytest.mark.parametrize("side", [Side.SOURCE, Side.TARGET])
def test_a_failure_names_its_side_step_and_repository(side: Side, request_name: str) -> None:
    world = pair(target={})
    hub = world.source if side is Side.SOURCE else world.target

    def before(request: str) -> None:
        if request == request_name:
            raise AccessError("not yours")

    hub.before = before
    with pytest.raises(AccessError) as caught:
        world.look()
    repo = SOURCE.repo if side is Side.SOURCE else TARGET.repo
    assert (caught.value.side, caught.value.step) == (side, request_name)
    assert caught.value.repo == str(repo)


def test_a_head_is_the_commit_or_a_digest_of_the_listing() -> None:
    world = pair(target={"a": b"1"})
    found = world.look()
    assert found.source_head(world.tools) == "c0"
    world.target.traits = replace(world.target.traits, tells_head=False)
    head = found.target_head(world.tools)
    assert head is not None
    assert head.startswith("listing:")
    world.seed_target({"a": b"1"})
    assert world.look().target_head(world.tools) == head, "the same files, the same head"
    world.seed_target({"a": b"2"})
    assert world.look().target_head(world.tools) != head


# --- digests ------------------------------------------------------------------


def test_each_small_file_is_read_once_to_compare_and_never_again() -> None:
    world = pair(target=dict(MODEL))
    assert learn(world) == {}
    assert sorted(opened(world)) == sorted(SMALL)
    world.source.requests.clear()
    assert learn(world) == {}
    assert opened(world) == [], "the ledger knows"


def test_without_a_ledger_they_are_read_again() -> None:
    world = pair(target=dict(MODEL))
    learn(world)
    world.source.requests.clear()
    world.ledger = World().ledger
    learn(world)
    assert sorted(opened(world)) == sorted(SMALL)


def test_equal_contents_are_read_once() -> None:
    files = {f"{n}.txt": b"same" for n in range(10)}
    world = pair(files, dict(files))
    learn(world)
    assert len(opened(world)) == 1


def test_what_differs_in_size_is_not_read() -> None:
    world = pair({"a": b"1", "b": b"2"}, {"a": b"11"})
    assert learn(world) == {}
    assert opened(world) == []


def test_content_read_to_compare_is_kept_for_sending() -> None:
    world = pair({"a": b"1"}, {"a": b"2"})
    report = world.run()
    assert report.exit_code == 0
    assert opened(world) == ["a"]
    assert world.target_files == {"a": b"1"}


def test_what_is_kept_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEPT_CONTENT_BYTES <= 64 * 1024 * 1024
    monkeypatch.setattr("hubferry.learning.KEPT_CONTENT_BYTES", 10)
    files = {f"{n}": f"{n:04}".encode() for n in range(10)}
    world = pair(files, dict.fromkeys(files, b"xxxx"))
    found = world.look()
    learn_digests(found, draw_plan(found, world.tools, PLAIN), world.tools)
    assert sum(len(content.data) for content in found.kept.values()) == 8
    assert world.run().exit_code == 0
    assert world.target_files == files


def test_a_large_file_is_streamed_for_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubferry.learning.BUFFER_BYTES", 100)
    world = pair({"a": b"a" * 101}, {"a": b"a" * 101})
    found = world.look()
    assert learn_digests(found, draw_plan(found, world.tools, PLAIN), world.tools) == {}
    assert found.kept == {}
    assert not draw_plan(found, world.tools, PLAIN).of(Action.READ)
    assert world.ledger.sha256_of([git_oid_of(b"a" * 101)]) == {
        git_oid_of(b"a" * 101): sha256_of(b"a" * 101)
    }


def test_a_file_that_cannot_be_read_does_not_stop_the_others() -> None:
    world = pair({"a": b"1", "b": b"2", "c": b"2"}, {"a": b"1", "b": b"3", "c": b"3"})

    def before(request: str) -> None:
        if request in {"open b", "open c"}:
            raise NotFoundError("gone", what="path")

    world.source.before = before
    failures = learn(world)
    assert {path: (e.path, e.side, e.step) for path, e in failures.items()} == {
        "b": ("b", Side.SOURCE, "read"),
        "c": ("c", Side.SOURCE, "read"),
    }


def test_equal_contents_that_are_damaged_are_told_by_their_own_paths() -> None:
    pointer = LFS_POINTER_START + b"oid sha256:0\nsize 1\n"
    other = b"x" * len(pointer)
    world = pair({"b": pointer, "c": pointer}, {"b": other, "c": other})
    failures = learn(world)
    assert all(isinstance(error, IntegrityError) for error in failures.values())
    assert {path: error.path for path, error in failures.items()} == {"b": "b", "c": "c"}


def test_bytes_that_are_wrong_once_are_read_afresh() -> None:
    world = pair({"a": b"1"}, {"a": b"1"})
    opens = world.source.open
    tries: list[int] = []

    def flaky(info: RepoInfo, entry: FileEntry, start: int = 0, end: int | None = None):  # type: ignore[no-untyped-def]
        tries.append(start)
        if len(tries) == 1:
            raise CorruptReadError("another size announced")
        return opens(info, entry, start, end)

    world.source.open = flaky  # type: ignore[method-assign]
    assert learn(world) == {}
    assert tries == [0, 0]


# --- folders that cannot be listed ------------------------------------------------


def cut(world: World, folder: str) -> None:
    """Let the target list nothing of a folder, as a hub does that cuts at its limit."""
    list_files = world.target.list_files

    def short(info: RepoInfo) -> Listing:
        found = list_files(info)
        kept = tuple(e for e in found.entries if not e.path.startswith(folder + "/"))
        return replace(found, entries=kept, doubtful_folders=(folder,))

    world.target.list_files = short  # type: ignore[method-assign]


def test_files_of_a_cut_folder_are_looked_at_one_by_one() -> None:
    files = {"big/a": b"1", "big/b": b"2", "c": b"3"}
    world = pair(files, {**files, "big/only-there": b"x"})
    cut(world, "big")
    found = world.look(Policy(exclude=("*/b",)))
    assert set(found.target_listing.by_path) == {"big/a", "c"}
    assert found.target_listing.doubtful_folders == ("big",), "more may hide there"
    assert [r for r in world.target.requests if r.startswith("stat")] == ["stat big/a"]
    assert any(isinstance(e, Note) and e.level == "warning" for e in world.events)


def test_files_that_may_not_be_looked_at_stay_in_doubt() -> None:
    world = pair({"big/a": b"1"}, {"big/a": b"1"})
    cut(world, "big")
    world.target.stat_files = lambda info, paths: {}  # type: ignore[method-assign]
    found = world.look()
    assert found.target_listing.entries == ()
    assert found.target_listing.is_doubtful("big/a")


def test_a_copy_into_a_cut_folder_is_verified_file_by_file() -> None:
    world = pair({"big/a": b"1", "c": b"3"}, {})
    cut(world, "big")
    report = world.run()
    assert (report.exit_code, report.verified) == (0, True)
    assert world.run().commits == 0


# --- questions to the target -----------------------------------------------------


def test_blobs_are_asked_for_in_batches_and_each_once() -> None:
    files = {f"{n:02}.bin": big(n % 7) for n in range(20)}
    world = pair(files, {})
    world.target.traits = replace(world.target.traits, blob_query_size=3)
    for n in (2, 5):
        world.target.blobs[sha256_of(big(n))] = big(n)
    asked: list[int] = []
    missing_blobs = world.target.missing_blobs

    def watching(info: RepoInfo, blobs: Sequence[object]):  # type: ignore[no-untyped-def]
        asked.append(len(blobs))
        return missing_blobs(info, blobs)  # type: ignore[arg-type]

    world.target.missing_blobs = watching  # type: ignore[method-assign,assignment]
    found, plan = world.draw()
    assert stored_blobs(plan, found, world.tools) == {sha256_of(big(n)) for n in (2, 5)}
    assert asked == [3, 3, 1]


def test_nobody_is_asked_where_there_is_no_target() -> None:
    world = pair()
    found, plan = world.draw()
    assert stored_blobs(plan, found, world.tools) == set()
    assert world.target.requests == ["resolve"]


def test_no_answer_is_never_read_as_stored() -> None:
    world = pair(target={})

    def before(request: str) -> None:
        if request == "missing_blobs":
            raise UnavailableError("no answer")

    world.target.before = before
    found, plan = world.draw()
    with pytest.raises(UnavailableError) as caught:
        stored_blobs(plan, found, world.tools)
    assert (caught.value.side, caught.value.step) == (Side.TARGET, "plan")


def test_a_failing_question_about_access_names_the_target() -> None:
    world = pair(target={})

    def before(request: str) -> None:
        if request == "write_access":
            raise AccessError("who are you?")

    world.target.before = before
    with pytest.raises(AccessError) as caught:
        ask_write_access(world.look(), world.tools)
    assert (caught.value.side, caught.value.repo) == (Side.TARGET, str(TARGET.repo))
