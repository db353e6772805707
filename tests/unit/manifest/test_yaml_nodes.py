"""YAML as we read it: lines, no surprises, no bombs."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubferry.manifest.problems import Problems
from hubferry.manifest.yaml_nodes import YamlMap, line_of, read_yaml


def read(text: str) -> Any:
    problems = Problems("f")
    value = read_yaml(text, problems)
    problems.check()
    return value


def wrong(text: str) -> list[str]:
    problems = Problems("f")
    read_yaml(text, problems)
    return [str(p.text).removeprefix("f:") for p in problems._found]


@pytest.mark.parametrize(
    ("written", "value"),
    {
        "on": "on",
        "no": "no",
        "yes": "yes",
        "off": "off",
        "true": True,
        "False": False,
        "null": None,
        "~": None,
        "": None,
        "22:00": "22:00",
        "22:00-06:00": "22:00-06:00",
        "2026-01-31": "2026-01-31",
        "1": 1,
        "-12": -12,
        "012": 12,
        "1.10": 1.1,
        "1e3": 1000.0,
        ".5": 0.5,
        ".inf": float("inf"),
        "1.2.3": "1.2.3",
        "1_000": "1_000",
        "0x1f": "0x1f",
        "'1'": "1",
        '"true"': "true",
        "!!str 1": "1",
        "! yes": "yes",
        "!!int '1'": 1,
        "=": "=",
        "<<": "<<",
        "ms://o/{name}": "ms://o/{name}",
        "env:NAME": "env:NAME",
        "{a: env:NAME}": {"a": "env:NAME"},
    }.items(),
)
def test_plain_words_are_read_as_yaml_1_2_says(written: str, value: object) -> None:
    assert read(f"key: {written}\n") == {"key": value}


def test_keys_are_text_whatever_they_look_like() -> None:
    assert read("on: 1\n1: 2\nnull: 3\n2026-01-01: 4\n") == {
        "on": 1,
        "1": 2,
        "null": 3,
        "2026-01-01": 4,
    }


def test_parts_know_their_lines() -> None:
    value = read("a: 1\nb:\n  - x\n  - {c: 1,\n     d: 2}\n")
    assert isinstance(value, YamlMap)
    assert line_of(value, ("a",)) == 1
    assert line_of(value, ("b", 0)) == 3
    assert line_of(value, ("b", 1, "d")) == 5
    assert line_of(value, ("b", "as-text", 1, "nowhere")) == 4


def test_anchors_below_free_keys_count_and_the_keys_go() -> None:
    assert read("x-a: &a {b: 1}\nc: *a\nd:\n  <<: *a\n  x-e: 2\n  f: 3\n") == {
        "c": {"b": 1},
        "d": {"b": 1, "f": 3},
    }


def test_an_own_key_comes_before_a_taken_one_and_the_first_of_several_counts() -> None:
    text = "x-a: &a {k: 1, l: 1}\nx-b: &b {l: 2, m: 2}\nd:\n  <<: [*a, *b]\n  k: 3\n"
    assert read(text)["d"] == {"k": 3, "l": 1, "m": 2}


def test_taken_keys_stand_in_the_line_of_their_anchor() -> None:
    value = read("x-a: &a\n  k: 1\nd:\n  <<: *a\n")
    assert line_of(value, ("d", "k")) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    {
        "a: 1\nb: 2\na: 3\n": "3: the key 'a' stands in line 1 already; remove one",
        "x-a: 1\nx-a: 2\n": "2: the key 'x-a' stands here twice",
        "a: &a [*a]\n": "1: the alias '*a' stands inside what it stands for",
        "a: &a\n  b: {c: *a}\n": "2: the alias '*a' stands inside",
        "a: *b\n": "1: the alias '*b' stands for nothing",
        "a: *.json\n": "1: YAML takes text that begins with '*' for an alias; put it in quot",
        "a:\n  - *.bin\n": "2: YAML takes text that begins with '*' for an alias",
        "a: & b\n": "1: YAML takes text that begins with '&' for an anchor",
        "a:\n\tb: 1\n": "2: a tab at the start of the line; YAML wants spaces",
        "a: @x\n": "1: text that begins with @, %, a backquote or a tab; put it in quotation",
        "a: b: c\n": "1: a ':' where no key can be; indent keys of one level alike, and quote",
        "token: login:\n": "1: a ':' where no key can be",
        "a: {b: ms://o/{name}}\n": "1: a list of keys in braces does not end as it should; quote",
        "a: [1, 2\nb: 3\n": "2: a list in brackets does not end as it should",
        "a: 'x\nb: 1\n": "1: a quotation mark is never closed",
        "a:\n  - b\n c: d\n": "3: a line does not stand under the keys above it",
        "- a\nb: c\n": "2: a line does not stand under the list above it",
        "  a: 1\nb: 2\n": "2: a line that is indented less than the first one",
        "a: 1\njust words\nb: 1\n": "3: a key without ':'",
        "a: 1\n---\nb: 2\n": "2: a second document begins; write one manifest a file",
        "a: !!python/object:os.system x\n": "1: a manifest has no use for the tag",
        "a: !secret x\n": "1: a manifest has no use for the tag '!secret'",
        "a: !!set {b}\n": "1: a manifest has no use for the tag",
        "a: \x01\n": "1: a character that a manifest cannot hold: U+0001",
        "a: 1\nb: \x7f\n": "2: a character that a manifest cannot hold: U+007F",
        "a: 1\nb: x\u2028y\n": "2: a character that a manifest cannot hold: U+2028",
        "a:\n  <<: 5\n": "2: '<<' takes over keys from something that has none",
        "? [a]\n: 1\n": "1: a key must be a word",
        "[" * 60 + "]" * 60: "1: this is nested deeper than any manifest",
    }.items(),
)
def test_what_cannot_be_read_is_told_in_plain_words(text: str, told: str) -> None:
    (found,) = wrong(text)
    assert found.startswith(told)


def test_a_few_lines_cannot_become_millions() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)
    )
    start = time.process_time()
    (found,) = wrong(bomb)
    assert time.process_time() - start < 2
    assert "written out, this file holds more than 5000000 values" in found


def test_a_bomb_of_taken_keys_is_one_too() -> None:
    keys = ", ".join(f"k{n}: 1" for n in range(1000))
    lines = "".join(f"- {{<<: [{', '.join(['*a'] * 100)}]}}\n" for _ in range(200))
    (found,) = wrong(f"x-a: &a {{{keys}}}\nb:\n{lines}")
    assert "written out, this file holds more than" in found


@given(st.text(alphabet="a:-*&!<>{}[]'\"#|,? \n\t%@0x", max_size=60))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    problems = Problems("f")
    read_yaml(text, problems)
    lines = text.count("\n") + 1
    assert all(1 <= problem.place.line <= lines + 1 for problem in problems._found)
