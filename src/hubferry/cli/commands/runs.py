"""``hubferry runs list`` and ``hubferry runs show``."""

from __future__ import annotations

from typing import Any

import click

from hubferry.cli import options as opt
from hubferry.cli.localized import OUTPUT, Command, Group
from hubferry.cli.running import Invocation
from hubferry.cli.values import WholeNumber
from hubferry.errors import UsageError
from hubferry.report.json_report import runs_shape
from hubferry.report.run_tables import print_run_row, print_runs
from hubferry.text import T


@click.group("runs", cls=Group, about=T("Show past runs."))
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
        row = call.app.run(options["run_id"])
        if row is None:
            raise UsageError(
                T("no run is called {run_id}", run_id=options["run_id"]),
                hint=T("'hubferry runs list' shows them"),
            )
        found = row
        call.emit(runs_shape(call.command, [found]), lambda out: print_run_row(out, found))
        return 0
