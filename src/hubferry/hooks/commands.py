"""Hooks that are commands: without a shell, without our tokens, not for ever."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import IO

from hubferry.errors import LocalError, Side, UsageError
from hubferry.net.redact import redact
from hubferry.text import T

TIMEOUT_SECONDS = 60.0
STOPPED_SECONDS = 0.7
"""Once somebody asked to stop: Ctrl-C has promised an end within two seconds."""
_LOOK_SECONDS = 0.1
_EXCERPT_BYTES = 400

# Every variable that we or the official clients take a token from, and where they keep theirs.
TOKEN_VARIABLES = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_OIDC_ID_TOKEN",
    "MODELSCOPE_API_TOKEN",
    "HUBFERRY_*_TOKEN",
)


def split_command(line: str) -> list[str]:
    """The words of a command line, by the rules of a POSIX shell; nothing in it is expanded.

    Raises:
        UsageError: a quotation mark is open, or there is no word.
    """
    try:
        words = shlex.split(line)
    except ValueError:
        words = []
    if not words:
        raise UsageError(
            T("the command of a hook cannot be read"),
            hint=T("quote it as for a shell; it runs without one, so pipes need `sh -c '...'`"),
        )
    return words


def without_tokens(environ: Mapping[str, str], withheld: Collection[str] = ()) -> dict[str, str]:
    """``environ`` without the variables that hold tokens, ``withheld`` among them."""
    patterns = (*TOKEN_VARIABLES, *withheld)
    return {
        name: value
        for name, value in environ.items()
        if not any(fnmatchcase(name.upper(), pattern.upper()) for pattern in patterns)
    }


def run_command(
    words: Sequence[str],
    told: bytes,
    environ: Mapping[str, str],
    timeout_seconds: float = TIMEOUT_SECONDS,
    is_stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Run a command with ``told`` on its standard input; what it prints is not kept.

    From when ``is_stopped`` says so it has ``STOPPED_SECONDS`` left.

    Raises:
        LocalError: it could not be started, did not end in time (it is killed then, with all
            that it started), or ended with another code than 0.
    """
    name = words[0]
    # Files and not pipes: a child that reads nothing, or a grandchild that keeps a pipe open,
    # would hold us up beyond the time limit.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(told)
        given.seek(0)
        try:
            process = subprocess.Popen(
                words,
                stdin=given,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=dict(environ),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise _failed(T("it cannot be started: {reason}", reason=reason), name) from error
        try:
            code = _wait(process, timeout_seconds, is_stopped)
        except TimeoutError as error:
            reason = T("it did not end within {seconds} s", seconds=f"{error.args[0]:g}")
            raise _failed(reason, name) from error
        finally:
            if process.poll() is None:
                _kill(process)
        if code:
            ended = T("it ended with {code}: {said}", code=code, said=_excerpt(said) or "-")
            raise _failed(ended, name)


def _wait(
    process: subprocess.Popen[bytes], timeout_seconds: float, is_stopped: Callable[[], bool]
) -> int:
    """The exit code.

    Raises:
        TimeoutError: it did not end in time; its argument is the time that it had, in seconds.
    """
    started, has_seconds, is_short = time.monotonic(), timeout_seconds, False
    while True:
        passed = time.monotonic() - started
        if not is_short and is_stopped():
            is_short = True
            has_seconds = min(has_seconds, round(passed + STOPPED_SECONDS, 1))
        if passed >= has_seconds:
            raise TimeoutError(has_seconds)
        try:
            return process.wait(min(_LOOK_SECONDS, has_seconds - passed))
        except subprocess.TimeoutExpired:
            continue


def _failed(reason: object, name: str) -> LocalError:
    # Only the first word: arguments may hold what is nobody's business.
    message = T("the command {name}: {reason}", name=name, reason=reason)
    return LocalError(message, side=Side.LOCAL)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _excerpt(said: IO[bytes]) -> str:
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - _EXCERPT_BYTES))
    return redact(" ".join(said.read().decode("utf-8", "replace").split()))
