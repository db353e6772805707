"""A batch's progress as plain lines: one a repository, and a summary from time to time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from hubferry.events import BatchStarted, Event, HeldUp, InRepo, Note, RepoFinished
from hubferry.i18n import tr
from hubferry.report import words
from hubferry.report.batch_board import BatchBoard
from hubferry.report.item_words import STATES
from hubferry.report.lines import SUMMARY_SECONDS, LineProgress
from hubferry.text import T, Text


class BatchLines(LineProgress):
    """As for one copy, but a line a repository instead of one a file."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, clock)
        self._batch = BatchBoard(clock)

    def _lines(self, event: Event) -> list[Text]:
        if isinstance(event, BatchStarted):
            self._batch = BatchBoard(self._clock)
        self._batch.take(event)
        match event:
            case BatchStarted():
                listed, count = event.listed, event.repos
                return [T("{listed} repositories, {count} to look at", listed=listed, count=count)]
            case RepoFinished():
                return [repo_line(event, self._batch)] if is_worth_a_line(event) else []
            case HeldUp():
                return [held_line(event)]
            case InRepo(event=Note(level="warning") as note, number=number):
                return [note_line(number, note, self._batch)]
            case InRepo():
                return []
        return super()._lines(event)

    def _summarise(self) -> None:
        now = self._clock()
        if now - self._last_summary < SUMMARY_SECONDS:
            return
        self._last_summary = now
        if self._batch.active:
            self._say(summary_line(self._batch))


def is_worth_a_line(event: RepoFinished) -> bool:
    """What nothing happened to is counted in the end, and not told one by one."""
    return event.state not in ("left_out", "unchanged", "waiting")


def note_line(number: int, note: Note, board: BatchBoard) -> Text:
    """A warning of one repository, with its name."""
    repo = board.active.get(number)
    return T("{source}: {text}", source=words.clean(repo.source if repo else ""), text=note.text)


def repo_line(event: RepoFinished, board: BatchBoard) -> Text:
    """``[37/500] copied: hf://a/b -> ms://c/b (1.2 GB, 14 s)``."""
    values: dict[str, object] = {
        "done": board.finished,
        "total": board.total,
        "state": tr(STATES.get(event.state, Text(event.state))),
        "source": words.clean(event.source),
        "target": words.clean(event.target),
    }
    if event.error is not None:
        reason = words.clean(tr(event.error))
        if event.will_retry:
            return T(
                "[{done}/{total}] {source} -> {target}: {reason}; it will be tried again",
                **(values | {"reason": reason}),
            )
        return T(
            "[{done}/{total}] {state}: {source} -> {target}: {reason}",
            **(values | {"reason": reason}),
        )
    values |= {"size": words.size(event.sent_bytes), "time": words.duration(event.seconds)}
    return T("[{done}/{total}] {state}: {source} -> {target} ({size} sent, {time})", **values)


def held_line(event: HeldUp) -> Text:
    """What several repositories wait for, or that they go on."""
    reason = words.clean(tr(event.text))
    if event.is_over:
        return T("going on: {reason} is over", reason=reason)
    return T(
        "on hold: {reason}; {count} repositories wait, and go on by themselves once it is over",
        reason=reason,
        count=event.repos,
    )


def summary_line(board: BatchBoard) -> Text:
    """Where the batch is."""
    return T(
        "{done} of {total} repositories, {active} on their way, {size} sent, {speed}",
        done=board.finished,
        total=board.total,
        active=len(board.active),
        size=words.size(board.sent_bytes),
        speed=words.speed(board.meter.bytes_per_second()),
    )
