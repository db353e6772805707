"""The progress of a watch's cycles as plain lines: what has not changed gets none."""

from __future__ import annotations

from hubferry.events import BatchStarted, Event, RepoFinished
from hubferry.report.batch_lines import BatchLines
from hubferry.text import Text


class WatchLines(BatchLines):
    """A log of days must not say every quarter of an hour that nothing is new."""

    def _lines(self, event: Event) -> list[Text]:
        lines = super()._lines(event)
        is_nothing = isinstance(event, RepoFinished) and event.state == "unchanged"
        return [] if is_nothing or isinstance(event, BatchStarted) else lines
