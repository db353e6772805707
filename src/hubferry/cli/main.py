"""The process edge: language, configuration, parsing, and every error's last stop."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from hubferry.cli import root
from hubferry.cli.running import stopped
from hubferry.config import Config, config_path, load_config, parse_config
from hubferry.errors import CopyError, ExitCode, UsageError
from hubferry.i18n import decide_language, use_language
from hubferry.outcome import ErrorRecord
from hubferry.report import console as streams
from hubferry.report import json_report
from hubferry.report.errors import errors_text
from hubferry.text import T, Text

_log = logging.getLogger("hubferry")

LANGUAGE_PREFIXES = ("en", "zh")


def main() -> NoReturn:
    """The ``hubferry`` command."""
    sys.exit(run_process(sys.argv[1:]))


def run_process(args: Sequence[str]) -> int:
    """Run one command line and hand over its last words; the exit code. Never raises."""
    code = run(args)
    try:
        for stream in (sys.stderr, sys.stdout):
            streams.write(stream, "")
    except CopyError as error:
        return code or _failed(args, error, {})
    return code


def run(args: Sequence[str]) -> int:
    """Run one command line; the exit code. Never raises."""
    streams.prepare_streams()
    wanted = flag_value(args, "--lang")
    use_language(decide_language(wanted, os.environ, None))
    raw: Mapping[str, Any] = {}
    try:
        raw = load_config(os.environ)
        configured = str(raw.get("lang") or "")
        use_language(decide_language(wanted, os.environ, configured))
        for wish in (wanted, os.environ.get("HUBFERRY_LANG"), configured):
            _check_language(wish)
        config = parse_config(raw, root.options_by_command(), config_path(os.environ))
        return _invoke(args, config)
    except BrokenPipeError:
        # The reader has what it wanted (`hubferry ... --help | head`).
        streams.hush(sys.stdout)
        return ExitCode.OK
    except CopyError as error:
        return _failed(args, error, raw)
    except (KeyboardInterrupt, click.Abort):
        return _failed(args, stopped(), raw)
    except Exception as error:  # noqa: BLE001 - the process edge: nobody above can tell the user
        return _failed(args, _unexpected(error), raw)


def _check_language(wish: str | None) -> None:
    if wish and not wish.lower().startswith(LANGUAGE_PREFIXES):
        raise UsageError(
            T("{language} is no language of Hubferry", language=wish), hint=T("use en or zh")
        )


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
    # Our own sentences end without a stop, in either language.
    message = error.format_message().rstrip(".。")
    return UsageError(message, hint=_origin(error) or T("see '{command} --help'", command=path))


def _origin(error: click.ClickException) -> Text | None:
    """Where a wrong value stands, if it is not in the command line that the user sees."""
    param, ctx = getattr(error, "param", None), getattr(error, "ctx", None)
    if not isinstance(param, click.Option) or ctx is None or param.name is None:
        return None
    source = ctx.get_parameter_source(param.name)
    if source is ParameterSource.ENVIRONMENT:
        return T("the value comes from the variable {name}", name=param.envvar)
    if source is ParameterSource.DEFAULT_MAP:
        return T("the value comes from {path}", path=config_path(os.environ))
    return None


def _unexpected(error: Exception) -> CopyError:
    # The traceback goes to the log alone, where it is redacted.
    _log.debug("unexpected error", exc_info=error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return streams.unwritable(error, T("a file cannot be written"))
    return CopyError(
        T("{kind}: {message}", kind=type(error).__name__, message=str(error)),
        hint=T("run again with --log-level DEBUG --log-file FILE and report it with that file"),
    )


def _failed(args: Sequence[str], error: CopyError, configured: Mapping[str, Any]) -> int:
    from hubferry.app import redact

    record = ErrorRecord.of(error)
    streams.write(sys.stderr, redact(errors_text([record])) + "\n")
    command = root.command_name(args)
    if wants_json(args, os.environ, configured, command or ""):
        shape = json_report.failure_shape(command, record)
        try:
            streams.write(sys.stdout, redact(json_report.dumps(shape)) + "\n")
        except CopyError:
            _log.debug("nobody takes the report")
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


def wants_json(
    args: Sequence[str],
    environ: Mapping[str, str],
    configured: Mapping[str, Any] = {},
    command: str = "",
) -> bool:
    """Whether a failure must be told as JSON too, although parsing may have failed."""
    options = list(args[: list(args).index("--")]) if "--" in args else list(args)
    if "--json" in options:
        return True
    value: Any = environ.get("HUBFERRY_JSON", "")
    if value:
        return str(value).strip().lower() in ("1", "true", "t", "yes", "y", "on")
    own = configured.get(command.split(" ", maxsplit=1)[0])
    values = {**configured, **(own if isinstance(own, dict) else {})}
    return values.get("json") is True
