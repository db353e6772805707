"""The one user configuration file: option names and their values, in TOML.

Flat keys are option names and hold for every command that has the option; a
table named like a command holds for that command alone and wins there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from hubferry.errors import UsageError
from hubferry.text import T

CONFIG_VARIABLE = "HUBFERRY_CONFIG"

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Config:
    """The file's values; names with underscores. ``commands``: by command."""

    common: Values = field(default_factory=dict)
    commands: Mapping[str, Values] = field(default_factory=dict)

    def for_command(self, command: str, options: frozenset[str]) -> dict[str, Any]:
        """What the file says for one command that has these options."""
        common = {name: value for name, value in self.common.items() if name in options}
        return common | dict(self.commands.get(command, {}))


def config_path(environ: Mapping[str, str]) -> Path:
    """Where the file is looked for."""
    named = environ.get(CONFIG_VARIABLE)
    return Path(named) if named else user_config_path("hubferry", appauthor=False) / "config.toml"


def load_config(environ: Mapping[str, str]) -> dict[str, Any]:
    """The file as it is; empty without one.

    Raises:
        UsageError: it cannot be read or is not TOML, or HUBFERRY_CONFIG names none.
    """
    path = config_path(environ)
    if not path.exists() and CONFIG_VARIABLE not in environ:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(
            T("cannot read the configuration file {path}: {reason}", path=path, reason=str(error)),
            hint=T("correct it, or name another file with HUBFERRY_CONFIG"),
        ) from error


def parse_config(
    raw: Mapping[str, Any], options: Mapping[str, frozenset[str]], path: Path
) -> Config:
    """Check every key against ``options`` (command -> its option names).

    Raises:
        UsageError: a key that is no option, or no option of that command.
    """
    known = frozenset[str]().union(*options.values())
    common: dict[str, Any] = {}
    commands: dict[str, Values] = {}
    for key, value in raw.items():
        name = key.replace("-", "_")
        if isinstance(value, dict) and key in options:
            commands[key] = _checked(value, options[key], f"{key}.", path)
        else:
            common |= _checked({name: value}, known, "", path)
    return Config(common, commands)


def _checked(values: Values, known: frozenset[str], prefix: str, path: Path) -> dict[str, Any]:
    found = {key.replace("-", "_"): value for key, value in values.items()}
    unknown = sorted(found.keys() - known)
    if unknown:
        raise UsageError(
            T("unknown key in {path}: {key}", path=path, key=prefix + unknown[0]),
            hint=T("keys are option names, such as workers or hf-endpoint"),
        )
    return found
