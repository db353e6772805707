"""Help texts wrapped by columns, not by characters: a Chinese character takes two."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import click
from rich.cells import cell_len

from hubferry.i18n import tr
from hubferry.text import T

# A line may not begin with the one nor end with the other.
_CLOSING = "，。；：、！？）》”’」』…"
_OPENING = r"\[(（《“‘「『"
_WIDE = r"\u2e80-\u9fff\uff00-\uffef"
_PIECES = re.compile(
    rf"\s+|[{_OPENING}]*[{_WIDE}][{_CLOSING}]*|[^\s{_WIDE}{_OPENING}]+|[{_OPENING}]+[^\s{_WIDE}]*"
)


def wrap(text: str, columns: int) -> list[str]:
    """The lines of one paragraph; breaks at spaces and between Chinese characters."""
    lines = [""]
    for piece in _PIECES.findall(text):
        if cell_len(lines[-1]) + cell_len(piece.rstrip()) > columns and lines[-1]:
            lines[-1] = lines[-1].rstrip()
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return [*lines[:-1], lines[-1].rstrip()]


class Formatter(click.HelpFormatter):
    """Click's layout, measured in columns."""

    def write_heading(self, heading: str) -> None:
        """A section's title."""
        self.write(" " * self.current_indent + tr(T("{title}:", title=heading)) + "\n")

    def write_text(self, text: str) -> None:
        """Paragraphs, each wrapped anew."""
        indent = " " * self.current_indent
        columns = max(self.width - self.current_indent, 11)
        paragraphs = text.split("\n\n")
        blocks = ["\n".join(indent + line for line in wrap(part, columns)) for part in paragraphs]
        self.write("\n\n".join(blocks) + "\n")

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Terms and what they mean, in two columns."""
        found = list(rows)
        terms = max(cell_len(term) for term, _ in found)
        left = self.current_indent + min(terms, col_max) + col_spacing
        for term, meaning in found:
            self.write("\n".join(self._entry(term, meaning, left)) + "\n")

    def _entry(self, term: str, meaning: str, left: int) -> Iterator[str]:
        first = " " * self.current_indent + term
        lines = wrap(meaning, max(self.width - left, 20))
        if cell_len(first) + 2 > left:
            yield first
        else:
            yield first + " " * (left - cell_len(first)) + lines.pop(0)
        yield from (" " * left + line for line in lines)


class Context(click.Context):
    """A context whose help is laid out by columns."""

    formatter_class = Formatter
