"""Preflight: proven limits refuse, everything else is advice with its figure and source."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.memory_world import BIG, World, big

from hubferry.hubs.base import Limit
from hubferry.model import Access, Visibility
from hubferry.outcome import Advice, Preflight
from hubferry.plan import Policy
from hubferry.preflight import preflight, visibility_for
from hubferry.text import Text

FILES = {
    "big.bin": big(1),
    "a/1": b"1",
    "a/2": b"22",
    "a/deep/3": b"333",
    "b/4": b"4",
}


def look(
    *limits: Limit,
    files: dict[str, bytes] | None = None,
    policy: Policy | None = None,
    access: Access = Access.YES,
    old: dict[str, bytes] | None = None,
    **source: object,
) -> Preflight:
    world = World()
    world.seed(FILES if files is None else files)
    if old is not None:
        world.seed_target(old)
    policy = policy or Policy()
    found, plan = world.draw(policy)
    found.source = replace(found.source, **source)  # type: ignore[arg-type]
    traits = replace(world.target.traits, limits=limits)
    return preflight(found, plan, policy, traits, access)


def only(found: Preflight) -> Advice:
    (item,) = found.advice
    return item


@pytest.mark.parametrize(
    ("kind", "at", "path", "figures"),
    [
        ("file_bytes", BIG, "big.bin", (BIG, BIG - 1)),
        ("files", 5, None, (5, 4)),
        ("folder_files", 3, None, (3, 2)),
        ("regular_bytes", 7, None, (7, 6)),
    ],
)
def test_a_limit_counts_from_just_above_its_value(
    kind: str, at: int, path: str | None, figures: tuple[int, int]
) -> None:
    assert look(Limit(kind, at, True, "somewhere")).advice == ()
    found = look(Limit(kind, at - 1, True, "somewhere"))
    assert found.is_refused
    told = next(item for item in found.advice if path is None or item.path == path)
    assert (told.level, told.source) == ("refused", "somewhere")
    assert set(figures) <= set(told.text.values.values())


def test_a_limit_that_is_not_proven_is_advice() -> None:
    found = look(Limit("files", 1, False, "observed"))
    assert (only(found).level, found.is_refused) == ("warning", False)


def test_folders_count_their_files_and_folders() -> None:
    found = look(Limit("folder_files", 2, True, "s"))
    assert [item.path for item in found.advice] == ["/", "a"]


def test_a_folder_is_cut_from_its_limit_on() -> None:
    assert look(Limit("folder_listing", 4, False, "s")).advice == ()
    found = look(Limit("folder_listing", 3, False, "s"))
    assert [(item.path, item.level) for item in found.advice] == [
        ("/", "warning"),
        ("a", "warning"),
    ]


def test_what_is_not_selected_does_not_count() -> None:
    policy = Policy(exclude=("big*", "a/*"))
    limits = [Limit("file_bytes", 100, True, "s"), Limit("files", 1, True, "s")]
    assert look(*limits, policy=policy).advice == ()


def test_what_is_odd_about_the_repositories_is_told() -> None:
    levels = {
        "disabled": look(is_disabled=True),
        "names no licence": look(license=None),
        "target is public": look(old={}, visibility=Visibility.PRIVATE),
        "its visibility stays": look(old={}, policy=Policy(visibility=Visibility.PRIVATE)),
        "may not write": look(access=Access.NO),
    }
    for word, found in levels.items():
        assert word in str(only(found).text)
    assert [only(found).level for found in levels.values()] == [
        "refused",
        "info",
        "refused",
        "warning",
        "refused",
    ]
    assert look(license=None, policy=Policy(license="mit")).advice == ()


def test_a_refused_path_is_a_warning_with_its_reason() -> None:
    item = only(look(files={"../up": b"1", "good": b"2"}))
    assert (item.level, item.path) == ("warning", "../up")
    assert isinstance(item.text, Text)


@pytest.mark.parametrize("now", Visibility)
def test_a_new_repository_is_never_wider_than_its_source(now: Visibility) -> None:
    world = World()
    world.seed()
    source = replace(world.look().source, visibility=now)
    is_public = now is Visibility.PUBLIC
    wanted = Visibility.PUBLIC if is_public else Visibility.PRIVATE
    assert visibility_for(source, Policy()) is wanted
    for asked in (Visibility.PUBLIC, Visibility.PRIVATE):
        assert visibility_for(source, Policy(visibility=asked)) is asked
