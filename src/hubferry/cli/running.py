"""One command at work: its app, its progress, and the one place where results are printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import click
from rich.console import Console
from rich.text import Text as RichText

from hubferry.cli.logs import start_logging
from hubferry.cli.settings import Options, exposed_tokens, settings_of
from hubferry.cli.stopping import Stopper, say_at_once
from hubferry.control import CancelToken
from hubferry.errors import CancelledError, ConflictError
from hubferry.i18n import tr
from hubferry.outcome import ErrorRecord, RunReport
from hubferry.plan import PlanEntry
from hubferry.report import console as streams
from hubferry.report import json_report, words
from hubferry.report.errors import errors_text
from hubferry.report.observer import Progress
from hubferry.report.progress import make_progress
from hubferry.report.tables import print_grid, print_run
from hubferry.text import T

if TYPE_CHECKING:
    from hubferry.app import App

SHOWN_FILES = 8
"""More bars than this tell nobody more."""


class Invocation:
    """What a command needs while it runs; a context manager that closes everything.

    Everything but the result goes to standard error. With ``--json`` the
    result is one JSON object on standard output, also when it is a failure.
    """

    def __init__(self, ctx: click.Context, options: Options) -> None:
        self.ctx = ctx
        self.options = options
        self.command = ctx.command_path.removeprefix("hubferry ")
        self.is_json = bool(options.get("json"))
        self.is_quiet = bool(options.get("quiet"))
        self.cancel = CancelToken()
        self.stopper = Stopper(self.cancel, self._last_words)
        self.progress: Progress = self._make_progress(options.get("progress") or "auto")
        self.out: Console = streams.PipeSafeConsole(sys.stdout, before=self.progress.stop)
        self.err: Console = streams.PipeSafeConsole(sys.stderr, before=self.progress.stop)
        self._app: App | None = None
        self._has_printed = False
        self._stack = ExitStack()

    @property
    def _workers(self) -> int:
        return min(SHOWN_FILES, int(self.options.get("workers") or SHOWN_FILES))

    def _make_progress(self, mode: str) -> Progress:
        return make_progress(mode, is_quiet=self.is_quiet, workers=self._workers)

    def __enter__(self) -> Self:
        level = str(self.options.get("log_level") or "WARNING").upper()
        start_logging(level, self.options.get("log_file"), self.warn)
        for name in exposed_tokens(self.ctx):
            self.warn(
                tr(
                    T(
                        "warning: the value of {option} can be seen by every user of this "
                        "computer; use '{option} -' or an environment variable",
                        option=name,
                    )
                )
            )
        self._stack.enter_context(self.stopper)
        self._stack.enter_context(self.progress)
        return self

    def __exit__(self, *exc: object) -> None:
        # The app first: until its threads are gone they may still report progress.
        if self._app is not None:
            self._app.close()
        self._stack.close()

    @property
    def app(self) -> App:
        """The app, made when first asked for."""
        if self._app is None:
            from hubferry.app import App

            self._app = App(settings_of(self.options), observer=self.progress, cancel=self.cancel)
        return self._app

    def warn(self, text: str) -> None:
        """A line on standard error."""
        self.err.print(RichText(text), soft_wrap=True)

    def confirm(self, deletions: Sequence[PlanEntry]) -> bool:
        """Ask before deleting.

        Raises:
            ConflictError: nobody can be asked.
        """
        if self.options.get("yes"):
            return True
        count = len(deletions)
        if not sys.stdin.isatty():
            raise ConflictError(
                T("{count} files would be deleted and nobody can be asked", count=count),
                hint=T("look at them with --dry-run, then repeat with --yes"),
            )
        with self.progress.paused(), self.stopper.prompting():
            rows = [(words.size(item.size_bytes), words.clean(item.path)) for item in deletions]
            print_grid(self.err, (T("size"), T("path")), rows, right=(0,))
            question = T("Delete these {count} files at the target?", count=count)
            return click.confirm(tr(question), default=False, err=True)

    def emit(self, shape: Any, show: Callable[[Console], None]) -> None:
        """Print the result: as JSON, or for people."""
        self.progress.stop()
        if self.is_json:
            self._has_printed = True
            streams.write(sys.stdout, json_report.dumps(shape) + "\n")
        elif not self.is_quiet:
            show(self.out)

    def finish(self, report: RunReport) -> int:
        """Print what a run did and its errors; the exit code."""
        self.emit(json_report.run_shape(report), lambda out: self._show_run(out, report))
        if report.errors:
            self.warn(errors_text(report.errors))
        elif report.was_cancelled:
            self.warn(errors_text([ErrorRecord.of(stopped())]))
        return report.exit_code

    @staticmethod
    def _show_run(out: Console, report: RunReport) -> None:
        # A run that was stopped before it did anything has only its error to tell.
        is_bare = report.exit_code and not (report.commits or report.bytes.sent)
        if not is_bare or report.differences:
            print_run(out, report)

    def _last_words(self) -> None:
        """Said when the run has to be left without its report."""
        say_at_once(errors_text([ErrorRecord.of(stopped())]))
        if self.is_json and not self._has_printed:
            self._has_printed = True
            failure = json_report.failure_shape(self.command, ErrorRecord.of(stopped()))
            streams.write(sys.stdout, json_report.dumps(failure) + "\n")


def stopped() -> CancelledError:
    """What is said when a person stopped the run."""
    return CancelledError(
        T("stopped on request"), hint=T("run the same command again to go on where it stopped")
    )
