"""What every hub promises of lists, collections and summaries. The memory hub is the reference."""

from __future__ import annotations

import pytest

from hubferry.errors import CopyError, NotFoundError, UsageError
from hubferry.hubs.base import Hub
from hubferry.model import RepoId, RepoQuery, RepoSummary, RepoType, Visibility

from .conftest import Ground


def added(ground: Ground, name: str, *, is_private: bool = False) -> RepoId:
    if ground.add is None:
        pytest.skip("no owners here")
    return ground.add(name, is_private)


def listed(ground: Ground, hub: Hub | None = None) -> dict[str, RepoSummary]:
    found = (hub or ground.hub).list_repos(RepoQuery(owner=ground.lone))
    assert found.is_complete
    return {one.repo.name.partition("/")[2]: one for one in found.summaries}


def test_a_list_names_each_repository_of_its_owner_once(ground: Ground) -> None:
    for name in ("b", "a", "c"):
        added(ground, name)
    found = ground.hub.list_repos(RepoQuery(owner=ground.lone))
    assert sorted(one.repo.name for one in found.summaries) == [
        f"{ground.lone}/{name}" for name in "abc"
    ]
    assert {one.repo.hub for one in found.summaries} == {ground.hub.traits.name}
    assert found.total in (None, 3)


def test_a_summary_is_what_the_list_tells(ground: Ground) -> None:
    repo = added(ground, "a")
    alone = ground.hub.summary(repo)
    assert alone == listed(ground)["a"]
    assert alone.repo == repo
    assert alone.mark is not None
    assert alone.visibility is Visibility.PUBLIC


def test_the_mark_stays_until_something_changes(ground: Ground) -> None:
    repo = added(ground, "a")
    before = ground.hub.summary(repo).mark
    assert ground.hub.summary(repo).mark == before == listed(ground)["a"].mark
    added(ground, "a")
    after = ground.hub.summary(repo).mark
    assert after == listed(ground)["a"].mark
    assert after != before


def test_the_mark_is_the_commit_that_resolve_tells(ground: Ground) -> None:
    repo = added(ground, "a")
    info = ground.hub.resolve(repo, None)
    if ground.hub.traits.tells_head:
        assert ground.hub.summary(repo).commit == info.commit
    assert ground.hub.summary(repo).visibility == info.visibility
    assert ground.hub.summary(repo).license == info.license


def test_private_repositories_are_listed_where_the_trait_says_so(ground: Ground) -> None:
    repo = added(ground, "secret", is_private=True)
    assert ground.hub.summary(repo).visibility is Visibility.PRIVATE
    if ground.hub.traits.lists_private:
        assert listed(ground)["secret"].visibility is Visibility.PRIVATE


def test_strangers_see_no_private_repository(ground: Ground) -> None:
    if ground.open_with is None:
        pytest.skip("no tokens here")
    repo = added(ground, "secret", is_private=True)
    # The lab's reader is no member of this owner.
    stranger = ground.open_with(ground.read_token)
    assert listed(ground, stranger) == {}
    with pytest.raises(NotFoundError):
        stranger.summary(repo)
    stranger.close()


def test_an_unknown_owner_has_nothing_or_is_not_found(ground: Ground) -> None:
    if not ground.lone:
        pytest.skip("no owners here")
    try:
        found = ground.hub.list_repos(RepoQuery(owner="nobody-at-all"))
    except NotFoundError:
        return
    assert found.summaries == ()


def test_a_search_narrows(ground: Ground) -> None:
    added(ground, "needle")
    added(ground, "hay")
    found = ground.hub.list_repos(RepoQuery(owner=ground.lone, search="needle"))
    assert [one.repo.name for one in found.summaries] == [f"{ground.lone}/needle"]


def test_datasets_are_no_models(ground: Ground) -> None:
    added(ground, "a")
    query = RepoQuery(RepoType.DATASET, owner=ground.lone)
    assert ground.hub.list_repos(query).summaries == ()


def test_a_missing_repository_has_no_summary(ground: Ground) -> None:
    with pytest.raises(NotFoundError) as caught:
        ground.hub.summary(ground.fresh)
    assert caught.value.what == "repo"
    with pytest.raises(NotFoundError):
        ground.hub.list_refs(ground.fresh)


def test_a_deleted_repository_is_gone_from_list_and_summary(ground: Ground) -> None:
    repo = added(ground, "a")
    assert ground.delete is not None
    ground.delete(repo)
    assert listed(ground) == {}
    with pytest.raises(NotFoundError):
        ground.hub.summary(repo)


def test_a_renamed_repository_is_told_under_its_present_name(ground: Ground) -> None:
    if ground.rename is None:
        pytest.skip("old names lead nowhere here")
    repo = added(ground, "old")
    before = ground.hub.summary(repo)
    ground.rename(repo, "new")
    found = ground.hub.summary(repo)
    assert found.repo.name == f"{ground.lone}/new"
    assert found.mark == before.mark
    assert set(listed(ground)) == {"new"}
    info = ground.hub.resolve(repo, None)
    assert ground.hub.list_files(info).by_path["README.md"]
    entry = ground.hub.list_files(info).by_path["config.json"]
    stream = ground.hub.open(info, entry)
    assert stream.readinto(memoryview(bytearray(10))) > 0
    stream.close()


def test_collections_keep_their_order_and_tell_what_lists_tell(ground: Ground) -> None:
    if not ground.hub.traits.has_collections:
        with pytest.raises(UsageError):
            ground.hub.list_collection("lone/things-1")
        return
    names = [added(ground, name).name for name in ("b", "d", "a", "c")]
    assert ground.collect is not None
    slug = f"{ground.lone}/things-1"
    ground.collect(slug, names)
    found = ground.hub.list_collection(slug)
    assert [one.repo.name for one in found.summaries] == names
    assert {one.repo: one.mark for one in found.summaries} == {
        one.repo: one.mark for one in listed(ground).values()
    }


def test_a_missing_collection_is_not_found(ground: Ground) -> None:
    wanted = NotFoundError if ground.hub.traits.has_collections else UsageError
    with pytest.raises(wanted):
        ground.hub.list_collection("nobody/nothing-0")


def test_branches_and_tags_are_told_by_name(ground: Ground) -> None:
    refs = ground.hub.list_refs(ground.source)
    assert refs.branches == (ground.hub.traits.default_branch,)
    assert refs.tags == ()
    if ground.hub.traits.can_tag:
        repo = added(ground, "tagged")
        ground.hub.tag(ground.hub.resolve(repo, None), "v1")
        assert ground.hub.list_refs(repo).tags == ("v1",)


def test_folders_have_no_lists_but_can_be_looked_at(ground: Ground) -> None:
    if not ground.hub.traits.is_local:
        pytest.skip("for folders")
    with pytest.raises(UsageError):
        ground.hub.list_repos(RepoQuery())
    assert ground.hub.summary(ground.source) == RepoSummary(ground.source)
    assert ground.hub.summary(ground.source).mark is None


def test_a_hub_that_cannot_be_asked_says_so(ground: Ground) -> None:
    if ground.open_with is None:
        pytest.skip("no tokens here")
    added(ground, "a")
    unknown = ground.open_with("hf_canary0123456789abcdefABCDEF")
    with pytest.raises(CopyError) as caught:
        unknown.summary(RepoId(ground.hub.traits.name, f"{ground.lone}/a"))
    assert not isinstance(caught.value, NotFoundError)
    unknown.close()
