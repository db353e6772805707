"""Signals, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

PROGRAM = """
import sys, time
from hubferry import app
from hubferry.cli import main
class Fake:
    def __init__(self, settings, observer, cancel): self.cancel = cancel
    def copy(self, *args):
        print("ready", file=sys.stderr, flush=True)
        if sys.argv[1] == "polite":
            while True: self.cancel.sleep(0.05)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try: time.sleep(end - time.monotonic())
            except BaseException: pass
    def close(self): pass
app.App = Fake
sys.argv = ["hubferry", "copy", "a/b", "c/d", "--json"]
"""


def start(mode: str, tmp_path: Path, program: str = PROGRAM) -> subprocess.Popen[str]:
    body = program.replace("sys.argv[1]", repr(mode)) + "main.main()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", body],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(tmp_path), "LANG": "C.UTF-8"},
    )
    assert process.stderr is not None
    while "ready" not in process.stderr.readline():
        assert process.poll() is None
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("mode", ["polite", "stuck"])
def test_a_signal_ends_within_two_seconds_with_130(
    mode: str, number: signal.Signals, tmp_path: Path
) -> None:
    with start(mode, tmp_path) as process:
        began = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        assert time.monotonic() - began < 2.0
        assert process.returncode == 130
    assert "Stopping" in err
    assert json.loads(out)["errors"][0]["error"] == "cancelled"


@pytest.mark.parametrize("mode", ["polite", "stuck"])
def test_a_stop_from_elsewhere_gets_the_same_grace(mode: str, tmp_path: Path) -> None:
    # The run of another terminal's `runs cancel` sets the token from a thread of its own.
    body = PROGRAM.replace(
        'print("ready"', 'import threading; threading.Timer(0.1, self.cancel.cancel).start()\n'
        '        print("ready"'
    )  # fmt: skip
    with start(mode, tmp_path, body) as process:
        began = time.monotonic()
        out, _ = process.communicate(timeout=10)
        assert time.monotonic() - began < 2.5
        assert process.returncode == 130
    assert json.loads(out)["errors"][0]["error"] == "cancelled"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with start("stuck", tmp_path) as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert time.monotonic() - began < 0.7
        assert process.returncode == 130


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_closed_pipe_is_survived_silently(tmp_path: Path) -> None:
    command = f"{sys.executable} -c 'from hubferry.cli.main import main; main()' --help"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} | true; sleep 0.1; {command} 2>&1 | head -1"],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(tmp_path), "LANG": "C.UTF-8"},
        check=False,
        timeout=30,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith("Usage: hubferry")
