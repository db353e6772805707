"""Errors: one exit code and one answer to "try again?" per class, and no more than is known."""

from __future__ import annotations

import inspect

import pytest

from hubferry import errors
from hubferry.errors import CopyError, ExitCode, HubError, NotFoundError, RateLimitedError, Side
from hubferry.text import T

KINDS = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, CopyError)
]

# Source: house style, section 6, and issue 2 (5: stopped by a rate or quota limit).
EXIT_CODES = {
    "UsageError": ExitCode.USAGE,
    "ConflictError": ExitCode.CONFLICT,
    "RefusedPathError": ExitCode.PARTIAL,
    "NotFoundError": ExitCode.NOT_FOUND,
    "AccessError": ExitCode.ACCESS,
    "InvalidTokenError": ExitCode.ACCESS,
    "RateLimitedError": ExitCode.LIMITED,
    "QuotaError": ExitCode.LIMITED,
    "UnavailableError": ExitCode.UNEXPECTED,
    "ProtocolError": ExitCode.UNEXPECTED,
    "IntegrityError": ExitCode.INTEGRITY,
    "CorruptReadError": ExitCode.INTEGRITY,
    "UncheckedError": ExitCode.PARTIAL,
    "LedgerError": ExitCode.LEDGER,
    "CancelledError": ExitCode.CANCELLED,
}
# The headlines that people search for; the guide promises these five.
HEADLINES = {
    "InvalidTokenError": "Invalid token",
    "NotFoundError": "Repository not found",
    "AccessError": "You don't have permission to access this repository",
    "TimedOutError": "Connection timeout",
    "NoSpaceError": "No space left on device",
}


@pytest.mark.parametrize(("name", "exit_code"), EXIT_CODES.items())
def test_exit_codes_are_the_documented_ones(name: str, exit_code: int) -> None:
    assert getattr(errors, name)("x").exit_code == exit_code


@pytest.mark.parametrize("name", ["TooLargeError", "QuotaError"])
def test_a_limit_of_the_hub_comes_with_advice(name: str) -> None:
    assert getattr(errors, name)("x").hint is not None


@pytest.mark.parametrize(("name", "headline"), HEADLINES.items())
def test_the_guides_headlines_stay_searchable(name: str, headline: str) -> None:
    assert getattr(errors, name)("x").headline == headline


def test_every_kind_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_carries_where_it_happened(kind: type[CopyError]) -> None:
    error = kind(
        T("{what} broke", what="it"),
        side=Side.TARGET,
        step="list",
        repo="ms://a/b",
        path="f",
        hint=T("mend it"),
        request_id="r-1",
    )
    assert str(error) == "it broke"
    assert (error.side, error.step, error.repo, error.path) == ("target", "list", "ms://a/b", "f")
    assert (str(error.hint), error.request_id, error.is_final) == ("mend it", "r-1", False)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_told_of_another_path(kind: type[CopyError]) -> None:
    error = kind(T("{what} broke", what="it"), path="one", request_id="r-1")
    twin = error.of("two")
    assert (error.path, twin.path) == ("one", "two")
    assert error.of("one") is error
    assert (str(twin), twin.message, twin.request_id) == ("it broke", error.message, "r-1")


def test_what_is_known_stays_and_gaps_are_filled() -> None:
    error = HubError("no", side=Side.SOURCE, path="f")
    assert error.at(side=Side.TARGET, step="read", repo="r", path="g") is error
    assert (error.side, error.step, error.repo, error.path) == (Side.SOURCE, "read", "r", "f")


def test_not_found_says_what() -> None:
    assert NotFoundError("x").headline == "Repository not found"
    assert NotFoundError("x", what="revision").headline == "Revision not found"
    assert NotFoundError("x", what="path").headline == "File not found"
    assert NotFoundError("x", what="path", headline="Mine").headline == "Mine"


def test_a_limit_carries_the_hubs_word() -> None:
    assert RateLimitedError("x").retry_after_seconds is None
    assert RateLimitedError("x", retry_after_seconds=3.5).retry_after_seconds == 3.5
