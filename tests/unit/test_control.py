"""Stopping and waiting: budgets that do not multiply, and a wait that wakes up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.memory_world import no_pauses

from hubferry.control import REREADS, CancelToken, Patience, WaitBudget, call
from hubferry.errors import (
    AccessError,
    CancelledError,
    CopyError,
    CorruptReadError,
    RateLimitedError,
    UnavailableError,
)
from hubferry.text import Text


class Paused:
    """A cancel token whose pauses are only noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        monkeypatch.setattr(CancelToken, "sleep", lambda token, s: self.seconds.append(s))


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> Paused:
    return Paused(monkeypatch)


def failing(*errors: CopyError) -> tuple[list[int], Callable[[], str]]:
    """A call that raises these, one a time, and then succeeds; and a count of its tries."""
    left, tries = list(errors), [0]

    def work() -> str:
        tries[0] += 1
        if left:
            raise left.pop(0)
        return "done"

    return tries, work


def test_a_passing_fault_is_tried_again() -> None:
    tries, work = failing(UnavailableError("no"), UnavailableError("no"))
    assert call(no_pauses(), work) == "done"
    assert tries == [3]


def test_the_patience_ends_and_says_so() -> None:
    tries, work = failing(*(UnavailableError("no") for _ in range(100)))
    with pytest.raises(UnavailableError) as caught:
        call(no_pauses(attempts=4), work)
    assert tries == [4]
    assert caught.value.is_final


def test_an_error_whose_patience_ran_out_is_not_tried_again_above() -> None:
    _, inner = failing(*(UnavailableError("no") for _ in range(100)))
    tries = [0]

    def outer() -> str:
        tries[0] += 1
        return call(no_pauses(attempts=3), inner)

    with pytest.raises(UnavailableError):
        call(no_pauses(attempts=3), outer)
    assert tries == [1]


def test_a_refusal_is_not_tried_again() -> None:
    tries, work = failing(AccessError("no"))
    with pytest.raises(AccessError):
        call(no_pauses(), work)
    assert tries == [1]


def test_a_lost_answer_is_handed_to_the_caller() -> None:
    tries, work = failing(UnavailableError("no answer", ambiguous=True))
    with pytest.raises(UnavailableError):
        call(no_pauses(), work)
    assert tries == [1]


def test_wrong_bytes_get_few_fresh_reads_even_with_progress() -> None:
    patience = no_pauses(attempts=100)
    tries, work = failing(*(CorruptReadError("wrong bytes") for _ in range(100)))

    def progressing() -> str:
        patience.progressed()
        return work()

    with pytest.raises(CorruptReadError):
        call(patience, progressing)
    assert tries == [REREADS + 1]


def test_progress_earns_the_full_patience_again() -> None:
    patience = no_pauses(attempts=2)
    for _ in range(10):
        patience.wait_after(UnavailableError("no"))
        patience.progressed()
    patience.wait_after(UnavailableError("no"))
    with pytest.raises(UnavailableError):
        patience.wait_after(UnavailableError("no"))


def test_pauses_grow_to_a_cap_and_are_never_nothing(paused: Paused) -> None:
    patience = Patience(CancelToken(), WaitBudget(0), attempts=50, base_seconds=1, cap_seconds=8)
    for _ in range(40):
        patience.wait_after(UnavailableError("no"))
    for seconds, ceiling in zip(paused.seconds, (1, 2, 4, *[8] * 37), strict=True):
        assert ceiling / 2 <= seconds <= ceiling


def test_a_limit_costs_no_tries_but_waiting_time(paused: Paused) -> None:
    waits = WaitBudget(1000)
    patience = Patience(CancelToken(), waits, attempts=1, base_seconds=0)
    for _ in range(5):
        patience.wait_after(RateLimitedError("slow", retry_after_seconds=10))
    assert paused.seconds == [10.0] * 5


def test_a_wait_beyond_the_budget_is_final_and_says_what_to_do(paused: Paused) -> None:
    patience = Patience(CancelToken(), WaitBudget(5))
    error = RateLimitedError("slow", retry_after_seconds=6)
    with pytest.raises(RateLimitedError):
        patience.wait_after(error)
    assert error.is_final
    assert "--wait-on-limit" in str(error.hint)
    assert not paused.seconds


def test_a_limit_that_names_no_end_is_waited_for_longer_each_time(paused: Paused) -> None:
    patience = Patience(CancelToken(), WaitBudget(10**9))
    for _ in range(50):
        patience.wait_after(RateLimitedError("slow"))
    assert 4 <= paused.seconds[0] <= 5
    assert 8 <= paused.seconds[1] <= 10
    assert all(240 <= seconds <= 300 for seconds in paused.seconds[10:])


@pytest.mark.parametrize("asked", [0.0, -5.0, float("nan")])
def test_a_hub_that_says_again_at_once_for_ever_is_not_asked_in_a_tight_loop(
    asked: float, paused: Paused
) -> None:
    patience = Patience(CancelToken(), WaitBudget(10**9), base_seconds=0.5, cap_seconds=60)
    for _ in range(2000):
        patience.wait_after(RateLimitedError("slow", retry_after_seconds=asked))
    assert paused.seconds[0] >= 0.25
    assert all(seconds >= 30 for seconds in paused.seconds[10:])


def test_a_wait_without_end_is_not_begun(paused: Paused) -> None:
    patience = Patience(CancelToken(), WaitBudget(10))
    with pytest.raises(RateLimitedError):
        patience.wait_after(RateLimitedError("slow", retry_after_seconds=float("inf")))
    assert not paused.seconds


@given(st.lists(st.floats(0, 100), max_size=30))
def test_a_budget_is_never_overspent(waits: list[float]) -> None:
    budget = WaitBudget(120)
    taken = [seconds for seconds in waits if budget.take(seconds)]
    assert budget.spent_seconds <= 120
    # All begin now, side by side, so the longest one is what they cost.
    assert budget.spent_seconds == pytest.approx(max(taken, default=0), abs=0.5)


def test_waits_one_after_the_other_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("hubferry.control.time.monotonic", lambda: now[0])
    budget = WaitBudget(25)
    for _ in range(2):
        assert budget.take(10)
        now[0] += 10
    assert not budget.take(10)
    assert budget.take(5)


def test_a_wait_is_told_with_its_reason_and_its_end() -> None:
    told: list[tuple[str, float]] = []

    def hear(reason: Text, until: float) -> None:
        told.append((str(reason), until))

    patience = Patience(CancelToken(), WaitBudget(1), base_seconds=0, on_wait=hear)
    patience.wait_after(RateLimitedError("slow", retry_after_seconds=0.01))
    patience.wait_after(UnavailableError("no connection"))
    assert [(reason, until > 0) for reason, until in told] == [
        ("rate limit", True),
        ("rate limit", False),
        ("trying again: no connection", True),
        ("trying again: no connection", False),
    ]
    assert told[0][1] == pytest.approx(time.time(), abs=5)


def test_a_cancelled_wait_wakes_up_at_once_and_its_end_is_told() -> None:
    cancel, told = CancelToken(), list[float]()
    patience = Patience(cancel, WaitBudget(100), on_wait=lambda reason, until: told.append(until))
    timer = threading.Timer(0.02, cancel.cancel)
    timer.start()
    started = time.monotonic()
    with pytest.raises(CancelledError):
        patience.wait_after(RateLimitedError("slow", retry_after_seconds=60))
    assert time.monotonic() - started < 5
    assert told[-1] == 0.0


def test_nothing_is_tried_after_cancel() -> None:
    cancel = CancelToken()
    cancel.cancel()
    tries, work = failing()
    with pytest.raises(CancelledError):
        call(no_pauses(cancel), work)
    assert tries == [0]
    with pytest.raises(CancelledError):
        no_pauses(cancel).wait_after(UnavailableError("no"))
    with pytest.raises(CancelledError):
        cancel.sleep(0)


def test_who_listens_hears_of_a_stop_once() -> None:
    cancel, heard = CancelToken(), []
    cancel.on_cancel(lambda: heard.append(cancel.is_cancelled))
    cancel.cancel()
    cancel.cancel()
    assert heard == [True]
