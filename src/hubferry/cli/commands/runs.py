"""``hubferry runs``: past runs, what to do about them, and runs of other terminals."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubferry.cli import options as opt
from hubferry.cli.batching import BatchInvocation, batch_options, hook_option
from hubferry.cli.localized import OUTPUT, WHICH, Command, Group
from hubferry.cli.running import Invocation
from hubferry.cli.values import DURATION, LocalPath, WholeNumber
from hubferry.errors import UsageError
from hubferry.i18n import tr
from hubferry.report.json_report import run_shape_of, runs_shape
from hubferry.report.run_tables import print_attempt, print_control, print_runs, print_story
from hubferry.report.tables import say
from hubferry.text import T

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubferry.history import RepoStory, RunStory
    from hubferry.manifest.values import Manifest

Row = dict[str, Any]


@click.group(
    "runs",
    cls=Group,
    about=T("Show past runs, try again what failed; pause, resume or stop running ones."),
)
@opt.lang_option
def runs(**options: Any) -> None:
    """The ledger's history."""


_format_option = opt.option(
    "--format",
    type=click.Choice(["table", "csv"]),
    default="table",
    show_default=True,
    about=T("A table for people, or CSV for a spreadsheet."),
    section=OUTPUT,
)


@runs.command(
    "list", cls=Command, about=T("List the latest runs; batches with what became of them.")
)
@opt.option(
    "--limit",
    type=WholeNumber(min=1),
    default=20,
    show_default=True,
    metavar="N",
    about=T("How many runs to list."),
    section=OUTPUT,
)
@opt.option(
    "--command",
    metavar="NAME",
    about=T("Only runs of this command, such as copy, mirror or batch."),
    section=WHICH,
)
@opt.flag(
    "--failed",
    about=T("Only runs that ended with another exit code than 0, or died."),
    section=WHICH,
)
@opt.option(
    "--since",
    type=DURATION,
    metavar="DURATION",
    about=T("Only runs that began within this time, such as 12h or 7d."),
    section=WHICH,
)
@_format_option
@opt.record
@opt.output
@click.pass_context
def list_runs(ctx: click.Context, /, **options: Any) -> int:
    """Ask the ledger, print."""
    with Invocation(ctx, options) as call:
        is_csv = _is_csv(options)
        since = options["since"]
        rows = call.app.runs(
            options["limit"],
            command=options["command"],
            is_failed=options["failed"],
            since_unix=None if since is None else time.time() - since,
        )
        if is_csv:
            from hubferry.report import csv_report

            csv_report.print_csv(csv_report.runs_lines(rows))
        else:
            call.emit(runs_shape(call.command, rows), lambda out: print_runs(out, rows))
        return 0


@runs.command(
    "show",
    cls=Command,
    about=T(
        "Show one run by its id, or by how its id begins.\n\n"
        "Of a batch it shows the repositories: what became of each, why it failed and what to do. "
        "ID/NUMBER.TRY is one try at one repository, with its files."
    ),
)
@click.argument("run_id", metavar="ID")
@opt.option(
    "--repo",
    metavar="TEXT",
    about=T("Only repositories whose source or target has this in its name."),
    section=WHICH,
)
@opt.flag(
    "--failed",
    about=T("Only repositories that are not done."),
    section=WHICH,
)
@opt.flag(
    "--files",
    about=T("Show each file: what was committed, and what failed and why."),
    section=WHICH,
)
@_format_option
@opt.record
@opt.output
@click.pass_context
def show_run(ctx: click.Context, /, **options: Any) -> int:
    """Ask the ledger, print.

    Raises:
        UsageError: the ledger knows no such run.
    """
    with Invocation(ctx, options) as call:
        is_csv = _is_csv(options)
        if "/" in options["run_id"]:
            return _show_attempt(call, is_csv)
        row = _known(call.app.run(options["run_id"]), options["run_id"])
        story = call.app.story(row)
        repos = _chosen(story, options)
        files = call.app.file_stories(story, repos) if options["files"] else None
        if is_csv:
            from hubferry.report import csv_report

            lines = (
                csv_report.repo_lines(story, repos)
                if files is None
                else csv_report.file_lines(story, files)
            )
            csv_report.print_csv(lines)
        elif call.is_json:
            call.emit(run_shape_of(call.command, row, repos, files), lambda out: None)
        else:
            events = row.get("facts") or ()
            call.emit(None, lambda out: print_story(out, story, repos, events, files))
        return 0


def _show_attempt(call: Invocation, is_csv: bool) -> int:
    attempt_id = call.options["run_id"]
    found = call.app.attempt(attempt_id)
    if found is None:
        raise UsageError(
            T("no try at a repository is called {attempt_id}", attempt_id=attempt_id),
            hint=T("'hubferry runs show ID --json' tells the tries of a run"),
        )
    row, story, events = found
    repo = story.repos[0]
    files = call.app.file_stories(story, [repo])
    if is_csv:
        from hubferry.report import csv_report

        csv_report.print_csv(csv_report.file_lines(story, files))
    elif call.is_json:
        shape = run_shape_of(call.command, row | {"facts": events}, [repo], files)
        call.emit(shape, lambda out: None)
    else:
        call.emit(None, lambda out: print_attempt(out, story, repo, events, files))
    return 0


def _chosen(story: RunStory, options: Row) -> Sequence[RepoStory]:
    wanted = (options["repo"] or "").lower()
    return [
        repo
        for repo in (story.bad if options["failed"] else story.repos)
        if wanted in repo.source.lower() or wanted in repo.target.lower()
    ]


def _is_csv(options: Row) -> bool:
    is_csv = bool(options["format"] == "csv")
    if is_csv and options["json"]:
        raise UsageError(
            T("--json and --format csv exclude each other"), hint=T("give one of the two")
        )
    return is_csv


@runs.command(
    "retry",
    cls=Command,
    about=T(
        "Take up again what failed in a run; ID as for 'runs show'.\n\n"
        "Of a batch these are the repositories that failed, are gone or were not finished, as its "
        "manifest has them now; of a copy it is the same copy. What was done is not asked again."
    ),
)
@click.argument("run_id", metavar="ID")
@opt.option(
    "--manifest",
    type=LocalPath(dir_okay=False, path_type=Path),
    metavar="FILE",
    about=T("The manifest of a batch, where it is not what it was started with."),
    section=WHICH,
)
@opt.yes_option
@opt.spooling
@batch_options
@hook_option
@opt.common
@click.pass_context
def retry_run(ctx: click.Context, /, **options: Any) -> int:
    """Read what was asked for, do it again, print.

    Raises:
        UsageError: the ledger knows no such run, or not what it was asked for.
    """
    story, manifest = _to_retry(options)
    if not story.is_batch:
        with Invocation(ctx, options) as call:
            report = call.app.retry_copy(story, confirm=call.confirm)
            return _nothing_failed(call, story) if report is None else call.finish(report)
    with BatchInvocation(ctx, options) as batch:
        if manifest is None:
            return _nothing_failed(batch, story)
        wanted = batch.use(manifest)
        done = batch.app.retry_batch(story, wanted, batch.options_of())
        return _nothing_failed(batch, story) if done is None else batch.finish_batch(done)


def _to_retry(options: Row) -> tuple[RunStory, Manifest | None]:
    """The run, and the manifest if it is a batch of which something is to be tried again.

    Read with an app of its own: a manifest says how its hubs are reached.
    """
    from hubferry.app import App
    from hubferry.cli.settings import settings_of
    from hubferry.control import CancelToken
    from hubferry.events import silent
    from hubferry.retrying import has_failed

    app = App(settings_of(options), observer=silent, cancel=CancelToken())
    try:
        story = app.story(_known(app.run(options["run_id"]), options["run_id"]))
        if not (story.is_batch and has_failed(story)):
            return story, None
        return story, app.manifest_of(story, options["manifest"])
    finally:
        app.close()


def _nothing_failed(call: Invocation, story: RunStory) -> int:
    text = T("nothing failed in run {run_id}: there is nothing to try again", run_id=story.run_id)
    call.emit(runs_shape(call.command, []), lambda out: say(out, tr(text)))
    return 0


@runs.command(
    "report",
    cls=Command,
    about=T(
        "Write a run as one HTML page; ID as for 'runs show'.\n\n"
        "It has everything in itself: tables, plots, why things failed and what to do. It opens "
        "without a network and loads nothing."
    ),
)
@click.argument("run_id", metavar="ID")
@opt.option(
    "--html",
    "--output",
    "html",
    type=opt.FILE,
    metavar="FILE",
    about=T("Where to write it; by default hubferry-ID.html in this folder."),
    section=OUTPUT,
)
@opt.record
@opt.output
@click.pass_context
def report_run(ctx: click.Context, /, **options: Any) -> int:
    """Ask the ledger, write the page.

    Raises:
        UsageError: the ledger knows no such run.
        LocalError: the file cannot be written.
    """
    with Invocation(ctx, options) as call:
        from hubferry.report.html import save_page

        row = _known(call.app.run(options["run_id"]), options["run_id"])
        path = options["html"] or Path(f"hubferry-{row['run_id']}.html")
        save_page(call.app.story(row), path)
        shown = row | {"facts": None}
        text = T("The report is in {path}", path=path)
        call.emit(
            runs_shape(call.command, [shown], str(path)),
            lambda out: say(out, tr(text)),
        )
        return 0


@runs.command(
    "pause",
    cls=Command,
    about=T(
        "Pause a run of another terminal; ID as for 'runs show'.\n\n"
        "No bytes move until 'runs resume', and nothing counts as stalled. A hub may drop an "
        "upload that waits for long; it is then sent again from its beginning."
    ),
)
@click.argument("run_id", metavar="ID")
@opt.record
@opt.output
@click.pass_context
def pause_run(ctx: click.Context, /, **options: Any) -> int:
    """Ask the run, print."""
    return _control(ctx, options, "pause")


@runs.command("resume", cls=Command, about=T("Let a paused run go on; ID as for 'runs show'."))
@click.argument("run_id", metavar="ID")
@opt.record
@opt.output
@click.pass_context
def resume_run(ctx: click.Context, /, **options: Any) -> int:
    """Ask the run, print."""
    return _control(ctx, options, "resume")


@runs.command(
    "cancel",
    cls=Command,
    about=T(
        "Stop a run of another terminal, as Ctrl-C there would; ID as for 'runs show'.\n\n"
        "It ends with exit code 130; the same command again goes on where it stopped."
    ),
)
@click.argument("run_id", metavar="ID")
@opt.record
@opt.output
@click.pass_context
def cancel_run(ctx: click.Context, /, **options: Any) -> int:
    """Ask the run, print."""
    return _control(ctx, options, "cancel")


def _control(ctx: click.Context, options: dict[str, Any], want: str) -> int:
    from hubferry.runcontrol import Want

    with Invocation(ctx, options) as call:
        row = _known(call.app.control_run(options["run_id"], Want(want)), options["run_id"])
        # What happened in it so far is for `runs show`.
        row = row | {"facts": None}
        call.emit(runs_shape(call.command, [row]), lambda out: print_control(out, row))
        return 0


def _known(row: Row | None, run_id: str) -> Row:
    if row is None:
        raise UsageError(
            T("no run is called {run_id}", run_id=run_id),
            hint=T("'hubferry runs list' shows them"),
        )
    return row
