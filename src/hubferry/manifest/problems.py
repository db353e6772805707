"""What is wrong with a manifest: every mistake with its place and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from hubferry.errors import CopyError, UsageError
from hubferry.manifest.values import Place
from hubferry.net.redact import redact
from hubferry.text import T, Text

MAX_SHOWN = 20
"""Mistakes a message lists; more of them are no help to a person."""
_LONGEST_SHOWN = 80
_LONGEST_VALUE = 400


class Problem:
    """One mistake: where it stands, ``what`` is wrong, and ``how`` to mend it.

    Values that other rooms repeat as they stood in the file are cut short and redacted
    when they are asked for: of 100,000 mistakes 20 are shown.
    """

    __slots__ = ("_how", "_what", "place")

    def __init__(self, place: Place, what: Text, how: Text | None = None) -> None:
        self.place = place
        self._what = what
        self._how = how

    @property
    def what(self) -> Text:
        """What is wrong."""
        return _tidy(self._what)

    @property
    def how(self) -> Text | None:
        """What to write instead."""
        return _tidy(self._how) if self._how else None

    @property
    def text(self) -> Text:
        """``models.txt:12: what; how``."""
        if self._how is None:
            return T("{place}: {what}", place=str(self.place), what=self.what)
        return T("{place}: {what}; {how}", place=str(self.place), what=self.what, how=self.how)


class ManifestError(UsageError):
    """A manifest with mistakes; nothing was started.

    ``problems`` holds all of them, in the order of their lines. The message lists
    the first ``MAX_SHOWN``, a line each.
    """

    code: ClassVar[str] = "manifest"
    default_headline: ClassVar[str] = "The manifest has mistakes"

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.place.line))
        super().__init__(
            _message(file, self.problems),
            hint=T("mend them and run the same command again; nothing was started"),
        )


def _message(file: str, problems: Sequence[Problem]) -> Text:
    count = len(problems)
    head = T("{count} mistakes in {file}", count=count, file=file)
    if count == 1:
        head = T("a mistake in {file}", file=file)
    lines = [head, *(problem.text for problem in problems[:MAX_SHOWN])]
    if count > MAX_SHOWN:
        lines.append(T("… and {count} more", count=count - MAX_SHOWN))
    # The template has no words of its own, so that there is nothing in it to translate.
    names = [f"line{number}" for number in range(len(lines))]
    template = "\n".join("{" + name + "}" for name in names)
    return Text(template, dict(zip(names, lines, strict=True)))


class Wrong(ValueError):
    """A value that cannot be taken. ``at`` leads to the part of it that is wrong.

    A ValueError, so that pydantic takes it as a validator's answer.
    """

    def __init__(self, what: Text, how: Text | None = None, at: tuple[str | int, ...] = ()) -> None:
        super().__init__(str(what))
        self.what = what
        self.how = how
        self.at = at

    @classmethod
    def of(cls, error: CopyError) -> Wrong:
        """What another room refused, in its own words."""
        return cls(error.message, error.hint)


class Problems:
    """Collects the mistakes of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: list[Problem] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, line: int, what: Text, how: Text | None = None) -> None:
        """Note a mistake."""
        self._found.append(Problem(Place(self.file, line), what, how))

    def wrong(self, line: int, wrong: Wrong) -> None:
        """Note a value that cannot be taken."""
        self.add(line, wrong.what, wrong.how)

    def check(self) -> None:
        """Go on only if nothing was found.

        Raises:
            ManifestError: something was.
        """
        if self._found:
            raise ManifestError(self.file, self._found)


def _tidy(text: Text) -> Text:
    """Without secrets and endless values."""
    return Text(text.template, {name: _tidy_value(value) for name, value in text.values.items()})


def _tidy_value(value: object) -> object:
    if isinstance(value, Text):
        return _tidy(value)
    if isinstance(value, int | float):
        return value
    tidy = redact(str(value)).replace("\n", "\\n")
    return tidy if len(tidy) <= _LONGEST_VALUE else tidy[:_LONGEST_VALUE] + "…"


def shown(value: object) -> str:
    """A foreign value inside a message: short, on one line, without secrets."""
    text = redact(str(value))
    if len(text) > _LONGEST_SHOWN:
        text = text[:_LONGEST_SHOWN] + "…"
    return repr(text)


def some(values: Sequence[object]) -> str:
    """A list of our own words inside a message."""
    return ", ".join(str(value) for value in values)
