"""A lab and hubferry as processes of their own: to kill, to measure, to look at from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import urlencode

_KEPT_VARIABLES = ("PATH", "SYSTEMROOT", "LANG")
_COMMAND = [sys.executable, "-c", "from hubferry.cli.main import main; main()"]
_DEADLINE_SECONDS = 120.0


def clean_variables(home: Path, **variables: str) -> dict[str, str]:
    """An environment with a HOME and a TMPDIR of its own and no login of anybody."""
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    own = {"HOME": str(home), "USERPROFILE": str(home), "TMPDIR": str(temporary)}
    return {**kept, **own, **variables}


class LabProcess:
    """``python -m hubferry.lab``, driven over its control origin; a ``with`` block."""

    def __init__(self, *options: str, max_seconds: float = 600) -> None:
        command = [sys.executable, "-m", "hubferry.lab", "--max-seconds", str(max_seconds)]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.ready: dict[str, Any] = json.loads(self.process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.terminate()
        self.process.wait(30)
        if self.process.stdout:
            self.process.stdout.close()

    def ask(self, method: str, path: str, body: object = None, **query: str) -> Any:
        """One request to the control origin."""
        url = f"{self.ready['control']}{path}" + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method)
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)

    def seed(self, repo: str, files: Mapping[str, Mapping[str, object]], **more: object) -> None:
        """Commit files to a Hugging Face repository; see ``lab.control.seed_repo``."""
        self.ask("POST", "/seed", {"hub": "hf", "id": repo, "files": dict(files), **more})

    def tree(self, hub: str, repo: str) -> dict[str, dict[str, Any]]:
        """The files of a repository's head; empty while it is not there."""
        known = {item["id"] for item in self.ask("GET", "/repos")[hub]}
        if repo not in known:
            return {}
        tree: dict[str, dict[str, Any]] = self.ask("GET", "/repos", hub=hub, id=repo)["tree"]
        return tree

    def variables(self, home: Path, **more: str) -> dict[str, str]:
        """The environment of a hubferry process that works on this lab."""
        return clean_variables(
            home,
            HUBFERRY_HF_ENDPOINT=self.ready["hf_endpoint"],
            HUBFERRY_MS_ENDPOINT=self.ready["ms_endpoint"],
            HUBFERRY_HF_TOKEN=self.ready["hf_token"],
            HUBFERRY_MS_TOKEN=self.ready["ms_token"],
            HUBFERRY_STATE_DIR=str(home / "state"),
            **more,
        )


@dataclass(frozen=True)
class Ended:
    """How a hubferry process ended. ``peak_bytes`` and ``written_bytes``: only if watched."""

    code: int
    out: str
    err: str
    seconds: float
    peak_bytes: int = 0
    written_bytes: int = 0

    @property
    def report(self) -> dict[str, Any]:
        """What ``--json`` printed: exactly one object."""
        found: dict[str, Any] = json.loads(self.out)
        return found


class Ferry:
    """One running ``hubferry`` process with its output in files."""

    def __init__(
        self, arguments: Sequence[str], variables: Mapping[str, str], folder: Path, text: str = ""
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files: list[IO[bytes]] = [(folder / name).open("w+b") for name in ("out", "err")]
        self._started = time.monotonic()
        self.process = subprocess.Popen(
            [*_COMMAND, *arguments],
            env=dict(variables),
            stdin=subprocess.PIPE,
            stdout=self._files[0],
            stderr=self._files[1],
            start_new_session=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.close()

    def kill(self) -> Ended:
        """SIGKILL, as by a power cut."""
        self.process.send_signal(signal.SIGKILL)
        return self.wait()

    def interrupt(self) -> Ended:
        """SIGINT, as by Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self, timeout_seconds: float = _DEADLINE_SECONDS) -> Ended:
        """Wait for the end; a process that does not end is killed and fails the test."""
        try:
            code = self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        return self._ended(code)

    def watch(self, timeout_seconds: float) -> Ended:
        """Like ``wait``, and note peak memory and bytes written to disks. Linux only."""
        peak = written = 0
        deadline = time.monotonic() + timeout_seconds
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                self.process.kill()
                self.process.wait()
                raise TimeoutError(f"no end in {timeout_seconds} s")
            peak = max(peak, _proc_number(self.process.pid, "status", "VmHWM:") * 1024)
            written = max(written, _proc_number(self.process.pid, "io", "write_bytes:"))
            time.sleep(0.05)
        return self._ended(self.process.returncode, peak, written)

    def children(self) -> list[int]:
        """Processes of this process's session, besides itself. Linux only."""
        found = []
        for place in Path("/proc").iterdir():
            if place.name.isdigit() and int(place.name) != self.process.pid:
                try:
                    fields = (place / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) == self.process.pid:
                    found.append(int(place.name))
        return found

    def _ended(self, code: int, peak_bytes: int = 0, written_bytes: int = 0) -> Ended:
        seconds = time.monotonic() - self._started
        texts = []
        for file in self._files:
            file.seek(0)
            texts.append(file.read().decode())
            file.close()
        return Ended(code, texts[0], texts[1], seconds, peak_bytes, written_bytes)


def _proc_number(pid: int, file: str, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def run_hubferry(
    arguments: Sequence[str], variables: Mapping[str, str], folder: Path, text: str = ""
) -> Ended:
    """Run ``hubferry`` to its end; ``text`` is what it may read from standard input."""
    return Ferry(arguments, variables, folder, text).wait()
