"""Events: every observer hears each one, one at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hubferry.events import Broadcast, Event, FileProgress, silent


def test_every_observer_hears_every_event_in_order() -> None:
    one: list[Event] = []
    two: list[Event] = []
    tell = Broadcast([one.append, silent, two.append])
    events = [FileProgress("f", n) for n in range(5)]
    for event in events:
        tell(event)
    assert one == two == events


def test_observers_are_called_one_at_a_time() -> None:
    inside = [0]
    overlaps = [0]

    def slow(event: Event) -> None:
        inside[0] += 1
        overlaps[0] += inside[0] > 1
        for _ in range(200):
            pass
        inside[0] -= 1

    tell = Broadcast([slow])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: tell(FileProgress("f", n)), range(400)))
    assert overlaps == [0]
