"""A batch as people see it: while it runs, and at its end."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from hubferry.batch.values import (
    BatchPlan,
    BatchReport,
    ItemOutcome,
    ItemPlan,
    ItemState,
    LeftOut,
    Notice,
)
from hubferry.errors import NotFoundError, Side
from hubferry.events import (
    BatchStarted,
    Event,
    FileFinished,
    FileProgress,
    FileStarted,
    HeldUp,
    InRepo,
    Note,
    Planned,
    RepoFinished,
    RepoStarted,
)
from hubferry.i18n import use_language
from hubferry.model import Address, RepoId
from hubferry.outcome import ErrorRecord
from hubferry.report.batch_bars import BatchBars
from hubferry.report.batch_board import BatchBoard
from hubferry.report.batch_lines import BatchLines
from hubferry.report.batch_shapes import batch_shape
from hubferry.report.batch_tables import print_batch, print_batch_plan
from hubferry.report.json_report import dumps
from hubferry.text import Text

SOURCE, TARGET = Address(RepoId("hf", "org/a")), Address(RepoId("ms", "me/a"))
EVIL = "org/\x1b[31mred\u202e"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def started(number: int = 1, source: Address = SOURCE) -> RepoStarted:
    return RepoStarted(number, source, TARGET)


def finished(state: str, number: int = 1, **more: object) -> RepoFinished:
    return RepoFinished(number, SOURCE, TARGET, state, 1_500_000, 2.0, **more)  # type: ignore[arg-type]


COPY: list[Event] = [
    BatchStarted("run", "list.txt", 5, 2),
    started(),
    InRepo(1, Planned(3, 2_000_000, 2, 2_000_000)),
    InRepo(1, FileStarted("w.bin", 1_000_000)),
    InRepo(1, FileProgress("w.bin", 400_000)),
]


def test_the_board_counts_repositories_and_the_bytes_of_all_of_them() -> None:
    board = BatchBoard(Clock())
    for event in COPY:
        board.take(event)
    assert (board.total, board.finished, board.sent_bytes) == (2, 0, 400_000)
    assert board.active[1].board.percent == 20
    board.take(InRepo(1, FileFinished("w.bin", 1_000_000)))
    board.take(InRepo(1, FileFinished("held.bin", 1_000_000, is_reused=True)))
    assert board.sent_bytes == 1_000_000
    board.take(finished("failed", will_retry=True))
    assert (board.finished, board.active) == (0, {})
    board.take(finished("copied"))
    assert board.counts == {"copied": 1}


def lines(*events: Event) -> list[str]:
    stream = io.StringIO()
    progress = BatchLines(stream, Clock())
    for event in events:
        progress(event)
    return [line.partition(" ")[2] for line in stream.getvalue().splitlines()]


def test_a_line_a_repository_and_none_for_what_nothing_happened_to() -> None:
    said = lines(
        *COPY,
        finished("copied"),
        finished("unchanged", 2),
        finished("left_out", 3),
        finished("failed", 4, error=Text("no such thing")),
        finished("failed", 5, error=Text("down"), will_retry=True),
    )
    assert said == [
        "5 repositories, 2 to look at",
        "[1/2] copied: hf://org/a -> ms://me/a (1.5 MB sent, 2.0 s)",
        "[4/2] failed: hf://org/a -> ms://me/a: no such thing",
        "[4/2] hf://org/a -> ms://me/a: down; it will be tried again",
    ]


def test_a_common_cause_is_told_when_it_begins_and_when_it_is_over() -> None:
    held = HeldUp("outage target ms", Text("the hub does not answer: no route"), 34)
    over = HeldUp(held.cause, held.text, 34, is_over=True)
    said = lines(held, over)
    assert "34 repositories wait" in said[0]
    assert said[1] == "going on: the hub does not answer: no route is over"


def test_a_warning_of_one_repository_names_it_and_chat_is_not_told() -> None:
    said = lines(
        started(), InRepo(1, Note("warning", Text("odd"))), InRepo(1, Note("info", Text("chat")))
    )
    assert said == ["hf://org/a: odd"]


def test_names_cannot_move_the_cursor() -> None:
    evil = Address(RepoId("hf", EVIL))
    said = lines(RepoFinished(1, evil, TARGET, "copied"))
    assert "\x1b" not in said[0]
    assert "\u202e" not in said[0]


def drawn(width: int, *events: Event) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    bars = BatchBars(console, shown=4, clock=Clock())
    for event in events:
        bars(event)
    bars.stop()
    with console.capture() as capture:
        console.print(bars.render())
    return capture.get()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_region_fits_its_terminal(width: int) -> None:
    held = HeldUp("quota", Text("the quota is full"), 3)
    shown = drawn(width, *COPY, held)
    assert "0/2 repositories" in shown
    assert "org/a" in shown
    assert all(len(line) <= width for line in shown.splitlines())
    if width >= 80:
        assert "on hold" in shown


def report() -> BatchReport:
    error = NotFoundError("no such repository", side=Side.SOURCE, repo="hf://org/b", hint=None)
    made = BatchReport("run-1", "batch", "list.txt", seconds=3.0)
    made.items = [
        ItemOutcome(1, str(SOURCE), str(TARGET), ItemState.COPIED, 1, sent_bytes=1_500_000),
        ItemOutcome(2, "hf://org/b", "ms://me/b", ItemState.FAILED, 3, error=ErrorRecord.of(error)),
        ItemOutcome(3, f"hf://{EVIL}", "ms://me/c", ItemState.STOPPED),
    ]
    made.left_out = [LeftOut("hf://org/d", "ms://me/d", "min-size", Text("it is smaller"))]
    made.notices = [Notice("renamed", "hf://org/e", Text("it is called org/f now"))]
    return made


def shown(show: object, value: object) -> str:
    console = Console(file=io.StringIO(), width=200)
    with console.capture() as capture:
        show(console, value)  # type: ignore[operator]
    return capture.get()


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("Batch not finished", "failed", "1 repositories were not finished")),
        ("zh_CN", ("list.txt",)),
    ],
)
def test_the_end_tells_what_is_not_done_and_what_to_do(
    language: str, words: tuple[str, ...]
) -> None:
    use_language(language)
    try:
        text = shown(print_batch, report())
    finally:
        use_language("en")
    for word in (*words, "hf://org/b", "no such repository", "min-size", "org/f", "run-1"):
        assert word in text
    assert str(SOURCE) not in text, "what is done is counted, not listed"
    assert "\x1b" not in text


def test_a_plan_tells_sizes_and_that_nothing_was_written() -> None:
    plan = BatchPlan("run", "list.txt", speed_bytes_per_second=1e6, seconds_estimate=12.0)
    plan.items = [ItemPlan(1, str(SOURCE), str(TARGET), "copy", 3, 9_000_000, 2_000_000, 7_000_000)]
    text = shown(print_batch_plan, plan)
    for word in ("9.0 MB", "2.0 MB", "7.0 MB", "assuming 1.0 MB/s", "Nothing was written"):
        assert word in text


def test_the_json_of_a_batch_is_complete() -> None:
    shape = batch_shape(report())
    assert shape.exit_code == 3
    assert shape.counts == {"copied": 1, "failed": 1, "stopped": 1}
    assert [item.errors[0].error if item.errors else None for item in shape.items] == [
        None,
        "not_found",
        None,
    ]
    assert "\n" not in dumps(shape)
