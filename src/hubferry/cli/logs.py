"""The log of a command, and what is said when it cannot be written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from hubferry.i18n import tr
from hubferry.report.console import Guarded, unwritable
from hubferry.text import T, Text


def start_logging(level: str, log_file: Path | None, warn: Callable[[str], None]) -> None:
    """Log to ``log_file``, else to standard error.

    A log that fails later (a full disk) is one warning, and never the end of a run.

    Raises:
        LocalError: the file cannot be opened.
    """
    from hubferry.app import configure_logging

    place = log_file or T("standard error")
    known = list(logging.getLogger().handlers)
    try:
        configure_logging(level, log_file)
    except OSError as error:
        raise unwritable(error, _problem(place)) from error

    def failed(error: OSError) -> None:
        # Where standard error itself is full, nobody is left to be told.
        if log_file is not None:
            reason = T("{what}: {reason}", what=_problem(place), reason=error.strerror)
            warn(tr(T("warning: {problem}; the log ends here", problem=reason)))

    for handler in logging.getLogger().handlers:
        if handler not in known and isinstance(handler, logging.StreamHandler):
            handler.setStream(cast(Any, Guarded(handler.stream, failed)))


def _problem(place: object) -> Text:
    return T("the log cannot be written to {place}", place=place)
