"""The manual: both languages whole, every link alive, every error explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.guide.conftest import ROOT

from hubferry import errors

DOCS = ROOT / "docs"
PAGES = sorted(
    [ROOT / "README.md", ROOT / "README.zh.md", *DOCS.glob("en/*.md"), *DOCS.glob("zh/*.md")]
)


def headings(text: str) -> list[str]:
    """The headings, without what only looks like one in a block of code."""
    return re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)


def anchor(heading: str) -> str:
    """How GitHub names a heading: lower case, no punctuation, hyphens for spaces."""
    return re.sub(r"[^\w\s-]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for place, name in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", text):
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), place
        if name:
            assert name in map(anchor, headings(target.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", sorted(DOCS.glob("en/*.md")), ids=lambda page: page.stem)
def test_both_languages_have_the_same_chapters(page: Path) -> None:
    chinese = DOCS / "zh" / page.name
    assert len(headings(page.read_text(encoding="utf-8"))) == len(
        headings(chinese.read_text(encoding="utf-8"))
    )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_error_is_explained(language: str) -> None:
    page = (DOCS / language / "troubleshooting.md").read_text(encoding="utf-8")
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    headlines = {kind.default_headline for kind in kinds if issubclass(kind, errors.CopyError)} | {
        "Revision not found",
        "File not found",
    }
    assert {headline for headline in headlines if f"`Error: {headline}`" not in page} == set()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_manual_says_that_huggingface_cli_is_gone(language: str) -> None:
    page = (DOCS / language / "migration-guide.md").read_text(encoding="utf-8")
    assert "hf auth login" in page
    assert "huggingface-cli" in page
