"""The front matter of a repository card: read for the hub's metadata, checked before a commit.

Only the YAML that cards use is understood: scalars, lists of scalars, and nesting that is skipped.
Source: huggingface/hub-docs, ``modelcard.md``; the answer's shape from huggingface_hub 2.4.0,
``hf_api.py`` (``_validate_yaml``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_FENCE = "---"
_KEY = re.compile(r"^(?:\"([^\"]+)\"|'([^']+)'|([^\s:#\-][^:]*)):(?:\s+(.*))?$")
_CONSTANTS: dict[str, Any] = {
    "true": True, "false": False, "null": None, "~": None, "": None
}  # fmt: skip
_LIST_OR_TEXT = ("license", "language")
_LIST = ("tags", "datasets", "metrics")


@dataclass
class Card:
    """What the front matter says, and what is wrong with it."""

    data: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def parse_card(text: str) -> Card:
    """Read the front matter at the beginning of a README."""
    card = Card()
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != _FENCE:
        card.warnings.append("empty or missing yaml metadata in repo card")
        return card
    try:
        end = next(n for n, line in enumerate(lines[1:], 1) if line.rstrip() == _FENCE)
    except StopIteration:
        card.errors.append("the yaml metadata block is not closed")
        return card
    _read_lines(lines[1:end], card)
    _check_types(card)
    return card


def _read_lines(lines: list[str], card: Card) -> None:
    key: str | None = None
    for number, line in enumerate(lines, 2):
        text = line.rstrip()
        if not text or text.lstrip().startswith("#"):
            continue
        if text.startswith("\t"):
            card.errors.append(f"line {number}: tab characters must not be used in indentation")
        elif text.startswith("- ") and key is not None:
            _append(card.data, key, _scalar(text[2:]))
        elif text.startswith("  - ") and key is not None:
            _append(card.data, key, _scalar(text[4:]))
        elif text.startswith((" ", "- ", "-")):
            continue
        elif found := _KEY.match(text):
            key = found[1] or found[2] or found[3].strip()
            card.data[key] = _value(found[4] or "")
        else:
            card.errors.append(f"line {number}: can not read an implicit mapping pair")


def _append(data: dict[str, Any], key: str, value: Any) -> None:
    if data.get(key) is None:
        data[key] = []
    if isinstance(data[key], list):
        data[key].append(value)


def _value(text: str) -> Any:
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        return [_scalar(part) for part in text[1:-1].split(",") if part.strip()]
    return _scalar(text)


def _scalar(text: str) -> Any:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    text = text.partition(" #")[0].strip()
    return _CONSTANTS.get(text.lower(), text)


def _check_types(card: Card) -> None:
    for key in _LIST_OR_TEXT:
        if isinstance(card.data.get(key), bool):
            card.errors.append(f'"{key}" must be a string')
    for key in _LIST:
        value = card.data.get(key)
        if value is not None and not isinstance(value, list):
            card.errors.append(f'"{key}" must be an array')
