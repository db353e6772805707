"""What is wrong between entries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.manifest.manifest_cases import TEXT, YAML, loaded, mistake, mistakes

from hubferry.manifest import ManifestError


@pytest.mark.parametrize(
    "lines",
    [
        "a/x o/n\na/y o/n\n",
        "a/x o/n\na/y ms://o/n@master\n",
        "a/x o/n@dev\na/y https://modelscope.cn/models/o/n@dev\n".replace(
            "https://modelscope.cn/models/", "ms://"
        ),
        "a/n o/\nb/n ms://o/{name}\n",
        "a/x hf://o/n\na/y hf://o/n@main\n",
        "a/x /data/n\na/y file:///data/n\n",
    ],
)
def test_one_target_twice_is_a_mistake_that_names_both_places(lines: str) -> None:
    told = mistake(lines, TEXT)
    assert told.startswith("2: ")
    assert "is the target at models.txt:1 already; give one of the two another target" in told


def test_the_same_line_twice_is_a_mistake_of_its_own() -> None:
    assert mistake("a/x o/n\n\na/x ms://o/n\n", TEXT) == (
        "3: the same copy stands at models.txt:1 already; remove one of the two"
    )


@pytest.mark.parametrize(
    "lines",
    [
        "a/x o/n\na/x o/m\n",
        "a/x o/n\na/y o/n@dev\n",
        "a/x@v1 o/n@v1\na/x@v2 o/n@v2\n",
        "hf://a/* o/\nhf://b/* o/\n",
        "hf://a/* o/\nhf://a/* p/\n",
        "hf://a/x* o/\nhf://a/y* o/\n",
        "hf://a/* o/\nhf://a/x o/other\n",
        "hf://a/b* o/\nhf://a/x o/x\n",
        "hf://a/x ms://b/x\nms://b/x hf://c/x\n",
    ],
)
def test_what_only_looks_alike_is_no_mistake(lines: str) -> None:
    assert len(loaded(lines, TEXT).entries) == 2


@pytest.mark.parametrize(
    ("lines", "told"),
    {
        "hf://a/* o/\nhf://a/* o/\n": "hf://a/* at models.txt:1 and hf://a/* mean the same",
        "hf://a/* o/\nhf://a/x* o/\n": "hf://a/* at models.txt:1 and hf://a/x* mean the same",
        "hf://a/x* o/\nhf://a/* o/\n": "hf://a/x* at models.txt:1 and hf://a/* mean the same",
        "hf://a/* o/\nhf://a/x ms://o/x\n": "hf://a/x is copied to ms://o/x by hf://a/* at models",
        "hf://collections/a/b o/\nhf://collections/a/b o/\n": "hf://collections/a/b at models.txt",
    }.items(),
)
def test_patterns_that_are_sure_to_meet_are_a_mistake(lines: str, told: str) -> None:
    assert mistake(lines, TEXT).startswith("2: " + told)


def test_an_entry_may_stand_before_the_pattern_that_covers_it() -> None:
    told = mistake("hf://a/x o/x\nhf://a/* o/\n", TEXT)
    assert told.startswith("1: hf://a/x is copied to ms://o/x by hf://a/* at models.txt:2 already")


@pytest.mark.parametrize(
    "line",
    [
        "hf://a/x hf://a/x",
        "hf://a/x hf://a/x@dev",
        "hf://a/* hf://a/",
        "hf://a/* hf://a/{name}",
        "/data/x /data/../data/x",
    ],
)
def test_a_copy_onto_itself_is_a_mistake(line: str) -> None:
    assert "would be copied onto itself; name another target" in mistake(line, TEXT)


def test_a_circle_of_two_names_both_and_the_way() -> None:
    told = mistake("hf://a/x ms://b/x\nms://b/x hf://a/x\n", TEXT)
    assert told == (
        "2: this copy and models.txt:1 go in a circle: "
        "hf://a/x -> ms://b/x -> hf://a/x; remove one of them"
    )


def test_a_long_circle_is_found_and_shortened() -> None:
    lines = [f"hf://a/n{n} hf://a/n{(n + 1) % 50_000}" for n in range(50_000)]
    told = mistake("\n".join(lines), TEXT)
    assert told.startswith("50000: this copy and models.txt:1, models.txt:2, ")
    assert "hf://a/n0 -> hf://a/n1 -> hf://a/n2 -> hf://a/n3 -> … -> hf://a/n0" in told


def test_two_circles_are_two_mistakes() -> None:
    lines = "hf://a/x ms://b/x\nms://b/x hf://a/x\nhf://a/y ms://b/y\nms://b/y hf://a/y\n"
    assert len(mistakes(lines, TEXT)) == 2


def test_whole_owners_can_go_in_a_circle() -> None:
    told = mistake("hf://a/* ms://b/{name}\nms://b/* hf://a/\n", TEXT)
    assert "go in a circle: hf://a/* -> ms://b/* -> hf://a/*" in told


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=16, unique=True))
def test_a_circle_is_found_whenever_there_is_one(edges: list[tuple[int, int]]) -> None:
    edges = [(a, b) for a, b in edges if a != b]
    text = "".join(f"hf://a/n{a} hf://a/n{b}@from-{a}\n" for a, b in edges)
    told: list[str] = []
    try:
        loaded(text, TEXT)
    except ManifestError as error:
        told = [str(problem.text) for problem in error.problems]
    assert all("go in a circle" in line for line in told)
    assert bool(told) == has_circle(edges)


def has_circle(edges: list[tuple[int, int]]) -> bool:
    left = set(edges)
    while left:
        sources = {a for a, _ in left}
        kept = {(a, b) for a, b in left if b in sources}
        if kept == left:
            return True
        left = kept
    return False


REVISIONS = "version: 1\nentries:\n- source: hf://a/x\n  target: {target}\n  revisions: {names}\n"


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("ms://o/n@v1", "[v1]"),
        ("ms://o/n", "[main, v1]"),
        ("ms://o/n", "['*']"),
        ("'ms://o/{name}@{revision}'", "[v1, v2]"),
        ("'ms://o/{name}-{revision}'", "[v1, v2]"),
        ("'ms://o/{name}-{revision}'", "[main, 'v*']"),
    ],
)
def test_revisions_may_go_to_branches_of_their_own(target: str, names: str) -> None:
    assert loaded(REVISIONS.format(target=target, names=names)).entries


@pytest.mark.parametrize("names", ["[v1, v2]", "['v*']", "[v?]"])
def test_several_revisions_for_one_branch_are_a_mistake(names: str) -> None:
    told = mistake(REVISIONS.format(target="ms://o/n@dev", names=names))
    assert told.startswith("4: 'ms://o/n@dev' would be the target of several revisions; leave out")


def test_a_revision_of_one_entry_may_not_meet_the_branch_of_another() -> None:
    text = REVISIONS.format(target="ms://o/n", names="[main, dev]") + (
        "- source: hf://a/y\n  target: ms://o/n@dev\n"
    )
    assert "ms://o/n@dev is the target at models.yaml:3 already" in mistake(text, YAML)
