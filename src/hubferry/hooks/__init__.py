"""Telling others of a run: a command or a webhook at its end, on failure, on a stall.

``formats`` says what is sent, pure; ``delivery`` sends it; ``stalls`` finds out that
nothing moves. A hook that fails is a warning, never the end of a run.
"""

from hubferry.hooks.delivery import Hooks
from hubferry.hooks.formats import Message, payload
from hubferry.hooks.parsing import parse_hook
from hubferry.hooks.stalls import StallWatch
from hubferry.hooks.values import EVENTS, KINDS, News, Stall, Trouble, news_of, news_of_stall

__all__ = [
    "EVENTS",
    "KINDS",
    "Hooks",
    "Message",
    "News",
    "Stall",
    "StallWatch",
    "Trouble",
    "news_of",
    "news_of_stall",
    "parse_hook",
    "payload",
]
