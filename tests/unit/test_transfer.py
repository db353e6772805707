"""A whole copy between two hubs in memory: what the target holds, what was asked, what is told."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from tests.support.memory_world import MODEL, SOURCE, TARGET, CountingHub, World, big

from hubferry.errors import AccessError, ExitCode, NotFoundError, UnavailableError
from hubferry.events import Committed, Planned, StepStarted, Verified
from hubferry.hubs.memory import MemoryHub, sha256_of
from hubferry.model import CommitChange, Listing, RepoInfo, Visibility
from hubferry.outcome import RunReport
from hubferry.plan import Action, OnConflict, Policy
from hubferry.stream import LFS_POINTER_START
from hubferry.text import T, Text
from hubferry.transfer import Job, plan_repo

WRITES = {"create", "put_blob", "commit", "tag"}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubferry.confirming.PAUSES_SECONDS", (0.0, 0.0))


def pair(
    source: Mapping[str, bytes] = MODEL, target: Mapping[str, bytes] | None = None, **world: int
) -> World:
    made = World(target=CountingHub(), **world)  # type: ignore[arg-type]
    made.seed(source)
    if target is not None:
        made.seed_target(target)
    return made


def told(report: RunReport) -> dict[str | None, str]:
    return {record.path: record.error for record in report.errors}


# --- the main job -------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 4])
def test_a_copy_makes_the_target_equal_and_verified(workers: int) -> None:
    world = pair(workers=workers)
    report = world.run()
    assert (report.exit_code, report.verified, report.errors) == (0, True, [])
    assert world.target_files == MODEL
    files = report.files
    assert (files.total, files.sent, files.reused, files.failed) == (9, 8, 1, 0)
    assert report.bytes.total == sum(map(len, MODEL.values()))
    assert report.bytes.sent == report.bytes.read == report.bytes.total - len(big(1))
    assert report.commits == 1


def test_the_steps_are_told_in_order() -> None:
    world = pair()
    world.run()
    steps = [event.step for event in world.events if isinstance(event, StepStarted)]
    assert steps == ["list", "plan", "plan", "send", "verify"]
    ends = [event for event in world.events if isinstance(event, Committed | Verified)]
    assert ends == [Committed(1, 9, "c1"), Verified(9, 0, 0)]
    assert [event for event in world.events if isinstance(event, Planned)]


def test_a_second_run_sends_nothing_and_commits_nothing() -> None:
    world = pair()
    world.run()
    world.source.requests.clear()
    world.target.requests.clear()
    report = world.run()
    assert (report.exit_code, report.verified, report.commits) == (0, True, 0)
    assert report.bytes.sent == report.bytes.read == 0
    assert report.files.reused == 9
    assert not WRITES & set(world.target.requests)
    assert world.source.requests == ["resolve", "list"]


def test_without_a_ledger_a_second_run_reads_small_files_and_sends_nothing() -> None:
    world = pair()
    world.run()
    world.ledger = World().ledger
    world.target.requests.clear()
    report = world.run()
    assert (report.exit_code, report.commits, report.bytes.sent) == (0, 0, 0)
    assert not WRITES & set(world.target.requests)


def test_an_update_sends_only_what_changed() -> None:
    world = pair(target={**MODEL, "weights-2.bin": big(9), "config.json": b"{}"})
    report = world.run()
    assert report.exit_code == 0
    assert world.target_files == MODEL
    assert report.files.sent == 2
    assert world.requests("put_blob") == 1


def test_the_message_names_the_source_and_its_commit() -> None:
    world = pair()
    world.limit_commits(5)
    world.run(Policy(commit_message="mine"))
    messages = world.target.repos[TARGET.repo.name].messages
    trailers = "Hubferry-Source: memory://org/source\nHubferry-Source-Commit: c0"
    assert messages == [f"mine ({n}/2)\n\n{trailers}" for n in (1, 2)]


def test_an_empty_repository_is_copied_too() -> None:
    world = pair({})
    report = world.run()
    assert (report.exit_code, report.verified, report.commits) == (0, True, 0)
    assert TARGET.repo.name in world.target.repos


def test_filters_choose_what_is_copied_and_counted() -> None:
    world = pair()
    report = world.run(Policy(include=("*.bin",), exclude=("twin/",)))
    assert (report.exit_code, report.verified, report.files.total) == (0, True, 2)
    assert set(world.target_files) == {"weights-1.bin", "weights-2.bin"}


def test_what_is_only_at_the_target_stays_and_is_told() -> None:
    world = pair(target={"extra": b"e"})
    report = world.run()
    assert (report.exit_code, report.verified) == (0, True)
    assert world.target_files == {**MODEL, "extra": b"e"}
    assert "1 files are only at the target" in str(report.notes[0])


def test_the_source_may_move_while_it_is_copied() -> None:
    world = pair()

    def move(request: str) -> None:
        if request == "create":
            world.seed(dict.fromkeys(MODEL, b"moved"))

    world.target.before = move
    assert world.run().exit_code == 0
    assert world.target_files == MODEL


# --- a new target ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "asked", "made"),
    [
        (Visibility.PUBLIC, None, Visibility.PUBLIC),
        (Visibility.PUBLIC, Visibility.PRIVATE, Visibility.PRIVATE),
        (Visibility.PRIVATE, None, Visibility.PRIVATE),
        (Visibility.GATED, None, Visibility.PRIVATE),
        (Visibility.UNKNOWN, None, Visibility.PRIVATE),
        (Visibility.PRIVATE, Visibility.PUBLIC, Visibility.PUBLIC),
    ],
)
def test_a_new_target_follows_its_source(
    source: Visibility, asked: Visibility | None, made: Visibility
) -> None:
    world = pair()
    world.source.repos[SOURCE.repo.name].visibility = source
    assert world.run(Policy(visibility=asked)).exit_code == 0
    assert world.target.repos[TARGET.repo.name].visibility is made
    assert world.target.repos[TARGET.repo.name].license == "mit"


def test_a_source_nobody_may_read_leaves_no_trace_at_the_target() -> None:
    world = pair()
    world.source.repos[SOURCE.repo.name].visibility = Visibility.GATED

    def gated(request: str) -> None:
        if request.startswith("open"):
            raise AccessError("ask for access")

    world.source.before = gated
    report = world.run()
    assert report.exit_code == ExitCode.ACCESS
    assert report.errors[0].side == "source"
    assert TARGET.repo.name not in world.target.repos


def test_files_that_the_hub_made_itself_are_copied_over_byte_for_byte() -> None:
    world = pair()
    create = world.target.create_repo

    def with_own_files(repo, visibility, license_id):  # type: ignore[no-untyped-def]
        create(repo, visibility, license_id)
        world.target.seed(repo.name, {".gitattributes": b"its own", "configuration.json": b"{}"})

    world.target.create_repo = with_own_files  # type: ignore[method-assign]
    report = world.run()
    assert (report.exit_code, report.verified) == (0, True)
    assert world.target_files == {**MODEL, "configuration.json": b"{}"}


def test_the_state_before_is_recorded_and_tagged() -> None:
    world = pair(target={"old": b"o"})
    world.ledger.start_run("run", "copy", "a", "b")
    world.run(Policy(backup_tag="before-copy"))
    repo = world.target.repos[TARGET.repo.name]
    assert repo.commits[repo.tags["before-copy"]] == {"old": b"o"}
    run = world.ledger.run("run")
    assert run is not None
    facts = {fact["kind"]: json.loads(fact["detail"]) for fact in run["facts"]}
    assert facts["before"] == {"head": "c0", "files": {"old": [1, str(sha256_of(b"o"))]}}
    assert facts["committed"]["commit"] == "c1"


@pytest.mark.parametrize("request_name", ["create", "tag"])
def test_a_lost_answer_to_what_may_be_repeated_is_no_failure(request_name: str) -> None:
    world = pair(target=None if request_name == "create" else {"old": b"o"})
    left = [UnavailableError("no answer", ambiguous=True)]

    def before(request: str) -> None:
        if request == request_name and left:
            raise left.pop()

    world.target.before = before
    assert world.run(Policy(backup_tag="before")).exit_code == 0
    assert not left


# --- stops before the first write --------------------------------------------------


@pytest.mark.parametrize("stop", ["readonly", "public", "conflict", "deletions", "disagree"])
def test_a_guard_stops_before_anything_is_written(stop: str) -> None:
    world = pair(target={f"{n}": b"x" for n in range(300)} | {"config.json": b"other"})
    policy = Policy()
    if stop == "readonly":
        world.target.is_readonly = True
    elif stop == "public":
        world.source.repos[SOURCE.repo.name].visibility = Visibility.PRIVATE
    elif stop == "conflict":
        policy = Policy(on_conflict=OnConflict.FAIL)
    else:
        policy = Policy(is_mirror=True, max_delete=None if stop == "deletions" else 1000)
    report = world.run(policy, confirm=lambda deletions: False)
    wanted = ExitCode.ACCESS if stop == "readonly" else ExitCode.CONFLICT
    assert (report.exit_code, report.verified) == (wanted, None)
    assert not WRITES & set(world.target.requests)
    assert report.errors[0].hint is not None


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_failing_end_is_told_with_its_side(side: str) -> None:
    world = pair(target={})

    def down(request: str) -> None:
        raise UnavailableError("no connection")

    (world.source if side == "source" else world.target).before = down
    report = world.run()
    assert (report.exit_code, report.errors[0].side) == (ExitCode.UNEXPECTED, side)
    assert report.errors[0].step == "resolve"


def test_a_source_that_is_not_there_is_10() -> None:
    world = World()
    report = world.run()
    assert (report.exit_code, told(report)) == (ExitCode.NOT_FOUND, {None: "not_found"})
    assert world.target.requests == []


# --- part of it ---------------------------------------------------------------------


def test_existing_content_is_left_alone_when_told_so() -> None:
    world = pair(target={"config.json": b"mine, and longer than theirs"})
    report = world.run(Policy(on_conflict=OnConflict.SKIP))
    assert (report.exit_code, report.files.skipped) == (0, 1)
    assert world.target_files["config.json"] == b"mine, and longer than theirs"
    assert report.verified is not True, "it is not equal"


def test_paths_nobody_may_write_are_told_and_the_rest_is_copied() -> None:
    bad = {"../up": b"1", "a/.git/x": b"2", "nul\0": b"3"}
    world = pair({**MODEL, **bad})
    report = world.run()
    assert report.exit_code == ExitCode.PARTIAL
    assert told(report) == dict.fromkeys(bad, "refused_path")
    assert world.target_files == MODEL
    assert report.verified is not True
    assert report.files.failed == 3
    again = world.run()
    assert (again.exit_code, again.commits) == (ExitCode.PARTIAL, 0)
    assert world.run(Policy(exclude=("../*", "*.git/*", "nul*"))).exit_code == 0


def test_paths_the_target_cannot_hold_are_told_and_the_rest_is_copied() -> None:
    world = pair({**MODEL, "weights-2.bin": big(5)}, target={"tokenizer": b"a file"})

    def problem(path: str) -> Text | None:
        return T("no room for it") if path == "weights-2.bin" else None

    world.target.path_problem = problem  # type: ignore[method-assign]
    report = world.run()
    refused = {"weights-2.bin", "tokenizer/vocab.txt", "tokenizer/merges.txt"}
    assert told(report) == dict.fromkeys(refused, "refused_path")
    assert report.exit_code == ExitCode.PARTIAL
    assert set(world.target_files) == (set(MODEL) - refused) | {"tokenizer"}


def test_a_pointer_left_by_a_broken_mirror_is_refused_by_name() -> None:
    pointer = LFS_POINTER_START + b"oid sha256:" + b"0" * 64 + b"\nsize 9\n"
    world = pair({**MODEL, "lost.bin": pointer})
    report = world.run()
    assert report.exit_code == ExitCode.PARTIAL
    assert told(report)["lost.bin"] == "integrity"
    assert not {"lost.bin", "config.json", "README.md"} & set(world.target_files)


def test_a_weight_that_cannot_be_compared_holds_back_config_and_card() -> None:
    """Same size, digest unknown, source fails: the old weights stay, and so does the old card."""
    old = {"vocab": b"old", "config.json": b"{0}", "README.md": b"# old\n"}
    world = pair({"vocab": b"new", "config.json": b"{1}", "README.md": b"# new\n"}, target=old)

    def gone(request: str) -> None:
        if request == "open vocab":
            raise NotFoundError("gone", what="path")

    world.source.before = gone
    report = world.run()
    assert told(report) == {
        "vocab": "not_found",
        "config.json": "conflict",
        "README.md": "conflict",
    }
    assert world.target_files == old
    assert report.exit_code == ExitCode.NOT_FOUND, "nothing was done"


def test_damage_at_the_source_never_reaches_the_target() -> None:
    world = pair()
    list_files = world.source.list_files

    def promising(info: RepoInfo) -> Listing:
        return replace(
            list_files(info),
            entries=tuple(
                replace(e, sha256=sha256_of(b"else")) if e.path == "weights-2.bin" else e
                for e in list_files(info).entries
            ),
        )

    world.source.list_files = promising  # type: ignore[method-assign]
    report = world.run()
    assert told(report)["weights-2.bin"] == "corrupt_read"
    assert "weights-2.bin" not in world.target_files
    assert set(world.target.blobs) == {sha256_of(big(1))}


# --- the last look ----------------------------------------------------------------------


def lie(hub: MemoryHub, path: str, data: bytes | None) -> None:
    """Let commits write ``data`` at ``path`` instead (None: forget it)."""
    commit = hub.commit

    def lying(info, changes, message):  # type: ignore[no-untyped-def]
        done = commit(info, changes, message)
        tree = hub.repos[info.repo.name].files
        if data is None:
            tree.pop(path, None)
        else:
            tree[path] = data
        return done

    hub.commit = lying  # type: ignore[method-assign]


@pytest.mark.parametrize("data", [b"rotten", None])
def test_what_the_target_says_counts_not_what_was_sent(data: bytes | None) -> None:
    world = pair()
    lie(world.target, "config.json", data)
    report = world.run()
    assert (report.exit_code, report.verified) == (ExitCode.INTEGRITY, False)
    assert told(report) == {"config.json": "integrity"}
    assert [d.path for d in report.differences] == ["config.json"]


def test_a_listing_that_lags_gets_a_moment() -> None:
    world = pair(target={})
    list_files = world.target.list_files
    late = [2]

    def lagging(info: RepoInfo) -> Listing:
        if world.requests("commit") and late[0]:
            late[0] -= 1
            return list_files(replace(info, commit="c0"))
        return list_files(info)

    world.target.list_files = lagging  # type: ignore[method-assign]
    report = world.run()
    assert (report.exit_code, report.verified) == (0, True)
    assert late == [0]


# --- mirror -------------------------------------------------------------------------------


def test_a_mirror_makes_equal_and_keeps_what_the_hub_made() -> None:
    world = pair(target={"gone": b"g", "configuration.json": b"{}", "config.json/x": b"folder"})
    report = world.mirror()
    assert (report.exit_code, report.verified, report.files.deleted) == (0, True, 2)
    assert world.target_files == {**MODEL, "configuration.json": b"{}"}
    assert world.mirror().commits == 0
    assert world.mirror(Policy(delete_hub_files=True)).files.deleted == 1
    assert world.target_files == MODEL


def test_a_copy_never_deletes_whatever_it_is_told() -> None:
    world = pair(target={"gone": b"g"})
    world.run(Policy(delete_hub_files=True, max_delete=1000))
    assert world.target_files["gone"] == b"g"


def test_a_deletion_that_has_no_effect_is_found_out() -> None:
    world = pair(target={"gone": b"g"})
    lie(world.target, "gone", b"g")
    report = world.mirror()
    assert (report.exit_code, report.verified) == (ExitCode.INTEGRITY, False)
    assert told(report) == {"gone": "integrity"}


def test_a_mirror_without_agreement_writes_nothing() -> None:
    world = pair(target={"gone": b"g"})
    report = world.run(Policy(is_mirror=True), confirm=lambda deletions: False)
    assert report.exit_code == ExitCode.CONFLICT
    assert world.target_files == {"gone": b"g"}


# --- plan and apply ---------------------------------------------------------------------------


def test_a_plan_writes_nothing_and_says_what_a_copy_does() -> None:
    world = pair(target={"weights-1.bin": b"old"})
    world.target.blobs[sha256_of(big(1))] = big(1)
    report = plan_repo(Job("run", "plan", SOURCE, TARGET, Policy()), world.tools)
    assert not WRITES & set(world.target.requests)
    assert not [r for r in world.source.requests if r.startswith("open")]
    assert [e.path for e in report.plan.of(Action.REUSE)] == ["twin/weights-1.bin", "weights-1.bin"]
    copied = world.run()
    assert copied.commits == report.commits
    assert copied.bytes.sent == report.send_bytes
    assert report.held_bytes == 2 * len(big(1))


def test_a_plan_for_a_new_target_asks_nobody_about_blobs() -> None:
    world = pair()
    report = plan_repo(Job("run", "plan", SOURCE, TARGET, Policy()), world.tools)
    assert (report.target_exists, report.target_head, report.blobs_unasked) == (False, None, 2)
    assert report.visibility == "public"


def test_a_saved_plan_is_refused_when_an_end_moved() -> None:
    world = pair(target={})
    world.seed({"other": b"o"})
    report = world.run(pinned_source="c0", pinned_target="c0")
    assert (report.exit_code, report.errors[0].side) == (ExitCode.CONFLICT, "source")
    assert not WRITES & set(world.target.requests)
    assert world.run(pinned_source="c1", pinned_target="c0").exit_code == 0
    late = world.run(pinned_source="c1", pinned_target="c0")
    assert (late.exit_code, late.errors[0].side) == (ExitCode.CONFLICT, "target")


def test_commits_stay_within_the_targets_limits() -> None:
    files = {f"{n:03}.txt": bytes([n % 256]) * 1000 for n in range(100)}
    world = pair(files)
    world.limit_commits(30, 12 * len(base64.b64encode(bytes(1000))))
    seen: list[tuple[int, int]] = []
    commit = world.target.commit

    def watching(info, changes: list[CommitChange], message):  # type: ignore[no-untyped-def]
        seen.append((len(changes), sum(len(getattr(c, "content", b"")) for c in changes)))
        return commit(info, changes, message)

    world.target.commit = watching  # type: ignore[method-assign,assignment]
    assert world.run().exit_code == 0
    assert seen == [(12, 12_000)] * 8 + [(4, 4_000)]
