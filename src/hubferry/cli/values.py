"""Values of options that Click has no type for."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from typing import Any

import click

from hubferry.errors import UsageError
from hubferry.i18n import tr
from hubferry.text import T
from hubferry.throttle import Timetable, parse_bwlimit

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")
_FACTORS = (3600, 60, 1)


def parse_duration(text: str) -> float:
    """Seconds of ``6h``, ``10m``, ``90s``, ``1h30m`` or a bare number of seconds.

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


class Duration(click.ParamType[float]):
    """A duration in seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The seconds; numbers (from the configuration file) are seconds already."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        try:
            return parse_duration(str(value))
        except ValueError:
            self.fail(tr(T("{value} is no duration such as 90s, 10m, 6h", value=value)), param, ctx)


DURATION = Duration()


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgtp])(i?b)?|b)?", re.IGNORECASE)


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


class Size(click.ParamType[int]):
    """A size in bytes."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The bytes; numbers (from the configuration file) are bytes already."""
        try:
            if isinstance(value, bool):
                raise ValueError("no size")
            return parse_size(str(value))
        except ValueError:
            self.fail(tr(T("{value} is no size such as 512M, 50G, 1.5T", value=value)), param, ctx)


SIZE = Size()


class BandwidthLimit(click.ParamType[Timetable]):
    """A bandwidth limit in rclone's syntax."""

    name = "limits"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Timetable:
        """The timetable."""
        if isinstance(value, Timetable):
            return value
        try:
            return parse_bwlimit(str(value))
        except UsageError as error:
            self.fail(tr(error.message), param, ctx)


BANDWIDTH = BandwidthLimit()


class WholeNumber(click.IntRange):
    """A whole number in a range, refused in the user's language."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The number."""
        try:
            number = int(str(value))
        except ValueError:
            self.fail(tr(T("{value} is no whole number", value=value)), param, ctx)
        return int(super().convert(number, param, ctx))


class LocalPath(click.Path):
    """A path on this computer; Click would keep the language it was made in."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """The path; an empty one would be the current folder, which nobody meant."""
        if value == "":
            self.fail(tr(T("the path is empty")), param, ctx)
        self.name = tr(T("file")) if self.file_okay else tr(T("folder"))
        return super().convert(value, param, ctx)
