"""One writer per target branch, across the processes of a machine.

An operating system lock: it falls with the process that holds it, so a killed
run never blocks the next one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from hubferry.control import CancelToken, WaitObserver
from hubferry.errors import ConflictError, LocalError, Side
from hubferry.model import Address
from hubferry.text import T

_POLL_SECONDS = 0.2


@contextmanager
def writer_lock(
    folder: Path,
    target: Address,
    branch: str,
    wait_seconds: float,
    cancel: CancelToken,
    on_wait: WaitObserver,
) -> Iterator[None]:
    """Hold the right to write to ``branch`` of ``target``; wait for another process if need be.

    Raises:
        ConflictError: another process still writes there after ``wait_seconds``.
        LocalError: the lock file cannot be made.
    """
    name = hashlib.sha256(f"{target.repo}@{branch}".encode()).hexdigest()[:32]
    lock = filelock.FileLock(folder / f"{name}.lock", timeout=0)
    reason = T("another process writes to {repo}", repo=target.repo)
    deadline = time.monotonic() + wait_seconds
    is_waiting = False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                lock.acquire()
                break
            except filelock.Timeout:
                if time.monotonic() >= deadline:
                    raise ConflictError(
                        reason,
                        side=Side.TARGET,
                        step="lock",
                        repo=str(target.repo),
                        hint=T("wait for it to end, or allow a longer --wait-lock"),
                    ) from None
            if not is_waiting:
                is_waiting = True
                on_wait(reason, time.time() + wait_seconds)
            cancel.sleep(_POLL_SECONDS)
    except (OSError, NotImplementedError) as exc:  # the latter: a file system without locks
        raise LocalError(
            T("the lock folder {folder} cannot be used: {cause}", folder=folder, cause=exc),
            hint=T("name a folder you can write to with HUBFERRY_STATE_DIR"),
        ) from exc
    finally:
        if is_waiting:
            on_wait(reason, 0.0)
    try:
        yield
    finally:
        lock.release()
