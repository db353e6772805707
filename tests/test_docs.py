"""What the program says and what its documentation says are the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tools import i18n as translations

from hubferry.cli import root
from hubferry.cli.localized import Option
from hubferry.errors import ExitCode
from hubferry.i18n import LANGUAGES, LOCALE_DIR, tr, use_language
from hubferry.report.json_schema import SHAPES, schema_text
from hubferry.text import Text

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SUFFIXES = {"en": ".md", "zh_CN": ".zh.md"}


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    use_language(request.param)
    yield request.param
    use_language("en")


def squeezed(text: str) -> str:
    """Without any white space: a page may break its lines anywhere."""
    return re.sub(r"\s+", "", text)


def test_every_command_and_option_is_documented(language: str) -> None:
    page = (DOCS / f"cli{SUFFIXES[language]}").read_text(encoding="utf-8")
    sections = {section.split("\n", 1)[0]: squeezed(section) for section in page.split("\n## ")[1:]}
    for words, command in root.leaves():
        section = sections["hubferry " + " ".join(words)]
        for text in said(command):
            assert squeezed(text) in section, (words, text)


def said(command: click.Command) -> Iterator[str]:
    about = getattr(command, "about", None)
    assert isinstance(about, Text), command.name
    yield tr(about)
    for param in command.params:
        if isinstance(param, Option):
            yield from param.opts
            yield tr(param.about)


def test_every_exit_code_is_documented(language: str) -> None:
    page = (DOCS / f"exit-codes{SUFFIXES[language]}").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert documented == {value for name, value in vars(ExitCode).items() if name.isupper()}


def test_every_sentence_is_translated_and_compiled() -> None:
    assert list(translations.problems()) == []


def test_every_translation_keeps_the_commands_and_options_of_its_sentence() -> None:
    code = re.compile(r"--[a-z][a-z-]+|HUBFERRY_[A-Z_]+|`[^`]+`")
    catalog = translations.load(LOCALE_DIR / "zh_CN" / "LC_MESSAGES" / "hubferry.po")
    for message in catalog:
        if message.id and isinstance(message.id, str):
            assert sorted(code.findall(message.id)) == sorted(code.findall(str(message.string)))


@pytest.mark.parametrize("name", SHAPES)
def test_schemas_are_what_the_program_prints(name: str) -> None:
    published = (DOCS / "schema" / f"{name}.schema.json").read_text(encoding="utf-8")
    assert published == schema_text(name), "run: python -m hubferry.report.json_schema docs/schema"
