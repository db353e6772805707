"""The process edge of a script: what every script of the guide does the same way."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, Self

import click

from hubferry.cli import main as cli_main
from hubferry.cli import root
from hubferry.cli.localized import Command, Option
from hubferry.cli.running import Invocation
from hubferry.cli.settings import exposed_tokens, settings_of
from hubferry.errors import UsageError
from hubferry.guide.app import GuideApp
from hubferry.i18n import tr
from hubferry.report import console as streams
from hubferry.text import T

SIZE_LABEL = "总大小"
"""Never translated: the guide's loops look for it with ``grep``."""
_MB = 1_000_000
_LARGE_BYTES = 100 * _MB
_TOKENS = {"hf_token": "HF_TOKEN", "ms_token": "MODELSCOPE_API_TOKEN"}


class Script(Command):
    """A command that stands on its own, under the name of its script."""

    def __init__(self, *args: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        for param in self.params:
            if isinstance(param, Option) and param.name in _TOKENS:
                # The commands' own words offer '-', which a script cannot take.
                variable = _TOKENS[param.name]
                param.about = T("Token; better given as {variable}.", variable=variable)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """A context without the group above it, so that help does not speak of ``hubferry``."""
        defaults = parent.lookup_default(info_name or "", call=False) if parent else None
        extra = {**self.context_settings, "default_map": defaults, **extra}
        return super().make_context(info_name, args, None, **extra)


class ScriptRun(Invocation):
    """A command of a script at work."""

    _guide_app: GuideApp | None = None

    def __init__(self, ctx: click.Context, options: dict[str, Any]) -> None:
        refuse_stdin_tokens(options)
        self._is_token_shown = bool(exposed_tokens(ctx) or ctx.params.get("token"))
        for name in _TOKENS:
            # An empty value is an unset shell variable (--hf-token "$HF_TOKEN"), no wish.
            options[name] = options.get(name) or None
            # The commands' own warning would recommend '-', which scripts cannot take.
            ctx.params.pop(name, None)
        super().__init__(ctx, options)

    def __enter__(self) -> Self:
        super().__enter__()
        if self._is_token_shown:
            self.warn(
                tr(
                    T(
                        "warning: a token in the command line can be seen by every user of this "
                        "computer; set HF_TOKEN instead, or log in once with 'hf auth login'"
                    )
                )
            )
        return self

    @property
    def app(self) -> GuideApp:
        """The app, made when first asked for."""
        if self._guide_app is None:
            settings = settings_of(self.options)
            self._guide_app = GuideApp(settings, observer=self.progress, cancel=self.cancel)
            self._app = self._guide_app
        return self._guide_app

    def print_size(self, size_bytes: int) -> None:
        """The line that the guide's loops look for: on standard output, even when quiet."""
        stream = sys.stderr if self.is_json else sys.stdout
        streams.write(stream, size_line(size_bytes) + "\n")


def size_line(size_bytes: int) -> str:
    """``总大小: 351.26 MB``: 10^6 bytes, two decimals, no separators.

    The guide tells large models by three digits in a row, so what is below
    100 MB must not be rounded up to it.
    """
    shown = f"{size_bytes / _MB:.2f}"
    if size_bytes < _LARGE_BYTES and shown == "100.00":
        shown = "99.99"
    return f"{SIZE_LABEL}: {shown} MB"


def refuse_stdin_tokens(options: dict[str, Any]) -> None:
    """Raise UsageError for a token of ``-``: a script leaves its standard input alone."""
    for name in _TOKENS:
        if options.get(name) == "-":
            raise UsageError(
                T("the scripts do not read standard input, so a token cannot be '-'"),
                hint=T("set HF_TOKEN or MODELSCOPE_API_TOKEN, or log in once"),
            )


def detach_stdin() -> None:
    """Replace standard input by an empty one.

    In ``while read ...; do script; done < list`` it is the list: whoever reads
    it, a library included, takes lines from the loop.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    if nothing != 0:
        os.dup2(nothing, 0)
        os.close(nothing)


def run_script(script: Script, args: Sequence[str] | None = None) -> NoReturn:
    """Run a script as a process: no input, the user's language, an exit code."""
    detach_stdin()
    script.context_settings = dict(root.cli.context_settings)
    root.cli.add_command(script)
    name = script.name or ""
    sys.exit(cli_main.run_process([name, *(sys.argv[1:] if args is None else args)]))
