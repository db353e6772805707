"""Trying again what a past run left undone: what that was is read from the ledger.

A retry of a batch is a batch of a few pairs, one of a copy is the same copy; so there is
nothing that a retry can do and they cannot.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubferry.addresses import parse_address
from hubferry.batch.values import BatchReport, Notice
from hubferry.errors import ExitCode, Side, UsageError
from hubferry.events import Note
from hubferry.guards import Confirm
from hubferry.history import ASKED, RunStory, policy_asked
from hubferry.hubs import LOCAL
from hubferry.manifest.values import Manifest
from hubferry.model import Address, RepoId
from hubferry.outcome import RunReport
from hubferry.plan import Policy
from hubferry.text import T

if TYPE_CHECKING:
    from hubferry.app import App
    from hubferry.batching import BatchOptions

_COPIES = ("copy", "mirror")


def has_failed(story: RunStory) -> bool:
    """True if there is something to try again.

    Raises:
        UsageError: the run is on its way, is of a kind that is not tried again, or failed before
            it came to anything.
    """
    run_id = story.run_id
    if story.state not in ("finished", "dead"):
        raise UsageError(
            T("run {run_id} is on its way", run_id=run_id),
            hint=T("wait for its end, or stop it: hubferry runs cancel {run_id}", run_id=run_id),
        )
    if story.exit_code == ExitCode.OK:
        return False
    if story.is_batch and (story.bad or story.state == "dead"):
        return True
    if story.is_batch and story.counts and not story.errors:
        return False  # what is not done was not due
    if story.is_batch and story.errors:
        raise UsageError(
            T("run {run_id} failed as a whole, not in single repositories", run_id=run_id),
            hint=T("start the batch again: hubferry batch {manifest}", manifest=story.source),
        )
    if story.is_batch:
        raise UsageError(
            T("run {run_id} ended before it came to any repository", run_id=run_id),
            hint=T("start the batch again: hubferry batch {manifest}", manifest=story.source),
        )
    if story.command not in _COPIES:
        raise UsageError(
            T("a run of '{command}' is not tried again", command=story.command),
            hint=T("run the same command again"),
        )
    return True


def retry_copy(app: App, story: RunStory, confirm: Confirm) -> RunReport | None:
    """See ``App.retry_copy``."""
    if not has_failed(story):
        return None
    policy = _policy(_asked(app, story), story)
    source, target = _address(app, story.source), _address(app, story.target)
    if story.command == "mirror":
        return app.mirror(source, target, policy, confirm=confirm)
    return app.copy(source, target, policy)


def retry_batch(
    app: App, story: RunStory, manifest: Manifest | None, options: BatchOptions | None
) -> BatchReport | None:
    """See ``App.retry_batch``."""
    from hubferry.batching import BatchOptions

    if not has_failed(story):
        return None
    manifest = manifest or manifest_of(app, story)
    # So that this run can be tried again as well.
    asked = (_asked(app, story) or {}) | {"path": str(Path(manifest.file).absolute())}
    given = replace(options or BatchOptions(), asked=asked)
    if story.state == "dead":
        # Nobody noted what it had not come to; what is done costs next to nothing.
        text = T("run {run_id} died: the whole manifest is looked at", run_id=story.run_id)
        app.observe(Note("warning", text))
        return app.batch(manifest, given)
    pairs = [(repo.source, repo.target) for repo in story.bad]
    report = app.batch(manifest, replace(given, only_pairs=pairs))
    _tell_missing(report, pairs, manifest.file)
    return report


def _tell_missing(report: BatchReport, pairs: Collection[tuple[str, str]], file: str) -> None:
    """Say what the manifest, which may have been changed, does not mean any more."""
    found = {(item.source, item.target) for item in report.items}
    found |= {(item.source, item.target) for item in report.left_out}
    for source, target in pairs:
        if (source, target) not in found:
            text = T("{file} does not bring it to {target} any more", file=file, target=target)
            report.notices.append(Notice("missing", source, text))


# --- what was asked for ----------------------------------------------------------


def manifest_of(app: App, story: RunStory, path: Path | None = None) -> Manifest:
    """See ``App.manifest_of``."""
    from hubferry.manifest import Defaults, load_manifest

    asked = _asked(app, story) or {}
    file = path or Path(asked.get("path") or story.source)
    if not file.is_file():
        raise UsageError(
            T("the manifest {path} of run {run_id} is not there", path=file, run_id=story.run_id),
            hint=T("name the manifest as it is now with --manifest FILE"),
        )
    policy = _policy(asked["policy"], story) if isinstance(asked.get("policy"), dict) else Policy()
    return load_manifest(
        file,
        endpoints=app.endpoints(),
        defaults=Defaults(asked.get("target"), policy),
    )


def _asked(app: App, story: RunStory) -> dict[str, Any] | None:
    """What the run was asked for, as it was noted at its start; None if it was not."""
    run = app.ledger().run(story.run_id) or {}
    for event in run.get("facts") or ():
        if event["kind"] == ASKED:
            detail = json.loads(event["detail"] or "{}")
            return detail if isinstance(detail, dict) else None
    return None


def _policy(detail: dict[str, Any] | None, story: RunStory) -> Policy:
    try:
        if detail is not None:
            return policy_asked(detail)
    except ValueError:
        pass
    raise UsageError(
        T("the ledger does not know what run {run_id} was asked for", run_id=story.run_id),
        hint=T("run the same command again"),
    )


def _address(app: App, text: str) -> Address:
    """An address as the ledger keeps it, whose local paths are not escaped as in a URL."""
    local = f"{LOCAL}://"
    if text.startswith(local):
        return Address(RepoId(LOCAL, text.removeprefix(local)))
    return parse_address(text, Side.SOURCE, app.endpoints())
