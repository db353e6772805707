"""Messages that can be said in more than one language.

A room that has something to tell a person builds a :class:`Text` with
:func:`T`. It holds the English template and its values, and nothing else, so
the core stays free of any catalogue. ``str(text)`` is the English sentence
(for logs, the ledger and tests); ``hubferry.i18n.tr`` says it in the user's
language at the very edge. ``T`` is the keyword that the extraction of
translatable strings looks for, so its first argument is always a literal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence: English ``template`` with ``{named}`` fields, and their values."""

    template: str
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.render(self.template)

    def render(self, template: str) -> str:
        """Fill ``template`` (this one's translation) with the values.

        Without values the template is taken literally, so that foreign text
        with braces in it never breaks.
        """
        return template.format(**self.values) if self.values else template


def T(template: str, /, **values: object) -> Text:  # noqa: N802 - the marker must be short
    """Mark ``template`` for translation and bind its values."""
    return Text(template, values)
