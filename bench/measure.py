"""One process measured: time, CPU, memory, disk, and what else the machine did. Linux only."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_DISK_BLOCK_BYTES = 512
"""The unit of ru_oublock, whatever the file system's own. Source: getrusage(2)."""


@dataclass(frozen=True)
class Usage:
    """What a process and the children it waited for took.

    ``peak_rss_bytes`` is that of the largest process. ``other_load`` is how many cores work
    unrelated to the run kept busy meanwhile.
    """

    exit_code: int
    was_stopped: bool
    wall_seconds: float
    cpu_seconds: float
    lab_cpu_seconds: float
    peak_rss_bytes: int
    written_bytes: int
    other_load: float


@dataclass(frozen=True)
class Command:
    """A process to run; ``folder`` is where it works and where its output goes."""

    arguments: Sequence[str]
    variables: Mapping[str, str]
    folder: Path


@dataclass(frozen=True)
class Watch:
    """What is asked while a process runs; True kills it."""

    ask: Callable[[], bool]
    every_seconds: float


def run_measured(
    command: Command,
    lab_cpu_seconds: Callable[[], float],
    *,
    stop_after_seconds: float,
    watch: Watch | None = None,
) -> Usage:
    """Run to the end, or to SIGKILL after a time or when the watch says so.

    The whole process group is killed; it is one of our own.
    """
    lab_before, own_before, busy_before = lab_cpu_seconds(), _own_seconds(), _busy_seconds()
    with (command.folder / "output.txt").open("ab") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            command.arguments,
            env=dict(command.variables),
            cwd=command.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        was_stopped = _wait(process.pid, started + stop_after_seconds, watch)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    cpu = used.ru_utime + used.ru_stime
    lab = lab_cpu_seconds() - lab_before
    other = _busy_seconds() - busy_before - (_own_seconds() - own_before) - cpu - lab
    return Usage(
        process.returncode,
        was_stopped,
        wall,
        cpu,
        lab,
        used.ru_maxrss * 1024,
        used.ru_oublock * _DISK_BLOCK_BYTES,
        max(0.0, other / wall),
    )


def cpu_seconds(pid: int) -> float:
    """Time a running process, and the children it has waited for, kept a core busy."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    # utime, stime, cutime, cstime. Source: proc(5).
    return sum(int(field) for field in fields[11:15]) / _TICKS_PER_SECOND


def children(pid: int) -> list[int]:
    """Ids of a process's children."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _wait(pid: int, deadline: float, watch: Watch | None) -> bool:
    """Return when the process has ended (unreaped); True if it was killed for it."""
    watched = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        while True:
            left = deadline - time.monotonic()
            pause = min(left, watch.every_seconds) if watch else left
            if poll.poll(max(0.0, pause) * 1000):
                return False
            if time.monotonic() >= deadline or (watch and watch.ask()):
                os.killpg(pid, signal.SIGKILL)
                poll.poll()
                return True
    finally:
        os.close(watched)


def _own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _busy_seconds() -> float:
    """Time all cores were busy since boot, with what a hypervisor took from them."""
    user, nice, system, _, _, irq, softirq, steal, *_ = (
        int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_SECOND
