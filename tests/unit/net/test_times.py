"""Times in answers, in all the ways servers write them."""

from __future__ import annotations

import pytest

from hubferry.net.answers import unix_seconds

WHEN = 1_716_206_400


@pytest.mark.parametrize(
    "value",
    [
        "2024-05-20T12:00:00.000Z",
        "2024-05-20T12:00:00Z",
        "2024-05-20T12:00:00",
        "2024-05-20 12:00:00",
        "2024-05-20T20:00:00+08:00",
        "2024-05-20T12:00:00.999999999Z",
        "2024-05-20T12:00:00.999+00:00",
        WHEN,
        WHEN + 0.9,
        WHEN * 1000 + 999,
        str(WHEN),
        str(WHEN * 1000),
    ],
)
def test_every_way_to_write_a_time_is_the_same_second(value: object) -> None:
    assert unix_seconds(value) == WHEN


@pytest.mark.parametrize("value", [None, "", 0, "0", -62135596800, "0001-01-01T00:00:00Z"])
def test_no_time_is_none(value: object) -> None:
    assert unix_seconds(value) is None


@pytest.mark.parametrize(
    "value",
    ["yesterday", "20:00", True, [], {}, float("nan"), float("inf"), "9" * 400 + "x", b"2024"],
)
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"time|format|float|range|invalid"):
        unix_seconds(value)


def test_an_endless_number_is_a_number() -> None:
    assert unix_seconds("9" * 5000) is not None
    assert unix_seconds(10**400) is not None
