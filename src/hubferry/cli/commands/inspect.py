"""``hubferry inspect``."""

from __future__ import annotations

from typing import Any

import click

from hubferry.cli import options as opt
from hubferry.cli.localized import Command
from hubferry.cli.running import Invocation
from hubferry.cli.settings import source_of
from hubferry.text import T


@click.command(
    "inspect",
    cls=Command,
    about=T(
        "Show what is in a repository and whether it is whole.\n\n"
        "Reads headers and indexes only, not the weights. Ends with exit code 12 if something "
        "is missing or broken."
    ),
)
@opt.source_argument
@opt.revision_option
@opt.common
@click.pass_context
def inspect(ctx: click.Context, /, **options: Any) -> int:
    """Parse, inspect, print."""
    # Only here: the report's values come with the inspection itself.
    from hubferry.report.inspect_report import inspect_exit_code, inspect_shape, print_inspect

    with Invocation(ctx, options) as call:
        report = call.app.inspect(source_of(options))
        call.emit(inspect_shape(report), lambda out: print_inspect(out, report))
        return inspect_exit_code(report)
