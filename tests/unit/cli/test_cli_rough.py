"""Rough surroundings: missing and full streams, empty input, wrong values from elsewhere."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Cli

pytestmark = pytest.mark.alone

ENTRY = "import sys; sys.argv[0] = 'hubferry'; from hubferry.cli.entry import main; main()"
FULL = Path("/dev/full")


def hubferry(tmp_path: Path, shell: str, *args: str) -> subprocess.CompletedProcess[str]:
    """One process behind a shell's redirections; ``runs list`` needs no hub."""
    command = f'exec "$0" -c "$1" runs list "${{@:2}}" {shell}'
    env = {**os.environ, "HUBFERRY_STATE_DIR": str(tmp_path / "state"), "HUBFERRY_LANG": "en"}
    return subprocess.run(
        ["bash", "-c", command, sys.executable, ENTRY, *args],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


posix = pytest.mark.skipif(os.name == "nt", reason="a POSIX shell's redirections")


@posix
@pytest.mark.parametrize("shell", [">&-", "2>&-", ">&- 2>&-", "<&-", "<&- >&- 2>&-"])
def test_missing_standard_streams_stop_nothing(tmp_path: Path, shell: str) -> None:
    done = hubferry(tmp_path, shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "state" / "ledger.sqlite3").read_bytes().startswith(b"SQLite format 3")


@posix
@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("args", [(), ("--json",), ("--help",)])
def test_a_result_that_cannot_be_written_is_an_error(tmp_path: Path, args: tuple[str, ...]) -> None:
    done = hubferry(tmp_path, "> /dev/full", *args)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: No space left on device\n")
    assert "Traceback" not in done.stderr


@posix
@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_words_that_cannot_be_written_change_no_exit_code(tmp_path: Path) -> None:
    assert hubferry(tmp_path, "2> /dev/full").returncode == 0
    assert hubferry(tmp_path, "2> /dev/full", "--nope").returncode == 2


@posix
@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_log_on_a_full_disk_is_one_warning(tmp_path: Path) -> None:
    done = hubferry(tmp_path, "", "--log-file", "/dev/full", "--log-level", "debug")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") <= 1


@posix
def test_a_log_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    done = hubferry(tmp_path, "", "--log-file", str(tmp_path / "none" / "x.log"))
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Local file error\n")
    assert "x.log" in done.stderr


def test_ctrl_c_while_loading_has_no_traceback() -> None:
    program = (
        "import builtins, os, signal\n"
        "from hubferry.cli import entry\n"
        "real = builtins.__import__\n"
        "def slow(name, *args, **kw):\n"
        "    if name == 'hubferry.cli.main': os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(name, *args, **kw)\n"
        "builtins.__import__ = slow\n"
        "entry.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (130, "Error: Stopped\n")


def test_a_forced_stop_says_so(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from hubferry import app\n"
        "from hubferry.cli import main\n"
        "class Fake:\n"
        "    def __init__(self, *args, **kw): pass\n"
        "    def runs(self, limit, **filters):\n"
        "        print('ready', file=sys.stderr, flush=True)\n"
        "        end = time.monotonic() + 30\n"
        "        while time.monotonic() < end: time.sleep(1)\n"
        "    def close(self): pass\n"
        "app.App = Fake\n"
        "sys.argv = ['hubferry', 'runs', 'list', '--lang', 'en']\n"
        "main.main()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - begun < 2
    assert "Error: Stopped\n" in err


def test_an_empty_token_on_standard_input_is_no_anonymous_run(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert cli("copy", "a/b", "c/d", "--hf-token", "-") == 2
    assert "--hf-token" in cli.err


def test_an_unknown_language_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("runs", "list", "--lang", "fr") == 2
    assert "fr" in cli.err
    monkeypatch.setenv("HUBFERRY_LANG", "fr")
    assert cli("runs", "list") == 2
    monkeypatch.delenv("HUBFERRY_LANG")
    monkeypatch.setenv("LANG", "fr_FR.UTF-8")  # the system's, nobody's wish to Hubferry
    assert cli("runs", "list") == 0


def config(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "config" / "hubferry"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("text", ["json = true", "[copy]\njson = true"])
def test_a_failure_is_json_where_the_file_wants_it(cli: Cli, tmp_path: Path, text: str) -> None:
    config(tmp_path, text)
    assert cli("copy", "a/b") == 2
    assert cli.json["exit_code"] == 2


@pytest.mark.parametrize("flag", ["--spool-dir", "--ledger", "--state-dir", "--log-file"])
def test_an_empty_path_is_not_the_current_folder(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    assert cli("copy", "a/b", "c/d", flag, "") == 2
    assert flag in cli.err
    assert "the path is empty" in cli.err
    monkeypatch.setenv("HUBFERRY_" + flag[2:].upper().replace("-", "_"), "")
    assert cli("copy", "a/b", "c/d") == 0, "an empty variable is as good as none"
    config(tmp_path, f'{flag[2:].replace("-", "_")} = ""\n')
    assert cli("copy", "a/b", "c/d") == 2


def test_a_wrong_value_from_elsewhere_says_where_it_stands(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config(tmp_path, 'workers = "few"\n')
    assert cli("copy", "a/b", "c/d") == 2
    assert "few is no whole number" in cli.err
    assert "config.toml" in cli.err
    monkeypatch.setenv("HUBFERRY_WORKERS", "abc")
    assert cli("copy", "a/b", "c/d") == 2
    assert "HUBFERRY_WORKERS" in cli.err


def test_the_library_s_sentences_are_whole_in_chinese(cli: Cli, tmp_path: Path) -> None:
    assert cli("copy", "a/b", "c/d", "--workers", "x", "--lang", "zh") == 2
    assert "x 不是整数" in cli.err
    assert cli("apply", str(tmp_path / "none.json"), "--lang", "zh") == 2
    assert "文件" in cli.err
    assert "File" not in cli.err
