"""Click commands and options whose words are said in the user's language.

Help texts are kept as :class:`~hubferry.text.Text` and translated when they
are shown, so that importing a command does not fix its language.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from hubferry.cli.layout import Context
from hubferry.i18n import tr
from hubferry.text import T, Text

VARIABLE_PREFIX = "HUBFERRY_"
PATTERN_OPTIONS = frozenset({"--include", "--exclude"})

WHAT = T("What to copy")
WHICH = T("What to show or take up")
TARGET = T("The target repository")
HUBS = T("Hubs")
PATIENCE = T("Speed and patience")
OUTPUT = T("Output")
LAB = T("The lab")
WHEN = T("When to look")
_SECTIONS = (WHAT, WHICH, WHEN, LAB, TARGET, HUBS, PATIENCE, OUTPUT)


class Option(click.Option):
    """An option with a translated help text, a section, and its ``HUBFERRY_...`` variable."""

    def __init__(
        self, *args: Any, about: Text, section: Text = OUTPUT, has_variable: bool = True, **kw: Any
    ) -> None:
        super().__init__(*args, **kw)
        self.about = about
        self.section = section
        if has_variable and self.name:
            self.envvar = VARIABLE_PREFIX + self.name.upper()

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The option and what it does, in the user's language."""
        self.help = tr(self.about)
        return super().get_help_record(ctx)


_HELP = T("Show this message and exit.")


def _say_help(option: click.Option | None) -> click.Option | None:
    """Click makes its ``--help`` once and would keep the language of that moment."""
    if option is not None:
        option.help = tr(_HELP)
    return option


class Command(click.Command):
    """A command with translated help, options by section, and several patterns per flag."""

    context_class = Context

    def __init__(self, *args: Any, about: Text, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.about = about

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """``--help``, in the user's language."""
        return _say_help(super().get_help_option(ctx))

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first sentence, for the list of commands."""
        return tr(self.about).split("\n", 1)[0]

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The whole text, in the user's language."""
        self.help = tr(self.about)
        super().format_help_text(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options, section by section."""
        for section in _SECTIONS:
            if rows := list(self._rows(ctx, section)):
                with formatter.section(tr(section)):
                    formatter.write_dl(rows)

    def _rows(self, ctx: click.Context, section: Text) -> Iterator[tuple[str, str]]:
        for param in self.get_params(ctx):
            if isinstance(param, click.Argument):
                continue
            # What is not ours is Click's --help, which goes with the output.
            if getattr(param, "section", OUTPUT) != section:
                continue
            if (row := param.get_help_record(ctx)) is not None:
                yield row

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, after giving each of several patterns its own flag."""
        return super().parse_args(ctx, list(self._spread(args)))

    def _spread(self, args: Sequence[str]) -> Iterator[str]:
        """``SOURCE TARGET --include a b`` as ``--include a --include b``.

        The official clients take several patterns after one flag. Click does
        not, and before all arguments are seen a further word may be one of
        them; so only what follows the last argument is taken as a pattern.
        """
        wanted = sum(isinstance(param, click.Argument) for param in self.params)
        valued = self._valued_options()
        seen = 0
        pattern_flag = None
        expects_value = False
        for number, word in enumerate(args):
            if word == "--":
                yield from args[number:]
                return
            if expects_value:
                expects_value = False
            elif word.startswith("-") and word != "-":
                expects_value = word in valued
                pattern_flag = word if word in PATTERN_OPTIONS else None
            elif pattern_flag is not None and seen >= wanted:
                yield pattern_flag
            else:
                seen += 1
            yield word

    def _valued_options(self) -> frozenset[str]:
        return frozenset(
            name
            for param in self.params
            if isinstance(param, click.Option) and not param.is_flag
            for name in param.opts
        )


class Group(click.Group):
    """A group of commands with translated help."""

    context_class = Context

    def __init__(self, *args: Any, about: Text, closing: Text | None = None, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.about = about
        self.closing = closing

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order given: the common ones first, not the alphabet's."""
        return list(self.commands)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """``--help``, in the user's language."""
        return _say_help(super().get_help_option(ctx))

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first sentence, for the list of commands."""
        return tr(self.about).split("\n", 1)[0]

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The whole text, in the user's language."""
        self.help = tr(self.about)
        super().format_help_text(ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The closing words."""
        self.epilog = tr(self.closing) if self.closing else None
        super().format_epilog(ctx, formatter)
