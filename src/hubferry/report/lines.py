"""Progress as plain lines, for logs and pipes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TextIO

from hubferry.events import (
    Committed,
    Event,
    FileFinished,
    Listed,
    Note,
    Paused,
    Planned,
    RunStarted,
    StepStarted,
    Verified,
    Waiting,
)
from hubferry.i18n import tr
from hubferry.report import console, phrases, words
from hubferry.report.board import Board, Wait
from hubferry.report.observer import Progress
from hubferry.text import T, Text

SUMMARY_SECONDS = 30.0
_FILE_LINE_SECONDS = 0.5
"""Thousands of small files: a line each would drown what matters."""
_BIG_FILE_BYTES = 10_000_000
_SHORTEST_WAIT_SECONDS = 3.0
_STEPS_SHOWN = frozenset({"read", "commit", "verify"})


class LineProgress(Progress):
    """A line per file (small ones counted together) and a summary every 30 seconds."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._board = Board(clock)
        self._lock = threading.Lock()
        self._last_summary = clock()
        self._last_file = float("-inf")
        self._unsaid = 0
        self._is_verifying = False
        self._said_until: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Say what is worth a line."""
        with self._lock:
            if isinstance(event, RunStarted):
                self._board = Board(self._clock)
            if isinstance(event, StepStarted):
                self._is_verifying = event.step == "verify"
            self._board.take(event)
            for text in self._lines(event):
                self._say(text)
            self._summarise()

    def _lines(self, event: Event) -> list[Text]:
        match event:
            case StepStarted() if event.step in _STEPS_SHOWN:
                return [*self._rest(), Text(phrases.step(event.step))]
            case Listed():
                side = phrases.SIDES[event.side]
                size = words.size(event.size_bytes)
                return [T("{side}: {count} files, {size}", side=side, count=event.files, size=size)]
            case Planned():
                size = words.size(event.send_bytes)
                return [T("to send: {count} files, {size}", count=event.send_files, size=size)]
            case FileFinished():
                return self._file(event)
            case Waiting():
                return self._waiting(event)
            case Paused():
                return [T("going on") if event.is_over else phrases.paused(event.run_id)]
            case Committed():
                text = T("commit {number}: {count} files", number=event.number, count=event.files)
                return [*self._rest(), text]
            case Verified():
                return [_verified(event)]
            case Note():
                return [event.text]
        return []

    def _file(self, event: FileFinished) -> list[Text]:
        path = words.clean(event.path)
        if event.error is not None:
            reason = words.clean(tr(event.error.message))
            return [T("failed: {path}: {reason}", path=path, reason=reason)]
        now = self._clock()
        is_soon = now - self._last_file < _FILE_LINE_SECONDS
        if is_soon and event.size_bytes < _BIG_FILE_BYTES:
            self._unsaid += 1
            return []
        self._last_file = now
        size = words.size(event.size_bytes)
        if self._is_verifying:
            text = T("compared: {path} ({size})", path=path, size=size)
        elif event.is_reused:
            text = T("already stored there: {path} ({size})", path=path, size=size)
        else:
            text = T("sent: {path} ({size})", path=path, size=size)
        return [*self._rest(), text]

    def _rest(self) -> list[Text]:
        """The files that got no line of their own."""
        count, self._unsaid = self._unsaid, 0
        return [T("and {count} more files", count=count)] if count else []

    def _waiting(self, event: Waiting) -> list[Text]:
        pause = Wait(event.side, event.reason, event.until_unix)
        key = f"{event.side}{event.reason.template}"
        is_news = event.until_unix > self._said_until.get(key, 0.0) + _SHORTEST_WAIT_SECONDS
        if event.until_unix - time.time() < _SHORTEST_WAIT_SECONDS or not is_news:
            return []
        self._said_until[key] = event.until_unix
        return [Text(phrases.wait(pause))]

    def _summarise(self) -> None:
        now = self._clock()
        if now - self._last_summary < SUMMARY_SECONDS:
            return
        self._last_summary = now
        board = self._board
        if not board.active:
            return
        eta = board.eta_seconds
        text = T(
            "{percent} %: {done} of {total}, {speed}, {left} left",
            percent=board.percent,
            done=words.size(board.done_bytes),
            total=words.size(board.total_bytes),
            speed=words.speed(board.meter.bytes_per_second()),
            left="?" if eta is None else words.duration(eta),
        )
        self._say(text)

    def _say(self, text: Text) -> None:
        line = f"{words.clock(time.time(), with_seconds=True)} {words.clean(tr(text))}\n"
        console.write(self._stream, line)


def _verified(event: Verified) -> Text:
    if event.differences:
        return T("compared: {count} files differ", count=event.differences)
    if event.unchecked:
        return T("compared: equal, but {count} files could not be checked", count=event.unchecked)
    return T("compared: equal")
