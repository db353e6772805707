"""Progress as bars on a terminal: one for the whole, one per file on its way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text as RichText

from hubferry.events import Event, FileFinished, Note, RunStarted
from hubferry.i18n import tr
from hubferry.report import phrases, words
from hubferry.report.board import ActiveFile, Board
from hubferry.report.live import LiveProgress
from hubferry.text import T

_PATH_COLUMNS = 40


@dataclass(frozen=True)
class _Layout:
    """What a line shows beside the path, and how many columns that takes, gaps included.

    A figure that is cut says nothing, so columns go one by one, and the path keeps room for
    the part that tells ``model-00001-of-00002.safetensors`` from its neighbour.
    """

    from_columns: int
    columns: tuple[str, ...]
    taken: int
    bar_width: int = 8


_FULL = ("bar", "percent", "size", "speed", "eta")
_LAYOUTS = (
    _Layout(112, _FULL, 73, bar_width=20),
    _Layout(96, _FULL, 61),
    _Layout(72, ("bar", "percent", "size", "speed"), 43),
    _Layout(0, ("percent", "speed"), 16),
)


class BarProgress(LiveProgress):
    """A live region of at most ``workers`` + 5 lines; what must stay is printed above it."""

    def __init__(
        self, console: Console, workers: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(console)
        self._workers = workers
        self._clock = clock
        self._board = Board(clock)
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Bring the board up to date; the refresh thread draws it."""
        if isinstance(event, RunStarted):
            self._board = Board(self._clock)
        with self._lock:
            self._board.take(event)
        if isinstance(event, RunStarted):
            self._start()
        elif isinstance(event, Note):
            self._print(tr(event.text), "yellow" if event.level == "warning" else "")
        elif isinstance(event, FileFinished) and event.error is not None:
            path, reason = words.clean(event.path), tr(event.error.message)
            self._print(tr(T("failed: {path}: {reason}", path=path, reason=reason)), "red")

    def _print(self, line: str, style: str) -> None:
        # Outside the lock: printing redraws the bars, which takes it.
        self._console.print(RichText(words.clean(line), style=style), soft_wrap=True)

    def render(self) -> RenderableType:
        """The region as it is now."""
        with self._lock:
            return Group(*self._parts())

    def _parts(self) -> Iterator[RenderableType]:
        board = self._board
        yield self._headline()
        table = Table.grid(padding=(0, 1))
        # A fixed order of columns, so that the eye finds the speed where it was.
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=self._path_columns)
        columns = self._layout.columns
        for _ in columns:
            table.add_column(no_wrap=True, justify="right")
        rows = [self._overall()] if board.total_bytes else []
        rows += [self._file(file) for file in list(board.active.values())[: self._workers]]
        for row in rows:
            table.add_row(row["path"], *(row[name] for name in columns))
        yield table
        if board.paused_run:
            line = tr(phrases.paused(board.paused_run))
            yield RichText(line, style="bold yellow", overflow="ellipsis", no_wrap=True)
        for pause in board.waits[:2]:
            yield RichText(phrases.wait(pause), style="yellow", overflow="ellipsis", no_wrap=True)

    @property
    def _path_columns(self) -> int:
        return min(_PATH_COLUMNS, max(8, self._console.width - self._layout.taken))

    @property
    def _layout(self) -> _Layout:
        width = self._console.width
        return next(layout for layout in _LAYOUTS if width >= layout.from_columns)

    def _headline(self) -> RichText:
        board = self._board
        elapsed = words.duration(max(0.0, board.clock() - board.started))
        parts = [phrases.step(board.step)] if board.step else []
        if board.total_files:
            count = T("{done}/{total} files", done=board.finished_files, total=board.total_files)
            parts.append(tr(count))
        if board.commits:
            parts.append(tr(T("{count} commits", count=board.commits)))
        if board.failed_files:
            parts.append(tr(T("{count} failed", count=board.failed_files)))
        if "eta" not in self._layout.columns and (left := _eta(board.eta_seconds)):
            elapsed += " · " + left
        return RichText(" · ".join([*parts, elapsed]), overflow="ellipsis", no_wrap=True)

    def _overall(self) -> dict[str, RenderableType]:
        board = self._board
        done = board.done_bytes
        total = max(board.total_bytes, done)
        return {
            "path": RichText(tr(T("in all")), style="bold"),
            "bar": self._bar(board.percent, "green"),
            "percent": RichText(f"{board.percent} %", style="bold"),
            "size": RichText(f"{words.size(done)}/{words.size(total)}"),
            "speed": RichText(words.speed(board.meter.bytes_per_second())),
            "eta": RichText(_eta(board.eta_seconds)),
        }

    def _file(self, file: ActiveFile) -> dict[str, RenderableType]:
        speed = file.meter.bytes_per_second()
        left = file.size_bytes - file.done_bytes
        return {
            "path": RichText(tail(words.clean(file.path), self._path_columns)),
            "bar": self._bar(file.percent, "cyan"),
            "percent": RichText(f"{file.percent} %"),
            "size": RichText(f"{words.size(file.done_bytes)}/{words.size(file.size_bytes)}"),
            "speed": RichText(words.speed(speed)),
            "eta": RichText(_eta(left / speed if speed > 0 and left > 0 else None)),
        }

    def _bar(self, percent: int, style: str) -> ProgressBar:
        return ProgressBar(100, percent, width=self._layout.bar_width, complete_style=style)


def _eta(seconds: float | None) -> str:
    return "" if seconds is None else tr(T("{left} left", left=words.duration(seconds)))


def tail(path: str, columns: int) -> str:
    """The end of a long path says more than its beginning."""
    if cell_len(path) <= columns:
        return path
    # Chinese characters take two cells each.
    while cell_len(path) > columns - 1:
        path = path[1:]
    return "…" + path
