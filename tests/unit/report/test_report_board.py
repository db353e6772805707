"""What bars and lines show of a running copy, by a clock of its own."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import pytest

from hubferry.errors import Side, UnavailableError
from hubferry.events import (
    Committed,
    Event,
    FileFinished,
    FileProgress,
    FileStarted,
    Note,
    Paused,
    Planned,
    RunStarted,
    StepStarted,
    Verified,
    Waiting,
)
from hubferry.i18n import use_language
from hubferry.model import Address, RepoId
from hubferry.report.board import Board
from hubferry.report.console import PipeSafeConsole
from hubferry.report.lines import LineProgress
from hubferry.report.tty import BarProgress
from hubferry.text import T

SOURCE = Address(RepoId("hf", "a/b"))
START = RunStarted("run-1", "copy", SOURCE, None)
MB = 1_000_000


class Clock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def chinese() -> Iterator[None]:
    use_language("zh_CN")
    yield
    use_language("en")


def feed(board: Board, *events: Event) -> None:
    for event in events:
        board.take(event)


def test_nothing_is_done_before_the_commit(clock: Clock) -> None:
    board = Board(clock)
    feed(
        board,
        Planned(1, MB, 1, MB),
        FileStarted("a", MB),
        FileProgress("a", MB),
    )
    assert board.active["a"].percent == 99
    feed(board, FileFinished("a", MB), StepStarted("commit"))
    assert board.percent == 99
    assert board.done_bytes == MB


def test_speed_is_of_the_last_seconds_and_eta_follows(clock: Clock) -> None:
    board = Board(clock)
    feed(board, Planned(1, 100 * MB, 1, 100 * MB), FileStarted("a", 100 * MB))
    for second in range(1, 31):
        clock.now += 1
        feed(board, FileProgress("a", second * MB))
    assert board.meter.bytes_per_second() == pytest.approx(MB, rel=0.15)
    assert board.eta_seconds == pytest.approx(70, rel=0.15)
    clock.now += 60
    assert board.meter.bytes_per_second() == 0
    assert board.eta_seconds is None


def test_a_retry_goes_back_without_losing_what_moved(clock: Clock) -> None:
    board = Board(clock)
    feed(board, Planned(1, 10 * MB, 1, 10 * MB), FileStarted("a", 10 * MB))
    clock.now += 1
    feed(board, FileProgress("a", 5 * MB), FileProgress("a", 0), FileProgress("a", 2 * MB))
    assert board.done_bytes == 2 * MB
    clock.now += 1
    assert board.meter.bytes_per_second() == pytest.approx(3.5 * MB)


def test_bytes_that_were_there_already_do_not_count_as_speed(clock: Clock) -> None:
    board = Board(clock)
    feed(board, Planned(1, MB, 1, MB), FileStarted("a", MB))
    clock.now += 1
    feed(board, FileFinished("a", MB, is_reused=True))
    assert board.meter.bytes_per_second() == 0
    assert board.finished_files == 1


def test_several_workers_wait_in_one_line_until_the_latest_end() -> None:
    board = Board(wall_clock=lambda: 1000.0)
    reason = T("rate limit")
    feed(
        board,
        Waiting(Side.TARGET, reason, 1030.0),
        Waiting(Side.TARGET, reason, 1060.0),
        Waiting(Side.TARGET, reason, 0.0),
        Waiting(Side.SOURCE, reason, 990.0),
    )
    assert [(wait.side, wait.until_unix) for wait in board.waits] == [(Side.TARGET, 1060.0)]


def bars(clock: Clock, columns: int, *events: Event) -> str:
    out = io.StringIO()
    console = PipeSafeConsole(out)
    console.width = columns
    progress = BarProgress(console, 2, clock)
    for event in events:
        progress(event)
    progress.stop()
    out.truncate(0)
    out.seek(0)
    console.print(progress.render())
    return out.getvalue()


def busy(clock: Clock) -> list[Event]:
    until = time.time() + 3600
    return [
        START,
        StepStarted("send"),
        Planned(4, 40 * MB, 4, 40 * MB),
        *(FileStarted(f"{'deep/' * 20}file-{n}", 10 * MB) for n in range(3)),
        FileStarted("\x1b[2Jevil", 10 * MB),
        Waiting(Side.TARGET, T("rate limit"), until),
    ]


def test_bars_take_at_most_workers_and_four_lines(clock: Clock) -> None:
    shown = bars(clock, 100, *busy(clock))
    assert len(shown.splitlines()) == 5
    assert "throttled until " in shown
    assert "\x1b[2J" not in shown


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 160])
def test_bars_fit_the_terminal(clock: Clock, columns: int) -> None:
    shown = bars(clock, columns, *busy(clock))
    assert all(len(line) <= columns for line in shown.splitlines())


@pytest.mark.usefixtures("chinese")
def test_bars_speak_chinese(clock: Clock) -> None:
    shown = bars(clock, 100, *busy(clock))
    assert "目标：限流等待至 " in shown
    assert "总计" in shown
    assert "正在发送" in shown


def lines(clock: Clock, *events: Event | float) -> list[str]:
    out = io.StringIO()
    progress = LineProgress(out, clock)
    for event in events:
        if isinstance(event, float):
            clock.now += event
        else:
            progress(event)
    return [line.split(" ", 1)[1] for line in out.getvalue().splitlines()]


def test_lines_tell_files_and_count_small_ones_together(clock: Clock) -> None:
    small = [FileFinished(f"small-{n}", 10) for n in range(100)]
    shown = lines(clock, START, *small, FileFinished("big", 20 * MB), Committed(1, 101, None))
    assert shown == [
        "sent: small-0 (10 B)",
        "and 99 more files",
        "sent: big (20.0 MB)",
        "commit 1: 101 files",
    ]


def test_lines_sum_up_every_thirty_seconds(clock: Clock) -> None:
    shown = lines(
        clock,
        START,
        Planned(1, 100 * MB, 1, 100 * MB),
        FileStarted("a", 100 * MB),
        25.0,
        FileProgress("a", 25 * MB),
        5.0,
        FileProgress("a", 30 * MB),
        5.0,
        FileProgress("a", 35 * MB),
    )
    assert len(shown) == 2
    assert shown[1].startswith("30 %: 30.0 MB of 100.0 MB, ")


def test_lines_tell_a_wait_once(clock: Clock) -> None:
    until = time.time() + 600
    waits = [Waiting(Side.TARGET, T("rate limit"), until + n * 0.1) for n in range(4)]
    blink = Waiting(Side.SOURCE, T("trying again: {reason}", reason="x"), time.time() + 0.5)
    shown = lines(clock, START, *waits, blink)
    assert len(shown) == 1
    assert shown[0].startswith("target: throttled until ")


def test_lines_tell_failures_notes_and_the_end(clock: Clock) -> None:
    shown = lines(
        clock,
        FileFinished("a\nb", 1, error=UnavailableError("gone")),
        Note("warning", T("rate limit")),
        Verified(3, 0, 0),
        Verified(3, 0, 1),
        Verified(3, 2, 0),
    )
    assert shown == [
        r"failed: a\nb: gone",
        "rate limit",
        "compared: equal",
        "compared: equal, but 1 files could not be checked",
        "compared: 2 files differ",
    ]


PAUSED = "paused; 'hubferry runs resume run-1' lets it go on"


def test_a_paused_run_says_so_and_how_to_end_that(clock: Clock) -> None:
    assert PAUSED in bars(clock, 120, *busy(clock), Paused("run-1"))
    assert "paused" not in bars(clock, 120, *busy(clock), Paused("run-1"), Paused("run-1", True))
    out = io.StringIO()
    lines = LineProgress(out, clock)
    for event in (START, Paused("run-1"), Paused("run-1", is_over=True)):
        lines(event)
    said = [line.partition(" ")[2] for line in out.getvalue().splitlines()]
    assert said == [PAUSED, "going on"]
