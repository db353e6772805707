"""The process edge: language, configuration, parsing, and every error's last stop."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from hubferry.cli import root
from hubferry.cli.running import stopped
from hubferry.config import Config, config_path, load_config, parse_config
from hubferry.errors import CopyError, ExitCode, UsageError
from hubferry.i18n import decide_language, use_language
from hubferry.outcome import ErrorRecord
from hubferry.report import console as streams
from hubferry.report import json_report
from hubferry.report.errors import errors_text
from hubferry.text import T

_log = logging.getLogger("hubferry")


def main() -> NoReturn:
    """The ``hubferry`` command."""
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        streams.write(stream, "")
    sys.exit(code)


def run(args: Sequence[str]) -> int:
    """Run one command line; the exit code. Never raises."""
    streams.prepare_streams()
    wanted = flag_value(args, "--lang")
    use_language(decide_language(wanted, os.environ, None))
    try:
        raw = load_config(os.environ)
        configured = raw.get("lang")
        use_language(decide_language(wanted, os.environ, str(configured or "")))
        config = parse_config(raw, root.options_by_command(), config_path(os.environ))
        return _invoke(args, config)
    except BrokenPipeError:
        # The reader has what it wanted (`hubferry ... --help | head`).
        streams.hush(sys.stdout)
        return ExitCode.OK
    except CopyError as error:
        return _failed(args, error)
    except (KeyboardInterrupt, click.Abort):
        return _failed(args, stopped())
    except Exception as error:  # noqa: BLE001 - the process edge: nobody above can tell the user
        return _failed(args, _unexpected(error))


def _invoke(args: Sequence[str], config: Config) -> int:
    try:
        code = root.cli.main(
            list(args),
            prog_name="hubferry",
            standalone_mode=False,
            default_map=root.default_map(config),
        )
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        raise _usage(error) from error
    return int(code or 0)


def _usage(error: click.ClickException) -> UsageError:
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx else "hubferry"
    return UsageError(error.format_message(), hint=T("see '{command} --help'", command=path))


def _unexpected(error: Exception) -> CopyError:
    # The traceback goes to the log alone, where it is redacted.
    _log.debug("unexpected error", exc_info=error)
    return CopyError(
        T("{kind}: {message}", kind=type(error).__name__, message=str(error)),
        hint=T("run again with --log-level DEBUG --log-file FILE and report it with that file"),
    )


def _failed(args: Sequence[str], error: CopyError) -> int:
    from hubferry.app import redact

    record = ErrorRecord.of(error)
    streams.write(sys.stderr, redact(errors_text([record])) + "\n")
    if wants_json(args, os.environ):
        shape = json_report.failure_shape(root.command_name(args), record)
        streams.write(sys.stdout, redact(json_report.dumps(shape)) + "\n")
    return record.exit_code


def flag_value(args: Sequence[str], name: str) -> str | None:
    """The value of a flag before anything is parsed; the last one counts, as in parsing."""
    found = None
    for number, word in enumerate(args):
        if word == "--":
            break
        if word == name and number + 1 < len(args):
            found = args[number + 1]
        elif word.startswith(name + "="):
            found = word.removeprefix(name + "=")
    return found


def wants_json(args: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether a failure must be told as JSON too, although parsing may have failed."""
    options = list(args[: list(args).index("--")]) if "--" in args else list(args)
    if "--json" in options:
        return True
    value: Any = environ.get("HUBFERRY_JSON", "")
    return value.strip().lower() in ("1", "true", "t", "yes", "y", "on")
