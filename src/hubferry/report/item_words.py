"""The states of a batch's repositories as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping

from hubferry.i18n import tr
from hubferry.report import words
from hubferry.text import T, Text

STATES = {
    "copied": T("copied"),
    "equal": T("already equal"),
    "unchanged": T("unchanged"),
    "left_out": T("left out"),
    "failed": T("failed"),
    "gone": T("gone"),
    "stopped": T("not finished"),
    "waiting": T("not due yet"),
    "running": T("running"),
}
"""In the order in which they are counted for people."""


def state_word(state: str) -> Text:
    """What a state is called; one that is not known stays as it is."""
    return STATES.get(state) or Text(words.clean(state))


def counted(counts: Mapping[str, int]) -> str:
    """``7 copied, 1 failed``; states that nothing is in are left out."""
    known = [state for state in STATES if counts.get(state)]
    rest = [state for state in counts if state not in STATES and counts[state]]
    parts = (
        T("{count} {state}", count=counts[state], state=state_word(state))
        for state in (*known, *rest)
    )
    return tr(T(", ")).join(tr(part) for part in parts)
