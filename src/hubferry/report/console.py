"""Terminals that survive a closed pipe, and say what the encoding cannot."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

from rich.console import Console

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
            file=stream,
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
    """Write and flush; a closed pipe is no error."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        hush(stream)


def prepare_streams() -> None:
    """Let every message be printed: a C locale must not turn Chinese into an exception."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            encoding = (stream.encoding or "").lower().replace("-", "")
            # In the POSIX locale Python may still pick ASCII; terminals there speak UTF-8.
            is_narrow = encoding in ("ascii", "usascii", "ansi_x3.41968")
            reconfigure(encoding="utf-8" if is_narrow else None, errors="backslashreplace")
