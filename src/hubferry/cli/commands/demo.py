"""``hubferry demo``."""

from __future__ import annotations

from typing import Any

import click

from hubferry.cli import options as opt
from hubferry.cli.commands.lab import lab_missing
from hubferry.cli.localized import Command
from hubferry.cli.running import Invocation
from hubferry.text import T


@click.command(
    "demo",
    cls=Command,
    about=T("Start the lab, copy a model from its Hugging Face to its ModelScope side, verify it."),
)
@opt.showing
@click.pass_context
def demo(ctx: click.Context, /, **options: Any) -> int:
    """Run the demo."""
    try:
        from hubferry.demo import run_demo
    except ModuleNotFoundError as exc:
        raise lab_missing(exc) from exc
    with Invocation(ctx, options) as call:
        return run_demo(call.out, call.progress, call.cancel)
