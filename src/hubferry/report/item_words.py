"""The states of a batch's repositories as a person reads them."""

from __future__ import annotations

from hubferry.text import T, Text

ITEM_STATES = {
    "unchanged": T("unchanged"),
    "copied": T("copied"),
    "equal": T("already equal"),
    "left_out": T("left out"),
    "failed": T("failed"),
    "gone": T("gone"),
    "stopped": T("stopped"),
    "running": T("running"),
}


def state_word(state: str) -> Text:
    """What a state is called; one that is not known stays as it is."""
    return ITEM_STATES.get(state) or Text(state)
