"""``hubferry mirror``."""

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
    "mirror",
    cls=Command,
    about=T(
        "Make the target equal to the source, deleting what the source does not have.\n\n"
        "Asks before it deletes, and stops when more would go than --max-delete allows. Files "
        "that the target hub made itself stay."
    ),
)
@opt.source_argument
@opt.target_argument
@opt.selection
@opt.revisions
@opt.dry_run_option
@opt.writing
@opt.mirroring
@opt.yes_option
@opt.spooling
@opt.common
@click.pass_context
def mirror(ctx: click.Context, /, **options: Any) -> int:
    """Parse, mirror, print."""
    with Invocation(ctx, options) as call:
        source, target = addresses_of(options)
        policy = policy_of(options, ctx, is_mirror=True)
        if options["dry_run"]:
            return show_plan(call, call.app.plan(source, target, policy))
        return call.finish(call.app.mirror(source, target, policy, confirm=call.confirm))
