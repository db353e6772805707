"""Results and errors as a person reads them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from hubferry.compare import Difference
from hubferry.errors import ConflictError, CopyError, Side
from hubferry.events import FileProgress, FileStarted, Planned, RunStarted, StepStarted
from hubferry.i18n import use_language
from hubferry.model import Address, RepoId
from hubferry.outcome import ErrorRecord, FileCounts, RepoRef, RunReport
from hubferry.report.console import PipeSafeConsole
from hubferry.report.errors import errors_text
from hubferry.report.tables import print_run
from hubferry.report.tty import BarProgress
from hubferry.text import T


@pytest.fixture(autouse=True)
def _english() -> None:
    use_language("en")


def record(path: str | None, message: str = "held back") -> ErrorRecord:
    error: CopyError = ConflictError(T(message), side=Side.TARGET, step="commit", repo="ms://a/b")
    return ErrorRecord.of(error.at(path=path) if path else error)


def test_errors_that_are_alike_are_one_block_with_their_files() -> None:
    text = errors_text([record("a.json"), record("z.bin", "too big"), record("b.json")])
    assert text.count("Error: ") == 2
    assert "files: a.json, b.json" in text
    assert "where: target, ms://a/b, z.bin, step commit" in text


def test_many_files_are_counted_and_errors_of_no_file_stand_alone() -> None:
    text = errors_text([record(f"{number}.json") for number in range(25)])
    assert "9.json and 15 more" in text
    assert errors_text([record(None), record(None)]).count("Error: ") == 2


def shown(report: RunReport) -> str:
    out = io.StringIO()
    print_run(Console(file=out, width=120), report)
    return out.getvalue()


def report_of(command: str, **fields: object) -> RunReport:
    report = RunReport("r1", command, RepoRef("hf", "a/b", "model"), RepoRef("ms", "c/d", "model"))
    for name, value in fields.items():
        setattr(report, name, value)
    return report


def test_a_comparison_that_finds_differences_is_finished() -> None:
    found = Difference("x.bin", "differs", T("other content"))
    report = report_of(
        "verify", differences=[found], verified=False, files=FileCounts(total=3, failed=1)
    )
    report.errors.append(record("x.bin"))
    text = shown(report)
    assert text.startswith("Compared hf://a/b with ms://c/d")
    assert "1 not equal" in text


def test_files_that_were_not_copied_are_no_mystery() -> None:
    report = report_of("copy", verified=False, commits=1, files=FileCounts(total=3, failed=2))
    report.errors.append(record("x.bin"))
    assert "NO: 2 files could not be copied" in shown(report)


def test_files_that_were_left_alone_are_no_mystery() -> None:
    report = report_of("copy", verified=False, files=FileCounts(total=3, skipped=2))
    assert "NO: 2 files were left as the target has them" in shown(report)


@pytest.mark.parametrize("width", [80, 100, 120, 160])
@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_no_figure_is_cut_on_a_terminal(width: int, language: str) -> None:
    use_language(language)
    now = [0.0]
    out = io.StringIO()
    console = PipeSafeConsole(out, force_terminal=True)
    console.width = width
    bars = BarProgress(console, workers=2, clock=lambda: now[0])
    path = "很长的目录名/" * 6 + "model-00001-of-00002.safetensors"
    source = Address(RepoId("hf", "a/b"))
    bars(RunStarted("r1", "copy", source, source))
    try:
        bars(StepStarted("blobs"))
        bars(Planned(1, 999_900_000_000, 1, 999_900_000_000))
        bars(FileStarted(path, 999_900_000_000))
        now[0] = 1.0
        bars(FileProgress(path, 989_900_000))
        frame = console.render_lines(bars.render(), console.options.update(width=width))
        lines = ["".join(segment.text for segment in line).rstrip() for line in frame]
    finally:
        bars.stop()
        use_language("en")
    for line in lines[1:]:
        assert "989.9 MB/999.9 GB" in line
        assert "989.9 MB/s" in line
        assert "00001-of-00002" in line or not line.startswith("…")
        # The path alone may be cut, at its beginning.
        assert "…" not in line[1:]
