"""``hubferry batch``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubferry.cli import options as opt
from hubferry.cli.batching import (
    BatchInvocation,
    copying,
    manifest_argument,
    only_options,
)
from hubferry.cli.localized import WHAT, Command
from hubferry.i18n import tr
from hubferry.report.tables import say
from hubferry.text import T

if TYPE_CHECKING:
    from rich.console import Console

    from hubferry.manifest.values import Manifest


@click.command(
    "batch",
    cls=Command,
    about=T(
        "Copy many repositories and verify each one.\n\n"
        "FILE is a list with SOURCE and TARGET on each line, a CSV file with such columns, or a "
        "YAML manifest; '-' reads it from standard input. One failure does not stop the others: "
        "exit code 3 and a list at the end. The same command again goes on where it stopped, and "
        "costs next to nothing for what has not changed."
    ),
)
@manifest_argument
@opt.flag(
    "--check",
    about=T("Only look for mistakes in FILE, and whether its hubs answer; copy nothing."),
    section=WHAT,
)
@opt.dry_run_option
@only_options
@copying
@opt.common
@click.pass_context
def batch(ctx: click.Context, /, manifest: Path, **options: Any) -> int:
    """Parse, bring over, print."""
    with BatchInvocation(ctx, options) as call:
        loaded = call.load(manifest, is_mirror=options["delete"])
        if options["check"]:
            return _check(call, loaded)
        if options["dry_run"]:
            return _plan(call, loaded)
        return call.finish_batch(call.app.batch(loaded, call.options_of()))


def _plan(call: BatchInvocation, manifest: Manifest) -> int:
    from hubferry.report.batch_shapes import plan_shape
    from hubferry.report.batch_tables import print_batch_plan

    plan = call.app.plan_batch(manifest, call.options_of())
    call.emit(plan_shape(plan), lambda out: print_batch_plan(out, plan))
    call.say_errors(plan.errors)
    return int(plan.exit_code)


def _check(call: BatchInvocation, manifest: Manifest) -> int:
    from hubferry.report.batch_shapes import check_shape
    from hubferry.report.batch_tables import print_notices

    check = call.app.check_manifest(manifest)

    def show(out: Console) -> None:
        print_notices(out, check.notices)
        if manifest.entries and not check.errors:
            text = T(
                "{manifest}: no mistakes; {entries} entries mean {repos} repositories, and "
                "{hubs} answer",
                manifest=check.manifest,
                entries=len(manifest.entries),
                repos=check.repos,
                hubs=", ".join(check.hubs),
            )
            say(out, tr(text), "green")

    call.emit(check_shape(check, len(manifest.entries)), show)
    call.say_errors(check.errors)
    return int(check.exit_code)
