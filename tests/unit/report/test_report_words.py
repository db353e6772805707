"""Figures, foreign names, and sentences in two languages."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from hubferry.compare import Difference
from hubferry.errors import RateLimitedError
from hubferry.i18n import tr, use_language
from hubferry.inspection.families import Evidence, Family, FamilyMatch
from hubferry.inspection.report import InspectReport, Need, Problem, SecuritySummary, Severity
from hubferry.model import RepoId, RepoInfo
from hubferry.outcome import RepoRef, RunReport
from hubferry.report import words
from hubferry.report.console import PipeSafeConsole
from hubferry.report.inspect_report import inspect_exit_code, inspect_shape, print_inspect
from hubferry.report.json_report import dumps, run_shape
from hubferry.report.tables import print_run
from hubferry.text import T, Text


@pytest.fixture
def chinese() -> Iterator[None]:
    use_language("zh_CN")
    yield
    use_language("en")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (351_260_000, "351.3 MB"),
        (999_960, "1.0 MB"),
        (21_474_836_480, "21.5 GB"),
    ],
)
def test_sizes_are_decimal(count: int, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (185, "3 min 05 s"), (7500, "2 h 05 min")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\nb\tc", r"a\nb\tc"),
        ("safe\u202etxt.exe", r"safe\u202etxt.exe"),
        ("\x9b31m", r"\x9b31m"),
        ("lone\udc80", r"lone\udc80"),
        ("模型 [b].bin", "模型 [b].bin"),
    ],
)
def test_foreign_names_cannot_steer_the_terminal(text: str, shown: str) -> None:
    assert words.clean(text) == shown


@pytest.mark.usefixtures("chinese")
def test_sentences_inside_sentences_are_translated_too() -> None:
    error = RateLimitedError(T("rate limit"))
    assert tr(T("trying again: {reason}", reason=error)) == "正在重试：限流"
    assert tr(T("trying again: {reason}", reason=T("rate limit"))) == "正在重试：限流"


@pytest.mark.usefixtures("chinese")
def test_foreign_text_is_left_alone() -> None:
    assert tr(Text("{not a field} 100 %")) == "{not a field} 100 %"
    assert tr(Text("")) == ""
    assert tr("path") == "path"


def report(differences: int) -> RunReport:
    ref = RepoRef("hf", "a/b", "model", "main", "0123456789abcdef")
    found = [Difference(f"file-{n}", "missing", T("not at the target")) for n in range(differences)]
    return RunReport("run-1", "verify", ref, ref, differences=found)


def shown(run: RunReport) -> str:
    out = io.StringIO()
    print_run(PipeSafeConsole(out), run)
    return out.getvalue()


def test_at_most_fifty_differences_are_printed() -> None:
    assert shown(report(50)).count("file-") == 50
    text = shown(report(53))
    assert text.count("file-") == 50
    assert "… and 3 more (all of them with --json)" in text


def test_names_with_markup_are_printed_as_they_are() -> None:
    run = report(0)
    run.differences = [Difference("[red]x[/red]", "extra", T("only at the target"))]
    assert "[red]x[/red]" in shown(run)


def test_json_survives_names_that_are_no_unicode() -> None:
    run = report(0)
    run.differences = [Difference("lone\udc80", "missing", T("not at the target"))]
    dumps(run_shape(run)).encode()


def inspection(*problems: Problem) -> InspectReport:
    info = RepoInfo(RepoId("hf", "a/b"), "main", "0123456789abcdef", license="mit")
    return InspectReport(
        info=info,
        files=3,
        size_bytes=1_500_000,
        families=(FamilyMatch(Family.LANGUAGE, (Evidence("pipeline_tag", "x"),), 4),),
        needs=(Need(T("weights"), ("*.safetensors",), None),),
        has_chat_template=False,
        parameters=354_823_168,
        parameters_note=None,
        dtypes={"F32": 354_823_168},
        security=SecuritySummary({"safe": 2}, (("x.bin", "unsafe"),)),
        problems=problems,
        traffic_bytes=1234,
        budget_bytes=50_000_000,
        requests=3,
    )


def test_an_inspection_is_told_and_rated() -> None:
    out = io.StringIO()
    broken = inspection(Problem(Severity.MISSING, None, T("no weights to count")))
    print_inspect(PipeSafeConsole(out), broken)
    text = out.getvalue()
    for part in (
        "hf://a/b@main (0123456789ab)",
        "354,823,168",
        "INCOMPLETE",
        "weights (missing)",
        "1.2 kB in 3",
    ):
        assert part in text
    assert inspect_exit_code(broken) == 12
    assert inspect_shape(broken).verdict == "incomplete"
    assert inspect_exit_code(inspection()) == 0
    unchecked = Problem(Severity.WARNING, "x", T("not checked: {reason}", reason="y"), True)
    assert inspect_exit_code(inspection(unchecked)) == 0
