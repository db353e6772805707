"""How a watch is doing: a value, and the board it is read from."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from hubferry.events import Event, HeldUp, InRepo, Waiting

PERIODS_ALLOWED = 3
"""So many periods may pass without a cycle that went well."""


@dataclass(frozen=True, slots=True)
class Health:
    """Moments are Unix seconds; None: not yet.

    ``failing_repos``: as of the last look at each. ``held_causes``: what holds
    up repositories now. ``period_seconds``: from one slot to the next.
    ``calm_until``: nothing is expected before it (quiet hours).
    """

    started_at: float
    period_seconds: float
    is_alive: bool = True
    is_in_cycle: bool = False
    cycles: int = 0
    last_cycle_at: float | None = None
    last_ok_at: float | None = None
    next_due_at: float | None = None
    failing_repos: int = 0
    held_causes: tuple[str, ...] = ()
    manifest_error: str | None = None
    last_sign_at: float = 0.0
    calm_until: float = 0.0

    def is_healthy(self, now: float) -> bool:
        """The loop is alive, and it did something well within three periods.

        Quiet hours do not count, nor does a cycle that is seen to get on: a
        first one may take days.
        """
        if not self.is_alive:
            return False
        signs = [self.last_ok_at or 0.0, self.started_at, self.calm_until]
        if self.is_in_cycle:
            signs.append(self.last_sign_at)
        return now < max(signs) + PERIODS_ALLOWED * self.period_seconds


class Board:
    """Where the loop and its observer write, and anybody reads; thread-safe."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()

    def read(self) -> Health:
        """The present state."""
        with self._lock:
            return replace(self._health, held_causes=tuple(sorted(self._held)))

    def write(self, **changes: object) -> None:
        """Change fields of the health."""
        with self._lock:
            self._health = replace(self._health, **changes)  # type: ignore[arg-type]

    def clear_held(self) -> None:
        """A new cycle finds out again what holds it up."""
        with self._lock:
            self._held.clear()

    def take(self, event: Event, now: float) -> None:
        """An event of the cycle on its way: a sign that it gets on, or waits for good reason."""
        inner = event.event if isinstance(event, InRepo) else event
        until = inner.until_unix if isinstance(inner, Waiting) else 0.0
        with self._lock:
            sign = max(now, until, self._health.last_sign_at)
            self._health = replace(self._health, last_sign_at=sign)
            if isinstance(event, HeldUp):
                self._held.pop(event.cause, None)
                if not event.is_over:
                    self._held[event.cause] = event.repos
