"""What a status or a broken connection means."""

from __future__ import annotations

import pytest

from hubferry.errors import (
    AccessError,
    CopyError,
    CorruptReadError,
    HubError,
    NotFoundError,
    QuotaError,
    RateLimitedError,
    TooLargeError,
    UnavailableError,
)
from hubferry.net.status import (
    Refusal,
    error_for_status,
    excerpt,
    request_id,
    retry_after_seconds,
)

HUB = ("https", "hub.example", 443)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, HubError), (401, AccessError), (402, QuotaError), (403, AccessError),
        (404, NotFoundError), (408, UnavailableError), (409, HubError), (413, TooLargeError),
        (416, CorruptReadError), (429, RateLimitedError), (500, UnavailableError),
        (502, UnavailableError), (503, UnavailableError), (504, UnavailableError),
        (507, QuotaError), (520, UnavailableError),
    ],
)  # fmt: skip
def test_every_status_has_its_error(status: int, expected: type[CopyError]) -> None:
    error = error_for_status(Refusal("GET", HUB, status, {"x-request-id": "r-1"}))
    assert type(error) is expected
    assert (error.request_id, "hub.example" in str(error)) == ("r-1", True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("17", 17.0),
        ("1.5", 1.5),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("-3", None),
        ("Thu, 01 Jan 1970 00:02:00 -99999999999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, expected: float | None) -> None:
    assert retry_after_seconds({"retry-after": value}, now_unix=100.0) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error": "no"}', "no"),
        (b'{"Message": "nein", "Code": 1}', "nein"),
        (b"<Error><Code>X</Code><Message>Expired</Message></Error>", "Expired"),
        (b"<html><body>long</body></html>", ""),
        (b"plain\n words", "plain words"),
        (b'{"error": "token hf_abcdefghijklmnopqrstuvwxyz is bad"}', "token *** is bad"),
        (b"", ""),
    ],
)
def test_a_refusal_is_quoted_shortly_and_without_secrets(body: bytes, expected: str) -> None:
    assert excerpt(body) == expected


def test_the_request_id_is_found_under_its_names() -> None:
    assert request_id({"x-oss-request-id": "a"}) == "a"
    assert request_id({}) is None
