"""``hubferry copy``."""

from __future__ import annotations

from typing import Any

import click

from hubferry.cli import options as opt
from hubferry.cli.commands.plan import show_plan
from hubferry.cli.localized import Command
from hubferry.cli.running import Invocation
from hubferry.cli.settings import addresses_of, policy_of
from hubferry.text import T


@click.command(
    "copy",
    cls=Command,
    about=T(
        "Copy a repository and verify it; never deletes.\n\n"
        "What the target already holds is not sent again: to resume, run the same command again."
    ),
)
@opt.source_argument
@opt.target_argument
@opt.selection
@opt.revisions
@opt.dry_run_option
@opt.writing
@opt.spooling
@opt.common
@click.pass_context
def copy(ctx: click.Context, /, **options: Any) -> int:
    """Parse, copy, print."""
    with Invocation(ctx, options) as call:
        source, target = addresses_of(options)
        policy = policy_of(options, ctx)
        if options["dry_run"]:
            return show_plan(call, call.app.plan(source, target, policy))
        return call.finish(call.app.copy(source, target, policy))
