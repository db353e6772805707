"""What a source can be, and where a template leads."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubferry.addresses import parse_address
from hubferry.errors import Side, UsageError
from hubferry.hubs import HUBS
from hubferry.manifest.sources import parse_source
from hubferry.manifest.templates import target_of
from hubferry.manifest.values import Collection, OwnerPattern
from hubferry.model import Address, RepoId, RepoQuery


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "meant"),
    {
        "org/name": "hf://org/name",
        "gpt2": "hf://gpt2",
        "ms://org/name@v1": "ms://org/name@v1",
        "https://huggingface.co/org/name?library=x": "hf://org/name",
        "https://huggingface.co/org/name/tree/v1": "hf://org/name@v1",
        "/data/m[1]": "file:///data/m[1]",
        "hf://org/*": "hf://org/*",
        "HF://org/bert-[ab]?": "hf://org/bert-[ab]?",
        "org/*": "hf://org/*",
        "hf://models/org/*": "hf://org/*",
        "ms://org/*": "ms://org/*",
        "hf://collections/owner/title-0123": "hf://collections/owner/title-0123",
        "https://huggingface.co/collections/owner/title-0123": "hf://collections/owner/title-0123",
        "huggingface.co/collections/owner/title-0123/": "hf://collections/owner/title-0123",
        "https://hf-mirror.com/collections/o/t-1": "hf://collections/o/t-1",
        "ms://collections/name": "ms://collections/name",
    }.items(),
)
def test_what_a_source_can_be(text: str, meant: str) -> None:
    assert str(parse_source(text)) == meant


def test_the_kinds_of_source_are_values_of_their_own() -> None:
    assert parse_source("hf://o/a*") == OwnerPattern("hf", RepoQuery(owner="o"), "a*")
    assert parse_source("hf://collections/o/t-1") == Collection("hf", "o/t-1")
    endpoints = {"hf": "https://hub.example.org"}
    link = "https://hub.example.org/collections/o/t-1"
    assert parse_source(link, endpoints) == Collection("hf", "o/t-1")


@pytest.mark.parametrize(
    ("text", "told", "how"),
    [
        ("hf://*/bert", "the owner of a pattern must be named in full", "hf://owner/*"),
        ("hf://*", "the owner of a pattern must be named in full", "hf://owner/*"),
        ("hf://org/a/*", "not a repository name", "hf://owner/name"),
        ("hf://org/*@v1", "a pattern cannot name a revision", "'revisions'"),
        ("hf://org/a b*", "not a pattern of repository names", "hf://owner/*"),
        ("hf://org/", "names an owner and no repository", "hf://org/*"),
        ("org/", "names an owner and no repository", "hf://org/*"),
        ("hf://datasets/org/*", "datasets cannot be copied yet", "datasets come next"),
        ("hf://spaces/org/*", "a space cannot be copied", "only model repositories"),
        ("hf://collections/owner", "is no collection", "hf://collections/owner/name-id"),
        ("https://huggingface.co/collections/owner", "is no collection", "paste its link"),
        ("xx://org/*", "no hub has the scheme xx://", "hf://owner/name"),
    ],
)
def test_what_is_no_source_is_refused_with_the_right_form(text: str, told: str, how: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert told in str(caught.value)
    assert how in str(caught.value.hint)


def filled(template: str, source: str, revision: str | None = None) -> str:
    return str(target_of(template, parse_address(source, Side.SOURCE), revision))


@pytest.mark.parametrize(
    ("template", "source", "revision", "target"),
    [
        ("ms://my-org/{name}", "hf://org/bert", None, "ms://my-org/bert"),
        ("my-org/{owner}-{name}", "hf://org/bert", None, "ms://my-org/org-bert"),
        ("ms://my-org/{name}", "gpt2", None, "ms://my-org/gpt2"),
        ("ms://my-org/", "gpt2", None, "ms://my-org/gpt2"),
        ("my-org/", "hf://org/bert", None, "ms://my-org/bert"),
        ("ms://o/{name}@{revision}", "hf://a/b", "v1", "ms://o/b@v1"),
        ("ms://o/{name}@{revision}", "hf://a/b@v2", None, "ms://o/b@v2"),
        ("ms://o/{name}@{revision}", "hf://a/b", None, "ms://o/b"),
        ("ms://o/{name}@{revision}", "hf://a/b", "refs/pr/1", "ms://o/b@refs/pr/1"),
        ("ms://o/{name}-{revision}", "hf://a/b", "v1.0", "ms://o/b-v1.0"),
        ("ms://o/fixed", "hf://a/b", "v1", "ms://o/fixed"),
        ("ms://o/{name}", "/data/models/my-model", None, "ms://o/my-model"),
        ("/data/{owner}/{name}", "hf://a/b", None, "file:///data/a/b"),
        ("hf://o/{name}", "ms://a/b", None, "hf://o/b"),
    ],
)
def test_where_a_template_leads(
    template: str, source: str, revision: str | None, target: str
) -> None:
    assert filled(template, source, revision) == target


@pytest.mark.parametrize(
    ("template", "source", "revision", "told"),
    [
        ("ms://{owner}/{name}", "gpt2", None, "hf://gpt2 has no owner to put in place of {owner}"),
        ("ms://{owner}/x", "/data/m", None, "has no owner"),
        ("ms://o/{nam}", "a/b", None, "'{nam}' is no placeholder"),
        ("ms://o/{}", "a/b", None, "'{}' is no placeholder"),
        ("ms://o/{name", "a/b", None, "'{' is no placeholder"),
        ("ms://o/name}", "a/b", None, "'}' is no placeholder"),
        ("ms://o/{{name}}", "a/b", None, "'{' is no placeholder"),
        ("ms://o/{name.x}", "a/b", None, "'{name.x}' is no placeholder"),
        ("ms://o/{name!r}", "a/b", None, "'{name!r}' is no placeholder"),
        ("ms://o/n-{revision}", "a/b", None, "hf://a/b names no revision to put in place"),
        ("/data/{name}/{revision}", "a/b", "../../etc", "cannot be a part of a target"),
        ("/data/{name}/{revision}", "a/b", "/etc", "cannot be a part of a target"),
        ("ms://o/{name}/x", "a/b", None, "not a repository name of ModelScope"),
    ],
)
def test_a_template_that_leads_nowhere(
    template: str, source: str, revision: str | None, told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        filled(template, source, revision)
    assert told in str(caught.value)
    assert caught.value.hint is not None


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True).filter(
    lambda name: ".." not in name and name not in ("datasets", "spaces", "studios", "models")
)


@given(NAMES, NAMES, NAMES)
def test_a_filled_template_is_the_address_written_out(org: str, owner: str, name: str) -> None:
    source = Address(RepoId("hf", f"{owner}/{name}"))
    assert target_of(f"ms://{org}/{{name}}", source) == target_of(f"ms://{org}/", source)
    assert target_of(f"ms://{org}/{{name}}", source).repo == RepoId("ms", f"{org}/{name}")


@given(st.text(max_size=30))
def test_no_revision_leads_out_of_a_local_folder(revision: str) -> None:
    try:
        target = target_of("/data/mirror/{revision}", Address(RepoId("hf", "a/b")), revision)
    except UsageError:
        return
    assert target.repo.name.startswith("/data/mirror")
    assert ".." not in Path(target.repo.name).parts


def test_the_table_of_hubs_knows_their_default_branches() -> None:
    from hubferry.hubs.huggingface.hub import TRAITS as HF
    from hubferry.hubs.local.hub import TRAITS as LOCAL
    from hubferry.hubs.modelscope.hub import TRAITS as MS

    for traits in (HF, LOCAL, MS):
        assert HUBS[traits.name].default_branch == traits.default_branch
        assert (HUBS[traits.name].parse_collection is not None) == traits.has_collections
