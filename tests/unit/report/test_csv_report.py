"""The history as CSV: nothing in it may be taken for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

import pytest
from tests.support.stories import attempt, batch_row, file_error, kept

from hubferry.history import FileStory, story_of
from hubferry.report.csv_report import Line, file_lines, repo_lines, runs_lines, texts


def read(lines: Iterable[Line]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(texts(lines)))))


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "  =", "\t=", "\r@", "＝"])
def test_no_value_is_a_formula(sign: str) -> None:
    evil = sign + "HYPERLINK(A1)"
    error = file_error(evil, why=evil)
    rows = [attempt(1, "failed", source=evil, target=evil, report=kept(errors=[error]))]
    story = story_of(batch_row(source=evil, report={"counts": {"failed": 1}}), rows)
    (repo,) = read(repo_lines(story, story.repos))
    file = FileStory(1, evil, evil, evil, "failed", None, evil, story.repos[0].errors[0])
    (line,) = read(file_lines(story, [file]))
    (run,) = read(runs_lines([batch_row(source=evil)]))
    for value in (*repo.values(), *line.values(), *run.values()):
        assert not value.strip().startswith(("=", "+", "@", "＝")), value
        assert not value.startswith("-"), value


def test_a_line_for_each_repository_with_figures_as_numbers() -> None:
    error = file_error('w,"x".bin', why="no\nway")
    rows = [
        attempt(1, report=kept(sent=5, total=9)),
        attempt(2, "failed", report=kept(errors=[error, error])),
    ]
    story = story_of(batch_row(report={"counts": {}}), rows)
    good, bad = read(repo_lines(story, story.repos))
    assert (good["state"], good["sent_bytes"], good["verified"]) == ("copied", "5", "true")
    assert good["error"] == ""
    assert (bad["error"], bad["side"], bad["error_count"]) == ("access", "target", "2")
    assert bad["error_path"] == 'w,"x".bin'
    assert "\n" not in bad["message"]
    assert "make a token" in bad["hint"]


def test_batches_tell_their_counts() -> None:
    row = batch_row(report={"counts": {"copied": 7, "failed": 1}, "bytes": {"sent": 9}})
    (run,) = read(runs_lines([row]))
    assert (run["copied"], run["failed"], run["gone"], run["sent_bytes"]) == ("7", "1", "", "9")
