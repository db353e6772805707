"""The text list of the guide."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.manifest.manifest_cases import TEXT, loaded, mistake, mistakes

from hubferry.manifest import Defaults, ManifestError, Problem, load_manifest
from hubferry.manifest.values import OwnerPattern
from hubferry.model import Visibility
from hubferry.plan import Policy


def pairs(text: str, **more: object) -> list[tuple[int, str, str]]:
    manifest = loaded(text, TEXT, **more)
    return [(entry.place.line, str(entry.source), entry.target) for entry in manifest.entries]


@pytest.mark.parametrize(
    "text",
    [
        "microsoft/aa your-org/aa\nmicrosoft/bb your-org/bb\n",
        "microsoft/aa your-org/aa\nmicrosoft/bb your-org/bb",
        "\ufeffmicrosoft/aa your-org/aa\r\n\r\nmicrosoft/bb your-org/bb\r\n",
        "#  all\n\n  microsoft/aa\tyour-org/aa  \n\t\n#x y\nmicrosoft/bb  your-org/bb # two\n",
        "\ufeff# comment\r\nmicrosoft/aa your-org/aa\rmicrosoft/bb your-org/bb#two words here",
    ],
    ids=["plain", "no-final-newline", "windows", "comments-and-tabs", "mixed"],
)
def test_every_kind_of_list_that_the_guide_knows_is_read(text: str) -> None:
    assert [pair[1:] for pair in pairs(text)] == [
        ("hf://microsoft/aa", "your-org/aa"),
        ("hf://microsoft/bb", "your-org/bb"),
    ]


def test_entries_know_their_lines() -> None:
    assert [pair[0] for pair in pairs("# one\n\na/b c/d\r\n#\na/e c/f")] == [3, 5]


def test_an_empty_list_is_no_mistake() -> None:
    assert loaded("# nothing yet\n", TEXT).entries == ()


def test_a_folder_may_hold_a_hash_sign_in_its_name() -> None:
    ((_, source, target),) = pairs("/data/c#/model my-org/model # C#\n")
    assert (source, target) == ("file:///data/c#/model", "my-org/model")


def test_one_column_goes_to_the_default_target() -> None:
    text = "a/b\nc/d other/e\n"
    found = pairs(text, defaults=Defaults(target="ms://my-org/{name}"))
    assert [pair[2] for pair in found] == ["ms://my-org/{name}", "other/e"]


def test_the_command_lines_options_hold_for_every_line() -> None:
    policy = Policy(visibility=Visibility.PRIVATE)
    manifest = loaded("a/b c/d\n", TEXT, defaults=Defaults(policy=policy, revisions=("v1",)))
    assert manifest.entries[0].policy == policy
    assert manifest.entries[0].revisions == ("v1",)


def test_one_column_without_a_default_target_is_a_mistake() -> None:
    assert mistake("a/b\n", TEXT) == (
        "1: 'a/b' has no target; write SOURCE TARGET, such as org/name my-org/name"
    )


def test_more_columns_are_a_mistake() -> None:
    told = mistake("ok/a ok/b\na/b c/d main\n", TEXT)
    assert told.startswith("2: 3 columns instead of two: 'a/b c/d main'; write SOURCE TARGET")


def test_all_mistakes_of_all_lines_are_told_at_once() -> None:
    found = mistakes("a/b/c x/y\nhf://org/ x/y\n\nzz://a/b x/{nam}\na b c d\n", TEXT)
    assert [line.partition(":")[0] for line in found] == ["1", "2", "4", "4", "5"]
    assert "names an owner and no repository; write hf://org/* for all" in found[1]
    assert "no hub has the scheme zz://" in found[2]
    assert "'{nam}' is no placeholder" in found[3]


def test_patterns_work_in_lists_too() -> None:
    source = loaded("hf://org/bert-* ms://my-org/\n", TEXT).entries[0].source
    assert isinstance(source, OwnerPattern)
    assert (source.query.owner, source.name_glob) == ("org", "bert-*")


def test_a_secret_in_a_line_is_not_repeated() -> None:
    token = "hf_" + "a" * 34
    told = mistake(f"https://user:{token}@example.org/a/b my-org/c\n", TEXT)
    assert token not in told


def test_the_message_lists_the_first_twenty_and_says_how_many_more() -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(TEXT, text="only-one-word\n" * 25)
    lines = str(caught.value).split("\n")
    assert lines[0] == "25 mistakes in models.txt"
    assert lines[1].startswith("models.txt:1: ")
    assert lines[20].startswith("models.txt:20: ")
    assert lines[21:] == ["… and 5 more"]
    assert len(caught.value.problems) == 25


def test_a_list_of_a_hundred_thousand_lines_is_read_in_seconds() -> None:
    text = "".join(f"org{n % 500}/name{n} ms://my-org/name{n}\n" for n in range(100_000))
    start = time.process_time()
    assert len(loaded(text, TEXT).entries) == 100_000
    # About two on a machine of its own; CI shares its processors.
    assert time.process_time() - start < 12


def test_a_hundred_thousand_wrong_lines_end_in_a_short_message() -> None:
    text = "".join(f"org/na/me/{n} ms://my-org/na!me{n}\n" for n in range(100_000))
    start = time.process_time()
    with pytest.raises(ManifestError) as caught:
        loaded(text, TEXT)
    assert time.process_time() - start < 25
    assert len(caught.value.problems) == 200_000
    assert len(str(caught.value)) < 5_000


def test_a_line_without_end_does_not_make_an_endless_message() -> None:
    with pytest.raises(ManifestError) as caught:
        loaded("a" * 5_000_000 + "/b/c x/y\n", TEXT)
    assert len(str(caught.value)) < 2_000


@given(st.text(max_size=200))
def test_any_text_is_a_manifest_or_has_mistakes_with_lines(text: str) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        load_manifest(TEXT, text=text)
    except ManifestError as error:
        problems = error.problems
    lines = text.count("\n") + text.count("\r") + 1
    assert all(1 <= problem.place.line <= lines for problem in problems)
    assert all("\n" not in str(problem.text) for problem in problems)
