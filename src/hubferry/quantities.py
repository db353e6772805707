"""Sizes and durations as people write them, in options and in manifests alike."""

from __future__ import annotations

import re
from fractions import Fraction

_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s?)?", re.ASCII)
_FACTORS = (86400, 3600, 60, 1)
_SIZE = re.compile(rf"{_NUMBER}\s*(?:([kmgtp])(i?b)?|b)?", re.IGNORECASE | re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds of ``7d``, ``6h``, ``10m``, ``90s``, ``1h30m`` or a bare number of seconds.

    Raises:
        ValueError: anything else.
    """
    found = _DURATION.fullmatch(text.strip().lower())
    if not found or not any(found.groups()):
        raise ValueError("no duration")
    return sum(
        float(value) * factor
        for value, factor in zip(found.groups(), _FACTORS, strict=True)
        if value
    )


def parse_size(text: str) -> int:
    """Bytes of ``50G``, ``1.5T``, ``512 MiB``, ``20GB`` or a bare number of bytes.

    A letter alone means powers of 1024, as in rclone, and so does ``GiB``; ``GB`` means powers
    of 1000.

    Raises:
        ValueError: anything else.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError("no size")
    number, unit, ending = found.groups()
    base = 1000 if (ending or "").lower() == "b" else 1024
    power = "kmgtp".index(unit.lower()) + 1 if unit else 0
    # Not as float: sizes beyond its range would not be refused but fail.
    return int(Fraction(number) * base**power)
