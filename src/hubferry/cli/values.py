"""Values of options that Click has no type for."""

from __future__ import annotations

import os
import re
from typing import Any

import click

from hubferry.i18n import tr
from hubferry.text import T

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
        """The path."""
        self.name = tr(T("file")) if self.file_okay else tr(T("folder"))
        return super().convert(value, param, ctx)
