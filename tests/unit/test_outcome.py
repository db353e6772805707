"""Outcomes: which exit code tells what happened."""

from __future__ import annotations

import pytest

from hubferry.errors import (
    AccessError,
    ConflictError,
    CopyError,
    CorruptReadError,
    ExitCode,
    IntegrityError,
    NotFoundError,
    QuotaError,
    RateLimitedError,
    RefusedPathError,
    Side,
    UncheckedError,
)
from hubferry.model import Access, Address, RepoId, RepoInfo
from hubferry.outcome import Advice, ErrorRecord, Preflight, RepoRef, RunReport, exit_code_for
from hubferry.text import T

ADDRESS = Address(RepoId("hf", "org/name"), "v1")
MISMATCH = IntegrityError("differs", step="verify")


def code(*errors: CopyError, did_something: bool = False) -> int:
    return exit_code_for([ErrorRecord.of(error) for error in errors], did_something)


@pytest.mark.parametrize(
    ("errors", "before", "after"),
    [
        ([], ExitCode.OK, ExitCode.OK),
        ([NotFoundError("x")], ExitCode.NOT_FOUND, ExitCode.PARTIAL),
        ([AccessError("x"), NotFoundError("y")], ExitCode.ACCESS, ExitCode.PARTIAL),
        ([RateLimitedError("x")], ExitCode.LIMITED, ExitCode.PARTIAL),
        ([QuotaError("x")], ExitCode.LIMITED, ExitCode.PARTIAL),
        ([ConflictError("x")], ExitCode.CONFLICT, ExitCode.PARTIAL),
        ([CorruptReadError("x", step="read")], ExitCode.INTEGRITY, ExitCode.PARTIAL),
        ([RefusedPathError("x")], ExitCode.PARTIAL, ExitCode.PARTIAL),
        ([UncheckedError("x", step="verify")], ExitCode.PARTIAL, ExitCode.PARTIAL),
        ([MISMATCH], ExitCode.INTEGRITY, ExitCode.INTEGRITY),
        ([NotFoundError("x"), MISMATCH], ExitCode.INTEGRITY, ExitCode.INTEGRITY),
    ],
)
def test_exit_codes_before_and_after_something_was_done(
    errors: list[CopyError], before: int, after: int
) -> None:
    assert code(*errors) == before
    assert code(*errors, did_something=True) == after


def test_a_stopped_run_ends_with_130_whatever_else_happened() -> None:
    report = RunReport("r", "copy", RepoRef.of(ADDRESS), None, commits=1, was_cancelled=True)
    report.errors.append(ErrorRecord.of(MISMATCH))
    assert report.exit_code == ExitCode.CANCELLED


def test_a_run_did_something_once_it_committed() -> None:
    report = RunReport("r", "copy", RepoRef.of(ADDRESS), None)
    report.errors.append(ErrorRecord.of(AccessError("x")))
    assert report.exit_code == ExitCode.ACCESS
    report.commits = 1
    assert report.exit_code == ExitCode.PARTIAL


def test_a_record_keeps_what_matters_of_an_error() -> None:
    error = NotFoundError(
        T("{x} is gone", x="f"),
        what="path",
        side=Side.SOURCE,
        step="read",
        repo="hf://a/b",
        path="f",
        hint=T("look"),
        request_id="r-1",
    )
    record = ErrorRecord.of(error)
    assert (record.error, record.headline, record.side) == ("not_found", "File not found", "source")
    assert (record.step, record.repo, record.path) == ("read", "hf://a/b", "f")
    assert (str(record.message), str(record.hint), record.request_id) == (
        "f is gone",
        "look",
        "r-1",
    )
    assert record == ErrorRecord.of(error)


def test_an_end_of_a_run_is_named_with_what_resolving_told() -> None:
    assert RepoRef.of(ADDRESS) == RepoRef("hf", "org/name", "model", "v1", None)
    info = RepoInfo(ADDRESS.repo, "refs/tags/v1", "c7")
    assert RepoRef.of(ADDRESS, info) == RepoRef("hf", "org/name", "model", "refs/tags/v1", "c7")


def test_a_preflight_refuses_by_one_finding() -> None:
    advice = (Advice("info", T("a")), Advice("warning", T("b")))
    assert not Preflight(advice, Access.NO).is_refused
    assert Preflight((*advice, Advice("refused", T("c"))), Access.YES).is_refused
