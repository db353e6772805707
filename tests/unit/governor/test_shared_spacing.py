"""The distance between commits, kept by two processes together."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.governed import Clocks

from hubferry.control import CancelToken
from hubferry.errors import RateLimitedError
from hubferry.governor.byte_locks import ByteLocks
from hubferry.governor.spacing import SharedGap
from hubferry.net.pacing import Spacing
from hubferry.text import T


class Committer:
    """One process that commits to a repository."""

    def __init__(self, folder: Path, clocks: Clocks) -> None:
        self.clocks = clocks
        self.cancel = CancelToken()
        locks = ByteLocks(folder / "probes")
        self.gap = SharedGap(
            "commit:org/name", lambda to_keep: folder, lambda: locks, now=clocks.unix
        )
        self.spacing = Spacing(self._patience, clock=clocks.monotonic, turns=self.gap)
        self.at: list[float] = []

    def _patience(self):  # type: ignore[no-untyped-def]
        return self.clocks.patience(self.cancel)

    def commit(self) -> None:
        with self.spacing.turn(T("commit")):
            self.at.append(self.clocks.now)

    def refuse(self) -> None:
        with pytest.raises(RateLimitedError), self.spacing.turn(T("commit")):
            raise RateLimitedError("slow")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Committer, Committer]:
    clocks = Clocks()
    return Committer(tmp_path, clocks), Committer(tmp_path, clocks)


def learn(one: Committer, gap: float) -> None:
    """Have a process find out that the hub allows one commit in ``gap`` seconds."""
    one.commit()
    one.refuse()
    one.clocks.now += gap
    one.commit()
    assert one.spacing.gap_seconds == pytest.approx(gap)


def test_without_a_refusal_nothing_is_kept(
    pair: tuple[Committer, Committer], tmp_path: Path
) -> None:
    for one in pair * 5:
        one.commit()
    assert pair[0].clocks.pauses == []
    assert not list(tmp_path.glob("*.gap"))


def test_what_one_has_learned_both_keep(pair: tuple[Committer, Committer]) -> None:
    first, second = pair
    learn(first, 3.0)
    first.at.clear()
    for _ in range(5):
        first.commit()
        second.commit()
    times = sorted(first.at + second.at)
    gaps = [after - before for before, after in pairwise(times)]
    assert min(gaps) >= 3.0 - 1e-6
    assert max(gaps) <= 3.0 + 1e-6


def test_turns_are_booked_before_they_are_waited_for(tmp_path: Path) -> None:
    clocks = Clocks()
    gaps = [Committer(tmp_path, clocks).gap for _ in range(3)]
    assert [gap.book(2.0) for gap in gaps] == [(2.0, 0.0), (2.0, 2.0), (2.0, 4.0)]


@pytest.mark.parametrize(
    "note",
    [
        {"gap": 5.0, "last": -700.0},
        {"gap": 5.0, "last": 4000.0},
        {"gap": -5.0, "last": 0.0},
        {"gap": 1e9, "last": 0.0},
        {},
    ],
    ids=["old", "far ahead", "negative", "huge", "empty"],
)
def test_what_makes_no_sense_is_not_believed(
    pair: tuple[Committer, Committer], tmp_path: Path, note: dict[str, float]
) -> None:
    first, second = pair
    learn(first, 3.0)
    first.commit()
    (path,) = tmp_path.glob("*.gap")
    unix = first.clocks.unix()
    path.write_text(json.dumps({k: v + unix if k == "last" else v for k, v in note.items()}))
    first.clocks.pauses.clear()
    second.commit()
    assert first.clocks.pauses == []


def test_a_process_that_sticks_while_it_books_holds_up_nobody(tmp_path: Path) -> None:
    clocks, pauses = Clocks(), list[float]()
    locks = ByteLocks(tmp_path / "probes")
    gap = SharedGap(
        "x", lambda to_keep: tmp_path, lambda: locks, now=clocks.unix, pause=pauses.append
    )
    assert locks.try_acquire(gap._place)
    assert gap.book(2.0) == (2.0, 0.0)
    assert sum(pauses) <= 1.01
