"""What every way of showing progress has in common; by itself it shows nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from hubferry.events import Event


class Progress:
    """An observer that is entered for the length of a command. Never raises."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def __call__(self, event: Event) -> None:
        """Take one event; called from worker threads, one call at a time."""

    def stop(self) -> None:
        """Show nothing until the next run starts; safe to repeat."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While a person is asked something, the screen is theirs."""
        yield
