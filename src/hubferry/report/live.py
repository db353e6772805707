"""A region of a terminal that is drawn again and again while a command runs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live

from hubferry.report.observer import Progress

_REFRESHES_PER_SECOND = 8


class LiveProgress(Progress):
    """Shows :meth:`render` from ``_start`` to ``stop``; what must stay is printed above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    @abstractmethod
    def render(self) -> RenderableType:
        """The region as it is now; called from the thread that draws."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While a person is asked something, the region is gone."""
        was_shown = self._live is not None
        self.stop()
        try:
            yield
        finally:
            if was_shown:
                self._start()

    def _start(self) -> None:
        if self._live is None:
            self._live = Live(
                console=self._console,
                get_renderable=self.render,
                refresh_per_second=_REFRESHES_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def stop(self) -> None:
        """Remove the region; the summary follows."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()
