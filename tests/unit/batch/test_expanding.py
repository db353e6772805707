"""From a manifest to its repositories: patterns, collections, searches, revisions, mistakes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.batch_world import (
    SOURCE,
    TARGET,
    BatchWorld,
    entry,
    manifest,
    pattern,
    source,
)

from hubferry.batch.catalogue import LIST_FROM
from hubferry.errors import ConflictError, InvalidTokenError, UnavailableError, UsageError
from hubferry.manifest.values import Collection, Search
from hubferry.model import Address, Refs, RepoId, RepoQuery


@pytest.fixture
def world() -> BatchWorld:
    world = BatchWorld()
    world.seed("alpha", "beta", "beta-chat", "gamma")
    return world


def names(world: BatchWorld, *entries: object, **more: object) -> list[str]:
    """The targets that entries come to."""
    found = world.expand(manifest(*entries), **more)  # type: ignore[arg-type]
    return [item.target.repo.name for item in found.items]


@pytest.mark.parametrize(
    ("glob", "wanted"),
    [
        ("*", ["alpha", "beta", "beta-chat", "gamma"]),
        ("beta*", ["beta", "beta-chat"]),
        ("?????", ["alpha", "gamma"]),
        ("[ab]*a", ["alpha", "beta"]),
    ],
)
def test_a_pattern_means_the_names_that_fit(
    world: BatchWorld, glob: str, wanted: list[str]
) -> None:
    assert names(world, entry(pattern(glob))) == [f"mirror/{name}" for name in wanted]


def test_a_pattern_that_fits_nothing_is_an_error_of_its_line(world: BatchWorld) -> None:
    found = world.expand(manifest(entry("alpha"), entry(pattern("zeta*"))))
    assert [item.source.repo.name for item in found.items] == ["org/alpha"]
    assert [str(error.message) for error in found.errors] == [
        "list.txt:2: no repository fits from://org/zeta*"
    ]


def test_two_sources_for_one_target_stop_everything(world: BatchWorld) -> None:
    with pytest.raises(ConflictError) as raised:
        world.expand(manifest(entry(pattern("beta*")), entry("gamma", "mirror/beta")))
    assert "list.txt:1" in str(raised.value)
    assert "list.txt:2" in str(raised.value)


def test_a_pattern_of_an_owner_whose_list_is_cut_is_an_error(world: BatchWorld) -> None:
    world.source.traits = replace(world.source.traits, catalog_limit=2)
    found = world.expand(manifest(entry(pattern())))
    assert found.items == []
    assert "lists only 2 of them" in str(found.errors[0].message)


def test_explicit_sources_of_one_owner_are_asked_for_by_one_list(world: BatchWorld) -> None:
    world.seed(*(f"x{n}" for n in range(LIST_FROM)))
    world.requests(world.source)
    found = world.expand(manifest(*(entry(f"x{n}") for n in range(LIST_FROM))))
    assert world.requests(world.source) == ["list_repos"]
    assert all(item.source_summary is not None for item in found.items)


def test_few_explicit_sources_cost_nothing_before_their_turn(world: BatchWorld) -> None:
    world.requests(world.source)
    world.expand(manifest(entry("alpha"), entry("beta")))
    assert world.requests(world.source) == []


def test_a_collection_means_what_is_in_it_now(world: BatchWorld) -> None:
    world.source.collections["org/best"] = [RepoId(SOURCE, "org/gamma"), RepoId(SOURCE, "org/beta")]
    found = names(world, entry(Collection(SOURCE, "org/best")))
    assert found == ["mirror/gamma", "mirror/beta"]


def test_a_search_is_narrowed_and_says_what_it_left_out(world: BatchWorld) -> None:
    world.source.repos["org/beta"].downloads = 50
    world.source.repos["org/beta-chat"].downloads = 5
    search = Search(SOURCE, RepoQuery(owner="org", search="beta"), min_downloads=10)
    found = world.expand(manifest(entry(search)))
    assert [item.source.repo.name for item in found.items] == ["org/beta"]
    assert [(left.source, left.condition) for left in found.left_out] == [
        ("from://org/beta-chat", "min-downloads")
    ]


@pytest.mark.parametrize("tells_total", [True, False])
def test_a_search_that_the_hub_cuts_short_is_an_error_of_its_line(
    world: BatchWorld, tells_total: bool
) -> None:
    traits = replace(world.source.traits, catalog_limit=2)
    list_repos = world.source.list_repos
    world.source.traits = traits
    if not tells_total:
        world.source.list_repos = lambda query: replace(list_repos(query), total=None)  # type: ignore[method-assign]
    for what in (Search(SOURCE, RepoQuery(owner="org")), pattern()):
        found = world.expand(manifest(entry(what)))
        assert found.items == []
        said = str(found.errors[0].message)
        assert said.startswith("list.txt:1: ")
        assert ("lists only 2" if tells_total else "than the 2 that the hub lists") in said


def test_a_search_within_a_duration_is_compared_with_now(world: BatchWorld) -> None:
    query = RepoQuery(owner="org", search="gamma")
    everything = Search(SOURCE, query, updated_within_seconds=1e11)
    assert names(world, entry(everything)) == ["mirror/gamma"]
    nothing = Search(SOURCE, query, updated_within_seconds=-1e11)
    assert names(world, entry(nothing)) == []


def test_a_hub_that_cannot_be_asked_stops_everything_with_its_line(world: BatchWorld) -> None:
    for error in (UnavailableError("down"), InvalidTokenError("who?"), UsageError("no lists")):

        def refuse(asked: str, error: Exception = error) -> None:
            raise error

        world.source.before = refuse
        with pytest.raises(type(error)) as raised:
            world.expand(manifest(entry("alpha"), entry(pattern("beta*"))))
        assert "list.txt:2: " in str(raised.value.message)


def test_revisions_are_branches_and_tags_of_the_present_state(world: BatchWorld) -> None:
    repo = world.source.repos["org/alpha"]
    world.seed("alpha", files={"README.md": b"two"})
    repo.tags.update({"v1": 0, "v2": 1})
    found = world.expand(manifest(entry("alpha", revisions=("main", "v*"))))
    assert [(item.source.revision, item.tags) for item in found.items] == [(None, ("v2",))]
    assert [(left.source, left.condition) for left in found.left_out] == [
        ("from://org/alpha@v1", "revisions")
    ]


def test_revisions_in_names_are_repositories_of_their_own(
    world: BatchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(template: str, found: Address, revision: str | None) -> Address:
        if revision is None or "/" in revision:
            raise UsageError(f"no name: {revision}")
        return Address(RepoId(TARGET, template.format(name="alpha", revision=revision)))

    monkeypatch.setattr(world, "_fill", fill)
    refs = Refs(("dev", "feat/x", "main"), ("v1",))
    monkeypatch.setattr(world.source, "list_refs", lambda repo: refs)
    found = world.expand(manifest(entry("alpha", "mirror/{name}-{revision}", revisions=("*",))))
    targets = {item.source.revision: item.target.repo.name for item in found.items}
    own = {revision: f"mirror/alpha-{revision or 'main'}" for revision in (None, "dev", "v1")}
    assert targets == own
    assert [str(error.message) for error in found.errors] == ["list.txt:1: no name: feat/x"]


def test_a_revision_that_is_not_there_is_an_error_of_its_line(world: BatchWorld) -> None:
    found = world.expand(manifest(entry("alpha", revisions=("nope*",))))
    assert found.items == []
    assert "has no branch or tag nope*" in str(found.errors[0].message)


def test_only_narrows_without_listing(world: BatchWorld) -> None:
    world.requests(world.source)
    what = (entry(pattern("b*")), entry("gamma"))
    only = ["from://org/beta", "from://org/gamma", "from://other/beta", "from://org/alpha"]
    assert names(world, *what, only=only) == ["mirror/beta", "mirror/gamma"]
    assert world.requests(world.source) == []


def test_a_revision_in_an_address_stays(world: BatchWorld) -> None:
    found = world.expand(manifest(entry(source("alpha", "c0"), revisions=("main",))))
    assert [item.source.revision for item in found.items] == ["c0"]
