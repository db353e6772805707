"""Answers read as JSON, whatever a hub may send."""

from __future__ import annotations

import json
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
