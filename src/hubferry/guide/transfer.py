"""``hf_to_modelscope_transfer.py`` and ``simple_hf_to_ms.py``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click
from rich.console import Console

from hubferry.cli import options as opt
from hubferry.cli.localized import WHAT
from hubferry.cli.settings import addresses_of, policy_of
from hubferry.errors import ExitCode
from hubferry.guide.edge import Script, ScriptRun
from hubferry.guide.readable import ReadReport
from hubferry.i18n import tr
from hubferry.inspection.report import InspectReport
from hubferry.model import Address
from hubferry.outcome import exit_code_for
from hubferry.report import json_report, words
from hubferry.report.errors import errors_text
from hubferry.report.inspect_report import inspect_exit_code, inspect_shape, print_inspect
from hubferry.report.tables import say
from hubferry.text import T, Text


@click.command(
    "hf_to_modelscope_transfer.py",
    cls=Script,
    about=T(
        "Copy a model from Hugging Face to ModelScope and verify it.\n\n"
        "What ModelScope already holds is not sent again: to resume, run the same command again."
    ),
)
@opt.option(
    "--hf-model",
    "source",
    required=True,
    metavar="OWNER/NAME",
    has_variable=False,
    about=T("The model on Hugging Face."),
    section=WHAT,
)
@opt.option(
    "--ms-model",
    "target",
    required=True,
    metavar="OWNER/NAME",
    has_variable=False,
    about=T("The model on ModelScope; 'owner/' keeps the name."),
    section=WHAT,
)
@opt.flag(
    "--verify-only",
    about=T("Only check that the model is whole and that every file can be read."),
    section=WHAT,
    has_variable=False,
)
@opt.flag(
    "--deep",
    about=T("With --verify-only: read every byte and compare its digest."),
    section=WHAT,
    has_variable=False,
)
@opt.selection
@opt.revisions
@opt.writing
@opt.common
@click.pass_context
def transfer(ctx: click.Context, /, **options: Any) -> int:
    """Copy, or only check."""
    with ScriptRun(ctx, options) as call:
        source, target = addresses_of(options)
        if options["verify_only"]:
            return _check(call, source, is_deep=options["deep"])
        return _copy(call, source, target)


@click.command(
    "simple_hf_to_ms.py",
    cls=Script,
    about=T(
        "Copy a model from Hugging Face to ModelScope and verify it.\n\n"
        "TOKEN is the Hugging Face token of a private model; HF_TOKEN does the same and stays "
        "out of the process list."
    ),
)
@opt.source_argument
@opt.target_argument
@click.argument("token", required=False)
@opt.common
@click.pass_context
def simple(ctx: click.Context, /, token: str | None, **options: Any) -> int:
    """Copy."""
    options["hf_token"] = token or options["hf_token"]
    with ScriptRun(ctx, options) as call:
        source, target = addresses_of(options)
        return _copy(call, source, target)


def _copy(call: ScriptRun, source: Address, target: Address) -> int:
    report = call.app.copy(source, target, policy_of(call.options, call.ctx))
    code = call.finish(report)
    if report.source.commit or report.files.total:
        call.print_size(report.bytes.total)
    return code


def _check(call: ScriptRun, source: Address, *, is_deep: bool) -> int:
    found = call.app.inspect(source)
    read = call.app.check_readable(source, found.info, is_deep=is_deep)
    code = inspect_exit_code(found) or exit_code_for(read.errors, did_something=False)
    shape = replace(
        inspect_shape(found),
        errors=[json_report.failure(record) for record in read.errors],
        exit_code=int(code),
    )
    call.emit(shape, lambda out: _print_check(out, found, read, is_good=code == ExitCode.OK))
    call.print_size(found.size_bytes)
    if read.errors:
        call.warn(errors_text(read.errors))
    return int(code)


def _print_check(out: Console, found: InspectReport, read: ReadReport, *, is_good: bool) -> None:
    print_inspect(out, found)
    good = read.files - len(read.errors)
    values = {"good": good, "files": read.files, "size": words.size(read.read_bytes)}
    say(out, tr(Text(_READ_WHOLE.template if read.is_deep else _OPENED.template, values)))
    say(out, tr(T("nothing was uploaded")))
    if is_good:
        say(out, "✅ " + tr(T("the model is ready to be copied")), "green")
    else:
        say(out, "❌ " + tr(T("the model should not be copied as it is")), "red")


_OPENED = T("{good} of {files} files can be read ({size} read; --deep reads them whole)")
_READ_WHOLE = T("{good} of {files} files were read whole and match their digests ({size} read)")
