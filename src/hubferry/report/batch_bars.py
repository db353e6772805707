"""A batch's progress on a terminal: the whole, and a line for each repository on its way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text as RichText

from hubferry.events import BatchStarted, Event, HeldUp, InRepo, Note, RepoFinished
from hubferry.i18n import tr
from hubferry.report import phrases, words
from hubferry.report.batch_board import DONE_WELL, ActiveRepo, BatchBoard
from hubferry.report.batch_lines import held_line, is_worth_a_line, note_line, repo_line
from hubferry.report.live import LiveProgress
from hubferry.report.tty import tail
from hubferry.text import T

_NAME_COLUMNS = 44
_BAR_FROM_COLUMNS = 90


class BatchBars(LiveProgress):
    """A live region of a few lines; a line for each finished repository is printed above it."""

    def __init__(
        self, console: Console, shown: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(console)
        self._shown = shown
        self._clock = clock
        self._board = BatchBoard(clock)
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Bring the board up to date; the refresh thread draws it."""
        with self._lock:
            if isinstance(event, BatchStarted):
                self._board = BatchBoard(self._clock)
            self._board.take(event)
            line, style = self._line(event)
        if isinstance(event, BatchStarted):
            self._start()
        if line:
            self._console.print(RichText(words.clean(line), style=style), soft_wrap=True)

    def _line(self, event: Event) -> tuple[str, str]:
        match event:
            case RepoFinished() if is_worth_a_line(event):
                style = "" if event.state in DONE_WELL else "yellow" if event.will_retry else "red"
                return tr(repo_line(event, self._board)), style
            case HeldUp():
                return tr(held_line(event)), "green" if event.is_over else "bold yellow"
            case InRepo(event=Note(level="warning") as note, number=number):
                return tr(note_line(number, note, self._board)), "yellow"
            case Note():
                return tr(event.text), "yellow" if event.level == "warning" else ""
        return "", ""

    def render(self) -> RenderableType:
        """The region as it is now."""
        with self._lock:
            return Group(*self._parts())

    def _parts(self) -> Iterator[RenderableType]:
        board = self._board
        yield self._headline()
        is_wide = self._console.width >= _BAR_FROM_COLUMNS
        if board.total:
            width = max(10, self._console.width - 2)
            # In a table: a bar alone does not end its line.
            whole = Table.grid()
            whole.add_row(
                ProgressBar(board.total, board.finished, width=width, complete_style="green")
            )
            yield whole
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=self._name_columns)
        for _ in range(4 if is_wide else 2):
            table.add_column(no_wrap=True, justify="right")
        for repo in list(board.active.values())[: self._shown]:
            table.add_row(*self._row(repo, is_wide=is_wide))
        yield table
        for held in list(board.held.values())[:3]:
            line = tr(held_line(held))
            yield RichText(line, style="bold yellow", overflow="ellipsis", no_wrap=True)
        if board.common.paused_run:
            line = tr(phrases.paused(board.common.paused_run))
            yield RichText(line, style="bold yellow", overflow="ellipsis", no_wrap=True)
        for pause in board.common.waits[:2]:
            yield RichText(phrases.wait(pause), style="yellow", overflow="ellipsis", no_wrap=True)

    @property
    def _name_columns(self) -> int:
        return min(_NAME_COLUMNS, max(12, self._console.width - 30))

    def _headline(self) -> RichText:
        board, counts = self._board, self._board.counts
        done = T("{done}/{total} repositories", done=board.finished, total=board.total)
        sent = T("{size} sent", size=words.size(board.sent_bytes))
        parts = [tr(done), tr(sent), words.speed(board.meter.bytes_per_second())]
        if failed := counts["failed"] + counts["gone"]:
            parts.append(tr(T("{count} failed", count=failed)))
        parts.append(words.duration(max(0.0, self._clock() - board.started)))
        return RichText(" · ".join(parts), overflow="ellipsis", no_wrap=True)

    def _row(self, repo: ActiveRepo, *, is_wide: bool) -> list[RenderableType]:
        board = repo.board
        name = RichText(tail(words.clean(repo.source), self._name_columns))
        step = RichText(phrases.step(board.step) if board.step else "")
        speed = RichText(words.speed(board.meter.bytes_per_second()))
        if not is_wide:
            return [name, step if not board.total_bytes else RichText(f"{board.percent} %"), speed]
        bar: RenderableType = RichText("")
        size = RichText("")
        if board.total_bytes:
            bar = ProgressBar(100, board.percent, width=12, complete_style="cyan")
            total = max(board.total_bytes, board.done_bytes)
            size = RichText(f"{words.size(board.done_bytes)}/{words.size(total)}")
        return [name, step, bar, size, speed]
