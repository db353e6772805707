"""A run that another terminal can pause, let go on, and stop.

Files alone, so that it works wherever the record of runs works. A run keeps a
folder for as long as it lives::

    <state>/runs/<run id>/lock        held by its process: a dead run is told by a free lock
                          paused      there while the run is paused
                          stopping    there once the run was told to stop
                          <n>.pause   a request (or .resume, .cancel); the run takes it by
                                      renaming it to <n>.taken and removes it when it is done

Whoever asks knows by the request's disappearing that it was carried out, and takes it back if
it is not: nothing happens later that somebody was told did not happen.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import filelock

from hubferry.control import CancelToken
from hubferry.errors import LocalError, Side, UsageError
from hubferry.text import T
from hubferry.throttle import Gate

POLL_SECONDS = 0.5
"""How often a run looks for requests."""
ANSWER_SECONDS = 3.0
"""How long to wait for a run to carry a request out: a few looks, also on a busy computer."""
_ASK_SECONDS = 0.05
_OWN_SECONDS = 2.0
"""Nobody else holds a new run's lock but, for a moment, somebody who looks whether it lives."""
_END_SECONDS = 2.0
"""A terminal that is stuck while it is told of a request must not keep the run from ending."""
_TAKEN = ".taken"

_log = logging.getLogger(__name__)


class Want(StrEnum):
    """What a run can be asked for."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


class RunState(StrEnum):
    """What a run is at; ``dead``: it did not say how it ended, and its process is gone."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    FINISHED = "finished"
    DEAD = "dead"


Tell = Callable[[Want], None]
"""Told what was asked for when it made a difference; called from the thread that looks."""


class Controlled:
    """The run's side: carries requests out."""

    def __init__(self, home: Path, gate: Gate, cancel: CancelToken, tell: Tell) -> None:
        """``home`` is the run's own folder."""
        self._home = home
        self._gate = gate
        self._cancel = cancel
        self._tell = tell

    def poll(self) -> None:
        """Carry out what was asked for since the last time, in order.

        Raises:
            OSError: the folder cannot be used.
        """
        wants = {f".{want}" for want in Want}
        for request in sorted(path for path in self._home.iterdir() if path.suffix in wants):
            taken = request.with_suffix(_TAKEN)
            try:
                request.rename(taken)
            except FileNotFoundError:
                continue  # taken back
            want = Want(request.suffix[1:])
            is_news = self._carry_out(want)
            taken.unlink(missing_ok=True)
            # Last: a terminal that is stuck must not keep the run from answering.
            if is_news:
                self._tell(want)

    def _carry_out(self, want: Want) -> bool:
        """Do it; whether it made a difference."""
        if self._cancel.is_cancelled:
            return False
        if want is Want.CANCEL:
            self._mark("stopping", is_so=True)
            self._cancel.cancel()
            return True
        is_pause = want is Want.PAUSE
        if self._gate.is_paused is is_pause:
            return False
        # The gate first: whoever sees the mark may rely on it.
        if is_pause:
            self._gate.pause()
        else:
            self._gate.resume()
        self._mark("paused", is_so=is_pause)
        return True

    def _mark(self, name: str, *, is_so: bool) -> None:
        if is_so:
            (self._home / name).touch()
        else:
            (self._home / name).unlink(missing_ok=True)


@contextmanager
def controlled(
    folder: Path, run_id: str, gate: Gate, cancel: CancelToken, tell: Tell
) -> Iterator[None]:
    """Let other processes see and control this run for as long as it lives.

    Raises:
        LocalError: the folder cannot be used; raised before the run begins.
    """
    home = folder / run_id
    lock = filelock.FileLock(home / "lock")
    try:
        home.mkdir(parents=True, mode=0o700)
        lock.acquire(timeout=_OWN_SECONDS)
    except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
        shutil.rmtree(home, ignore_errors=True)
        raise LocalError(
            T("the folder {folder} cannot be used: {cause}", folder=home, cause=error),
            hint=T("name a folder you can write to with HUBFERRY_STATE_DIR"),
        ) from error
    is_over = threading.Event()
    run = Controlled(home, gate, cancel, tell)
    watcher = threading.Thread(target=_watch, args=(run, is_over), name="runcontrol", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join(_END_SECONDS)
        gate.resume()  # a run that ended in a pause must not hold up the next one
        # Before the lock is let go, or somebody takes us for dead; and after, for systems
        # that do not remove what is open.
        shutil.rmtree(home, ignore_errors=True)
        lock.release()
        shutil.rmtree(home, ignore_errors=True)


def _watch(run: Controlled, is_over: threading.Event) -> None:
    while not is_over.wait(POLL_SECONDS):
        try:
            run.poll()
        except OSError as error:
            _log.debug("requests to this run cannot be read: %s", error)
        except Exception:  # noqa: BLE001 - whoever is told may fail; the next is heard
            _log.exception("a request to this run went wrong")


def state_of(folder: Path, run_id: str) -> RunState:
    """What a run is at that has not told its end; tidies up after a dead one."""
    home = folder / run_id
    if not _is_alive(home):
        shutil.rmtree(home, ignore_errors=True)
        return RunState.DEAD
    if (home / "stopping").exists():
        return RunState.STOPPING
    return RunState.PAUSED if (home / "paused").exists() else RunState.RUNNING


def _is_alive(home: Path) -> bool:
    if not home.is_dir():
        return False
    try:
        with filelock.FileLock(home / "lock", timeout=0):
            return False
    except filelock.Timeout:
        return True
    except (OSError, NotImplementedError):
        return False


def ask(
    folder: Path,
    run_id: str,
    want: Want,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Ask a run for something and wait until it was carried out.

    Asking for what is so already is no error.

    Raises:
        UsageError: its process is gone, or ends just now.
        LocalError: it does not answer (nothing was changed), or its folder cannot be used.
    """
    if state_of(folder, run_id) is RunState.DEAD:
        raise UsageError(
            T("run {run_id} is dead: its process is gone", run_id=run_id),
            hint=T("run the same command again to go on where it stopped"),
        )
    home = folder / run_id
    request = home / f"{time.time_ns():020}-{secrets.token_hex(4)}.{want}"
    try:
        request.touch(exist_ok=False)
    except FileNotFoundError:
        raise has_ended(run_id) from None
    except OSError as error:
        raise LocalError(
            T("the folder {folder} cannot be used: {cause}", folder=home, cause=error)
        ) from error
    _await_answer(request, run_id, want, clock, sleep)


def _await_answer(
    request: Path,
    run_id: str,
    want: Want,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    deadline = clock() + ANSWER_SECONDS
    while request.exists() or request.with_suffix(_TAKEN).exists():
        if clock() < deadline:
            sleep(_ASK_SECONDS)
            continue
        try:
            request.unlink()
        except FileNotFoundError:
            break  # taken in the last moment
        raise LocalError(
            T(
                "run {run_id} did not answer within {seconds} seconds",
                run_id=run_id,
                seconds=round(ANSWER_SECONDS),
            ),
            side=Side.LOCAL,
            headline="The run does not answer",
            hint=T("nothing was changed; try again, or press Ctrl-C in its terminal"),
        )
    # A run that ends takes its folder, and the requests in it, along.
    if want is not Want.CANCEL and not request.parent.exists():
        raise has_ended(run_id)


def has_ended(run_id: str) -> UsageError:
    """The error of asking something of a run that is over."""
    return UsageError(
        T("run {run_id} has ended", run_id=run_id),
        hint=T("'hubferry runs show {run_id}' tells how", run_id=run_id),
    )
