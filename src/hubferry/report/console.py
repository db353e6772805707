"""Streams that survive a closed pipe, a full disk and a missing descriptor."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TextIO, cast

from rich.console import Console

from hubferry.errors import CopyError, LocalError, NoSpaceError, Side
from hubferry.text import T, Text

_PIPE_COLUMNS = 160
"""Wide enough that a path stays on its line: nothing is lost by folding where nobody looks."""


class PipeSafeConsole(Console):
    """Goes silent when its reader is gone (``| head``, ``| grep -q``), instead of failing."""

    def __init__(
        self,
        stream: TextIO,
        *,
        force_terminal: bool | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """``before`` is called before anything is printed (to clear the bars away)."""
        self._before = before
        is_piped = not (force_terminal or stream.isatty()) and "COLUMNS" not in os.environ
        super().__init__(
            file=cast(IO[str], Guarded(stream, lambda error: _fail(stream, error))),
            force_terminal=force_terminal,
            width=_PIPE_COLUMNS if is_piped else None,
            highlight=False,
        )

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, after ``before``."""
        self._before()
        super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """Nobody listens any more: the work goes on, the words do not."""
        self.quiet = True
        hush(self.file)


class Guarded:
    """A stream that fails once: it is told to ``failed``, and writes to nowhere from then on.

    A closed pipe is left to its reader's own handling.
    """

    def __init__(self, stream: TextIO, failed: Callable[[OSError], None]) -> None:
        self._stream = stream
        self._failed = failed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush."""
        self._try(self._stream.flush)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except BrokenPipeError:
            raise
        except OSError as error:
            hush(self._stream)
            self._failed(error)


def _fail(stream: TextIO, error: OSError) -> None:
    # Lost words are a pity, a lost result is a failure.
    if stream is sys.stdout:
        raise unwritable(error, T("the result cannot be written to standard output")) from error


def unwritable(error: OSError, what: Text) -> CopyError:
    """Our error for a local file that cannot be written; ``what`` begins its message."""
    kind = NoSpaceError if error.errno == errno.ENOSPC else LocalError
    return kind(
        T("{what}: {reason}", what=what, reason=error.strerror or str(error)),
        side=Side.LOCAL,
        hint=T("make room on the disk, or name another place"),
    )


def hush(stream: object) -> None:
    """Point a dead stream's file descriptor at nothing, so that the last flush is quiet too."""
    try:
        descriptor = stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)


def write(stream: TextIO, text: str) -> None:
    """Write and flush; a closed pipe is no error.

    Raises:
        LocalError: standard output cannot be written (a full disk).
    """
    guarded = Guarded(stream, lambda error: _fail(stream, error))
    try:
        guarded.write(text)
        guarded.flush()
    except BrokenPipeError:
        hush(stream)


def print_all(texts: Iterable[str]) -> None:
    """Texts on standard output; ends early, without an error, when nobody reads it.

    Raises:
        LocalError: standard output cannot be written (a full disk).
    """
    stream = Guarded(sys.stdout, lambda error: _fail(sys.stdout, error))
    try:
        for text in texts:
            stream.write(text)
        stream.flush()
    except BrokenPipeError:
        hush(sys.stdout)


@contextmanager
def written_whole(path: Path, what: Text) -> Iterator[Path]:
    """Where to write what is to be in ``path``, which then has all of it, or is as it was.

    Raises:
        LocalError: it cannot be written; ``what`` begins the message.
    """
    # What is no file (a pipe, /dev/null) is written to, and must not be put in place of.
    is_file = path.is_file() or not path.exists()
    place = path.with_name(f"{path.name}.{os.getpid()}.partial") if is_file else path
    try:
        yield place
        if is_file:
            place.replace(path)
    except OSError as error:
        raise unwritable(error, what) from error
    finally:
        if is_file:
            with suppress(OSError):
                place.unlink(missing_ok=True)


def prepare_streams() -> None:
    """Let every message be printed: a C locale must not turn Chinese into an exception."""
    _open_missing()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            encoding = (stream.encoding or "").lower().replace("-", "")
            # In the POSIX locale Python may still pick ASCII; terminals there speak UTF-8.
            is_narrow = encoding in ("ascii", "usascii", "ansi_x3.41968")
            reconfigure(encoding="utf-8" if is_narrow else None, errors="backslashreplace")


def _open_missing() -> None:
    """Give a process that was started without standard streams (``>&-``, a daemon) empty ones.

    A closed descriptor would be handed to the next file or socket, and be written to by
    whoever means the terminal.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
