"""Tools of the tests of governors: another process, and clocks that only pauses move."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.text import Text

CHILD = Path(__file__).with_name("governor_child.py")
ANSWER_SECONDS = 30.0


class OtherProcess:
    """A process that shares locks and holds with this one; see ``governor_child``."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        assert self.answer() == "ready"

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())

    def say(self, *words: object) -> None:
        """Give a command without waiting for its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """The answer to the oldest command that has none yet."""
        return self._lines.get(timeout=ANSWER_SECONDS)

    def ask(self, *words: object) -> str:
        """A command and its answer."""
        self.say(*words)
        return self.answer()

    @property
    def is_silent(self) -> bool:
        """True while no answer is there."""
        return self._lines.empty()

    def kill(self) -> None:
        """SIGKILL, as by a power cut."""
        self.process.kill()
        self.process.wait()


@contextmanager
def other_process() -> Iterator[OtherProcess]:
    """One such process, ended with the block."""
    other = OtherProcess()
    try:
        yield other
    finally:
        other.kill()
        for stream in (other.process.stdin, other.process.stdout):
            if stream is not None:
                stream.close()


class Clocks:
    """Monotonic and Unix time that only pauses and tests move."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.unix_offset = 1_700_000_000.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def unix(self) -> float:
        return self.now + self.unix_offset

    def patience(
        self, cancel: CancelToken | None = None, *, limit_seconds: float = 1e9
    ) -> Patience:
        """A patience whose pauses move these clocks."""
        return _Patient(self, cancel or CancelToken(), limit_seconds)


class _Patient(Patience):
    def __init__(self, clocks: Clocks, cancel: CancelToken, limit_seconds: float) -> None:
        super().__init__(cancel, WaitBudget(limit_seconds))
        self._clocks = clocks

    def _pause(self, seconds: float, reason: Text) -> None:
        self.cancel.check()
        self._clocks.pauses.append(seconds)
        self._clocks.now += seconds
