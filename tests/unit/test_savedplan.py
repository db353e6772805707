"""Plans in files: what was saved comes back, and nothing else is taken for a plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.memory_world import MODEL, SOURCE, TARGET, World

from hubferry.errors import LocalError, UsageError
from hubferry.model import RefusedPath, Visibility
from hubferry.outcome import PlanReport
from hubferry.plan import Action, OnConflict, Policy
from hubferry.savedplan import FORMAT, load_plan, save_plan
from hubferry.text import T
from hubferry.transfer import Job, plan_repo

FULL = Policy(
    include=("*.bin", "a/"),
    exclude=("*.txt",),
    on_conflict=OnConflict.SKIP,
    is_mirror=True,
    delete_hub_files=True,
    max_delete=3,
    visibility=Visibility.PRIVATE,
    license="mit",
    commit_message="好 {x}",
    backup_tag="before",
)


def made(policy: Policy = FULL, *, old: dict[str, bytes] | None = None) -> PlanReport:
    world = World()
    world.seed()
    if old is not None:
        world.seed_target(old)
    return plan_repo(Job("run", "plan", SOURCE, TARGET, policy), world.tools)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plan.json"


def test_what_was_saved_comes_back(path: Path) -> None:
    report = made(old={"weights-1.bin": b"old"})
    source, target = replace(SOURCE, revision="c1"), replace(TARGET, revision="main")
    save_plan(report, FULL, source, target, path)
    saved = load_plan(path)
    assert saved.format == FORMAT
    assert saved.command == "mirror"
    assert (saved.source, saved.target, saved.policy) == (source, target, FULL)
    assert (saved.source_head, saved.target_head) == (report.source_head, report.target_head)
    assert (saved.send_bytes, saved.commits) == (report.send_bytes, report.commits)
    assert [entry.path for entry in saved.entries] == [e.path for e in report.plan.entries]
    assert list(path.parent.iterdir()) == [path], "nothing half-written stays"


def test_a_target_that_does_not_exist_has_no_head(path: Path) -> None:
    save_plan(made(Policy()), Policy(), SOURCE, TARGET, path)
    saved = load_plan(path)
    assert saved.target_head is None
    assert saved.command == "copy"
    assert {entry.path for entry in saved.entries} == set(MODEL)
    assert {entry.action for entry in saved.entries} == {Action.INLINE.value, Action.UPLOAD.value}


def test_a_path_that_is_not_utf8_is_shown_escaped(path: Path) -> None:
    report = made(Policy())
    odd = RefusedPath("bad-\ud800", T("the path is not valid Unicode"))
    entry = replace(report.plan.entries[0], path=odd.path, action=Action.REFUSED, reason=odd.reason)
    report = replace(report, plan=replace(report.plan, entries=(entry,)))
    save_plan(report, Policy(), SOURCE, TARGET, path)
    assert load_plan(path).entries[0].path == r"bad-\ud800"


def test_saving_replaces_an_older_plan(path: Path) -> None:
    path.write_text("older")
    save_plan(made(), FULL, SOURCE, TARGET, path)
    assert load_plan(path).policy == FULL


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="cannot be written"):
        save_plan(made(), FULL, SOURCE, TARGET, tmp_path / "missing" / "plan.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(LocalError, match="cannot be written"):
        save_plan(made(), FULL, SOURCE, TARGET, tmp_path / "folder")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"{}",
        b'"hubferry-plan/1"',
        b"\xff\xfe\x00",
        b'{"format": "hubferry-plan/1"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_plan_is_told(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not a plan") as caught:
        load_plan(path)
    assert "hubferry plan" in str(caught.value.hint)


def test_a_plan_of_another_version_is_told(path: Path) -> None:
    save_plan(made(), FULL, SOURCE, TARGET, path)
    data = json.loads(path.read_bytes())
    path.write_text(json.dumps(data | {"format": "hubferry-plan/2"}))
    with pytest.raises(UsageError, match="another version"):
        load_plan(path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.pop("source"),
        lambda data: data["policy"].update(on_conflict="perhaps"),
        lambda data: data["policy"].update(include="*.bin"),
        lambda data: data["source"].update(repo="hf://org/name"),
        lambda data: data.update(commits="many"),
    ],
)
def test_a_spoiled_plan_is_told(path: Path, spoil: Callable[[dict[str, object]], object]) -> None:
    save_plan(made(), FULL, SOURCE, TARGET, path)
    data = json.loads(path.read_bytes())
    spoil(data)
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError, match="is not a plan"):
        load_plan(path)


def test_a_missing_file_is_told(path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_plan(path)
    with pytest.raises(UsageError, match="cannot be read"):
        load_plan(path.parent)
