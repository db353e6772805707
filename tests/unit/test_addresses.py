"""Addresses: what people type and paste, and clear words for what is not one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubferry.addresses import parse_address, resolve_target
from hubferry.errors import Side, UsageError
from hubferry.model import Address, RepoId

HF, MS = "https://huggingface.co", "https://modelscope.cn"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder and a home without anything in them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def source(text: str) -> str:
    return str(parse_address(text, Side.SOURCE))


def target(text: str, from_: str = "org/name") -> str:
    return str(resolve_target(text, parse_address(from_, Side.SOURCE)))


@pytest.mark.parametrize(
    ("text", "meant"),
    {
        "org/name": "hf://org/name",
        "  org/name\n": "hf://org/name",
        "gpt2": "hf://gpt2",
        "org/name@v1.0": "hf://org/name@v1.0",
        "org/name@refs/pr/7": "hf://org/name@refs/pr/7",
        "hf://org/name": "hf://org/name",
        "HF://org/name": "hf://org/name",
        "hf://org/name/": "hf://org/name",
        "hf://models/org/name": "hf://org/name",
        "ms://org/name@master": "ms://org/name@master",
        f"{HF}/org/name": "hf://org/name",
        f"{HF}/org/name/": "hf://org/name",
        f"{HF}/org/name/tree/v1": "hf://org/name@v1",
        f"{HF}/gpt2": "hf://gpt2",
        f"{MS}/models/org/name": "ms://org/name",
        f"{MS}/models/org/name/": "ms://org/name",
    }.items(),
)
def test_what_people_type_as_a_source(text: str, meant: str) -> None:
    assert source(text) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    {
        "org/other": "ms://org/other",
        "org/": "ms://org/name",
        "ms://org/": "ms://org/name",
        "hf://org/": "hf://org/name",
        "org/other/": "ms://org/other",
        "ms://org/other/": "ms://org/other",
        f"{MS}/models/org/other/": "ms://org/other",
        "org/other@dev": "ms://org/other@dev",
    }.items(),
)
def test_what_people_type_as_a_target(text: str, meant: str) -> None:
    assert target(text) == meant


def test_an_organisation_alone_keeps_the_sources_name() -> None:
    assert target("org/", "gpt2") == "ms://org/gpt2"
    assert target("org/", "/data/models/my-model") == "ms://org/my-model"


@pytest.mark.parametrize(
    ("text", "word"),
    {
        "": "empty",
        "   ": "empty",
        "a/b/c": "not a repository name",
        "hf://": "not a repository name",
        "hf://a/b/c": "not a repository name",
        "org//name": "not a repository name",
        "org/..": "not a repository name",
        "org/na me": "not a repository name",
        "org/name@": "revision",
        "ms://gpt2": "not a repository name",
        "s3://bucket/key": "scheme",
        "hf://datasets/org/name": "datasets",
        "ms://datasets/org/name": "datasets",
        "hf://spaces/org/name": "space",
        "ms://studios/org/name": "studio",
        f"{HF}/datasets/org/name": "datasets",
        f"{HF}/spaces/org/name": "space",
        "https://example.com/org/name": "not a link",
        "http://[::1/org/name": "not a link",
        "file://folder/model": "third slash",
        "file://": "third slash",
        "./a\0b": "NUL",
        "~nobody-of-this-name/x": "home",
    }.items(),
)
def test_what_is_no_address_is_told_in_a_clear_word(text: str, word: str) -> None:
    with pytest.raises(UsageError, match=word) as caught:
        parse_address(text, Side.SOURCE)
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/data/model", "/data/model"),
        ("/data//model/../other/", "/data/other"),
        ("file:///data/model", "/data/model"),
        ("FILE:///data/model", "/data/model"),
        ("file://localhost/data/model", "/data/model"),
        ("file:///with%20space", "/with space"),
        ("file:///a#b?c", "/a#b?c"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="POSIX paths")
def test_a_folder_is_an_absolute_path(text: str, path: str) -> None:
    assert parse_address(text, Side.SOURCE) == Address(RepoId("file", path))
    assert resolve_target(text, parse_address("org/name", Side.SOURCE)).repo.name == path


def test_a_folder_is_relative_to_where_we_are(empty_folder: Path) -> None:
    assert source("./out") == f"file://{empty_folder / 'out'}"
    assert source(".") == f"file://{empty_folder}"
    assert source("~/out") == f"file://{empty_folder / 'out'}"
    assert target("./out/") == f"file://{empty_folder / 'out'}"


def test_a_folder_that_exists_is_meant_before_a_hub(empty_folder: Path) -> None:
    (empty_folder / "org" / "name").mkdir(parents=True)
    assert source("org/name") == f"file://{empty_folder / 'org' / 'name'}"
    assert source("hf://org/name") == "hf://org/name"
    assert source("org/name@main") == "hf://org/name@main"
    assert target("org/") == f"file://{empty_folder / 'org'}"
    assert target("ms://org/") == "ms://org/name"


def test_a_name_too_long_for_a_file_system_is_left_to_the_hub() -> None:
    assert source("x/" + "y" * 300) == "hf://x/" + "y" * 300


@pytest.mark.parametrize("text", ["a/" * 3000, "a\0b", "\ud800", "模型", "a b"])
def test_an_odd_text_is_no_crash(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text, Side.SOURCE)


@given(st.text(max_size=30), st.sampled_from([Side.SOURCE, Side.TARGET]))
def test_any_text_is_an_address_or_a_usage_error(text: str, role: Side) -> None:
    with contextlib.suppress(UsageError):
        assert parse_address(text, role).repo.name


def test_a_link_without_its_scheme_is_a_link() -> None:
    found = parse_address("huggingface.co/owner/name", Side.TARGET)
    assert str(found) == "hf://owner/name"
    with pytest.raises(UsageError, match="known hub"):
        parse_address("example.org/owner/name", Side.SOURCE)
