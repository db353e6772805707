"""``hubferry lab up``."""

from __future__ import annotations

import shlex
import time
from typing import Any

import click
from rich.console import Console

from hubferry.cli import options as opt
from hubferry.cli.localized import LAB, Command, Group
from hubferry.cli.running import Invocation
from hubferry.cli.values import DURATION
from hubferry.errors import CopyError, UsageError
from hubferry.i18n import tr
from hubferry.report.shapes import LabShape
from hubferry.report.tables import say
from hubferry.text import T

_LOOK_SECONDS = 0.2


def lab_missing(cause: ModuleNotFoundError) -> CopyError:
    """What to say when the lab's own dependencies are not installed."""
    return UsageError(
        T("the lab is not installed: {module} is missing", module=cause.name),
        hint=T("pip install 'hubferry[lab]'"),
    )


@click.group("lab", cls=Group, about=T("Two hubs on this computer, to try things out."))
@opt.lang_option
def lab(**options: Any) -> None:
    """The embedded lab."""


@lab.command(
    "up",
    cls=Command,
    about=T(
        "Start a Hugging Face and a ModelScope hub on this computer.\n\n"
        "Prints the variables that lead hubferry and the official clients there, and runs until "
        "Ctrl-C."
    ),
)
@opt.option(
    "--seconds",
    type=DURATION,
    metavar="DURATION",
    about=T("Stop after this long."),
    section=LAB,
)
@opt.option(
    "--seed",
    type=click.Choice(["demo"]),
    about=T("Start with a model in place."),
    section=LAB,
)
@opt.output
@click.pass_context
def up(ctx: click.Context, /, **options: Any) -> int:
    """Start, print, wait.

    Raises:
        UsageError: the lab's dependencies are missing.
    """
    try:
        from hubferry.lab.demo import seed_demo
        from hubferry.lab.server import Lab
    except ModuleNotFoundError as exc:
        raise lab_missing(exc) from exc
    with Invocation(ctx, options) as call, Lab() as running:
        if options["seed"]:
            seed_demo(running)
        shape = LabShape(
            call.command,
            running.hf.endpoint,
            running.ms.endpoint,
            running.hf.token,
            running.ms.token,
            running.control_url,
        )
        call.emit(shape, lambda out: _print(out, shape))
        _wait(call, options["seconds"])
    return 0


def _wait(call: Invocation, seconds: float | None) -> None:
    end = None if seconds is None else time.monotonic() + seconds
    while not call.cancel.is_cancelled and (end is None or time.monotonic() < end):
        time.sleep(_LOOK_SECONDS)


def _print(out: Console, shape: LabShape) -> None:
    for name, value in (
        ("HF_ENDPOINT", shape.hf_endpoint),
        ("HF_TOKEN", shape.hf_token),
        ("MODELSCOPE_ENDPOINT", shape.ms_endpoint),
        ("MODELSCOPE_API_TOKEN", shape.ms_token),
    ):
        say(out, f"export {name}={shlex.quote(value)}")
    say(out, tr(T("# control: {url}; Ctrl-C stops the lab", url=shape.control)))
