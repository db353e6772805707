"""Values of options that Click has no type for."""

from __future__ import annotations

import math
import os
from typing import Any

import click

from hubferry.errors import UsageError
from hubferry.i18n import tr
from hubferry.quantities import parse_duration, parse_size
from hubferry.text import T
from hubferry.throttle import Timetable, parse_bwlimit

__all__ = [
    "BANDWIDTH",
    "DURATION",
    "SIZE",
    "BandwidthLimit",
    "Duration",
    "LocalPath",
    "Number",
    "Size",
    "WholeNumber",
    "parse_duration",
    "parse_size",
]


class Duration(click.ParamType[float]):
    """A duration in seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The seconds; numbers (from the configuration file) are seconds already."""
        try:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return _countable(value)
            return parse_duration(str(value))
        except ValueError:
            self.fail(tr(T("{value} is no duration such as 90s, 10m, 6h", value=value)), param, ctx)


def _countable(value: float) -> float:
    """A number from 0 on.

    Raises:
        ValueError: it is below, or none at all: whatever waits for NaN waits for ever.
    """
    if not (math.isfinite(value) and value >= 0):
        raise ValueError("nothing to count with")
    return float(value)


DURATION = Duration()


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


class Number(click.FloatRange):
    """A number in a range; NaN, which is in every range, and infinity are none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(tr(T("{value} is no number to count with", value=value)), param, ctx)
        return number


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
