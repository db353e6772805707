"""Says a :class:`~hubferry.text.Text` in the user's language, at the very edge.

The language is decided once, before the command line is parsed, because help
texts and usage errors are messages too. English needs no catalogue; every
``zh`` locale reads ``zh_CN``, the only one there is.
"""

from __future__ import annotations

import gettext
import os
from collections.abc import Mapping
from pathlib import Path

from hubferry.errors import CopyError
from hubferry.text import Text

DOMAIN = "hubferry"
LIBRARY_DOMAIN = "click"
"""The command line library's own sentences, kept apart so that ours can be checked for gaps."""
LOCALE_DIR = Path(__file__).parent / "locale"
LANGUAGES = ("en", "zh_CN")

_catalogue: gettext.NullTranslations = gettext.NullTranslations()
_language = "en"


def decide_language(flag: str | None, environ: Mapping[str, str], configured: str | None) -> str:
    """``en`` or ``zh_CN``: flag > HUBFERRY_LANG > config file > LC_ALL, LC_MESSAGES, LANG."""
    wishes = (
        flag,
        environ.get("HUBFERRY_LANG"),
        configured,
        *(environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG")),
    )
    wish = next((wish for wish in wishes if wish), "en")
    return "zh_CN" if wish.lower().startswith("zh") else "en"


def use_language(language: str) -> None:
    """Speak ``language`` from now on, in this whole process."""
    global _catalogue, _language  # noqa: PLW0603 - one process speaks one language
    _language = language
    if language == "en":
        _catalogue = gettext.NullTranslations()
    else:
        _catalogue = gettext.translation(DOMAIN, LOCALE_DIR, [language])
    # Click asks the process-wide domain, whose language only this variable can set.
    os.environ["LANGUAGE"] = language
    gettext.bindtextdomain(LIBRARY_DOMAIN, LOCALE_DIR)
    gettext.textdomain(LIBRARY_DOMAIN)


def current_language() -> str:
    """The language in use: ``en`` or ``zh_CN``."""
    return _language


def tr(text: Text | str) -> str:
    """The sentence in the user's language; what has no translation stays as it is."""
    if isinstance(text, str):
        return text
    # The empty msgid is a catalogue's own header.
    template = _catalogue.gettext(text.template) if text.template else ""
    values = {name: _translated(value) for name, value in text.values.items()}
    return Text(text.template, values).render(template)


def _translated(value: object) -> object:
    if isinstance(value, CopyError):
        return tr(value.message)
    return tr(value) if isinstance(value, Text) else value
