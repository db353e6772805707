"""A batch put together for real: folders on this machine stand for hubs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hubferry.app import App, Settings
from hubferry.batch.expanding import Expander, _Revision
from hubferry.batch.values import BatchReport, ItemState
from hubferry.batching import Batching, BatchOptions
from hubferry.errors import (
    AccessError,
    ConflictError,
    LedgerError,
    RefusedError,
    UsageError,
)
from hubferry.hooks import Hooks
from hubferry.hubs.local.hub import LocalHub
from hubferry.ledger import Ledger
from hubferry.manifest.values import Entry, Manifest, Place
from hubferry.model import Access, Address, RepoId


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(Settings(state_dir=tmp_path / "state"))


def manifest(folder: Path, *names: str) -> Manifest:
    entries = []
    for number, name in enumerate(names, 1):
        source = folder / "from" / name
        source.mkdir(parents=True)
        (source / "README.md").write_text(f"# {name}")
        target = str(folder / "to" / name)
        place = Place("list.txt", number)
        entries.append(Entry(place, Address(RepoId("file", str(source))), target))
    return Manifest("list.txt", tuple(entries))


def errors(report: BatchReport) -> list[str]:
    return [item.error.error for item in report.items if item.error]


@pytest.mark.parametrize("call", ["end_attempt", "remember"])
def test_a_ledger_that_fails_takes_nothing_away_from_what_was_done(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*args: Any) -> None:
        raise LedgerError("the disk is full")

    monkeypatch.setattr(Ledger, call, fail)
    with app:
        report = app.batch(manifest(tmp_path, "a", "b"))
    assert [item.commits for item in report.items] == [1, 1]
    assert (tmp_path / "to" / "b" / "README.md").read_text() == "# b"
    assert errors(report) == ["ledger", "ledger"]
    assert report.exit_code == 3


def test_a_tag_that_cannot_be_made_is_told_beside_what_was_copied(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise RefusedError("no tags today")

    tagged = _Revision(None, ("v1",))
    monkeypatch.setattr(Expander, "_revisions", lambda *args: [tagged])
    monkeypatch.setattr(Batching, "_tag", refuse)
    with app:
        report = app.batch(manifest(tmp_path, "a"))
    [item] = report.items
    assert (item.state, item.commits, errors(report)) == (ItemState.FAILED, 1, ["refused"])
    assert item.error is not None
    assert (item.error.side, item.error.step) == ("target", "tag")


def test_why_a_batch_failed_as_a_whole_is_kept(app: App, tmp_path: Path) -> None:
    both = manifest(tmp_path, "a", "b")
    first, second = both.entries
    shared = replace(both, entries=(first, replace(second, target=first.target)))
    with app:
        with pytest.raises(ConflictError, match="same target"):
            app.batch(shared)
        [row] = app.runs()
        story = app.story(row)
        assert [error.error for error in story.errors] == ["conflict"]
        assert "same target" in str(story.errors[0].message)
        with pytest.raises(UsageError, match="failed as a whole"):
            app.retry(story.run_id)


def test_hooks_hear_of_an_end_that_nobody_foresaw(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[BatchReport] = []

    def break_down(*args: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(Hooks, "ended", lambda self, report: told.append(report))
    monkeypatch.setattr(Expander, "expand", break_down)
    with app, pytest.raises(RuntimeError):
        app.batch(manifest(tmp_path, "a"))
    assert [str(error.message) for error in told[0].errors] == ["RuntimeError: a bug of ours"]


def test_the_entry_that_may_not_be_written_to_is_named(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def access(self: LocalHub, repo: RepoId) -> Access:
        return Access.NO if "closed" in repo.name else Access.YES

    both = manifest(tmp_path, "a", "b")
    first, second = both.entries
    closed = replace(second, target=str(tmp_path / "closed" / "b"))
    monkeypatch.setattr(LocalHub, "write_access", access)
    with app:
        check = app.check_manifest(replace(both, entries=(first, closed)))
    assert [error.error for error in check.errors] == ["access"]
    assert str(check.errors[0].message).startswith("list.txt:2: the token may not write")
    assert check.exit_code == 11
    with app, pytest.raises(AccessError):
        app.check_manifest(replace(both, entries=(closed,)))


def test_a_webhook_does_not_wait_for_the_next_try_of_what_failed(app: App, tmp_path: Path) -> None:
    one = manifest(tmp_path, "a")
    source = one.entries[0].source
    assert isinstance(source, Address)
    hidden = Path(source.repo.name).rename(tmp_path / "elsewhere")
    later = BatchOptions(retry_seconds=900.0)

    def state(options: BatchOptions) -> ItemState:
        with App(app.settings) as another:
            return another.batch(one, options).items[0].state

    assert state(later) is ItemState.FAILED
    hidden.rename(source.repo.name)
    assert state(later) is ItemState.WAITING
    assert state(replace(later, only=[str(source.repo)])) is ItemState.COPIED
