"""``check_modelscope_auth.py``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click
from rich.console import Console

from hubferry.cli import options as opt
from hubferry.errors import ExitCode
from hubferry.guide.edge import Script, ScriptRun
from hubferry.i18n import tr
from hubferry.model import Access
from hubferry.outcome import HubStatus
from hubferry.report.errors import errors_text
from hubferry.report.json_report import auth_shape
from hubferry.report.tables import print_auth, say
from hubferry.text import T


@click.command(
    "check_modelscope_auth.py",
    cls=Script,
    about=T(
        "Show whether you are logged in to ModelScope, as whom, and where the token comes from.\n\n"
        "With NAMESPACE, a user or organisation: also whether you may write there."
    ),
)
@click.argument("namespace", required=False)
@opt.hubs
@opt.output
@click.pass_context
def check_auth(ctx: click.Context, /, **options: Any) -> int:
    """Ask ModelScope, print."""
    with ScriptRun(ctx, options) as call:
        status = call.app.target_status(options["namespace"])
        code = auth_code(status)
        shape = replace(auth_shape(call.command, [status]), exit_code=code)
        call.emit(shape, lambda out: _print(out, status, code))
        if status.error is not None:
            call.warn(errors_text([status.error]))
        return code


def auth_code(status: HubStatus) -> int:
    """0 only if ModelScope knows the token and does not forbid the namespace."""
    if status.error is not None:
        return status.error.exit_code
    is_known = status.identity is not None and status.identity.user is not None
    return ExitCode.OK if is_known and status.may_write is not Access.NO else ExitCode.ACCESS


def _print(out: Console, status: HubStatus, code: int) -> None:
    print_auth(out, [status])
    if code == ExitCode.OK:
        say(out, "✅ " + tr(T("logged in to ModelScope")), "green")
    elif status.may_write is Access.NO:
        say(out, "❌ " + tr(T("this token may not write there")), "red")
    elif status.error is None:
        say(out, "❌ " + tr(T("not logged in to ModelScope")), "red")
        say(out, tr(T("log in with: modelscope login --token YOUR_TOKEN")))
        say(out, tr(T("or with: hubferry auth login ms")))
        say(out, tr(T("tokens are made at https://modelscope.cn/my/myaccesstoken")))
