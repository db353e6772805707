"""Comparing listings: every way of not being equal, and none made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hubferry.compare import compare_listings
from hubferry.hubs.memory import git_oid_of, sha256_of
from hubferry.model import FileEntry, Listing, RefusedPath, RepoId, make_listing
from hubferry.plan import KnownDigests, Policy
from hubferry.text import T

NOTHING = KnownDigests()


def listing(files: Mapping[str, bytes], *, tells_git: bool = False) -> Listing:
    return make_listing(
        RepoId("memory", "org/name"),
        None,
        [
            FileEntry(path, len(data), git_oid=git_oid_of(data))
            if tells_git
            else FileEntry(path, len(data), sha256=sha256_of(data))
            for path, data in files.items()
        ],
    )


def kinds(
    source: Listing, target: Listing, known: KnownDigests = NOTHING, policy: Policy | None = None
) -> dict[str, str]:
    found = compare_listings(source, target, known, policy or Policy())
    return {difference.path: difference.kind for difference in found}


def test_every_kind_of_difference_is_named() -> None:
    source = listing({"same": b"=", "other": b"1", "longer": b"12", "gone": b"g"})
    source = replace(source, refused=(RefusedPath("../up", T("no")),))
    target = listing({"same": b"=", "other": b"2", "longer": b"123", "extra": b"e"})
    assert kinds(source, target) == {
        "other": "differs",
        "longer": "differs",
        "gone": "missing",
        "extra": "extra",
        "../up": "refused",
    }


def test_sizes_are_told_where_they_differ() -> None:
    one, two = listing({"f": b"12", "g": b"1"}), listing({"f": b"123", "g": b"2"})
    details = [str(d.detail) for d in compare_listings(one, two, NOTHING, Policy())]
    assert details == ["2 bytes at the source, 3 at the target", "same size, other content"]


def test_digests_of_two_kinds_are_unchecked_until_one_is_learned() -> None:
    source, target = (
        listing({"f": b"1", "g": b"2"}, tells_git=True),
        listing({"f": b"1", "g": b"3"}),
    )
    assert kinds(source, target) == {"f": "unchecked", "g": "unchecked"}
    known = NOTHING.with_pairs([(git_oid_of(data), sha256_of(data)) for data in (b"1", b"2")])
    assert kinds(source, target, known) == {"g": "differs"}


def test_what_a_cut_listing_hides_is_unchecked_not_missing() -> None:
    target = replace(listing({}), doubtful_folders=("big",))
    assert kinds(listing({"big/f": b"1", "f": b"1"}), target) == {
        "big/f": "unchecked",
        "f": "missing",
    }


def test_what_is_not_selected_is_not_compared() -> None:
    source = listing({"a.bin": b"1", "b.txt": b"1"})
    source = replace(source, refused=(RefusedPath("../up.bin", T("no")),))
    target = listing({"c.bin": b"1", "d.txt": b"1"})
    found = kinds(source, target, policy=Policy(exclude=("*.bin",)))
    assert found == {"b.txt": "missing", "d.txt": "extra"}


FILES = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([b"", b"1", b"2", b"33"]))


@given(FILES, FILES)
def test_differences_are_exactly_where_the_files_differ(
    one: dict[str, bytes], two: dict[str, bytes]
) -> None:
    found = kinds(listing(one), listing(two))
    assert found.keys() == {p for p in one.keys() | two.keys() if one.get(p) != two.get(p)}
    assert list(found) == sorted(found)
