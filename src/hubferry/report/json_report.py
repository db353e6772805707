"""From reports to the published ``--json`` shapes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from hubferry.errors import ExitCode
from hubferry.history import FileStory, RepoStory, kept_report
from hubferry.i18n import tr
from hubferry.model import Identity
from hubferry.outcome import ErrorRecord, HubStatus, PlanReport, RepoRef, RunReport
from hubferry.report import shapes


def dumps(shape: Any) -> str:
    """One JSON object on one line; foreign text that is no Unicode stays escaped."""
    text = json.dumps(asdict(shape), ensure_ascii=False)
    # A lone surrogate from a foreign path cannot be encoded: escape everything then.
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(asdict(shape))
    return text


def run_shape(report: RunReport) -> shapes.Run:
    """A copy, mirror, apply or verify."""
    return shapes.Run(
        run_id=report.run_id,
        command=report.command,
        source=_place(report.source),
        target=_place(report.target) if report.target else None,
        files=shapes.Files(**asdict(report.files)),
        bytes=shapes.Bytes(**asdict(report.bytes)),
        commits=report.commits,
        verified=report.verified,
        seconds=round(report.seconds, 3),
        errors=[failure(record) for record in report.errors],
        exit_code=report.exit_code,
        differences=[
            shapes.DifferenceItem(item.path, item.kind, tr(item.detail))  # type: ignore[arg-type]
            for item in report.differences
        ],
        notes=[tr(note) for note in report.notes],
        target_url=report.target_url,
    )


def failure_shape(command: str | None, record: ErrorRecord) -> shapes.Run:
    """A command that failed before it had a report."""
    return shapes.Run(
        run_id=None,
        command=command,
        source=None,
        target=None,
        files=shapes.Files(),
        bytes=shapes.Bytes(),
        commits=0,
        verified=None,
        seconds=0.0,
        errors=[failure(record)],
        exit_code=record.exit_code,
    )


def failure(record: ErrorRecord) -> shapes.Failure:
    """One error."""
    fields = asdict(record) | {
        "message": tr(record.message),
        "hint": tr(record.hint) if record.hint else None,
    }
    return shapes.Failure(**fields)


def plan_exit_code(report: PlanReport) -> int:
    """4 if the target is known to refuse the copy."""
    return ExitCode.CONFLICT if report.preflight.is_refused else ExitCode.OK


def plan_shape(report: PlanReport, command: str = "plan") -> shapes.PlanShape:
    """A plan with its preflight."""
    counts = Counter(entry.action.value for entry in report.plan.entries)
    return shapes.PlanShape(
        run_id=report.run_id,
        command=command,
        source=_place(report.source),
        target=_place(report.target),
        target_exists=report.target_exists,
        source_head=report.source_head,
        target_head=report.target_head,
        visibility=report.visibility,
        license=report.license,
        write_access=report.preflight.write_access.value,
        files=dict(counts),
        send_bytes=report.send_bytes,
        held_bytes=report.held_bytes,
        blobs_unasked=report.blobs_unasked,
        commits=report.commits,
        seconds_estimate=round(report.seconds_estimate, 3),
        speed_bytes_per_second=report.speed_bytes_per_second,
        is_speed_measured=report.is_speed_measured,
        advice=[
            shapes.AdviceItem(item.level, tr(item.text), item.path, item.source)
            for item in report.preflight.advice
        ],
        entries=[
            shapes.PlanItem(
                entry.path,
                entry.action.value,
                tr(entry.reason),
                entry.size_bytes,
                str(entry.sha256) if entry.sha256 else None,
            )
            for entry in report.plan.entries
        ],
        seconds=round(report.seconds, 3),
        errors=[],
        exit_code=plan_exit_code(report),
    )


def auth_exit_code(statuses: Sequence[HubStatus]) -> int:
    """The first hub's that could not be asked or did not accept the token."""
    return next((status.error.exit_code for status in statuses if status.error), ExitCode.OK)


def auth_shape(command: str, statuses: Sequence[HubStatus]) -> shapes.AuthShape:
    """Who the tokens belong to."""
    return shapes.AuthShape(
        command,
        [_hub(status) for status in statuses],
        [failure(status.error) for status in statuses if status.error],
        auth_exit_code(statuses),
    )


def _hub(status: HubStatus) -> shapes.HubItem:
    who = status.identity or Identity(None)
    return shapes.HubItem(
        hub=status.hub,
        title=status.title,
        endpoint=status.endpoint,
        user=who.user,
        organizations=list(who.organizations),
        token_source=who.token_source,
        token_masked=who.token_masked,
        token_role=who.token_role,
        namespace=status.namespace,
        may_write=status.may_write.value,
        error=failure(status.error) if status.error else None,
    )


def runs_shape(
    command: str, rows: Sequence[Mapping[str, Any]], file: str | None = None
) -> shapes.RunsShape:
    """Rows of the ledger."""
    return shapes.RunsShape(command, [_row(row) for row in rows], [], ExitCode.OK, file)


def run_shape_of(
    command: str,
    row: Mapping[str, Any],
    repos: Iterable[RepoStory],
    files: Iterable[FileStory] | None,
) -> shapes.RunsShape:
    """One run of the ledger with its repositories, and with their files where they are given."""
    item = replace(
        _row(row),
        repos=[_repo(repo) for repo in repos],
        files=[_file(file) for file in files] if files is not None else None,
    )
    return shapes.RunsShape(command, [item], [], ExitCode.OK)


def _row(row: Mapping[str, Any]) -> shapes.RunItem:
    fields = {name: row.get(name) for name in shapes.RunItem.__dataclass_fields__}
    # What is not done is told as `repos`, by those who are asked for one run.
    kept = {name: value for name, value in kept_report(row).items() if name != "items"} or None
    counts = kept.get("counts") if kept else None
    return shapes.RunItem(**(fields | {"report": kept, "counts": counts}))


def _repo(repo: RepoStory) -> shapes.RepoItem:
    fields = {name: getattr(repo, name) for name in shapes.RepoItem.__dataclass_fields__}
    fields |= {
        "seconds": round(repo.seconds, 3),
        "files": shapes.Files(**asdict(repo.files)),
        "errors": [failure(error) for error in repo.errors],
    }
    return shapes.RepoItem(**fields)


def _file(file: FileStory) -> shapes.FileItem:
    fields = {name: getattr(file, name) for name in shapes.FileItem.__dataclass_fields__}
    error = failure(file.error) if file.error else None
    return shapes.FileItem(**(fields | {"error": error}))


def ledger_shape(
    command: str, stats: Mapping[str, Any], vacuumed: tuple[int, int] | None = None
) -> shapes.LedgerShape:
    """How large the ledger is, and what a vacuum made of it."""
    before, after = vacuumed or (None, None)
    return shapes.LedgerShape(
        command, **stats, before_bytes=before, after_bytes=after, errors=[], exit_code=ExitCode.OK
    )


def _place(ref: RepoRef) -> shapes.Place:
    return shapes.Place(**asdict(ref))
