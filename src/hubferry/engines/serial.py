"""The serial engine: the reference, for tests and for debugging."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from hubferry.control import CancelToken
from hubferry.engines.base import Outcome, ResultT, TaskT


class SerialEngine:
    """Runs one task after the other in the caller's thread."""

    width = 1

    def run(
        self,
        tasks: Iterable[TaskT | None],
        handler: Callable[[TaskT], ResultT],
        cancel: CancelToken,
    ) -> Iterator[Outcome[TaskT, ResultT]]:
        """Run each task as it is pulled; ``None`` has nothing to wait for here."""
        for task in tasks:
            if cancel.is_cancelled:
                return
            if task is None:
                continue
            try:
                outcome: Outcome[TaskT, ResultT] = Outcome(task, result=handler(task))
            except Exception as error:  # noqa: BLE001 - a worker loop that carries on
                outcome = Outcome(task, error=error)
            yield outcome
