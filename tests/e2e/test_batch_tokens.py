"""A token that is taken back in the middle of a batch, and given anew where the manifest says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hubferry.app import App, HubSettings, Settings
from hubferry.batch import causes
from hubferry.batch.running import Limits
from hubferry.batch.values import ItemState
from hubferry.batching import BatchOptions
from hubferry.cli.batching import merged_hubs
from hubferry.events import Event, HeldUp, RepoStarted
from hubferry.lab.server import Lab
from hubferry.manifest import load_manifest

OLD, NEW = "old-canary-Qz81LmRt42", "new-canary-Wx36KpYd57"


def test_a_token_that_a_file_holds_is_read_again_once_it_is_refused(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_waits: list[float]
) -> None:
    monkeypatch.setattr(causes, "FIRST_PROBE_SECONDS", 0.1)
    for name in ("one", "six", "two"):
        repo = lab.hf.repos.create("model", f"source-org/{name}", created_by="source-org")
        repo.is_private = True
        repo.commit({"README.md": f"# {name}".encode()})
    accounts, place = lab.hf.accounts, tmp_path / "token"
    for token in (OLD, NEW):
        accounts.add(token, "source-org")
    place.write_text(OLD)
    listed = tmp_path / "list.yaml"
    listed.write_text(
        f"version: 1\nhubs:\n  hf:\n    token: file:{place}\n"
        "defaults:\n  target: ms://your-org/{name}\n  visibility: private\nentries:\n"
        "  - source: hf://source-org/*\n"
    )
    given = {"hf": HubSettings(lab.hf.endpoint), "ms": HubSettings(lab.ms.endpoint, lab.ms.token)}
    manifest = load_manifest(listed, endpoints={hub: own.endpoint for hub, own in given.items()})
    manifest = replace(manifest, repos_at_once=1)
    held: list[HeldUp] = []

    def take(event: Event) -> None:
        if isinstance(event, RepoStarted) and event.number == 2:
            accounts.revoke(OLD)
        elif isinstance(event, HeldUp):
            held.append(event)
            place.write_text(NEW)

    settings = Settings(hubs=merged_hubs(given, manifest), state_dir=tmp_path / "state")
    with App(settings, take) as app:
        report = app.batch(manifest, BatchOptions(limits=Limits(trouble_seconds=5.0)))
    assert [item.state for item in report.items] == [ItemState.COPIED] * 3, [
        str(i.error and i.error.message) for i in report.items
    ]
    assert [event.is_over for event in held] == [False, True]
