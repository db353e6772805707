"""Sentences about a running copy, shared by bars and lines."""

from __future__ import annotations

import time

from hubferry.errors import Side
from hubferry.i18n import tr
from hubferry.report import words
from hubferry.report.board import Wait
from hubferry.text import T, Text

_STEPS = {
    "resolve": T("resolving the revision"),
    "list": T("listing"),
    "plan": T("planning"),
    "read": T("reading to compare"),
    "send": T("sending"),
    "commit": T("committing"),
    "verify": T("verifying"),
}
SIDES = {Side.SOURCE: T("source"), Side.TARGET: T("target"), Side.LOCAL: T("this computer")}
# The reason that control gives for a pause a hub asked for.
_LIMIT = T("rate limit").template
_LONG_WAIT_SECONDS = 120.0


def step(name: str) -> str:
    """What the run is at."""
    return tr(_STEPS.get(name, Text(name)))


def paused(run_id: str) -> Text:
    """That somebody paused the run, and how to end that."""
    return T("paused; 'hubferry runs resume {run_id}' lets it go on", run_id=run_id)


def wait(pause: Wait) -> str:
    """Who waits for what, and until when."""
    is_short = pause.until_unix - time.time() < _LONG_WAIT_SECONDS
    until = words.clock(pause.until_unix, with_seconds=is_short)
    side = tr(SIDES[pause.side])
    if pause.reason.template == _LIMIT:
        return tr(T("{side}: throttled until {time}", side=side, time=until))
    reason = words.clean(tr(pause.reason))
    return tr(T("{side}: {reason}; waiting until {time}", side=side, reason=reason, time=until))
