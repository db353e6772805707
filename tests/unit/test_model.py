"""The nouns: digests that do not mix, paths nobody may write, listings that are whole."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubferry.model import (
    Address,
    FileEntry,
    GitOid,
    Listing,
    RepoId,
    RepoType,
    Sha256,
    XetHash,
    make_listing,
    path_problem,
)

REPO = RepoId("memory", "org/name")

BAD_PATHS = {
    "": "empty",
    "/etc/passwd": "absolute",
    "//a": "absolute",
    "a//b": "empty segment",
    "a/": "empty segment",
    ".": "'.'",
    "..": "'.'",
    "../a": "'.'",
    "a/../b": "'.'",
    "a/./b": "'.'",
    "a/..": "'.'",
    ".git": ".git",
    ".git/config": ".git",
    "a/.git/hooks/x": ".git",
    ".GIT/config": ".git",
    "a/.Git": ".git",
    "a\0b": "control",
    "a\nb": "control",
    "a\tb": "control",
    "a\x7fb": "control",
    "a\x85b": "control",
    "a\x9b31mb": "control",
    "a\ud800": "Unicode",
    "\udc80": "Unicode",
}

GOOD_PATHS = [
    "a",
    "a/b",
    ".gitattributes",
    ".gitignore",
    "a.git/b",
    ".github/x",
    "...",
    "a/...b",
    "a b/ü+%25#&?=.txt",
    "back\\slash.txt",
    "C:\\x",
    "n" * 255,
    "模型/权重.bin",
    " leading and trailing ",
    "con",
    "a:b",
    "\u00a0",
]


@pytest.mark.parametrize(("path", "word"), BAD_PATHS.items(), ids=map(ascii, BAD_PATHS))
def test_a_path_nobody_may_write_is_named_with_its_reason(path: str, word: str) -> None:
    assert word in str(path_problem(path))


@pytest.mark.parametrize("path", GOOD_PATHS, ids=ascii)
def test_odd_but_legal_paths_are_copied(path: str) -> None:
    assert path_problem(path) is None


@given(st.text(max_size=40))
def test_a_good_path_stays_inside_its_folder(path: str) -> None:
    if path_problem(path) is None:
        segments = path.split("/")
        assert all(segments)
        assert not {".", ".."} & set(segments)
        assert path.encode("utf-8").decode("utf-8") == path


def entry(path: str, size: int = 1) -> FileEntry:
    return FileEntry(path, size)


NAMES = st.sampled_from(["a", "b", "c", "a.txt", ".git", "..", "ü"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@given(st.sets(PATHS, max_size=20), st.randoms(use_true_random=False))
def test_a_listing_holds_every_path_once_good_or_refused(
    paths: set[str], shuffle: random.Random
) -> None:
    order = sorted(paths)
    shuffle.shuffle(order)
    listing = make_listing(REPO, "c", [entry(path) for path in order])
    good = [e.path for e in listing.entries]
    refused = [r.path for r in listing.refused]
    assert sorted(good + refused) == sorted(paths)
    assert good == sorted(good)
    assert refused == sorted(refused)
    assert listing == make_listing(REPO, "c", [entry(path) for path in sorted(paths)])
    for path in good:
        assert path_problem(path) is None
        assert not any(other.startswith(path + "/") for other in good), "a file and a folder"


def test_a_file_that_is_a_folder_too_is_refused_with_all_below_it() -> None:
    listing = make_listing(REPO, None, map(entry, ["a/b/c", "a/b", "a/b/d/e", "a/x", "ab"]))
    assert [e.path for e in listing.entries] == ["a/x", "ab"]
    assert [r.path for r in listing.refused] == ["a/b", "a/b/c", "a/b/d/e"]
    assert "a file and a folder" in str(listing.refused[0].reason)


def test_a_path_listed_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="twice"):
        make_listing(REPO, None, [entry("a"), entry("a", 2)])


def test_what_a_listing_cut_by_the_hub_says_of_a_missing_path() -> None:
    listing = Listing(REPO, None, (), doubtful_folders=("data", "a/b"))
    assert listing.is_doubtful("data/x")
    assert listing.is_doubtful("data/deep/x")
    assert listing.is_doubtful("a/b/c")
    assert not listing.is_doubtful("database/x")
    assert not listing.is_doubtful("a/c")
    assert not listing.is_doubtful("data")
    assert not Listing(REPO, None, ()).is_doubtful("x")
    assert Listing(REPO, None, (), doubtful_folders=("",)).is_doubtful("anything")


def test_a_listing_sums_up_its_sizes() -> None:
    listing = make_listing(REPO, None, [entry("a", 3), entry("b", 4), entry("../c", 100)])
    assert listing.total_bytes == 7
    assert set(listing.by_path) == {"a", "b"}


@pytest.mark.parametrize("bad", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n"])
def test_a_digest_has_its_exact_form(bad: str) -> None:
    for kind in (Sha256, XetHash):
        with pytest.raises(ValueError, match="64 lower-case"):
            kind(bad)
    with pytest.raises(ValueError, match="40 lower-case"):
        GitOid(bad[:40] if bad[:1] in "Ag" else bad)


def test_a_sha256_is_read_in_the_ways_hubs_write_it() -> None:
    wanted = Sha256("ab" * 32)
    assert Sha256.parse("ab" * 32) == Sha256.parse("AB" * 32) == wanted
    assert Sha256.parse("sha256:" + "AB" * 32) == wanted
    assert str(wanted) == "sha256:" + "ab" * 32
    with pytest.raises(ValueError, match="64"):
        Sha256.parse("sha1:" + "a" * 40)


def test_digests_of_different_kinds_are_never_equal() -> None:
    # The type checker refuses the comparison as well.
    assert Sha256("0" * 64) != XetHash("0" * 64)  # type: ignore[comparison-overlap]


def test_addresses_are_said_as_they_are_typed() -> None:
    assert str(Address(RepoId("hf", "a/b"))) == "hf://a/b"
    assert str(Address(RepoId("hf", "a/b"), "v1")) == "hf://a/b@v1"
    assert str(RepoId("ms", "a/b", RepoType.DATASET)) == "ms://datasets/a/b"
