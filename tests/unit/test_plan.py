"""The plan: complete, order-free, repeatable, and never a wrong write."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from huggingface_hub.utils._paths import filter_repo_objects
from hypothesis import given, settings
from hypothesis import strategies as st

from hubferry.hubs.memory import git_oid_of, sha256_of
from hubferry.model import (
    FileEntry,
    Listing,
    RefusedPath,
    RepoId,
    Sha256,
    folders_of,
    make_listing,
)
from hubferry.plan import (
    RANK_CARD,
    RANK_CONFIG,
    RANK_DATA,
    RANK_DELETE,
    RANK_UNBLOCK,
    Action,
    KnownDigests,
    OnConflict,
    Plan,
    PlanEntry,
    Policy,
    base64_bytes,
    commit_rank,
    deletion_limit,
    group_for_commits,
    is_same,
    listing_digest,
    make_plan,
    settle_blobs,
)
from hubferry.text import T, Text

REPO = RepoId("memory", "org/name")
NOTHING = KnownDigests()
INLINE_LIMIT = 1000
NO_FILES: Mapping[str, bytes] = {}


@dataclass(frozen=True)
class Rules:
    """A target that inlines cards and small files and refuses ``bad`` names."""

    inline_bytes: int = 10

    def must_inline(self, path: str) -> bool:
        return path.endswith("README.md")

    def wants_inline(self, path: str, size_bytes: int) -> bool:
        return size_bytes <= self.inline_bytes

    def path_problem(self, path: str) -> Text | None:
        return T("not here") if "bad" in path else None


def listing(files: Mapping[str, bytes], *, digests: str = "sha256") -> Listing:
    """A listing that tells ``sha256``, ``git``, ``both`` or ``none``."""
    return make_listing(
        REPO,
        "c1",
        [
            FileEntry(
                path,
                len(data),
                sha256=sha256_of(data) if digests in {"sha256", "both"} else None,
                git_oid=git_oid_of(data) if digests in {"git", "both"} else None,
            )
            for path, data in files.items()
        ],
    )


def draw(
    source: Mapping[str, bytes] | Listing,
    target: Mapping[str, bytes] | Listing = NO_FILES,
    known: KnownDigests = NOTHING,
    own_files: Sequence[str] = (),
    **policy: Any,
) -> Plan:
    return make_plan(
        source if isinstance(source, Listing) else listing(source),
        target if isinstance(target, Listing) else listing(target),
        Rules(),
        Policy(**policy),
        known,
        own_files=own_files,
        inline_limit_bytes=INLINE_LIMIT,
    )


def actions(plan: Plan) -> dict[str, Action]:
    return {entry.path: entry.action for entry in plan.entries}


def apply(plan: Plan, source: Mapping[str, bytes], target: Mapping[str, bytes]) -> dict[str, bytes]:
    """The target's files after the plan was carried out, in its order."""
    files = dict(target)
    for entry in plan.writes:
        if entry.action is Action.DELETE:
            del files[entry.path]
        else:
            files[entry.path] = source[entry.path]
        folders = folders_of(files)
        blocked = [path for path in files if path in folders]
        assert not blocked, f"{blocked} would be a file and a folder at once"
    return files


# --- properties ---------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "config.json", "README.md", "w.bin", "bad"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
DATA = st.sampled_from([b"", b"1", b"2", b"x" * 50, b"y" * 50])


def without_clashes(files: dict[str, bytes]) -> dict[str, bytes]:
    folders = folders_of(files)
    return {path: data for path, data in files.items() if path not in folders}


TREES = st.dictionaries(PATHS, DATA, max_size=12).map(without_clashes)
GLOBS = st.lists(st.sampled_from(["*.bin", "a/", "a/*", "*/b", "config*", "*"]), max_size=2)
POLICIES = st.builds(
    Policy,
    include=GLOBS.map(tuple),
    exclude=GLOBS.map(tuple),
    on_conflict=st.sampled_from(OnConflict),
    is_mirror=st.booleans(),
    delete_hub_files=st.booleans(),
)
OWN = frozenset({"a", "README.md", "b/config.json"})


def plan_for(source: Listing, target: Listing, policy: Policy, known: KnownDigests) -> Plan:
    return make_plan(
        source, target, Rules(), policy, known, own_files=OWN, inline_limit_bytes=INLINE_LIMIT
    )


@given(TREES, TREES, POLICIES, st.sampled_from(["sha256", "git", "none"]))
@settings(deadline=None, max_examples=50)
def test_every_path_of_both_sides_appears_once_in_commit_order(
    source: dict[str, bytes], target: dict[str, bytes], policy: Policy, digests: str
) -> None:
    plan = plan_for(listing(source), listing(target, digests=digests), policy, NOTHING)
    paths = [entry.path for entry in plan.entries]
    assert sorted(paths) == sorted(source.keys() | target.keys())
    ranks = [entry.rank for entry in plan.entries]
    assert ranks == sorted(ranks)


@given(TREES, TREES, POLICIES, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_the_order_of_the_listings_does_not_matter(
    source: dict[str, bytes], target: dict[str, bytes], policy: Policy, shuffle: random.Random
) -> None:
    one, two = listing(source), listing(target)

    def mixed(side: Listing) -> Listing:
        entries = list(side.entries)
        shuffle.shuffle(entries)
        return replace(side, entries=tuple(entries))

    again = plan_for(mixed(one), mixed(two), policy, NOTHING)
    assert plan_for(one, two, policy, NOTHING) == again


@given(TREES, TREES, POLICIES)
@settings(deadline=None, max_examples=50)
def test_applying_a_plan_leaves_nothing_to_write(
    source: dict[str, bytes], target: dict[str, bytes], policy: Policy
) -> None:
    plan = plan_for(listing(source), listing(target), policy, NOTHING)
    after = apply(plan, source, target)
    again = plan_for(listing(source), listing(after), policy, NOTHING)
    assert again.writes == ()
    for entry in plan.entries:
        path = entry.path
        if entry.action in {Action.INLINE, Action.UPLOAD, Action.PRESENT}:
            assert after[path] == source[path]
        elif entry.action in {Action.KEEP, Action.CONFLICT}:
            assert after[path] == target[path]
        elif entry.action is Action.DELETE:
            assert path not in after
        else:
            assert after.get(path) == target.get(path)


@given(TREES, TREES)
@settings(deadline=None, max_examples=50)
def test_a_copy_never_takes_anything_away(
    source: dict[str, bytes], target: dict[str, bytes]
) -> None:
    plan = plan_for(listing(source), listing(target), Policy(), NOTHING)
    assert not plan.of(Action.DELETE)
    assert apply(plan, source, target).keys() >= target.keys()


@given(TREES, TREES)
@settings(deadline=None, max_examples=50)
def test_a_mirror_makes_equal(source: dict[str, bytes], target: dict[str, bytes]) -> None:
    policy = Policy(is_mirror=True, delete_hub_files=True)
    plan = plan_for(listing(source), listing(target), policy, NOTHING)
    refused = {entry.path for entry in plan.of(Action.REFUSED)}
    wanted = {path: data for path, data in source.items() if path not in refused}
    after = apply(plan, source, target)
    assert {path: data for path, data in after.items() if path not in refused} == wanted
    assert all("bad" in path for path in refused), "nothing stands in a mirror's way"


@given(TREES, TREES, POLICIES)
@settings(deadline=None, max_examples=50)
def test_what_is_not_selected_is_left_alone(
    source: dict[str, bytes], target: dict[str, bytes], policy: Policy
) -> None:
    plan = plan_for(listing(source), listing(target), policy, NOTHING)
    assert all(policy.selects(entry.path) for entry in plan.writes)


@given(TREES, TREES, st.sampled_from(["git", "none"]), st.booleans())
@settings(deadline=None, max_examples=50)
def test_without_digests_nothing_is_taken_for_equal_and_reading_decides(
    source: dict[str, bytes], target: dict[str, bytes], digests: str, is_mirror: bool
) -> None:
    policy = Policy(is_mirror=is_mirror)
    here, there = listing(source, digests=digests), listing(target)
    plan = plan_for(here, there, policy, NOTHING)
    assert not plan.of(Action.PRESENT)
    for entry in plan.of(Action.READ):
        assert len(source[entry.path]) == len(target[entry.path])
    learned = {path: (sha256_of(data), git_oid_of(data)) for path, data in source.items()}
    known = NOTHING.with_pairs([(git, sha) for sha, git in learned.values()], learned)
    settled = plan_for(here, there, policy, known)
    assert not settled.of(Action.READ)
    assert actions(settled) == actions(plan_for(listing(source), there, policy, NOTHING))


@given(
    TREES, st.sampled_from(["sha256", "git", "both"]), st.sampled_from(["sha256", "git", "both"])
)
@settings(deadline=None, max_examples=50)
def test_a_repository_is_equal_to_itself_however_its_digests_are_told(
    files: dict[str, bytes], one: str, two: str
) -> None:
    known = NOTHING.with_pairs((git_oid_of(data), sha256_of(data)) for data in files.values())
    plan = plan_for(listing(files, digests=one), listing(files, digests=two), Policy(), known)
    assert plan.writes == ()


# --- single rules ---------------------------------------------------------------


def test_what_happens_to_each_kind_of_path() -> None:
    plan = draw(
        {"new.bin": b"n" * 20, "small": b"s", "same": b"=", "other": b"1", "bad": b"b"},
        {"same": b"=", "other": b"2", "extra": b"e"},
    )
    assert actions(plan) == {
        "new.bin": Action.UPLOAD,
        "small": Action.INLINE,
        "same": Action.PRESENT,
        "other": Action.INLINE,
        "bad": Action.REFUSED,
        "extra": Action.KEEP,
    }


@pytest.mark.parametrize("policy", [OnConflict.SKIP, OnConflict.FAIL])
def test_other_content_is_left_alone_when_told_so(policy: OnConflict) -> None:
    plan = draw({"f": b"1", "g": b"n"}, {"f": b"2"}, on_conflict=policy)
    assert actions(plan) == {"f": Action.CONFLICT, "g": Action.INLINE}


def test_a_card_is_inline_whatever_its_size_up_to_what_a_commit_can_take() -> None:
    plan = draw({"README.md": b"r" * INLINE_LIMIT, "sub/README.md": b"r" * (INLINE_LIMIT + 1)})
    assert actions(plan) == {"README.md": Action.INLINE, "sub/README.md": Action.UPLOAD}


@pytest.mark.parametrize(
    ("source", "target"),
    [({"a/b": b"1"}, {"a": b"2"}), ({"a/b/c": b"1"}, {"a": b"2"}), ({"a": b"1"}, {"a/b": b"2"})],
)
def test_a_file_against_a_folder_is_refused_by_a_copy_and_cleared_by_a_mirror(
    source: dict[str, bytes], target: dict[str, bytes]
) -> None:
    (wanted,), (blocker,) = source, target
    assert actions(draw(source, target)) == {wanted: Action.REFUSED, blocker: Action.KEEP}
    mirrored = draw(source, target, is_mirror=True)
    assert [(e.path, e.action, e.rank) for e in mirrored.entries] == [
        (blocker, Action.DELETE, RANK_UNBLOCK),
        (wanted, Action.INLINE, RANK_DATA),
    ]


@pytest.mark.parametrize(("source", "target"), [("x/y", "x"), ("x", "x/y")])
def test_a_mirror_refuses_what_a_file_it_keeps_stands_in_the_way_of(
    source: str, target: str
) -> None:
    """An excluded file, and a file the hub made itself, stay where they are."""
    files, others = {source: b"1"}, {target: b"2"}
    own = draw(files, others, own_files=[target], is_mirror=True)
    assert actions(own) == {source: Action.REFUSED, target: Action.KEEP}
    gone = draw(files, others, own_files=[target], is_mirror=True, delete_hub_files=True)
    assert actions(gone) == {source: Action.INLINE, target: Action.DELETE}
    excluded = draw(files, others, is_mirror=True, include=(source,))
    assert actions(excluded) == {source: Action.REFUSED, target: Action.KEEP}


def test_a_mirror_keeps_what_the_hub_made_and_says_why() -> None:
    plan = draw(
        {}, {".gitattributes": b"1", "x": b"2"}, own_files=[".gitattributes"], is_mirror=True
    )
    assert actions(plan) == {".gitattributes": Action.KEEP, "x": Action.DELETE}
    (kept,) = plan.of(Action.KEEP)
    assert "hub itself" in str(kept.reason)


def test_deletions_come_last() -> None:
    plan = draw({"README.md": b"r", "w": b"1"}, {"a-gone": b"1"}, is_mirror=True)
    assert [entry.path for entry in plan.writes] == ["w", "README.md", "a-gone"]
    assert plan.entries[-1].rank == RANK_DELETE


def test_a_refused_path_of_the_source_can_be_left_out() -> None:
    source = replace(listing({"f": b"1"}), refused=(RefusedPath("../x", T("no")),))
    assert actions(draw(source)) == {"f": Action.INLINE, "../x": Action.REFUSED}
    assert actions(draw(source, exclude=("../*",)))["../x"] is Action.FILTERED


def test_a_path_refused_at_the_source_is_not_deleted_at_the_target() -> None:
    source = replace(listing({}), refused=(RefusedPath("x", T("a file and a folder")),))
    assert actions(draw(source, {"x": b"1"}, is_mirror=True)) == {"x": Action.REFUSED}


@pytest.mark.parametrize(
    ("path", "rank"),
    [
        ("model.safetensors", RANK_DATA),
        (".gitattributes", RANK_DATA),
        ("tokenizer.model", RANK_DATA),
        ("model.safetensors.index.json", RANK_CONFIG),
        ("config.json", RANK_CONFIG),
        ("sub/Config.JSON", RANK_CONFIG),
        ("a.yml", RANK_CONFIG),
        ("README.md", RANK_CARD),
        ("readme.MD", RANK_CARD),
        ("sub/README.md", RANK_CARD),
        ("README.md.bin", RANK_DATA),
        ("README.json", RANK_CONFIG),
    ],
)
def test_weights_come_first_and_the_card_last(path: str, rank: int) -> None:
    assert commit_rank(path) == rank


# --- filters ----------------------------------------------------------------------

PATTERNS = st.lists(
    st.sampled_from(
        [
            "*",
            "*.bin",
            "a/",
            "a\\",
            "a/*",
            "*/b*",
            "[ab]/*",
            "[!a]*",
            "?",
            "A/*",
            "",
            "a\\b*",
            "x[",
            "**",
        ]
    ),
    max_size=3,
)
FILES = st.sampled_from(["a", "b", "a/b", "a/b.bin", "a\\b.bin", "A/b", "c/a/b", "x[", "a\nb", "ü"])


@given(FILES, PATTERNS, PATTERNS)
def test_filters_mean_what_they_mean_to_the_official_client(
    path: str, include: list[str], exclude: list[str]
) -> None:
    theirs = list(
        filter_repo_objects([path], allow_patterns=include or None, ignore_patterns=exclude or None)
    )
    assert Policy(include=tuple(include), exclude=tuple(exclude)).selects(path) is bool(theirs)


# --- counting and grouping -----------------------------------------------------------


def entry_of(number: int, size: int, *, is_inline: bool) -> PlanEntry:
    action = Action.INLINE if is_inline else Action.UPLOAD
    return PlanEntry(f"{number}", action, T(""), size, is_inline=is_inline)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=60),
    st.integers(1, 12),
    st.integers(1, 100),
)
def test_commits_keep_the_order_and_the_limits(
    files: list[tuple[int, bool]], max_changes: int, max_inline_bytes: int
) -> None:
    entries = [entry_of(n, size, is_inline=inline) for n, (size, inline) in enumerate(files)]
    groups = group_for_commits(entries, max_changes, max_inline_bytes)
    assert [entry for group in groups for entry in group] == entries
    for group in groups:
        assert 1 <= len(group) <= max_changes
        weight = sum(base64_bytes(entry.size_bytes) for entry in group if entry.is_inline)
        assert weight <= max_inline_bytes or len(group) == 1
    for one, two in itertools.pairwise(groups):
        weight = sum(base64_bytes(e.size_bytes) for e in (*one, two[0]) if e.is_inline)
        assert len(one) == max_changes or weight > max_inline_bytes, "a commit too many"


def test_bytes_to_send_count_a_blob_once_and_inline_files_each_time() -> None:
    plan = draw({"a": b"x" * 50, "b": b"x" * 50, "c": b"s", "d": b"s", "e": b"y" * 50})
    assert plan.send_bytes == 50 + 50 + 1 + 1
    assert len(plan.blobs(Action.UPLOAD)) == 2
    settled = settle_blobs(plan, {sha256_of(b"x" * 50)})
    assert settled.send_bytes == 50 + 1 + 1
    assert [e.path for e in settled.of(Action.REUSE)] == ["a", "b"]
    unknown = draw(listing({"a": b"x" * 50, "b": b"x" * 50}, digests="none"))
    assert unknown.send_bytes == 100


def test_stored_blobs_change_uploads_only() -> None:
    plan = draw(
        {"card/README.md": b"r" * 50, "same": b"=" * 50, "w": b"w" * 50}, {"same": b"=" * 50}
    )
    stored = {sha256_of(data * 50) for data in (b"r", b"=", b"w")}
    assert actions(settle_blobs(plan, stored)) == {
        "card/README.md": Action.INLINE,
        "same": Action.PRESENT,
        "w": Action.REUSE,
    }


@pytest.mark.parametrize(
    ("files", "limit"), [(0, 100), (1, 100), (10, 100), (11, 5), (150, 75), (200, 100), (9999, 100)]
)
def test_a_mirror_may_delete_a_hundred_files_or_half(files: int, limit: int) -> None:
    assert deletion_limit(Policy(), files) == limit
    assert deletion_limit(Policy(max_delete=3), files) == 3
    assert deletion_limit(Policy(max_delete=0), files) == 0


# --- sameness and knowledge ------------------------------------------------------------


def test_sameness_is_only_told_by_digests_of_one_kind() -> None:
    sha, git = sha256_of(b"1"), git_oid_of(b"1")
    by_sha, by_git = FileEntry("f", 1, sha256=sha), FileEntry("f", 1, git_oid=git)
    assert is_same(by_sha, by_git) is None
    assert is_same(FileEntry("f", 1), by_sha) is None
    assert is_same(by_sha, replace(by_sha, size_bytes=2)) is False
    assert is_same(FileEntry("f", 1, sha256=sha, git_oid=git), by_git) is True
    other = FileEntry("f", 1, sha256=sha256_of(b"2"), git_oid=git)
    assert is_same(replace(by_sha, git_oid=git), other) is False, "SHA-256 has the word"


def test_what_was_read_now_counts_for_the_source_only() -> None:
    sha, git = sha256_of(b"1"), git_oid_of(b"1")
    known = NOTHING.with_pairs([(git, sha)], {"f": (sha, git)})
    bare = FileEntry("f", 1)
    assert known.enrich(bare, is_source=True) == replace(bare, sha256=sha, git_oid=git)
    assert known.enrich(bare, is_source=False) is bare
    assert known.enrich(replace(bare, git_oid=git), is_source=False).sha256 == sha
    assert known.enrich(replace(bare, sha256=sha), is_source=False).git_oid == git


def test_a_listings_digest_tells_any_change() -> None:
    base = {"a": b"1", "b": b"2"}
    changed: list[dict[str, bytes]] = [
        {"a": b"1"},
        {"a": b"1", "b": b"3"},
        {"a": b"2", "b": b"1"},
        {"a": b"1", "c": b"2"},
        {**base, "c": b""},
        {},
    ]
    digests = {listing_digest(listing(files)) for files in [base, *changed]}
    assert len(digests) == len(changed) + 1
    assert listing_digest(listing(base)) == listing_digest(listing(dict(reversed(base.items()))))


def test_folders_of_paths() -> None:
    assert folders_of(["a/b/c", "a/d", "e"]) == {"a", "a/b"}
    assert folders_of([]) == frozenset()


def test_a_plan_says_which_writes_it_holds() -> None:
    entries = tuple(PlanEntry(action.value, action, T("")) for action in Action)
    assert {entry.action for entry in Plan(entries).writes} == {
        Action.INLINE,
        Action.UPLOAD,
        Action.REUSE,
        Action.READ,
        Action.DELETE,
    }
    assert Plan(()).blobs(*Action) == ()
    assert isinstance(sha256_of(b""), Sha256)
