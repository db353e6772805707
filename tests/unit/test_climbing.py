"""How many at once: up while it helps, back when it does not, and not asked again at once."""

from __future__ import annotations

from hubferry.climbing import EPOCH_SECONDS, HOLD_SECONDS, Climber


class Link:
    """A link on which each of ``level`` connections gets its part, up to a total."""

    def __init__(self, climber: Climber, clock: list[float], each: float, total: float) -> None:
        self.climber = climber
        self.clock = clock
        self.each = each
        self.total = total
        self.levels: list[int] = []

    def run(self, epochs: int, *, waiting: float = 1.0) -> None:
        """Let time pass, a tenth of an epoch at a time; ``waiting`` is the part waited for."""
        for _ in range(epochs * 10):
            step = EPOCH_SECONDS / 10
            self.clock[0] += step
            self.climber.waited(step * waiting)
            self.climber.moved(int(step * min(self.total, self.each * self.climber.level)))
            if self.levels[-1:] != [self.climber.level]:
                self.levels.append(self.climber.level)


def climb(each: float, total: float, *, lowest: int = 1, highest: int = 20) -> Link:
    clock = [100.0]
    return Link(Climber(lowest, highest, lambda: clock[0]), clock, each, total)


def test_a_limit_per_connection_is_overcome_within_a_few_epochs() -> None:
    link = climb(each=20e6, total=1e12)
    link.run(5)
    assert link.climber.level == 20
    assert link.levels == [1, 4, 8, 16, 20]


def test_a_shared_link_is_not_crowded() -> None:
    link = climb(each=100e6, total=100e6)
    link.run(20)
    assert link.climber.level == 1


def test_it_stops_climbing_where_the_link_is_full() -> None:
    link = climb(each=20e6, total=80e6)
    link.run(20)
    assert link.climber.level == 4
    assert max(link.levels) == 8, "one step further was tried, and taken back"


def test_a_step_that_did_not_help_is_not_tried_again_at_once_then_even_later() -> None:
    link = climb(each=100e6, total=100e6)
    seconds = 100.0
    link.run(int(seconds / EPOCH_SECONDS))
    tries = link.levels.count(4)
    assert 4 <= tries <= 7, f"{tries} tries in {seconds} s with holds of {HOLD_SECONDS} s and more"


def test_nobody_waiting_means_nothing_to_gain() -> None:
    link = climb(each=20e6, total=1e12)
    link.run(20, waiting=0.05)
    assert link.climber.level == 1


def test_what_came_before_the_first_byte_does_not_count() -> None:
    clock = [0.0]
    climber = Climber(1, 20, lambda: clock[0])
    for _ in range(100):
        clock[0] += 1.0
        climber.waited(1.0)
    assert climber.level == 1


def test_a_level_never_leaves_its_bounds() -> None:
    link = climb(each=1e6, total=1e12, lowest=3, highest=5)
    link.run(30)
    assert link.levels == [3, 5]
    assert Climber(4, 2).level == 4


def test_where_more_cannot_help_nothing_is_tried() -> None:
    clock = [0.0]
    climber = Climber(1, 20, lambda: clock[0], is_pointless=lambda: clock[0] < 3.0)
    link = Link(climber, clock, each=20e6, total=1e12)
    link.run(9)
    assert link.levels == [1]
    link.run(6)
    assert climber.level == 20
