"""Past runs as tables."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from tests.support.stories import RUN_ID, attempt, batch_row, copy_row, file_error, kept

from hubferry.history import RunStory, story_of
from hubferry.i18n import use_language
from hubferry.report.run_tables import print_runs, print_story


@pytest.fixture(autouse=True)
def _english() -> None:
    use_language("en")


def shown(story: RunStory, **more: object) -> str:
    out = io.StringIO()
    print_story(Console(file=out, width=200), story, story.repos, **more)  # type: ignore[arg-type]
    return out.getvalue()


def test_a_copy_of_the_past_tells_its_figures_its_errors_and_what_to_do() -> None:
    text = shown(story_of(copy_row(), []))
    assert "8 in all, 7 sent" in text
    assert "w.bin: the token may not write → make a token with the permission" in text
    assert f"hubferry runs retry {RUN_ID}" in text


def test_a_batch_tells_what_is_not_done_first() -> None:
    rows = [
        attempt(1, report=kept(sent=5_000_000)),
        attempt(2, "failed", report=kept(errors=[file_error("a"), file_error("b")])),
    ]
    row = batch_row(report={"counts": {"copied": 1, "failed": 1, "unchanged": 40}})
    text = shown(story_of(row, rows))
    assert "1 copied, 40 unchanged, 1 failed" in text
    assert text.index("hf://org/model-2") < text.index("hf://org/model-1")
    assert "(and 1 more)" in text
    assert "5.0 MB" in text


def test_a_run_that_is_fine_or_on_its_way_is_not_to_be_tried_again() -> None:
    assert "retry" not in shown(story_of(copy_row(exit_code=0, report=kept()), []))
    going = copy_row(exit_code=None, ended_at=None, state="running", report=None)
    assert "retry" not in shown(story_of(going, []))


def test_what_the_program_keeps_for_itself_is_not_told() -> None:
    events = [
        {"kind": kind, "at": "2026-01-02T03:04:05.678+00:00", "path": None, "detail": None}
        for kind in ("before", "asked", "hook")
    ]
    text = shown(story_of(copy_row(), []), events=events)
    assert "hook" in text
    assert "asked" not in text
    assert "before" not in text


def test_names_cannot_write_to_the_terminal() -> None:
    row = batch_row(report={"counts": {"copied": 1}})
    text = shown(story_of(row, [attempt(1, source="hf://a/\x1b[2Jb\u202e")]))
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_batch_is_a_line_with_its_counts() -> None:
    out = io.StringIO()
    row = batch_row(report={"counts": {"copied": 3, "failed": 1}})
    print_runs(Console(file=out, width=200), [row])
    assert "3 copied, 1 failed" in out.getvalue()
