"""Whose turn is next, and what it costs to find out."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from tests.support.batch_world import FakeClock, entry

from hubferry.batch.causes import FIRST_PROBE_SECONDS, Cause, Causes, Held
from hubferry.batch.todo import Todo
from hubferry.batch.values import Item
from hubferry.errors import QuotaError, Side
from hubferry.model import Address, RepoId
from hubferry.outcome import ErrorRecord
from hubferry.text import T


def item(number: int, owner: str = "mirror") -> Item:
    name = f"m{number}"
    return Item(
        number,
        entry(name),
        Address(RepoId("from", f"org/{name}")),
        Address(RepoId("to", f"{owner}/{name}")),
    )


@dataclass
class CountingCauses(Causes):
    """Counts how often it is asked about an item."""

    asked: int = 0

    def may_start(self, number: int, source: Address, target: Address) -> bool:
        self.asked += 1
        return super().may_start(number, source, target)


@dataclass
class Line:
    clock: FakeClock = field(default_factory=lambda: FakeClock(100.0))

    def __post_init__(self) -> None:
        self.causes = CountingCauses(self.clock)
        self.todo: Todo[Item] = Todo(self.causes, self.clock, lambda waiting: waiting)

    def add(self, *items: Item) -> None:
        for one in items:
            self.todo.add(one)

    def hold(self, owner: str) -> Cause:
        error = QuotaError(T("full"), side=Side.TARGET)
        some = item(0, owner)
        held, _ = self.causes.failed(0, [ErrorRecord.of(error)], some.source, some.target)
        assert isinstance(held, Held)
        return held.cause

    def take(self) -> int | None:
        found = self.todo.take()
        return found.number if found else None

    def take_all(self) -> list[int]:
        taken = []
        while (number := self.take()) is not None:
            taken.append(number)
        return taken


@pytest.fixture
def line() -> Line:
    return Line()


def test_they_go_in_the_order_they_came(line: Line) -> None:
    line.add(item(3), item(1), item(2))
    assert len(line.todo) == 3
    assert line.take_all() == [3, 1, 2]
    assert not line.todo


def test_one_that_has_to_wait_goes_after_those_that_came_meanwhile(line: Line) -> None:
    line.add(item(1))
    line.todo.add(item(2), not_before=105.0)
    line.add(item(3))
    assert line.take() == 1
    line.clock.now = 104.9
    assert line.take() == 3
    assert line.take() is None
    assert len(line.todo) == 1
    line.clock.now = 105.0
    assert line.take() == 2


def test_one_whose_time_has_come_keeps_its_place(line: Line) -> None:
    line.todo.add(item(1), not_before=105.0)
    line.add(item(2))
    line.clock.now = 105.0
    assert line.take_all() == [1, 2]


def test_what_is_held_up_is_passed_and_keeps_its_place(line: Line) -> None:
    cause = line.hold("full")
    line.add(item(1, "full"), item(2), item(3, "full"), item(4))
    assert line.take() == 2
    del line.causes.held[cause]
    assert line.take_all() == [1, 3, 4]


def test_the_first_that_is_held_up_goes_as_a_probe_alone(line: Line) -> None:
    cause = line.hold("full")
    line.add(item(1, "full"), item(2, "full"))
    assert line.take() is None
    line.clock.now += FIRST_PROBE_SECONDS
    assert line.take() == 1
    assert line.causes.held[cause].probing == 1
    assert line.take() is None


def test_what_two_causes_hold_up_waits_for_both(line: Line) -> None:
    line.hold("full")
    line.clock.now += 10.0
    disk = Cause("disk", "", "")
    line.causes.held[disk] = Held(disk, line.causes.held.copy().popitem()[1].error, 200.0)
    line.add(item(1, "full"), item(2))
    line.clock.now = 150.0
    assert line.take() is None
    line.clock.now = 200.0
    assert line.take() == 1
    assert [held.probing for held in line.causes.held.values()] == [1, 1]


def test_those_that_are_given_up_leave_the_others_in_order(line: Line) -> None:
    line.hold("full")
    line.add(*(item(number, "full" if number % 2 else "mirror") for number in range(1, 9)))
    line.todo.add(item(9, "full"), not_before=500.0)
    assert line.take() == 2
    gone = line.todo.remove_if(lambda waiting: waiting.target.repo.name.startswith("full/"))
    assert [one.number for one in gone] == [1, 3, 5, 7, 9]
    assert [one.number for one in line.todo] == [4, 6, 8]
    assert line.take_all() == [4, 6, 8]


def test_a_turn_costs_the_same_however_many_are_held_up(line: Line) -> None:
    count = 2000
    line.hold("full")
    line.add(*(item(number, "full") for number in range(count)))
    line.add(*(item(number) for number in range(count, 2 * count)))
    assert line.take_all() == list(range(count, 2 * count))
    assert line.causes.asked == 2 * count, "each was asked about once"
