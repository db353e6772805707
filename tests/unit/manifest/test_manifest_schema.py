"""The published schema is current, and agrees with what the program takes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.manifest.manifest_cases import FULL, entry, loaded, mistakes
from tests.unit.manifest.test_yaml_file import LITERALS, WRONG_DOCUMENTS, WRONG_KEYS

from hubferry.manifest import ManifestError
from hubferry.manifest.problems import Problems
from hubferry.manifest.schema import FILE_NAME, schema_text
from hubferry.manifest.shapes import EntryShape, HeadShape, Shape
from hubferry.manifest.yaml_nodes import read_yaml

PUBLISHED = Path(__file__).parents[3] / "docs" / "schema" / FILE_NAME

BEYOND_A_SCHEMA = (
    "stands in line",
    "is no placeholder",
    "onto itself",
    "is larger than 'max-size'",
    "is no cron expression",
    "datasets cannot",
    "no such date",
    "has no length",
    "too short",
    "is no command line",
    "not signed",
    "is no bandwidth limit",
    "must be a daily span",
    "must not hold a password",
    "with a password or a query",
    "must be a web address",
    "proxy: a secret",
    "nan is no number",
    "it must be the number 1",
    "it must be a host and a port",
)
"""What only the program can tell: it is not the shape that is wrong."""


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def plain(text: str) -> Any:
    return json.loads(json.dumps(read_yaml(text, Problems("f"))))


def test_the_published_schema_is_current() -> None:
    published = PUBLISHED.read_text(encoding="utf-8")
    assert published == schema_text(), "run: python -m hubferry.manifest.schema docs/schema"


def test_every_part_that_has_keys_leaves_some_free() -> None:
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    for part in (schema, *schema["$defs"].values()):
        assert part["additionalProperties"] is False
        assert "^x-" in part["patternProperties"]
        assert all(
            prop.get("description") or "$ref" in prop for prop in part["properties"].values()
        )


GOOD = [
    FULL,
    "version: 1\nentries: []\n",
    entry("source: a/b", "target: c/d", "x-owner: {team: ml}", "revisions: main"),
    "version: 1\nhubs: {x-a: 1, ms: {token: 'login:'}}\nentries: []\n",
    "version: 1\nwatch: {cron: '0 3 * * *', bwlimit: 512}\nentries: []\n",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_the_program_takes_the_schema_takes(text: str, validator: Any) -> None:
    loaded(text)
    assert [error.message for error in validator.iter_errors(plain(text))] == []


BAD = [
    *(text for text in WRONG_DOCUMENTS),
    *(entry("source: a/b", line) for line in WRONG_KEYS),
    *("version: 1\nentries: []\n" + line for line in LITERALS),
    entry("source: {search: {}}", "target: o/"),
    entry("source: [a]", "target: o/"),
    entry("target: o/"),
]


@pytest.mark.parametrize("text", BAD)
def test_what_the_program_refuses_the_schema_refuses_as_far_as_it_can(
    text: str, validator: Any
) -> None:
    with pytest.raises(ManifestError) as caught:
        loaded(text)
    told = str(caught.value)
    is_valid = validator.is_valid(plain(text))
    assert not is_valid or any(words in told for words in BEYOND_A_SCHEMA), told


KEYS = st.sampled_from(
    sorted(
        {
            *(key for part in Shape.__subclasses__() for key in part.key_names()),
            *("hf", "ms", "entries", "source", "x-free", "nonsense", "<<", ""),
        }
    )
)
WORDS = st.sampled_from(
    [
        *("a/b", "ms://o/{name}", "hf://a/*", "5m", "1G", "env:X", "login", "cmd:'", "0s", "10M"),
        *("http://[::1", "2026-01-31", "2026-01-31T25", "22:00-06:00", "* * * * *", ":0", "end"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
ENTRIES = st.fixed_dictionaries(
    {"source": WORDS, "target": WORDS | VALUES},
    optional=dict.fromkeys(set(EntryShape.key_names()) - {"source", "target"}, WORDS | VALUES),
)
DOCUMENTS = st.fixed_dictionaries(
    {"version": st.just(1), "entries": st.lists(ENTRIES | VALUES, max_size=3)},
    optional=dict.fromkeys(set(HeadShape.key_names()) - {"version"}, VALUES),
)


@given(DOCUMENTS)
@settings(max_examples=300, deadline=None)
def test_any_document_is_taken_or_has_mistakes_with_lines(document: dict[str, Any]) -> None:
    text = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    with contextlib.suppress(ManifestError):
        assert len(loaded(text).entries) == len(document["entries"])
        return
    assert all(1 <= int(told.partition(":")[0]) <= text.count("\n") for told in mistakes(text))
