"""``hubferry ledger``: how large the record is, and what is in it."""

from __future__ import annotations

from typing import Any

import click

from hubferry.cli import options as opt
from hubferry.cli.localized import OUTPUT, Command, Group
from hubferry.cli.running import Invocation
from hubferry.report.json_report import ledger_shape
from hubferry.report.ledger_tables import print_ledger, print_rows, print_vacuumed, save_rows
from hubferry.text import T


@click.group("ledger", cls=Group, about=T("Look after the record of past runs."))
@opt.lang_option
def ledger(**options: Any) -> None:
    """The ledger's file."""


@ledger.command("stats", cls=Command, about=T("Show how large the record is."))
@opt.record
@opt.output
@click.pass_context
def stats(ctx: click.Context, /, **options: Any) -> int:
    """Ask the ledger, print."""
    with Invocation(ctx, options) as call:
        found = call.app.ledger_stats()
        call.emit(ledger_shape(call.command, found), lambda out: print_ledger(out, found))
        return 0


@ledger.command(
    "vacuum",
    cls=Command,
    about=T(
        "Let go of runs older than --keep-days, and give free space back to the disk.\n\n"
        "It takes as much room again while it works; runs on their way wait until it is done."
    ),
)
@opt.record
@opt.output
@click.pass_context
def vacuum(ctx: click.Context, /, **options: Any) -> int:
    """Ask the ledger, print."""
    with Invocation(ctx, options) as call:
        sizes = call.app.ledger_vacuum()
        shape = ledger_shape(call.command, call.app.ledger_stats(), sizes)
        call.emit(shape, lambda out: print_vacuumed(out, *sizes))
        return 0


@ledger.command(
    "export",
    cls=Command,
    about=T(
        "Write the whole record as JSON lines, one object for each row.\n\n"
        "Each object names its table: runs, attempts, events, repositories, files or blobs."
    ),
)
@opt.option(
    "--output",
    type=opt.FILE,
    metavar="FILE",
    about=T("Write to this file, whole or not at all, instead of to standard output."),
    section=OUTPUT,
)
@opt.option(
    "--table",
    multiple=True,
    metavar="NAME",
    about=T("Only this table. May be repeated."),
    section=OUTPUT,
)
@opt.record
@opt.showing
@click.pass_context
def export(ctx: click.Context, /, **options: Any) -> int:
    """Ask the ledger for row after row, write."""
    with Invocation(ctx, options) as call:
        rows = call.app.ledger_export(options["table"])
        if options["output"] is None:
            print_rows(rows)
        else:
            save_rows(rows, options["output"])
        return 0
