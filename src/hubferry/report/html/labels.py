"""What stands on the page."""

from __future__ import annotations

from hubferry.history import RunStory
from hubferry.report import words
from hubferry.text import T, Text

LABELS: dict[str, Text] = {
    "plots": T("Over time"),
    "repositories": T("repositories"),
    "repository": T("repository"),
    "number": T("no."),
    "state": T("state"),
    "files": T("files"),
    "size": T("size"),
    "sent": T("sent"),
    "tries": T("tries"),
    "time": T("at"),
    "seconds": T("duration"),
    "problem": T("why, and what to do"),
    "done": T("done"),
    "details": T("What failed, why, and what to do"),
    "notices": T("To be seen"),
    "run_errors": T("What concerns the whole run"),
    "largest": T("Largest repositories"),
    "search": T("find in names"),
    "all_states": T("all states"),
    "sort_by": T("sort by"),
    "nothing": T("nothing fits"),
    "sent_plot": T("Bytes sent"),
    "done_plot": T("Repositories done"),
    "seconds_plot": T("How long repositories took"),
    "fix": T("fix"),
    "where": T("where"),
    "request_id": T("request id"),
    "no_script": T("Without JavaScript there are no plots, and the table cannot be sorted."),
    "skip": T("Skip to the table"),
    "to_top": T("Back to the top"),
}


def headline(story: RunStory) -> Text:
    """The page's title."""
    values = {"command": story.command, "source": words.clean(story.source)}
    if story.is_batch or not story.target:
        return T("Hubferry {command}: {source}", **values)
    values["target"] = words.clean(story.target)
    return T("Hubferry {command}: {source} to {target}", **values)
