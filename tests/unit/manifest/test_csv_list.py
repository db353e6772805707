"""CSV manifests."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.manifest.manifest_cases import CSV, entry, loaded, mistake, mistakes

from hubferry.manifest import Defaults, ManifestError
from hubferry.manifest.csv_list import BOOLS, COLUMNS, LISTS, NUMBERS
from hubferry.manifest.shapes import ConditionsShape, DefaultsShape

WISHES = {
    "target": ("ms://o/n", "ms://o/n"),
    "repo-type": ("model", "model"),
    "revisions": ("main; v1", "[main, v1]"),
    "include": ("*.json;onnx/", "['*.json', onnx/]"),
    "exclude": ("*.bin", "['*.bin']"),
    "visibility": ("public", "public"),
    "license": ("mit", "mit"),
    "card": ("skip", "skip"),
    "on-conflict": ("fail", "fail"),
    "delete": ("TRUE", "true"),
    "max-delete": ("7", "7"),
    "commit-message": ('"hello, world"', "hello, world"),
    "min-size": ("1G", "{min-size: 1G}"),
    "max-size": ("2T", "{max-size: 2T}"),
    "license-allow": ("mit;apache-2.0", "{license-allow: [mit, apache-2.0]}"),
    "license-deny": ("other", "{license-deny: [other]}"),
    "gated": ("skip", "{gated: skip}"),
    "task": ("fill-mask", "{task: [fill-mask]}"),
    "family": ("bert;llama", "{family: [bert, llama]}"),
    "updated-after": ("30d", "{updated-after: 30d}"),
    "only-new": ("true", "{only-new: true}"),
    "only-changed": ("false", "{only-changed: false}"),
}


@pytest.mark.parametrize("column", WISHES)
def test_every_column_means_what_the_key_means(column: str) -> None:
    cell, value = WISHES[column]
    more = "" if column == "target" else ",ms://o/n"
    header = "source,target" if more else "source"
    csv = f"{header},{column}\na/b{more},{cell}\n"
    key = "conditions" if value.startswith("{") else column
    target = [] if column == "target" else ["target: ms://o/n"]
    yaml = entry("source: a/b", *target, f"{key}: {value}")
    (found,), (wanted,) = loaded(csv, CSV).entries, loaded(yaml).entries
    for name in ("source", "target", "policy", "conditions", "revisions", "card"):
        assert getattr(found, name) == getattr(wanted, name), name


def test_every_key_has_a_column_and_every_column_is_tried_here() -> None:
    keys = {*DefaultsShape.key_names(), *ConditionsShape.key_names()} - {"conditions"}
    assert set(COLUMNS) == {"source", *keys}
    assert WISHES.keys() == keys
    assert set(COLUMNS) >= LISTS | BOOLS | NUMBERS


def test_empty_cells_say_nothing_and_empty_rows_are_passed_over() -> None:
    text = "\ufeffSource , Target,visibility\r\n\r\na/b,c/d,\r\n,,\r\nc/e,f/g,private,\r\n"
    entries = loaded(text, CSV).entries
    assert [(e.place.line, str(e.source), e.policy.visibility) for e in entries] == [
        (3, "hf://a/b", None),
        (5, "hf://c/e", "private"),
    ]


def test_rows_know_their_first_line_even_after_cells_of_several_lines() -> None:
    told = mistakes('source,target,license\na/b,c/d,"x\ny"\na/n!,c/e,\n', CSV)
    assert told[0].startswith("2: license: it holds a line end")
    assert told[1].startswith("4: not a repository name")


def test_a_target_column_is_not_needed_with_a_default_target() -> None:
    defaults = Defaults(target="ms://my-org/")
    assert loaded("source\na/b\n", CSV, defaults=defaults).entries[0].target == "ms://my-org/"
    assert mistake("source\na/b\n", CSV).startswith("2: the entry has no target; say where")


@pytest.mark.parametrize(
    ("text", "told"),
    {
        "": "1: the file is empty; begin with the line: source,target",
        "source,taget\na/b,c/d\n": "1: unknown column 'taget'; did you mean 'target'?",
        "source,target,colour\n": "1: unknown column 'colour'; the columns are source, target,",
        "source,target,target\n": "1: the column 'target' is there twice; remove one",
        "target\n": "1: there is no column 'source'",
        "source;target\na/b;c/d\n": "1: the columns are not divided by commas",
        "source,target\na/b,c/d,e\n": "2: 3 cells, but 2 columns; put cells that hold a comma",
        "source,target\n,c/d\n": "2: the row has no source",
        'source,target\na/b,c/d\n"a/e,c/f\nx,y\n': "3: this row is no CSV: ",
        "source,target,delete\na/b,c/d,yes\n": "2: delete: it must be true or false, and is the",
        "source,target,max-delete\na/b,c/d,many\n": "2: max-delete: it must be a whole",
        "source,target,min-size\na/b,c/d,big\n": "2: min-size: 'big' is no size; write it like",
        "source,target,visibility\na/b,c/d,secret\n": "2: visibility: 'secret' is none of its",
        "source,target,repo-type\na/b,c/d,dataset\n": "2: datasets cannot be copied yet",
    }.items(),
)
def test_mistakes_are_told_with_line_and_remedy(text: str, told: str) -> None:
    assert mistake(text, CSV).startswith(told)


@given(st.text(alphabet='source,target\n";a/b \ud7ff\x00', max_size=80))
def test_any_text_is_csv_or_has_mistakes(text: str) -> None:
    with contextlib.suppress(ManifestError):
        loaded(text, CSV)
