"""The threads engine: N daemon threads in this process.

Threads suit the work: sockets, TLS and SHA-256 run outside the interpreter
lock. They are daemons so that a process asked to stop need not wait for a
socket that never answers; everything is resumable by design.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

from hubferry.control import CancelToken
from hubferry.engines.base import Outcome, ResultT, TaskT


class ThreadEngine:
    """Runs up to ``width`` tasks at once."""

    def __init__(self, width: int) -> None:
        if width < 1:
            raise ValueError("an engine needs at least one worker")
        self.width = width

    def run(
        self,
        tasks: Iterable[TaskT | None],
        handler: Callable[[TaskT], ResultT],
        cancel: CancelToken,
    ) -> Iterator[Outcome[TaskT, ResultT]]:
        """Pull tasks as workers fall free; yield outcomes in the order they end."""
        todo: queue.SimpleQueue[tuple[TaskT] | None] = queue.SimpleQueue()
        done: queue.SimpleQueue[Outcome[TaskT, ResultT] | BaseException] = queue.SimpleQueue()
        source = iter(tasks)
        in_flight = started = 0
        is_exhausted = False

        def work() -> None:
            while (item := todo.get()) is not None:
                task = item[0]
                try:
                    done.put(Outcome(task, result=handler(task)))
                except Exception as error:  # noqa: BLE001 - a worker loop that carries on
                    done.put(Outcome(task, error=error))
                except BaseException as error:  # noqa: BLE001 - raised again by the consumer
                    done.put(error)
                    return

        try:
            while True:
                while not is_exhausted and in_flight < self.width and not cancel.is_cancelled:
                    try:
                        task = next(source)
                    except StopIteration:
                        is_exhausted = True
                        break
                    if task is None:
                        break
                    if started <= in_flight:
                        threading.Thread(
                            target=work, name=f"hubferry-{started}", daemon=True
                        ).start()
                        started += 1
                    todo.put((task,))
                    in_flight += 1
                if in_flight == 0:
                    if is_exhausted or cancel.is_cancelled:
                        return
                    raise RuntimeError("the task iterator paused with nothing in flight")
                try:
                    # A bounded wait keeps the main thread open to Ctrl-C and cancel.
                    outcome = done.get(timeout=0.2)
                except queue.Empty:
                    if cancel.is_cancelled:
                        return
                    continue
                if isinstance(outcome, BaseException):
                    # Not a failed task but the end of the run, as it is in the serial engine.
                    raise outcome
                in_flight -= 1
                yield outcome
        finally:
            for _ in range(started):
                todo.put(None)
