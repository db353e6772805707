"""Secrets by reference: reading the reference, and fetching what it names.

A manifest is a file that people commit, so it says where a secret is found and
never the secret itself. No message of this module holds a secret's value.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import threading
from pathlib import Path
from typing import IO

from hubferry.errors import UsageError
from hubferry.manifest.problems import Wrong, shown
from hubferry.manifest.values import SecretRef
from hubferry.net import redact
from hubferry.text import T, Text

COMMAND_SECONDS = 30.0
"""How long a command may take: a password manager may ask its server, nobody types."""
MAX_BYTES = 64 * 1024
"""Of a file or of a command's output; a secret is far shorter."""
_MAX_EXCERPT = 200
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KINDS = ("env", "file", "cmd")
_FORMS = T(
    "write where it is found: env:NAME (a variable), file:PATH (the first line of a file), "
    "cmd:COMMAND (the first line it prints) or login (the hub's own stored login)"
)
_FORMS_WITHOUT_LOGIN = T(
    "write where it is found: env:NAME (a variable), file:PATH (the first line of a file) or "
    "cmd:COMMAND (the first line it prints)"
)


def parse_ref(text: str, *, may_login: bool = False) -> SecretRef:
    """The reference that ``text`` is. ``may_login``: a hub's stored login will do.

    Raises:
        Wrong: it is none. The text, which may be the secret, is not repeated.
    """
    forms = _FORMS if may_login else _FORMS_WITHOUT_LOGIN
    kind, _, name = text.strip().partition(":")
    kind, name = kind.lower(), name.strip()
    if kind == "login" and not name:
        if may_login:
            return SecretRef("login")
        raise Wrong(T("a stored login exists for hubs only"), forms)
    if kind not in _KINDS:
        raise Wrong(T("a secret must not stand in the manifest itself"), forms)
    if not name:
        raise Wrong(T("the reference to the secret ends after '{kind}:'", kind=kind), forms)
    if kind == "env" and not _VARIABLE.fullmatch(name):
        raise Wrong(
            T("what follows 'env:' is no name of a variable"),
            T("write the variable's name without '$', such as env:HF_TOKEN"),
        )
    if kind == "cmd" and not _words(name):
        raise Wrong(
            T("what follows 'cmd:' is no command"),
            T("check its quotation marks; it is run without a shell, as in cmd:pass show hf-token"),
        )
    return SecretRef(kind, name)


def resolve(ref: SecretRef) -> str | None:
    """The secret that ``ref`` names; None for ``login``: the hub's own stored login.

    From now on it is kept out of logs and messages. Paths are those of the
    current folder, ``~`` of the user's home. A command runs without a shell, for at
    most ``COMMAND_SECONDS``, with nothing on its standard input.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    if ref.kind == "login":
        return None
    found = {"env": _from_variable, "file": _from_file, "cmd": _from_command}[ref.kind](ref.name)
    value = found.removeprefix("\ufeff").partition("\n")[0].strip()
    if not value:
        raise UsageError(
            T("the secret {ref} is empty", ref=shown(_named(ref))),
            hint=T("put the secret there, on the first line"),
        )
    redact.register(value)
    return value


def _named(ref: SecretRef) -> str:
    """The reference, without the arguments of a command: people put tokens there."""
    return f"cmd:{_words(ref.name)[0]}" if ref.kind == "cmd" else str(ref)


def _words(command: str) -> list[str]:
    """A command line as a shell would split it; empty if it cannot be split."""
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _from_variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value.strip():
        raise UsageError(
            T("the variable {name} is not set, or empty", name=shown(name)),
            hint=T("set it before the command, or name another place in the manifest"),
        )
    return value.strip()


def _from_file(name: str) -> str:
    try:
        path = Path(name).expanduser()
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError as exc:
        # Its text would hold the bytes.
        raise _unreadable(name, T("it is no UTF-8 text")) from exc
    except (OSError, RuntimeError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or type(exc).__name__
        raise _unreadable(name, Text(reason)) from exc


def _unreadable(name: str, reason: Text) -> UsageError:
    return UsageError(
        T("the secret's file {path} cannot be read: {reason}", path=shown(name), reason=reason),
        hint=T("it must be a text file with the secret on its first line"),
    )


def _from_command(line: str) -> str:
    words = _words(line)
    if not words:
        raise UsageError(
            T("what follows 'cmd:' is no command"), hint=T("check its quotation marks")
        )
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or type(exc).__name__
        raise _failed(words, Text(reason), "") from exc
    return _output(process, words)


def _output(process: subprocess.Popen[bytes], words: list[str]) -> str:
    streams = [_Capture(stream) for stream in (process.stdout, process.stderr) if stream]
    try:
        code = process.wait(COMMAND_SECONDS)
    except subprocess.TimeoutExpired as exc:
        reason = T("it took longer than {seconds} seconds", seconds=round(COMMAND_SECONDS))
        raise _failed(words, reason, "") from exc
    finally:
        # What it started may hold its pipes open.
        _end(process)
    output, errors = (stream.text() for stream in streams)
    if code != 0:
        # It may have printed the secret before it failed.
        redact.register(output.partition("\n")[0].strip())
        raise _failed(words, T("it ended with exit code {code}", code=code), errors)
    return output


class _Capture:
    """Reads a pipe to its end and keeps its start, so that no output can fill the memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        # Closed here: another thread's close would wait for a read that may never end.
        with self._stream as stream:
            while block := os.read(stream.fileno(), MAX_BYTES):
                self._kept += block[: MAX_BYTES - len(self._kept)]

    def text(self) -> str:
        """What was kept."""
        self._thread.join(1.0)
        return bytes(self._kept).decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):
        pass  # all of it has ended
    process.wait()


def _failed(words: list[str], reason: Text, errors: str) -> UsageError:
    told = " ".join(redact.redact(errors).split())[-_MAX_EXCERPT:]
    message = T(
        "the command {name} for a secret failed: {reason}", name=shown(words[0]), reason=reason
    )
    if told:
        message = T("{message}: {told}", message=message, told=shown(told))
    return UsageError(message, hint=T("run it by hand; its first line must be the secret"))
