"""``hubferry plan`` and ``hubferry apply``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hubferry.cli import options as opt
from hubferry.cli.localized import TARGET, WHAT, Command
from hubferry.cli.running import Invocation
from hubferry.cli.settings import addresses_of, policy_of
from hubferry.cli.values import LocalPath
from hubferry.outcome import PlanReport
from hubferry.report.json_report import plan_exit_code, plan_shape
from hubferry.report.plan_table import print_plan
from hubferry.text import T


def show_plan(call: Invocation, report: PlanReport) -> int:
    """Print a plan; the exit code."""
    shape = plan_shape(report, call.command)
    call.emit(shape, lambda out: print_plan(out, report))
    return plan_exit_code(report)


@click.command(
    "plan",
    cls=Command,
    about=T(
        "Show what a copy would do, and what may stand in its way; writes nothing.\n\n"
        "Ends with exit code 4 if the target is known to refuse it."
    ),
)
@opt.source_argument
@opt.target_argument
@opt.selection
@opt.revisions
@opt.option(
    "--out",
    type=opt.FILE,
    metavar="FILE",
    about=T("Keep the plan in this file, for 'hubferry apply'."),
    section=WHAT,
)
@opt.flag("--mirror", about=T("Plan a mirror, which deletes, not a copy."), section=WHAT)
@opt.writing
@opt.mirroring
@opt.common
@click.pass_context
def plan(ctx: click.Context, /, **options: Any) -> int:
    """Parse, plan, keep, print."""
    with Invocation(ctx, options) as call:
        source, target = addresses_of(options)
        policy = policy_of(options, ctx, is_mirror=options["mirror"])
        report = call.app.plan(source, target, policy)
        if options["out"] is not None:
            call.app.save_plan(report, source, target, policy, options["out"])
        return show_plan(call, report)


@click.command(
    "apply",
    cls=Command,
    about=T(
        "Carry out a plan kept by 'hubferry plan --out'.\n\n"
        "Refuses, with exit code 4, if source or target changed since the plan was made."
    ),
)
@click.argument("file", type=LocalPath(exists=True, dir_okay=False, path_type=Path))
@opt.flag("--force", about=T("Go on although source or target changed."), section=TARGET)
@opt.yes_option
@opt.spooling
@opt.common
@click.pass_context
def apply(ctx: click.Context, /, **options: Any) -> int:
    """Parse, apply, print."""
    with Invocation(ctx, options) as call:
        report = call.app.apply(options["file"], is_forced=options["force"], confirm=call.confirm)
        return call.finish(report)
