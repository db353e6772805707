"""A batch that is partly done: shown, tried again, and made into a page; by real processes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.processes import Ended, LabProcess, run_hubferry

BIG_BYTES = 200_000


class Shell:
    """A lab, a manifest of three repositories and one that is not there, and a terminal."""

    def __init__(self, lab: LabProcess, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.manifest = folder / "models.txt"
        self._variables = lab.variables(folder / "home")
        for number in (1, 2, 3):
            self.seed(f"m{number}", number)
        names = ("m1", "m2", "m3", "missing")
        self.manifest.write_text("".join(f"source-org/{n} your-org/{n}\n" for n in names))

    def seed(self, name: str, seed: int) -> None:
        weights = {"size": BIG_BYTES, "seed": seed}
        self.lab.seed(f"source-org/{name}", {"config.json": {"text": "{}"}, "w.bin": weights})

    def type(self, *arguments: str) -> Ended:
        return run_hubferry([*arguments], self._variables, self.folder / "out")

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.type("runs", "list", "--json").report["runs"]
        return found

    def show(self, *arguments: str) -> dict[str, Any]:
        (run,) = self.type("runs", "show", *arguments, "--json").report["runs"]
        found: dict[str, Any] = run
        return found

    def stored_bytes(self) -> int:
        seen = self.lab.ask("GET", "/counters")["endpoints"]
        return int(seen.get("ms.put", {}).get("bytes_in", 0))


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with LabProcess(max_seconds=300) as lab:
        yield Shell(lab, tmp_path)


def test_a_batch_is_shown_and_only_what_failed_is_tried_again(shell: Shell) -> None:
    first = shell.type("batch", str(shell.manifest), "--private")
    assert first.code == 3, first.err
    (run,) = shell.runs()
    assert run["counts"] == {"copied": 3, "failed": 1}

    shown = shell.show(run["run_id"])
    assert [repo["state"] for repo in shown["repos"]] == ["copied"] * 3 + ["failed"]
    (error,) = shown["repos"][3]["errors"]
    assert (error["error"], error["side"], error["exit_code"]) == ("not_found", "source", 10)
    assert error["hint"]
    files = shell.show(run["run_id"], "--files", "--repo", "m2")["files"]
    assert sorted(file["path"] for file in files) == ["config.json", "w.bin"]
    (attempt,) = {repo["attempt_id"] for repo in shown["repos"] if repo["number"] == 2}
    assert shell.show(attempt)["files"] == files
    printed = shell.type("runs", "show", run["run_id"], "--format", "csv")
    assert [row["state"] for row in csv.DictReader(io.StringIO(printed.out))][-1] == "failed"

    assert shell.type("runs", "retry", run["run_id"]).code == 10, "it is still not there"
    sent = shell.stored_bytes()
    shell.seed("missing", 9)
    again = shell.type("runs", "retry", shell.runs()[0]["run_id"], "--json")
    assert again.code == 0, again.err
    assert again.report["counts"] == {"copied": 1}
    assert shell.stored_bytes() - sent < 2 * BIG_BYTES, "nothing else was sent"
    assert "w.bin" in shell.lab.tree("ms", "your-org/missing")
    # The option of the batch, which nobody repeated.
    repos = {repo["id"]: repo for repo in shell.lab.ask("GET", "/repos")["ms"]}
    assert repos["your-org/missing"]["private"] is True

    newest = shell.runs()[0]
    assert (newest["command"], newest["exit_code"]) == ("batch", 0)
    assert shell.type("runs", "retry", newest["run_id"]).code == 0
    assert len(shell.runs()) == 3, "there was nothing to try again"


def test_a_manifest_that_is_gone_is_asked_for(shell: Shell) -> None:
    assert shell.type("batch", str(shell.manifest)).code == 3
    run_id = shell.runs()[0]["run_id"]
    moved = shell.manifest.rename(shell.folder / "moved.txt")
    refused = shell.type("runs", "retry", run_id)
    assert refused.code == 2
    assert "--manifest FILE" in refused.err
    moved.write_text("source-org/m1 your-org/m1\n")
    changed = shell.type("runs", "retry", run_id, "--manifest", str(moved), "--json")
    assert changed.report["counts"] == {}
    (notice,) = changed.report["notices"]
    assert (notice["kind"], notice["repo"]) == ("missing", "hf://source-org/missing")


def test_a_copy_is_tried_again_as_it_was_asked_for(shell: Shell) -> None:
    options = ("--include", "*.json", "--private")
    assert shell.type("copy", "source-org/later", "your-org/later", *options).code == 10
    run_id = shell.runs()[0]["run_id"]
    shell.seed("later", 4)
    again = shell.type("runs", "retry", run_id, "--json")
    assert again.code == 0, again.err
    assert again.report["files"]["total"] == 1
    assert "w.bin" not in shell.lab.tree("ms", "your-org/later")


def test_a_page_of_a_real_run_is_whole_and_holds_no_token(shell: Shell) -> None:
    assert shell.type("batch", str(shell.manifest)).code == 3
    run_id = shell.runs()[0]["run_id"]
    page = shell.folder / "report.html"
    assert shell.type("runs", "report", run_id, "--html", str(page)).code == 0
    text = page.read_text(encoding="utf-8")
    assert text.rstrip().endswith("</html>")
    assert "hf://source-org/missing" in text
    assert "check the name" in text
    assert 'id="plot-sent"' in text
    for token in (shell.lab.ready["hf_token"], shell.lab.ready["ms_token"]):
        assert token not in text
