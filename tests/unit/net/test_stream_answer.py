"""What the head of an answer says about the body, and when it is not believed."""

from __future__ import annotations

import pytest

from hubferry.errors import ProtocolError
from hubferry.net.config import origin_of
from hubferry.net.stream import Hop, check_answer

HUGE = "9" * 5000
"""More digits than Python turns into a number."""


def hops(status: int, **headers: str) -> tuple[Hop, ...]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return (Hop(origin_of("https://hub.example/a"), status, named),)


def test_a_range_is_believed_up_to_eighteen_digits() -> None:
    total = 10**18 - 1
    answer = hops(206, content_range=f"bytes 4-7/{total}", content_length="4")
    assert check_answer(answer, 4, 8) == (4, total, False)
    assert check_answer(hops(206, content_range="bytes 4-7/*"), 4, 8) == (4, None, False)


@pytest.mark.parametrize("text", [f"{HUGE}-7/9", f"4-{HUGE}/9", f"4-7/{HUGE}", "4-7/" + "9" * 19])
def test_a_range_of_endless_digits_is_no_range(text: str) -> None:
    with pytest.raises(ProtocolError, match="answered a read with status 206"):
        check_answer(hops(206, content_range=f"bytes {text}"), 4, 8)


@pytest.mark.parametrize("status", [200, 206])
def test_a_length_of_endless_digits_is_no_length(status: int) -> None:
    answer = hops(status, content_range="bytes 4-7/9", content_length=HUGE)
    with pytest.raises(ProtocolError, match=r"hub\.example sent a Content-Length that is no size"):
        check_answer(answer, 4, 8)


def test_a_length_that_is_no_number_is_none() -> None:
    assert check_answer(hops(200, content_length="many"), 0, None) == (None, None, False)
