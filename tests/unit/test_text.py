"""Messages: English in themselves, filled in any language, never broken by foreign braces."""

from __future__ import annotations

from hubferry.text import T, Text


def test_a_text_is_its_english_sentence() -> None:
    assert str(T("{count} files of {repo}", count=3, repo="a/b")) == "3 files of a/b"


def test_a_translation_is_filled_with_the_same_values() -> None:
    assert T("{count} files", count=3).render("{count} 个文件") == "3 个文件"


def test_foreign_text_with_braces_is_taken_as_it_is() -> None:
    assert str(Text("no such {thing} or {0}")) == "no such {thing} or {0}"
    assert str(T("the hub said: {said}", said="{oops} {}")) == "the hub said: {oops} {}"


def test_a_text_may_be_a_value_of_another() -> None:
    assert str(T("trying again: {reason}", reason=T("no {x}", x="answer"))) == (
        "trying again: no answer"
    )
