"""``hubferry auth status`` and ``hubferry auth login``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from hubferry.cli import options as opt
from hubferry.cli.localized import Command, Group
from hubferry.cli.running import Invocation
from hubferry.cli.settings import token_place
from hubferry.errors import UsageError
from hubferry.i18n import tr
from hubferry.outcome import HubStatus
from hubferry.report.errors import errors_text
from hubferry.report.json_report import auth_exit_code, auth_shape
from hubferry.report.tables import print_auth
from hubferry.text import T

TITLES = {"hf": "Hugging Face", "ms": "ModelScope"}


@click.group("auth", cls=Group, about=T("Show or store the tokens of the hubs."))
@opt.lang_option
def auth(**options: Any) -> None:
    """Who am I on each hub."""


@auth.command(
    "status",
    cls=Command,
    about=T(
        "Show who you are on each hub, where the token comes from, and what it may do.\n\n"
        "With NAMESPACE, a user or organisation: also whether it may write there."
    ),
)
@click.argument("namespace", required=False)
@opt.hubs
@opt.output
@click.pass_context
def status(ctx: click.Context, /, **options: Any) -> int:
    """Ask both hubs, print."""
    with Invocation(ctx, options) as call:
        statuses = call.app.auth_status(options["namespace"])
        return _show(call, [_at(status, token_place(status.hub, ctx)) for status in statuses])


@auth.command(
    "login",
    cls=Command,
    about=T(
        "Check a token with its hub and store it where the hub's own client keeps it.\n\n"
        "HUB is hf or ms. The token is asked for, or read from standard input when that is no "
        "terminal or TOKEN is '-'."
    ),
)
@click.argument("hub", type=click.Choice(list(TITLES)), default="ms")
@click.argument("token", required=False, type=click.Choice(["-"]))
@opt.hubs
@opt.output
@click.pass_context
def login(ctx: click.Context, /, **options: Any) -> int:
    """Read a token, check it, store it, print.

    Raises:
        UsageError: no token was given.
    """
    with Invocation(ctx, options) as call:
        hub = options["hub"]
        is_piped = options["token"] is not None or not sys.stdin.isatty()
        token = _read_token(call, hub, is_piped=is_piped)
        if not token:
            raise UsageError(T("no token was given"))
        return _show(call, [_at(call.app.login(hub, token), tr(T("this login")))])


def _at(status: HubStatus, place: str | None) -> HubStatus:
    """The status with the place of its token in words that the user knows it by."""
    if place is None or status.identity is None or status.identity.token_source is None:
        return status
    return replace(status, identity=replace(status.identity, token_source=place))


def _read_token(call: Invocation, hub: str, *, is_piped: bool) -> str:
    if is_piped:
        return sys.stdin.readline().strip()
    with call.progress.paused(), call.stopper.prompting():
        question = tr(T("{hub} token (not shown)", hub=TITLES[hub]))
        return str(click.prompt(question, hide_input=True, err=True)).strip()


def _show(call: Invocation, statuses: Sequence[HubStatus]) -> int:
    call.emit(auth_shape(call.command, statuses), lambda out: print_auth(out, statuses))
    if errors := [status.error for status in statuses if status.error]:
        call.warn(errors_text(errors))
    return auth_exit_code(statuses)
