"""Answers read as JSON, whatever a hub may send."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any


def parse_json(body: bytes) -> Any:
    """The value in ``body``.

    Raises:
        ValueError: it is not JSON, or nested deeper than anything a hub has to say.
    """
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def unix_seconds(value: object) -> int | None:
    """A time in an answer as whole Unix seconds, rounded down; None where it tells none.

    ISO 8601 with or without fractions, offset or ``Z`` (without: UTC), or a number of seconds
    or milliseconds, as text too. Years before 1970 are how servers write "no time".

    Raises:
        ValueError: it is no time.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        text = value.strip()
        if not text.isdecimal():
            return _seconds_of(datetime.fromisoformat(text))
        value = int(text[:20])
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a time")
    try:
        # Above this it is milliseconds: in seconds it would be the year 33658.
        seconds = int(value // 1000 if value > 1e12 else value)
    except OverflowError:
        raise ValueError("not a time") from None
    return seconds if seconds > 0 else None


def _seconds_of(when: datetime) -> int | None:
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    try:
        seconds = int(aware.replace(microsecond=0).timestamp())
    except OverflowError:
        raise ValueError("not a time") from None
    return seconds if seconds > 0 else None
