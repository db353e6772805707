"""Guards: what must hold before the first write, and what each one tells to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.support.memory_world import World

from hubferry.errors import AccessError, ConflictError, ExitCode, RefusedError
from hubferry.guards import (
    guard_access,
    guard_audience,
    guard_conflicts,
    guard_deletions,
    guard_moved,
    guard_preflight,
    refused_paths,
)
from hubferry.model import Access, RefusedPath, Visibility
from hubferry.outcome import Advice, Preflight
from hubferry.plan import OnConflict, Plan, PlanEntry, Policy
from hubferry.survey import Survey
from hubferry.text import T

MIRROR = Policy(is_mirror=True)


def yes(deletions: Sequence[PlanEntry]) -> bool:
    return True


def drawn(
    source: dict[str, bytes], target: dict[str, bytes] | None, policy: Policy = MIRROR
) -> tuple[World, Survey, Plan]:
    world = World()
    world.seed(source)
    if target is not None:
        world.seed_target(target)
    return (world, *world.draw(policy))


def numbered(count: int) -> dict[str, bytes]:
    return {f"{n:04}": b"x" for n in range(count)}


# --- deletions --------------------------------------------------------------


def test_deletions_that_are_agreed_to_go_on() -> None:
    asked: list[list[str]] = []

    def confirm(deletions: Sequence[PlanEntry]) -> bool:
        asked.append([entry.path for entry in deletions])
        return True

    _, found, plan = drawn({"a": b"1"}, {"a": b"1", "b": b"2", "c": b"3"})
    guard_deletions(plan, MIRROR, found, confirm)
    assert asked == [["b", "c"]], "asked once, about all of them"


def test_nobody_is_asked_about_nothing() -> None:
    _, found, plan = drawn({"a": b"1"}, {"a": b"2"})
    guard_deletions(plan, MIRROR, found, lambda deletions: pytest.fail("asked"))


def test_without_agreement_nothing_is_deleted() -> None:
    _, found, plan = drawn({}, {"a": b"1"})
    with pytest.raises(ConflictError, match="nobody agreed") as caught:
        guard_deletions(plan, MIRROR, found, lambda deletions: False)
    assert "--yes" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("kept", "gone", "is_allowed"),
    [
        (0, 10, True),
        (10, 5, True),
        (5, 6, False),
        (6, 5, True),
        (400, 100, True),
        (400, 101, False),
    ],
)
def test_more_than_a_hundred_or_half_need_a_word(kept: int, gone: int, is_allowed: bool) -> None:
    target = numbered(kept + gone)
    source = numbered(kept)
    _, found, plan = drawn(source, target)
    if is_allowed:
        guard_deletions(plan, MIRROR, found, yes)
        return
    with pytest.raises(ConflictError, match=f"{gone} files would be deleted") as caught:
        guard_deletions(plan, MIRROR, found, lambda deletions: pytest.fail("asked"))
    assert "--max-delete" in str(caught.value.hint)
    guard_deletions(plan, replace(MIRROR, max_delete=gone), found, yes)


@pytest.mark.parametrize("side", ["source_listing", "target_listing"])
def test_a_listing_in_doubt_deletes_nothing(side: str) -> None:
    _, found, plan = drawn({"a": b"1"}, {"a": b"1", "b": b"2"})
    doubtful = replace(getattr(found, side), doubtful_folders=("big",))
    with pytest.raises(ConflictError, match="cannot be listed in full"):
        guard_deletions(plan, MIRROR, replace(found, **{side: doubtful}), yes)


def test_a_refused_path_deletes_nothing_unless_it_is_left_out() -> None:
    _, found, plan = drawn({"a": b"1"}, {"a": b"1", "b": b"2"})
    refused = replace(found.source_listing, refused=(RefusedPath("../x", T("no")),))
    found = replace(found, source_listing=refused)
    with pytest.raises(ConflictError, match="cannot be listed in full"):
        guard_deletions(plan, MIRROR, found, yes)
    guard_deletions(plan, replace(MIRROR, exclude=("../*",)), found, yes)


def test_a_copy_does_not_mind_a_listing_in_doubt() -> None:
    _, found, plan = drawn({"a": b"1"}, {"b": b"2"}, Policy())
    doubtful = replace(found.target_listing, doubtful_folders=("",))
    guard_deletions(plan, Policy(), replace(found, target_listing=doubtful), yes)


# --- a saved plan -----------------------------------------------------------


def test_a_plan_without_pins_is_never_stale() -> None:
    world, found, _ = drawn({"a": b"1"}, None)
    guard_moved(found, world.tools, None, None)


def test_either_end_that_moved_stops_a_saved_plan() -> None:
    world, found, _ = drawn({"a": b"1"}, {"b": b"1"})
    source, target = found.source_head(world.tools), found.target_head(world.tools)
    guard_moved(found, world.tools, source, target)
    with pytest.raises(ConflictError, match="moved since") as caught:
        guard_moved(found, world.tools, "c999", target)
    assert caught.value.side == "source"
    with pytest.raises(ConflictError, match="moved since") as caught:
        guard_moved(found, world.tools, source, "c999")
    assert (caught.value.side, caught.value.exit_code) == ("target", ExitCode.CONFLICT)


def test_a_target_that_came_or_went_is_a_target_that_moved() -> None:
    world, found, _ = drawn({"a": b"1"}, {"b": b"1"})
    with pytest.raises(ConflictError, match="it was -"):
        guard_moved(found, world.tools, found.source_head(world.tools), None)
    world, found, _ = drawn({"a": b"1"}, None)
    guard_moved(found, world.tools, found.source_head(world.tools), None)
    with pytest.raises(ConflictError, match="it is -"):
        guard_moved(found, world.tools, found.source_head(world.tools), "c1")


# --- others -----------------------------------------------------------------


def test_other_content_stops_everything_only_when_told_so() -> None:
    for policy, stops in ((OnConflict.FAIL, True), (OnConflict.SKIP, False)):
        _, found, plan = drawn({"a": b"1"}, {"a": b"22"}, Policy(on_conflict=policy))
        if not stops:
            guard_conflicts(plan, Policy(on_conflict=policy), found)
            continue
        with pytest.raises(ConflictError, match="1 files differ") as caught:
            guard_conflicts(plan, Policy(on_conflict=policy), found)
        assert caught.value.path == "a"


@pytest.mark.parametrize(
    ("source", "target", "asked", "stops"),
    [
        (Visibility.PRIVATE, Visibility.PUBLIC, None, True),
        (Visibility.GATED, Visibility.PUBLIC, None, True),
        (Visibility.UNKNOWN, Visibility.PUBLIC, None, True),
        (Visibility.INTERNAL, Visibility.PUBLIC, Visibility.PRIVATE, True),
        (Visibility.PRIVATE, Visibility.PUBLIC, Visibility.PUBLIC, False),
        (Visibility.PUBLIC, Visibility.PUBLIC, None, False),
        (Visibility.PRIVATE, Visibility.PRIVATE, None, False),
    ],
)
def test_what_few_may_read_does_not_go_where_all_may(
    source: Visibility, target: Visibility, asked: Visibility | None, stops: bool
) -> None:
    policy = Policy(visibility=asked)
    _, found, plan = drawn({"a": b"1"}, {}, policy)
    found.source = replace(found.source, visibility=source)
    found.target = replace(found.target, visibility=target)
    if not stops:
        guard_audience(plan, policy, found)
        return
    with pytest.raises(ConflictError, match="public") as caught:
        guard_audience(plan, policy, found)
    assert "--public" in str(caught.value.hint)
    guard_audience(Plan(()), policy, found)


def test_a_token_that_may_not_write_is_not_tried() -> None:
    _, found, _ = drawn({"a": b"1"}, {})
    guard_access(Access.YES, found)
    guard_access(Access.UNKNOWN, found)
    with pytest.raises(AccessError) as caught:
        guard_access(Access.NO, found)
    assert (caught.value.side, caught.value.exit_code) == ("target", ExitCode.ACCESS)


def test_only_a_proven_limit_stops() -> None:
    _, found, _ = drawn({"a": b"1"}, {})
    soft = (Advice("warning", T("large")), Advice("info", T("no licence")))
    guard_preflight(Preflight(soft, Access.YES), found)
    hard = Advice("refused", T("too large"), "a")
    with pytest.raises(RefusedError, match="too large") as caught:
        guard_preflight(Preflight((*soft, hard), Access.YES), found)
    assert (caught.value.path, caught.value.exit_code) == ("a", ExitCode.CONFLICT)


def test_each_refused_path_is_told_on_its_own() -> None:
    world = World()
    world.seed({"../up": b"1", "a/.git/x": b"2", "good": b"3"})
    found, plan = world.draw()
    errors = refused_paths(plan, found)
    assert {error.path for error in errors} == {"../up", "a/.git/x"}
    assert {error.exit_code for error in errors} == {ExitCode.PARTIAL}
    assert all("--exclude" in str(error.hint) for error in errors)
