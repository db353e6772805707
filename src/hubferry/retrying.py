"""Trying again what a past run left undone: what that was is read from the ledger.

A retry of a batch is a batch of a few pairs, one of a copy is the same copy; so there is
nothing that a retry can do and they cannot.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from hubferry.addresses import parse_address
from hubferry.batch.values import BatchReport, Notice
from hubferry.errors import ExitCode, Side, UsageError
from hubferry.guards import Confirm
from hubferry.history import ASKED, RunStory, policy_asked
from hubferry.hubs import LOCAL
from hubferry.model import Address, RepoId
from hubferry.outcome import RunReport
from hubferry.plan import Policy
from hubferry.text import T, Text

if TYPE_CHECKING:
    from hubferry.app import App

_COPIES = ("copy", "mirror")


def retry_run(
    app: App, story: RunStory, manifest: Path | None, confirm: Confirm
) -> BatchReport | RunReport | None:
    """Take up again what failed in a run; None if nothing did.

    Args:
        manifest: read instead of the one that the run was started with.

    Raises:
        UsageError: the run is on its way, or what it was asked for is not known any more.
    """
    if story.state not in ("finished", "dead"):
        raise UsageError(
            T("run {run_id} is on its way", run_id=story.run_id),
            hint=T(
                "wait for its end, or stop it with 'hubferry runs cancel {run_id}'",
                run_id=story.run_id,
            ),
        )
    if story.is_batch:
        return _retry_batch(app, story, manifest)
    return _retry_copy(app, story, confirm)


def _retry_copy(app: App, story: RunStory, confirm: Confirm) -> RunReport | None:
    if story.exit_code == ExitCode.OK:
        return None
    if story.command not in _COPIES:
        raise UsageError(
            T("a run of '{command}' is not tried again", command=story.command),
            hint=T("run the same command again"),
        )
    policy = _policy_of(app, story)
    source, target = _address(app, story.source), _address(app, story.target)
    if story.command == "mirror":
        return app.mirror(source, target, policy, confirm=confirm)
    return app.copy(source, target, policy)


def _policy_of(app: App, story: RunStory) -> Policy:
    for event in app.ledger().events_of(story.run_id):
        if event["kind"] == ASKED:
            try:
                return policy_asked(json.loads(event["detail"] or "{}"))
            except ValueError:
                break
    raise UsageError(
        T("the ledger does not know what run {run_id} was asked for", run_id=story.run_id),
        hint=T("run the same command again"),
    )


def _retry_batch(app: App, story: RunStory, manifest: Path | None) -> BatchReport | None:
    from hubferry.batching import BatchOptions
    from hubferry.manifest import load_manifest

    pairs = [(repo.source, repo.target) for repo in story.bad]
    if not pairs:
        if story.exit_code == ExitCode.OK:
            return None
        raise UsageError(
            T("run {run_id} failed as a whole, before any repository", run_id=story.run_id),
            hint=_again(story, manifest),
        )
    path = manifest or Path(story.source)
    if not path.is_file():
        raise UsageError(
            T("the manifest {path} of run {run_id} is not there", path=path, run_id=story.run_id),
            hint=T("name the manifest as it is now with --manifest FILE"),
        )
    loaded = load_manifest(path, endpoints=app.endpoints())
    report = app.batch(loaded, BatchOptions(only_pairs=pairs))
    _tell_missing(report, pairs, path)
    return report


def _tell_missing(report: BatchReport, pairs: Collection[tuple[str, str]], path: Path) -> None:
    """Say what the manifest, which may have been changed, does not mean any more."""
    found = {(item.source, item.target) for item in report.items}
    found |= {(item.source, item.target) for item in report.left_out}
    for source, target in pairs:
        if (source, target) not in found:
            text = T("{path} does not bring it to {target} any more", path=path, target=target)
            report.notices.append(Notice("missing", source, text))


def _again(story: RunStory, manifest: Path | None) -> Text:
    path = manifest or story.source
    return T("look at it with 'hubferry runs show', then: hubferry batch {path}", path=path)


def _address(app: App, text: str) -> Address:
    """An address as the ledger keeps it, whose local paths are not escaped as in a URL."""
    local = f"{LOCAL}://"
    if text.startswith(local):
        return Address(RepoId(LOCAL, text.removeprefix(local)))
    return parse_address(text, Side.SOURCE, app.endpoints())
