"""The engine port: run one handler over many tasks, and nothing else.

Promises of every engine: each task it took is reported exactly once; at most
``width`` tasks are in flight; one failure does not lose the others; nothing new
starts after cancel (tasks then in flight may go unreported); order is not
promised. What is no ``Exception`` (``KeyboardInterrupt``, ``SystemExit``) is no
outcome of a task: it is raised where the outcomes are consumed. The task
iterator is pulled lazily and only from the thread that consumes the outcomes,
so a producer needs no locks. While tasks are in flight it may yield ``None``
for "nothing to start before another outcome".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from hubferry.control import CancelToken

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[TaskT, ResultT]):
    """What became of a task: ``result`` or ``error``, never both."""

    task: TaskT
    result: ResultT | None = None
    error: Exception | None = None


class Engine(Protocol):
    """Owns concurrency."""

    @property
    def width(self) -> int:
        """How many tasks run at once at most."""

    def run(
        self,
        tasks: Iterable[TaskT | None],
        handler: Callable[[TaskT], ResultT],
        cancel: CancelToken,
    ) -> Iterator[Outcome[TaskT, ResultT]]:
        """Run ``handler`` over ``tasks``; yield an outcome as each one ends."""
