"""``hubferry runs``: list, show, retry, report."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from tests.support.stories import RUN_ID, attempt, batch_row, copy_row, file_error, iso, kept
from tests.unit.cli.conftest import Cli

from hubferry.report import shapes

BATCH = batch_row(report={"counts": {"copied": 1, "failed": 1, "unchanged": 5}}) | {
    "attempts": [
        attempt(1, report=kept(sent=5_000_000)),
        attempt(2, "failed", report=kept(errors=[file_error("w.bin")])),
    ]
}
COMMITTED = {
    "kind": "committed",
    "at": iso(3),
    "path": None,
    "detail": json.dumps({"commit": "c1", "paths": ["config.json"]}),
}


@pytest.fixture
def batch(cli: Cli) -> Cli:
    cli.script["rows"] = [BATCH]
    return cli


def is_valid(cli: Cli) -> bool:
    TypeAdapter(shapes.RunsShape).validate_python(cli.json)
    return True


def csv_rows(cli: Cli) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(cli.out)))


def calls(cli: Cli, name: str) -> list[Any]:
    assert cli.app is not None
    return [(args, kw) for called, args, kw in cli.app.calls if called == name]


def test_a_list_tells_batches_by_their_counts_and_takes_filters(
    batch: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert batch("runs", "list", "--command", "batch", "--failed", "--since", "7d") == 0
    assert "1 copied, 5 unchanged, 1 failed" in batch.out
    ((_, filters),) = calls(batch, "runs")
    assert (filters["command"], filters["is_failed"]) == ("batch", True)
    assert filters["since_unix"] > 1_700_000_000
    assert batch("runs", "list", "--format", "csv") == 0
    assert csv_rows(batch)[0]["failed"] == "1"
    assert batch("runs", "list", "--json") == 0
    assert batch.json["runs"][0]["counts"] == {"copied": 1, "failed": 1, "unchanged": 5}
    assert is_valid(batch)


def test_a_batch_is_shown_with_its_repositories(
    batch: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert batch("runs", "show", RUN_ID) == 0
    assert "hf://org/model-1" in batch.out
    assert "the token may not write" in batch.out
    assert batch("runs", "show", RUN_ID, "--json") == 0
    assert is_valid(batch)
    (run,) = batch.json["runs"]
    assert [repo["state"] for repo in run["repos"]] == ["copied", "failed"]
    assert run["repos"][1]["errors"][0]["hint"].startswith("make a token")
    assert run["files"] is None


@pytest.mark.parametrize(
    ("options", "numbers"),
    [(["--failed"], ["2"]), (["--repo", "MODEL-1"], ["1"]), (["--repo", "x", "--failed"], [])],
)
def test_only_some_repositories_are_shown(
    batch: Cli, options: list[str], numbers: list[str]
) -> None:
    assert batch("runs", "show", RUN_ID, "--format", "csv", *options) == 0
    assert [row["number"] for row in csv_rows(batch)] == numbers


def test_each_file_is_shown(batch: Cli) -> None:
    batch.script["events"] = [COMMITTED]
    assert batch("runs", "show", RUN_ID, "--files", "--repo", "model-2") == 0
    assert "config.json" in batch.out
    assert "w.bin" in batch.out
    assert batch("runs", "show", RUN_ID, "--files", "--format", "csv") == 0
    rows = [(row["number"], row["path"], row["event"]) for row in csv_rows(batch)]
    assert rows == [
        ("1", "config.json", "committed"),
        ("2", "config.json", "committed"),
        ("2", "w.bin", "failed"),
    ]
    assert batch("runs", "show", RUN_ID, "--files", "--json") == 0
    assert is_valid(batch)
    assert len(batch.json["runs"][0]["files"]) == 3


def test_one_try_is_shown_with_its_files(batch: Cli) -> None:
    batch.script["events"] = [COMMITTED]
    assert batch("runs", "show", f"{RUN_ID}/2.1") == 0
    assert f"{RUN_ID}/2.1" in batch.out
    assert "w.bin" in batch.out
    assert batch("runs", "show", f"{RUN_ID}/2.1", "--json") == 0
    assert is_valid(batch)
    assert batch("runs", "show", f"{RUN_ID}/9.1") == 2
    assert "no try at a repository" in batch.err


def test_two_forms_at_once_are_refused(batch: Cli) -> None:
    assert batch("runs", "show", RUN_ID, "--json", "--format", "csv") == 2
    assert batch("runs", "list", "--json", "--format", "csv") == 2


def test_a_copy_that_failed_is_tried_again(cli: Cli) -> None:
    cli.script["rows"] = [copy_row()]
    assert cli("runs", "retry", RUN_ID) == 0
    assert len(calls(cli, "retry_copy")) == 1
    assert "Copied hf://org/model to ms://mirror/model" in cli.out


def test_where_nothing_failed_there_is_nothing_to_try_again(cli: Cli) -> None:
    waiting = batch_row(exit_code=3, report={"counts": {"equal": 3, "waiting": 1}})
    for row in (copy_row(exit_code=0), batch_row(exit_code=0), waiting):
        cli.script["rows"] = [row]
        assert cli("runs", "retry", RUN_ID) == 0
        assert "nothing failed in run" in cli.out
        assert cli("runs", "retry", RUN_ID, "--json") == 0
        assert is_valid(cli)


@pytest.mark.parametrize(
    ("row", "said", "advice"),
    [
        (copy_row(state="running", exit_code=None), "is on its way", "runs cancel"),
        (copy_row(command="verify", exit_code=12), "is not tried again", "same command"),
        (batch_row(exit_code=2, report={"stopped": "UsageError"}), "before it came", "models.yaml"),
        (
            batch_row(exit_code=3, report={"counts": {"equal": 3}, "errors": [file_error("x")]}),
            "failed as a whole",
            "models.yaml",
        ),
    ],
)
def test_what_cannot_be_tried_again_says_how_to_go_on(
    cli: Cli, row: dict[str, Any], said: str, advice: str
) -> None:
    cli.script["rows"] = [row]
    assert cli("runs", "retry", RUN_ID) == 2
    assert said in cli.err
    assert advice in cli.err


@pytest.mark.parametrize("words", [["show"], ["retry"], ["report"]])
def test_a_run_nobody_knows(cli: Cli, words: list[str]) -> None:
    assert cli("runs", *words, "other") == 2
    assert "no run is called other" in cli.err


def test_a_report_is_written_where_it_is_wanted(batch: Cli, tmp_path: Path) -> None:
    assert batch("runs", "report", RUN_ID) == 0
    place = tmp_path / f"hubferry-{RUN_ID}.html"
    assert place.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert place.name in batch.out
    for option in ("--html", "--output"):
        assert batch("runs", "report", RUN_ID, option, f"mine{option}.html", "--json") == 0
        assert is_valid(batch)
        assert batch.json["file"] == f"mine{option}.html"
        assert (tmp_path / f"mine{option}.html").exists()
    assert batch("runs", "report", RUN_ID, "--html", "nowhere/at/all.html") == 1
    assert "cannot be written" in batch.err


def test_the_page_speaks_the_language_that_was_asked_for(batch: Cli, tmp_path: Path) -> None:
    assert batch("runs", "report", RUN_ID, "--html", "r.html", "--lang", "zh") == 0
    assert '<html lang="zh-CN">' in (tmp_path / "r.html").read_text(encoding="utf-8")
