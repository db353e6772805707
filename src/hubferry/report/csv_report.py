"""The ledger's history as CSV, for spreadsheets: one row a run, a repository or a file.

Names of columns have no language. A spreadsheet takes a value that begins with one of
``= + - @`` for a formula, wherever it came from; such values get a leading quote.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hubferry.history import FileStory, RepoStory, RunStory, kept_report
from hubferry.i18n import tr
from hubferry.outcome import ErrorRecord
from hubferry.report import console as streams
from hubferry.report import words

Line = Iterable[object]

# OWASP, "CSV Injection": the four signs, and the control characters that may stand before
# them, which `clean` has made visible by then.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")

_RUN_COLUMNS = (
    *("run_id", "command", "source", "target", "state", "exit_code", "started_at", "ended_at"),
    *("copied", "equal", "unchanged", "left_out", "failed", "gone", "stopped", "waiting"),
    "sent_bytes",
)
_ERROR_COLUMNS = (
    *("error", "headline", "side", "step", "error_path", "message", "hint", "request_id"),
    "error_count",
)
_REPO_COLUMNS = (
    *("run_id", "number", "source", "target", "state", "tries", "exit_code"),
    *("started_at", "ended_at", "seconds", "files", "files_sent", "files_reused", "files_failed"),
    *("size_bytes", "sent_bytes", "read_bytes", "commits", "verified"),
    *_ERROR_COLUMNS,
)
_FILE_COLUMNS = (
    *("run_id", "number", "source", "target", "path", "event", "at", "commit"),
    *_ERROR_COLUMNS[:-1],
)


def runs_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[Line]:
    """A header, and a line for each run."""
    yield _RUN_COLUMNS
    for row in rows:
        kept = kept_report(row)
        counts = kept.get("counts") or {}
        yield (
            *(row[name] for name in _RUN_COLUMNS[:8]),
            *(counts.get(name, "") for name in _RUN_COLUMNS[8:16]),
            (kept.get("bytes") or {}).get("sent", ""),
        )


def repo_lines(story: RunStory, repos: Iterable[RepoStory]) -> Iterator[Line]:
    """A header, and a line for each repository with its first error."""
    yield _REPO_COLUMNS
    for repo in repos:
        files = repo.files
        yield (
            *(story.run_id, repo.number, repo.source, repo.target, repo.state, repo.tries),
            *(repo.exit_code, repo.started_at, repo.ended_at, round(repo.seconds, 3)),
            *(files.total, files.sent, files.reused, files.failed),
            *(repo.size_bytes, repo.sent_bytes, repo.read_bytes, repo.commits, repo.verified),
            *_error_cells(repo.errors[0] if repo.errors else None),
            len(repo.errors),
        )


def file_lines(story: RunStory, files: Iterable[FileStory]) -> Iterator[Line]:
    """A header, and a line for each file."""
    yield _FILE_COLUMNS
    for file in files:
        yield (
            *(story.run_id, file.number, file.source, file.target),
            *(file.path, file.event, file.at, file.commit),
            *_error_cells(file.error),
        )


def _error_cells(error: ErrorRecord | None) -> tuple[object, ...]:
    if error is None:
        return ("",) * (len(_ERROR_COLUMNS) - 1)
    hint = tr(error.hint) if error.hint else ""
    where = (error.error, error.headline, error.side, error.step, error.path)
    return (*where, tr(error.message), hint, error.request_id)


def texts(lines: Iterable[Line]) -> Iterator[str]:
    """The lines as CSV text, one at a time."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for line in lines:
        writer.writerow([_cell(value) for value in line])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    text = words.clean(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def print_csv(lines: Iterable[Line]) -> None:
    """CSV on standard output; ends early, without an error, when nobody reads it.

    Raises:
        LocalError: standard output cannot be written (a full disk).
    """
    streams.print_all(texts(lines))
