"""Claims: of all who want to send a content to a target one does, and the others wait."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from tests.support.governed import other_process

from hubferry.control import CancelToken
from hubferry.errors import CancelledError
from hubferry.governor import Account, Governor
from hubferry.governor.byte_locks import ByteLocks
from hubferry.governor.claims import ByteClaims
from hubferry.model import Sha256
from hubferry.net.secret import Secret

ONE, TWO = Sha256("1" * 64), Sha256("2" * 64)


@pytest.fixture
def claims(tmp_path: Path) -> ByteClaims:
    locks = ByteLocks(tmp_path / "claims")
    return ByteClaims(lambda: locks)


class Told:
    """Counts how often somebody was told that a claim is waited for."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def test_alone_a_claim_is_had_at_once_and_told_to_nobody(claims: ByteClaims) -> None:
    told = Told()
    for _ in range(2):
        with claims.holding(ONE, CancelToken(), told) as late:
            assert late is False
    assert told.count == 0


def test_another_content_is_another_claim(claims: ByteClaims) -> None:
    with (
        claims.holding(ONE, CancelToken(), Told()) as first,
        claims.holding(TWO, CancelToken(), Told()) as second,
    ):
        assert not first
        assert not second


def test_whoever_comes_second_waits_is_told_once_and_knows_that_it_was_late(
    claims: ByteClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    first = claims.holding(ONE, CancelToken(), Told())
    first.__enter__()

    def sleep(token: CancelToken, seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 20:
            first.__exit__(None, None, None)

    monkeypatch.setattr(CancelToken, "sleep", sleep)
    told = Told()
    with claims.holding(ONE, CancelToken(), told) as late:
        assert late is True
    assert told.count == 1
    assert looks[0] == pytest.approx(0.2)
    assert looks[-1] == pytest.approx(1.0)
    assert looks == sorted(looks)


def test_a_claim_is_given_back_whatever_happens(claims: ByteClaims) -> None:
    with pytest.raises(ZeroDivisionError), claims.holding(ONE, CancelToken(), Told()):
        raise ZeroDivisionError
    with claims.holding(ONE, CancelToken(), Told()) as late:
        assert late is False


def test_a_stop_wakes_whoever_waits(claims: ByteClaims) -> None:
    cancel = CancelToken()
    waits, ended = threading.Event(), threading.Event()

    def second() -> None:
        with pytest.raises(CancelledError), claims.holding(ONE, cancel, waits.set):
            raise AssertionError("it is held by another")
        ended.set()

    with claims.holding(ONE, CancelToken(), Told()):
        threading.Thread(target=second, daemon=True).start()
        assert waits.wait(10)
        cancel.cancel()
        assert ended.wait(5)


def test_a_target_that_is_not_known_has_no_claims() -> None:
    free = ByteClaims(lambda: None)
    with free.holding(ONE, CancelToken(), Told()), free.holding(ONE, CancelToken(), Told()) as late:
        assert late is False


def account(folder: Path, token: str = "a-token-of-the-tests") -> Account:
    made = Governor(folder, level=lambda: 2, most=2).account("hub")
    made.bind("https://hub.example", Secret(token))
    return made


def test_processes_wait_for_each_other_whatever_their_tokens(tmp_path: Path) -> None:
    with other_process() as other:
        assert other.ask("claim", tmp_path, ONE.hex) == "had"
        began = time.monotonic()
        other_account = account(tmp_path, "another-token")

        def free_it() -> None:
            time.sleep(0.3)
            other.ask("answer")

        threading.Thread(target=free_it, daemon=True).start()
        with other_account.claims.holding(ONE, CancelToken(), Told()) as late:
            assert late is True
        assert 0.2 < time.monotonic() - began < 3


def test_a_killed_process_claims_nothing(tmp_path: Path) -> None:
    with other_process() as other:
        other.ask("claim", tmp_path, ONE.hex)
        other.kill()
        with account(tmp_path).claims.holding(ONE, CancelToken(), Told()) as late:
            assert late is False
