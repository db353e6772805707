"""``hubferry verify``."""

from __future__ import annotations

from typing import Any

import click

from hubferry.cli import options as opt
from hubferry.cli.localized import WHAT, Command
from hubferry.cli.running import Invocation
from hubferry.cli.settings import addresses_of, policy_of
from hubferry.text import T


@click.command(
    "verify",
    cls=Command,
    about=T(
        "Compare two repositories without writing.\n\n"
        "Ends with exit code 12 if they differ. Files only the target has are listed, and count "
        "as a difference with --exact alone."
    ),
)
@opt.source_argument
@opt.target_argument
@opt.selection
@opt.revisions
@opt.option(
    "--level",
    type=click.Choice(["listing", "sample", "full"]),
    default="listing",
    show_default=True,
    about=T("What to compare: both listings, random ranges of each file, or every byte."),
    section=WHAT,
)
@opt.flag("--exact", about=T("The target may hold nothing else."), section=WHAT)
@opt.common
@click.pass_context
def verify(ctx: click.Context, /, **options: Any) -> int:
    """Parse, compare, print."""
    with Invocation(ctx, options) as call:
        source, target = addresses_of(options)
        report = call.app.verify(
            source,
            target,
            policy_of(options, ctx),
            level=options["level"],
            is_exact=options["exact"],
        )
        return call.finish(report)
