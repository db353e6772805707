"""Progress as plain lines."""

from __future__ import annotations

import io

from hubferry.events import Event, FileFinished, StepStarted
from hubferry.report.lines import LineProgress


def said(*events: Event) -> str:
    stream = io.StringIO()
    progress = LineProgress(stream)
    for event in events:
        progress(event)
    return stream.getvalue()


def test_a_file_that_was_sent_is_said_to_be_sent() -> None:
    assert "sent: a.bin (20.0 MB)" in said(FileFinished("a.bin", 20_000_000))


def test_a_file_that_was_only_compared_is_not_said_to_be_sent() -> None:
    text = said(StepStarted("verify"), FileFinished("a.bin", 20_000_000))
    assert "compared: a.bin (20.0 MB)" in text
    assert "sent" not in text


def test_control_characters_of_a_path_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in said(FileFinished("a\x1b[2Jb", 20_000_000))
