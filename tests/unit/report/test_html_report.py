"""The page: it loads nothing, believes nobody, stays small, and tells what was left out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.support.stories import (
    RUN_ID,
    attempt,
    batch_row,
    copy_row,
    file_error,
    kept,
    large_story,
)

from hubferry.errors import LocalError
from hubferry.history import RunStory, story_of
from hubferry.i18n import use_language
from hubferry.report.html import page_text, save_page
from hubferry.report.html.figures import MAX_POINTS, MAX_ROWS, plots_of, rows_of

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u2028</script>"


class Page(HTMLParser):
    """The page as a browser takes it apart."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag in ("script", "style"):
            is_data = dict(attrs).get("type") == "application/json"
            (self.styles if tag == "style" else [] if is_data else self.scripts).append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        is_data = self.elements and self.elements[-1][1].get("type") == "application/json"
        if self._inside == "script" and not is_data:
            self.scripts[-1] += data
        elif self._inside == "style":
            self.styles[-1] += data
        else:
            self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def policy(self) -> str:
        (found,) = [a for a in self.of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
        return str(found["content"])


@pytest.fixture(autouse=True)
def _english() -> None:
    use_language("en")


def evil_story() -> RunStory:
    error = file_error(EVIL, repo=EVIL, why=EVIL)
    rows = [
        attempt(1, "failed", source=EVIL, target=EVIL, report=kept(total=9, errors=[error])),
        attempt(2, EVIL, source=EVIL, report=kept(total=5)),
    ]
    report = {
        "counts": {"failed": 1, EVIL: 1},
        "notices": [{"kind": EVIL, "repo": EVIL, "text": EVIL}],
        "errors": [error],
    }
    return story_of(batch_row(source=EVIL, report=report), rows)


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_only_its_own_scripts_and_styles_may_run() -> None:
    page = Page(page_text(large_story(20, 20)))
    parts = dict(part.split(" ", 1) for part in page.policy.split("; "))
    assert parts["default-src"] == "'none'"
    assert parts["script-src"].split() == [digest(text) for text in page.scripts]
    assert parts["style-src"].split() == [digest(text) for text in page.styles]
    assert (len(page.scripts), len(page.styles)) == (2, 2)
    assert "unsafe" not in page.policy


def test_nothing_is_loaded_and_no_markup_is_styled_or_scripted_in_place() -> None:
    page = Page(page_text(evil_story()))
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", tag
            if name in ("src", "href", "action", "srcset", "data", "poster"):
                assert (value or "").startswith(("#", "data:,")), (tag, name, value)
    styles = " ".join(page.styles)
    assert "@import" not in styles
    assert "url(" not in styles


def test_the_licence_of_what_is_not_ours_goes_with_it() -> None:
    text = page_text(large_story(5, 0))
    comment = text[text.index("<!-- The plots") : text.index("-->")]
    assert "Leon Sorokin" in comment
    assert "shall be included in all copies" in " ".join(comment.split())


def test_what_a_hub_made_up_is_text_and_nothing_else() -> None:
    text = page_text(evil_story())
    page = Page(text)
    assert len(page.of("script")) == 3
    assert page.of("img") == []
    assert "<script>alert" not in text
    said = "".join(page.words)
    assert "<script>alert(1)</script>" in said
    assert "\u2028" not in text


def test_the_data_ends_no_script() -> None:
    text = page_text(evil_story())
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    assert "<" not in found[1]
    assert set(json.loads(found[1])) == {"over_time", "seconds", "labels"}


def test_a_large_batch_stays_small_and_says_what_was_left_out() -> None:
    text = page_text(large_story(2000, 20_000))
    print(f"{len(text.encode()) / 1e6:.2f} MB")
    assert len(text.encode()) < 3_000_000
    # Files that failed alike share their sentence, so all 400 repositories fit.
    assert text.count("<details id=") == 400
    many = page_text(varied_story(2000, 50))
    assert len(many.encode()) < 3_000_000
    assert "more repositories" in many
    assert f"hubferry runs show {RUN_ID} --failed --files --format csv" in many


def varied_story(repos: int, errors: int) -> RunStory:
    """Every repository failed in many different ways."""
    rows = [
        attempt(
            number,
            "failed",
            report=kept(
                errors=[file_error(f"{n}.bin", why=f"reason {n}" * 9) for n in range(errors)]
            ),
        )
        for number in range(1, repos + 1)
    ]
    return story_of(batch_row(report={"counts": {"failed": repos}}), rows)


def test_rows_beyond_the_limit_leave_the_failed_ones_in() -> None:
    rows = [attempt(number) for number in range(1, MAX_ROWS + 50)]
    rows.append(attempt(MAX_ROWS + 50, "failed"))
    table = rows_of(story_of(batch_row(report={"counts": {"copied": 1}}), rows))
    assert len(table.rows) == MAX_ROWS
    assert table.rows[-1].state == "failed"
    assert "50 more repositories are not listed here" in table.left_out[0]


def test_plots_have_few_points_and_end_at_the_whole() -> None:
    story = large_story(2000, 0, unchanged=500)
    times, sent, done = plots_of(story)["over_time"]
    assert len(times) <= MAX_POINTS
    assert times == sorted(times)
    assert sent[-1] == sum(repo.sent_bytes for repo in story.repos)
    assert done[0] == 500
    assert done[-1] == 500 + sum(repo.state in ("copied", "equal") for repo in story.repos)
    names, counts = plots_of(story)["seconds"]
    assert sum(counts) == 2000
    assert len(names) == len(counts)


def test_a_single_copy_has_its_errors_open_and_no_plots() -> None:
    page = Page(page_text(story_of(copy_row(), [])))
    (details,) = page.of("details")
    assert "open" in details
    assert page.of("figure") == []
    assert "make a token with the permission to write" in "".join(page.words)


@pytest.mark.parametrize(
    "row",
    [
        batch_row(state="running", ended_at=None, exit_code=None, report=""),
        batch_row(state="dead", ended_at=None, exit_code=None, report=""),
        copy_row(exit_code=None, ended_at=None, state="running", report=None),
        copy_row(command="plan", report='{"commits": 1}', exit_code=0),
    ],
)
def test_a_run_without_an_end_or_a_report_has_a_page(row: dict[str, object]) -> None:
    Page(page_text(story_of(row, [])))
    if row["command"] == "batch":
        Page(page_text(story_of(row, [attempt(1), attempt(2, None)])))


@pytest.mark.parametrize(("language", "lang"), [("en", "en"), ("zh_CN", "zh-CN")])
def test_the_page_says_its_language(language: str, lang: str) -> None:
    use_language(language)
    try:
        page = Page(page_text(large_story(5, 0)))
    finally:
        use_language("en")
    assert page.of("html") == [{"lang": lang}]


def test_tables_and_plots_are_named_for_those_who_do_not_see_them() -> None:
    page = Page(page_text(large_story(5, 5)))
    scopes = [attributes.get("scope") for attributes in page.of("th")]
    assert None not in scopes
    plots = [a for a in page.of("div") if "plot" in (a.get("class") or "").split()]
    assert all(a.get("role") == "img" and a.get("aria-label") for a in plots)
    ids = [a["id"] for _, a in page.elements if a.get("id")]
    assert len(ids) == len(set(ids))
    targets = {str(a["href"])[1:] for a in page.of("a")}
    assert targets <= set(ids)


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "report.html"
    place.write_text("before")
    save_page(large_story(3, 0), place)
    assert place.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(LocalError, match="cannot be written"):
        save_page(large_story(3, 0), tmp_path / "missing" / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_name_that_is_no_unicode_does_not_break_the_page(tmp_path: Path) -> None:
    row = batch_row(report={"counts": {"copied": 1}})
    save_page(story_of(row, [attempt(1, source="hf://a/\udc80")]), tmp_path / "r.html")
