"""``hubferry watch`` as a process: webhooks, signals, systemd, a second one, a kill."""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from tests.support.processes import Ended, Ferry, LabProcess, run_hubferry

SECRET = "a-secret-of-this-test"
SOURCE, TARGET = "source-org/model", "your-org/model"
DEADLINE_SECONDS = 40.0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


class Daemon:
    """A lab, a manifest, and a watch of it whose period is too long to matter."""

    def __init__(self, lab: LabProcess, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.manifest = folder / "manifest.yaml"
        self.write(SOURCE)
        self.variables = lab.variables(folder / "home", HOOK=SECRET, NOTIFY_SOCKET=self.listen())
        self.variables |= {"WATCHDOG_USEC": "400000"}
        self.ferry: Ferry | None = None
        self.starts = 0

    def write(self, *sources: str) -> None:
        """The manifest, from now on."""
        entries = "".join(f"- {{source: 'hf://{name}', target: your-org/}}\n" for name in sources)
        self.manifest.write_text(f"version: 1\nentries:\n{entries}watch: {{every: 1h}}\n")

    def listen(self) -> str:
        """Be systemd."""
        path = self.folder / "notify"
        self.systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.systemd.bind(str(path))
        self.systemd.setblocking(False)
        self.heard: list[str] = []
        return str(path)

    def hear(self) -> list[str]:
        """What systemd was told so far."""
        while True:
            try:
                self.heard += self.systemd.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.heard

    def start(self, *options: str) -> None:
        """Begin; back when the first cycle is over."""
        self.starts += 1
        arguments = ["watch", str(self.manifest), "--json", "--listen", "127.0.0.1:0"]
        arguments += ["--webhook-secret", "env:HOOK", *options]
        self.ferry = Ferry(arguments, self.variables, self.out)
        self.await_that(lambda: self.cycles)

    @property
    def out(self) -> Path:
        return self.folder / f"run-{self.starts}"

    @property
    def cycles(self) -> list[dict[str, Any]]:
        """The cycles so far, as they were printed."""
        lines = (self.out / "out").read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    @property
    def address(self) -> str:
        """Where it listens."""
        line = (self.out / "err").read_text().partition("listening: ")[2]
        return line.partition("/webhooks")[0]

    def webhook(self, name: str = SOURCE, secret: str = SECRET) -> int:
        """Have the hub send one; the status that it got."""
        body = {"url": f"{self.address}/webhooks/huggingface", "secret": secret, "repo": name}
        return int(self.lab.ask("POST", "/webhook", body)["status"])

    def change(self, text: str, name: str = SOURCE) -> None:
        """Another commit at the source."""
        self.lab.seed(name, {"note.txt": {"text": text}, "w.bin": {"size": 100_000, "seed": name}})

    def has(self, text: str, name: str = TARGET) -> bool:
        """Whether the target shows it."""
        size = self.lab.tree("ms", name).get("note.txt", {}).get("size")
        return bool(size == len(text))

    def await_that(self, is_so: Callable[[], object]) -> None:
        """Wait until it is so."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not is_so():
            assert self.ferry is not None
            assert self.ferry.process.poll() is None, (self.out / "err").read_text()
            assert time.monotonic() < deadline, (self.out / "err").read_text()
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> Ended:
        """Ask it to end."""
        assert self.ferry is not None
        self.ferry.process.send_signal(number)
        ended, self.ferry = self.ferry.wait(20), None
        return ended


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with LabProcess() as lab:
        made = Daemon(lab, tmp_path)
        made.change("1")
        yield made
        if made.ferry is not None:
            made.ferry.kill()
        made.systemd.close()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_a_change_is_mirrored_when_a_webhook_says_so(daemon: Daemon) -> None:
    daemon.start()
    assert daemon.has("1")
    daemon.change("22")

    assert daemon.webhook(secret="wrong") == 401
    assert daemon.webhook("source-org/another") == 202
    assert not daemon.has("22")
    assert daemon.webhook() == 202
    daemon.await_that(lambda: len(daemon.cycles) == 2)
    assert daemon.has("22")

    status, text = get(f"{daemon.address}/healthz")
    assert (status, json.loads(text)["cycles"]) == (200, 2)
    ended = daemon.stop()
    assert ended.code == 0
    first, second = (json.loads(line) for line in ended.out.splitlines())
    assert (first["repos"], first["batch"]["counts"]) == (None, {"copied": 1})
    assert (second["repos"], second["exit_code"]) == ([f"hf://{SOURCE}"], 0)
    assert SECRET not in ended.out + ended.err + text


def test_systemd_hears_that_it_is_ready_alive_and_stopping(daemon: Daemon) -> None:
    daemon.start()
    daemon.await_that(lambda: daemon.hear().count("WATCHDOG=1") >= 3)
    ended = daemon.stop(signal.SIGINT)

    heard = daemon.hear()
    assert ended.code == 0
    assert heard[0] == "READY=1" or "READY=1" in heard
    assert any(line.startswith("STATUS=cycle 1 done") for line in heard)
    assert "STOPPING=1" in heard
    assert heard.index("READY=1") < heard.index("STOPPING=1")


def test_a_hangup_reads_the_manifest_again_and_looks_now(daemon: Daemon) -> None:
    daemon.start()
    daemon.change("333", "source-org/second")
    daemon.write(SOURCE, "source-org/second")
    assert daemon.ferry is not None
    daemon.ferry.process.send_signal(signal.SIGHUP)
    daemon.await_that(lambda: len(daemon.cycles) == 2)

    assert daemon.has("333", "your-org/second")
    assert daemon.cycles[1]["batch"]["counts"] == {"copied": 1, "unchanged": 1}
    assert daemon.stop().code == 0


def test_a_second_watch_of_the_same_manifest_is_refused_and_a_killed_one_is_not_in_the_way(
    daemon: Daemon,
) -> None:
    daemon.start()
    arguments = ["watch", str(daemon.manifest), "--once", "--json"]
    refused = run_hubferry(arguments, daemon.variables, daemon.folder / "second")
    assert refused.code == 4
    assert "watches" in refused.err
    assert daemon.ferry is not None
    daemon.ferry.kill()
    daemon.ferry = None

    daemon.change("55555")
    once = run_hubferry(arguments, daemon.variables, daemon.folder / "third")
    assert once.code == 0, once.err
    assert once.report["batch"]["counts"] == {"copied": 1}
    assert daemon.has("55555")


def test_what_cannot_work_is_told_before_anything_begins(daemon: Daemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for code, options, message in (
            (1, ["--listen", f"127.0.0.1:{port}"], "cannot listen"),
            (2, ["--listen", "8080"], "host and a port"),
            (2, ["--cron", "* * *"], "cron"),
            (2, ["--every", "10m", "--jitter", "20m"], "jitter"),
            (2, ["--quiet-hours", "later"], "daily span"),
            (2, ["--webhook-secret", SECRET], "--webhook-secret"),
            (2, ["--listen", "127.0.0.1:0", "--webhook-secret", "env:NOBODY"], "NOBODY"),
        ):
            arguments = ["watch", str(daemon.manifest), *options]
            ended = run_hubferry(arguments, daemon.variables, daemon.folder / "out")
            assert (ended.code, message in ended.err) == (code, True), ended.err
            assert SECRET not in ended.err
    daemon.manifest.write_text("version: 1\nentries: [{source: a/b}]\n")
    ended = run_hubferry(["watch", str(daemon.manifest)], daemon.variables, daemon.folder / "out")
    assert ended.code == 2
    assert "manifest.yaml:2" in ended.err
    assert not daemon.lab.tree("ms", TARGET)
