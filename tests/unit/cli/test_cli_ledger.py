"""``hubferry ledger`` on a real ledger: its size, its room, its rows."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from hubferry.cli import main
from hubferry.hubs.memory import git_oid_of, sha256_of
from hubferry.i18n import use_language
from hubferry.ledger import Ledger, RepoRecord
from hubferry.ledger.history import moment
from hubferry.net.secret import Secret
from hubferry.report.json_schema import SHAPES

TOKEN = "hf_" + "abcdefghij" * 4
SECRET = "a-secret-that-has-no-known-shape"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Run]:
    for name in list(os.environ):
        if name.startswith(("HUBFERRY_", "LC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("hubferry.app.configure_logging", lambda level, file: None)
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        code = main.run(["ledger", *words, "--state-dir", str(tmp_path / "state")])
        return code, *capsys.readouterr()

    yield call
    use_language("en")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "state" / "ledger.sqlite3")
    made.start_run("run-1", "copy", "hf://a/b", "ms://a/b")
    made.end_run("run-1", 0, '{"commits": 1}')
    made.remember(RepoRecord("hf://a/b", "ms://a/b", "w", "equal"))
    made.remember_files("hf://a/b", "ms://a/b", [("模型.bin", 7, "ab" * 32)])
    made.learn([(git_oid_of(b"x"), sha256_of(b"x"))])
    yield made
    made.close()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_stats_are_told_to_people_and_to_programs(
    run: Run, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    code, out, err = run("stats")
    assert (code, err) == (0, "")
    assert str(tmp_path / "state" / "ledger.sqlite3") in out
    assert "verified files" in out
    code, out, _ = run("stats", "--json")
    assert code == 0
    TypeAdapter(SHAPES["ledger"]).validate_json(out, strict=True)
    found = json.loads(out)
    assert (found["command"], found["rows"]["files"]) == ("ledger stats", 1)
    assert found["before_bytes"] is None


def test_vacuum_tells_what_it_gave_back(run: Run, ledger: Ledger) -> None:
    ledger.start_run("old", "copy", "a", "b")
    ledger.note_all("old", "sent", [("x" * 200, None)] * 12_000)
    ledger.end_run("old", 0, "{}")
    with ledger._store.write() as connection:
        query = "UPDATE runs SET started_at = ?, ended_at = ? WHERE run_id = 'old'"
        connection.exec_driver_sql(query, (moment(time.time() - 3 * 86_400),) * 2)
    code, out, _ = run("vacuum", "--keep-days", "4")
    assert (code, len(ledger.runs())) == (0, 2)
    code, out, _ = run("vacuum", "--keep-days", "2")
    assert (code, len(ledger.runs())) == (0, 1), "what is older goes first, all of it"
    assert "MB and takes" in out
    assert "kB now" in out
    code, out, _ = run("vacuum", "--json")
    TypeAdapter(SHAPES["ledger"]).validate_json(out, strict=True)
    found = json.loads(out)
    assert found["command"] == "ledger vacuum"
    assert found["before_bytes"] >= found["after_bytes"] == found["file_bytes"] > 0


def test_export_prints_a_line_for_each_row(run: Run, ledger: Ledger) -> None:
    code, out, err = run("export")
    assert (code, err) == (0, "")
    assert [row["table"] for row in lines(out)] == ["runs", "repositories", "files", "blobs"]
    assert lines(out)[0]["report"] == {"commits": 1}
    assert "模型.bin" in out, "readable, not escaped"
    _, out, _ = run("export", "--table", "files", "--table", "blobs")
    assert [row["table"] for row in lines(out)] == ["files", "blobs"]


def test_export_to_a_file_is_whole_or_not_there(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("before")
    code, out, _ = run("export", "--output", str(file))
    assert (code, out) == (0, "")
    assert len(lines(file.read_text(encoding="utf-8"))) == 4
    after = file.read_text(encoding="utf-8")
    code, _, err = run("export", "--output", str(file), "--table", "nothing")
    assert code == 2
    assert "runs, attempts, events, repositories, files, blobs" in err
    assert file.read_text(encoding="utf-8") == after
    assert [each.name for each in tmp_path.glob("rows*")] == ["rows.jsonl"]


def test_an_export_that_breaks_off_leaves_no_file(
    run: Run, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hubferry.report.ledger_tables._texts", fail)
    code, _, err = run("export", "--output", str(tmp_path / "rows.jsonl"))
    assert code == 1
    assert "No space left on device" in err
    assert str(tmp_path / "rows.jsonl") in err
    assert list(tmp_path.glob("rows*")) == []


def test_a_file_that_cannot_be_made_is_told(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    code, _, err = run("export", "--output", str(tmp_path / "no" / "rows.jsonl"))
    assert code == 1
    assert "the record cannot be written to" in err


@pytest.mark.skipif(sys.platform == "win32", reason="a device of POSIX systems")
def test_a_device_is_written_to_and_stays_one(run: Run, ledger: Ledger) -> None:
    code, _, _ = run("export", "--output", "/dev/null")
    assert code == 0
    assert not Path("/dev/null").is_file()


def test_export_ends_quietly_when_nobody_reads_on(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    code, _, err = run("export")
    assert (code, err) == (0, "")


def test_no_secret_leaves_the_ledger_even_if_one_got_in(
    run: Run, ledger: Ledger, tmp_path: Path
) -> None:
    assert Secret(SECRET)
    detail = {"url": f"https://x/y?X-Amz-Signature={'a' * 30}&a=b", SECRET: [{"header": TOKEN}]}
    ledger.note("run-1", "failed", f"dir/{TOKEN}", detail)
    ledger.end_run("run-1", 3, json.dumps({"errors": [{"message": f"Bearer {SECRET}"}]}))
    ledger.remember(RepoRecord("hf://a/c", "ms://a/c", "w", "failed", error={"message": TOKEN}))
    ledger.remember_files("hf://a/c", "ms://a/c", [(f"x-{SECRET}", 1, None)])
    code, out, _ = run("export")
    assert code == 0
    assert run("export", "--output", str(tmp_path / "rows.jsonl"))[0] == 0
    for text in (out, (tmp_path / "rows.jsonl").read_text(encoding="utf-8")):
        assert len(lines(text)) == 7, "and it is still JSON"
        for secret in (SECRET, TOKEN, "a" * 30):
            assert secret not in text


@pytest.mark.parametrize("verb", ["stats", "vacuum", "export"])
def test_a_ledger_that_cannot_be_used_is_13(run: Run, tmp_path: Path, verb: str) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "ledger.sqlite3").write_bytes(b"no database" * 1000)
    code, out, err = run(verb)
    assert (code, out) == (13, "")
    assert "The local ledger cannot be used" in err
