"""``hubferry runs``: past runs, and runs of other terminals."""

from __future__ import annotations

from typing import Any

import click

from hubferry.cli import options as opt
from hubferry.cli.localized import OUTPUT, Command, Group
from hubferry.cli.running import Invocation
from hubferry.cli.values import WholeNumber
from hubferry.errors import UsageError
from hubferry.report.json_report import runs_shape
from hubferry.report.run_tables import print_control, print_run_row, print_runs
from hubferry.text import T

Row = dict[str, Any]


@click.group("runs", cls=Group, about=T("Show past runs; pause, resume or stop running ones."))
@opt.lang_option
def runs(**options: Any) -> None:
    """The ledger's history."""


@runs.command("list", cls=Command, about=T("List the latest runs."))
@opt.option(
    "--limit",
    type=WholeNumber(min=1),
    default=20,
    show_default=True,
    metavar="N",
    about=T("How many runs to list."),
    section=OUTPUT,
)
@opt.record
@opt.output
@click.pass_context
def list_runs(ctx: click.Context, /, **options: Any) -> int:
    """Ask the ledger, print."""
    with Invocation(ctx, options) as call:
        rows = call.app.runs(options["limit"])
        call.emit(runs_shape(call.command, rows), lambda out: print_runs(out, rows))
        return 0


@runs.command("show", cls=Command, about=T("Show one run by its id, or by how its id begins."))
@click.argument("run_id", metavar="ID")
@opt.record
@opt.output
@click.pass_context
def show_run(ctx: click.Context, /, **options: Any) -> int:
    """Ask the ledger, print.

    Raises:
        UsageError: the ledger knows no such run.
    """
    with Invocation(ctx, options) as call:
        row = _known(call.app.run(options["run_id"]), options["run_id"])
        call.emit(runs_shape(call.command, [row]), lambda out: print_run_row(out, row))
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
