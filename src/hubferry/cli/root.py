"""The ``hubferry`` command and what is known of its commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from hubferry import __version__
from hubferry.cli.commands import COMMANDS
from hubferry.cli.localized import Group, Option
from hubferry.cli.options import lang_option
from hubferry.config import Config
from hubferry.text import T


@click.group(
    "hubferry",
    cls=Group,
    commands={command.name or "": command for command in COMMANDS},
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    about=T(
        "Copy model repositories between hubs: streamed, resumable, verified.\n\n"
        "Addresses are hf://org/name, ms://org/name, a web link of either hub, or a local "
        "folder; @revision may follow. A bare org/name is Hugging Face as source and "
        "ModelScope as target."
    ),
    closing=T(
        "Every option can also be set as a HUBFERRY_... variable (HUBFERRY_WORKERS=8) or in the "
        "configuration file (workers = 8), which HUBFERRY_CONFIG can name."
    ),
)
@click.version_option(
    __version__,
    prog_name="hubferry",
    cls=Option,
    about=T("Show the version and exit."),
    has_variable=False,
)
@lang_option
def cli(**options: Any) -> None:
    """Options of the group itself are read before parsing."""


def leaves() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with the words that name it."""
    for name, command in cli.commands.items():
        if isinstance(command, click.Group):
            yield from (((name, sub), found) for sub, found in command.commands.items())
        else:
            yield (name,), command


def _option_names(command: click.Command) -> frozenset[str]:
    return frozenset(
        param.name for param in command.params if isinstance(param, click.Option) and param.name
    )


def options_by_command() -> dict[str, frozenset[str]]:
    """Option names by first word of the command: what a configuration file may hold."""
    found: dict[str, frozenset[str]] = {}
    for words, command in leaves():
        found[words[0]] = found.get(words[0], frozenset()) | _option_names(command)
    return found


def default_map(config: Config) -> dict[str, Any]:
    """The configuration file as Click's defaults."""
    found: dict[str, Any] = {}
    for words, command in leaves():
        names = _option_names(command)
        values = config.for_command(words[0], names)
        mine = {name: value for name, value in values.items() if name in names}
        place = found
        for word in words[:-1]:
            place = place.setdefault(word, {})
        place[words[-1]] = mine
    return found


def command_name(args: Sequence[str]) -> str | None:
    """The command meant by ``args``, as far as it can be told without parsing."""
    typed = [word for word in args if not word.startswith("-")]
    names = {" ".join(words) for words, _ in leaves()}
    for length in (2, 1):
        if (name := " ".join(typed[:length])) in names:
            return name
    return None
