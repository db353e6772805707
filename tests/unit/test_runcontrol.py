"""Control of a run by files: asked, carried out, taken back; and the dead told from the living."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from hubferry import runcontrol
from hubferry.control import CancelToken
from hubferry.errors import ExitCode, LocalError, UsageError
from hubferry.runcontrol import Controlled, RunState, Want, ask, controlled, state_of
from hubferry.throttle import Gate

RUN = "20260102-030405-abcdef"


class Run:
    """One run that looks for requests when the test says so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gate = Gate()
        self.cancel = CancelToken()
        self.told: list[Want] = []
        self.looks = 0
        self.control = Controlled(folder / RUN, self.gate, self.cancel, self.told.append)

    @contextmanager
    def alive(self) -> Iterator[None]:
        """The run as others see it."""
        with controlled(self.folder, RUN, self.gate, self.cancel, self.told.append):
            yield

    def look(self, seconds: float = 0.0) -> None:
        """In place of the sleep of whoever asks."""
        self.looks += 1
        self.control.poll()

    def ask(self, want: Want) -> None:
        ask(self.folder, RUN, want, sleep=self.look)

    def state(self) -> RunState:
        return state_of(self.folder, RUN)

    def is_paused(self) -> bool:
        return self.gate.is_paused

    @property
    def requests(self) -> list[str]:
        known = {"lock", "paused", "stopping"}
        return [path.name for path in (self.folder / RUN).iterdir() if path.name not in known]


@pytest.fixture(autouse=True)
def patient_watcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runcontrol, "POLL_SECONDS", 3600.0)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "state" / "runs")


class Clock:
    """A clock that goes by a second each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_a_run_is_paused_and_goes_on(run: Run) -> None:
    with run.alive():
        assert run.state() is RunState.RUNNING
        run.ask(Want.PAUSE)
        assert run.is_paused()
        assert run.state() is RunState.PAUSED
        run.ask(Want.RESUME)
        assert not run.is_paused()
        assert run.state() is RunState.RUNNING
        assert run.told == [Want.PAUSE, Want.RESUME]
        assert run.requests == []


def test_asking_for_what_is_so_already_is_no_error_and_no_news(run: Run) -> None:
    with run.alive():
        run.ask(Want.RESUME)
        run.ask(Want.PAUSE)
        run.ask(Want.PAUSE)
        assert run.told == [Want.PAUSE]


def test_a_run_is_stopped_also_while_it_is_paused(run: Run) -> None:
    with run.alive():
        run.ask(Want.PAUSE)
        run.ask(Want.CANCEL)
        assert run.cancel.is_cancelled
        assert run.state() is RunState.STOPPING
        run.ask(Want.RESUME)
        assert run.state() is RunState.STOPPING, "what stops stays stopped"


def test_requests_are_carried_out_in_the_order_they_were_made(run: Run) -> None:
    with run.alive():
        threads = []
        for want in (Want.PAUSE, Want.RESUME, Want.PAUSE):
            before = len(run.requests)
            wait = threading.Event().wait
            thread = threading.Thread(
                target=ask, args=(run.folder, RUN, want), kwargs={"sleep": wait}
            )
            thread.start()
            while len(run.requests) == before:
                wait(0.001)
            threads.append(thread)
        run.look()
        for thread in threads:
            thread.join(30)
        assert run.told == [Want.PAUSE, Want.RESUME, Want.PAUSE]


def test_the_run_looks_by_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runcontrol, "POLL_SECONDS", 0.005)
    with run.alive():
        ask(run.folder, RUN, Want.PAUSE)
        assert run.is_paused()


def test_a_run_that_does_not_answer_is_told_and_the_request_taken_back(run: Run) -> None:
    with run.alive():
        with pytest.raises(LocalError) as caught:
            ask(run.folder, RUN, Want.PAUSE, clock=Clock(), sleep=lambda seconds: None)
        assert caught.value.exit_code == ExitCode.UNEXPECTED
        assert caught.value.headline == "The run does not answer"
        run.look()
        assert not run.is_paused(), "what was said not to have happened never happens"
        assert run.requests == []


def test_a_run_that_takes_its_time_to_carry_out_a_request_has_answered(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def takes_and_hangs(seconds: float) -> None:
        for request in (run.folder / RUN).glob("*.pause"):
            request.rename(request.with_suffix(".taken"))

    with run.alive():
        ask(run.folder, RUN, Want.PAUSE, clock=Clock(), sleep=takes_and_hangs)


@pytest.mark.parametrize("want", [Want.PAUSE, Want.RESUME])
def test_a_run_that_ends_meanwhile_is_said_to_have_ended(run: Run, want: Want) -> None:
    with ExitStack() as alive:
        alive.enter_context(run.alive())
        with pytest.raises(UsageError, match="has ended"):
            ask(run.folder, RUN, want, sleep=lambda seconds: alive.close())


def test_a_run_that_ends_because_it_was_told_to_has_answered(run: Run) -> None:
    with ExitStack() as alive:
        alive.enter_context(run.alive())
        ask(run.folder, RUN, Want.CANCEL, sleep=lambda seconds: alive.close())


def test_a_run_leaves_nothing_behind_and_no_closed_gate(run: Run) -> None:
    with run.alive():
        run.ask(Want.PAUSE)
    assert not run.is_paused()
    assert list(run.folder.iterdir()) == []


def test_a_run_that_fails_leaves_nothing_behind(run: Run) -> None:
    with pytest.raises(ZeroDivisionError), run.alive():
        raise ZeroDivisionError
    assert list(run.folder.iterdir()) == []


def test_a_killed_run_is_dead_and_cleared_away(run: Run) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from hubferry.control import CancelToken\n"
        "from hubferry.runcontrol import controlled\n"
        "from hubferry.throttle import Gate\n"
        "run = controlled(pathlib.Path(sys.argv[1]), sys.argv[2], Gate(), CancelToken(), print)\n"
        "run.__enter__()\n"
        "print('alive', flush=True)\n"
        "sys.stdin.read()\n"
        "os._exit(9)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(run.folder), RUN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"alive\n"
        assert run.state() is RunState.RUNNING
        process.stdin.close()
        process.wait(30)
    with pytest.raises(UsageError, match="its process is gone"):
        run.ask(Want.PAUSE)
    assert run.state() is RunState.DEAD
    assert list(run.folder.iterdir()) == []


def test_a_run_nobody_knows_is_dead(run: Run) -> None:
    assert run.state() is RunState.DEAD


def test_a_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    run = Run(file)
    with pytest.raises(LocalError, match="cannot be used"), run.alive():
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="an open file stays")
def test_a_folder_that_goes_away_harms_nobody(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runcontrol, "POLL_SECONDS", 0.005)
    looked = threading.Event()
    poll: Callable[[Controlled], None] = Controlled.poll

    def looking(control: Controlled) -> None:
        try:
            poll(control)
        finally:
            looked.set()

    monkeypatch.setattr(Controlled, "poll", looking)
    with run.alive():
        (run.folder / RUN / "lock").unlink()
        (run.folder / RUN).rmdir()
        looked.clear()
        assert looked.wait(30)


def test_a_terminal_that_fails_does_not_end_the_control(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runcontrol, "POLL_SECONDS", 0.005)

    def tell(want: Want) -> None:
        raise ValueError("I/O operation on closed file")

    with controlled(run.folder, RUN, run.gate, run.cancel, tell):
        ask(run.folder, RUN, Want.PAUSE)
        ask(run.folder, RUN, Want.RESUME)
        assert not run.is_paused()


def test_a_terminal_that_is_stuck_does_not_keep_a_run_from_ending(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runcontrol, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(runcontrol, "_END_SECONDS", 0.01)
    is_stuck, may_end, has_ended = threading.Event(), threading.Event(), threading.Event()

    def tell(want: Want) -> None:
        is_stuck.set()
        may_end.wait(10)
        has_ended.set()

    with controlled(run.folder, RUN, run.gate, run.cancel, tell):
        ask(run.folder, RUN, Want.PAUSE)
        assert is_stuck.wait(30)
    assert not has_ended.is_set()
    assert list(run.folder.iterdir()) == []
    may_end.set()
