"""A silent connection is told from a silent line, and a trickle from a slow line."""

from __future__ import annotations

from tests.support.memory_world import no_pauses

from hubferry.stalls import STALL_SECONDS, Custom, Lane, is_stalled
from hubferry.stream import BLOCK_BYTES


def lane(now: float = 0.0, *, is_reading: bool = True) -> Lane:
    made = Lane(no_pauses(), is_reading=is_reading)
    made.mark(now)
    return made


def usual(block: float = 0.05, opening: float = 0.08, moved_at: float = 0.0) -> Custom:
    custom = Custom()
    custom.filled(block)
    custom.opened(opening)
    custom.moved_at = moved_at
    return custom


def test_a_lone_connection_is_given_seconds() -> None:
    one = lane()
    assert not is_stalled(one, [], Custom(), STALL_SECONDS[0] - 0.1)
    assert is_stalled(one, [], Custom(), STALL_SECONDS[0])


def test_each_stall_in_a_row_is_given_more_time() -> None:
    one = lane()
    for stalls, seconds in enumerate((*STALL_SECONDS, STALL_SECONDS[-1])):
        one.stalls = stalls
        assert not is_stalled(one, [], Custom(), seconds - 0.1)
        assert is_stalled(one, [], Custom(), seconds)
    assert one.stalls_on


def test_a_connection_that_is_left_behind_is_given_up_soon() -> None:
    custom = usual(moved_at=0.6)
    assert is_stalled(lane(), [lane()], custom, 0.6)
    assert custom.long < 0.6


def test_a_far_line_has_longer_customs() -> None:
    custom = usual(block=0.5, opening=0.4, moved_at=1.2)
    assert custom.long == 2.0
    assert not is_stalled(lane(), [lane()], custom, 1.2)


def test_a_line_that_pauses_as_a_whole_is_not_cut_to_pieces() -> None:
    others = [lane() for _ in range(9)]
    # The last byte of any of them came a moment after the last byte of this one.
    assert not is_stalled(lane(), others, usual(moved_at=0.02), 2.0)


def test_fellows_that_only_wait_for_it_are_no_silent_line() -> None:
    others = [lane(is_reading=False) for _ in range(3)]
    assert is_stalled(lane(), others, usual(), 1.0)
    others[0].is_reading = True
    assert not is_stalled(lane(), others, usual(), 1.0)


def test_the_last_one_at_work_is_measured_by_those_that_left() -> None:
    one = lane()
    assert not is_stalled(one, [], usual(), 1.0)
    one.is_last = True
    assert is_stalled(one, [], usual(), 1.0)


def test_a_trickle_is_no_delivery() -> None:
    one = lane()
    one.read_bytes = 100
    assert is_stalled(one, [], Custom(), STALL_SECONDS[0])


def test_a_slow_line_is_no_stall() -> None:
    one = lane()
    for second in range(1, 60):
        one.read_bytes += 5_000
        assert not is_stalled(one, [], Custom(), float(second))


def test_a_connection_much_slower_than_its_fellows_is_a_stall() -> None:
    one = lane()
    one.read_bytes = 20_000
    custom = usual(moved_at=0.9)
    assert is_stalled(one, [lane()], custom, 0.9)
    one.read_bytes = BLOCK_BYTES
    assert not is_stalled(one, [lane()], custom, 0.9)


def test_what_it_delivered_long_ago_does_not_count() -> None:
    one = lane()
    one.read_bytes = 50 * BLOCK_BYTES
    assert not is_stalled(one, [], Custom(), 10.0), "it was fast until now"
    assert not is_stalled(one, [], Custom(), 13.0)
    assert is_stalled(one, [], Custom(), 14.0)
