"""When a connection has stalled: by itself, or compared with its fellows. Pure.

Times are seconds of a clock that stands still while the run is paused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubferry.control import Patience
from hubferry.stream import BLOCK_BYTES, OpenStream

STALL_SECONDS = (4.0, 8.0, 16.0, 30.0)
"""A lane that delivers less than a trickle for this long is cut off, the next time later.

Cutting costs a request and no byte, so it may be done long before a socket
would give up.
"""
TRICKLE_BYTES_PER_SECOND = 1024
LEFT_BEHIND_SECONDS = 0.3
LEFT_BEHIND_BLOCKS = 4.0
LEFT_BEHIND_OPENINGS = 3.5
"""A lane is cut off sooner where the others show that the line is good: after as long as they
take for so many blocks, or for so many answers to begin (a lost packet or two is made up for
within that time), and never within ``LEFT_BEHIND_SECONDS``. All three are guesses that were
tried on lines of 20 to 200 ms."""
LEFT_BEHIND_SHARE = 0.05
"""What counts as delivering, there: this part of what a lane brings usually."""


@dataclass
class Lane:
    """One connection's state; ``stop`` may be lowered by others to share its work out."""

    patience: Patience
    block: int = 0
    stop: int = 0
    stream: OpenStream | None = None
    since_fault: int = 0
    stalls: int = 0
    is_reading: bool = False
    is_opening: bool = False
    is_abandoned: bool = False
    """Another lane has taken its place; it ends when its connection opens at last."""
    was_garbled: bool = False
    read_bytes: int = 0
    seen_at: float = 0.0
    seen_bytes: int = 0
    moved_at: float = 0.0
    was_cut: bool = False
    is_last: bool = False
    """Its fellows have left, because nothing else is to be read."""

    @property
    def is_busy(self) -> bool:
        """Something is on its way to it."""
        return self.is_reading or self.is_opening

    @property
    def stalls_on(self) -> bool:
        """It was cut off so often that this is a fault, and no longer a quick look elsewhere."""
        return self.stalls >= len(STALL_SECONDS)

    def mark(self, now: float) -> None:
        """What it delivers is counted from here on."""
        self.seen_at, self.seen_bytes = now, self.read_bytes
        self.moved_at = max(self.moved_at, now)


class Custom:
    """What lanes of this file usually take; smoothed, in seconds."""

    def __init__(self) -> None:
        self.block = 0.0
        self.opening = 0.0
        self.moved_at = 0.0

    def filled(self, seconds: float) -> None:
        """A block took this long."""
        self.block += (seconds - self.block) * (0.2 if self.block else 1.0)

    def opened(self, seconds: float) -> None:
        """An answer took this long to begin."""
        self.opening += (seconds - self.opening) * (0.2 if self.opening else 1.0)

    @property
    def long(self) -> float:
        """Longer than this is unusual."""
        return max(
            LEFT_BEHIND_SECONDS,
            self.block * LEFT_BEHIND_BLOCKS,
            self.opening * LEFT_BEHIND_OPENINGS,
        )


def is_stalled(lane: Lane, others: Sequence[Lane], custom: Custom, now: float) -> bool:
    """Whether ``lane`` should go on over a new connection. ``others`` read the same file."""
    seconds, came = now - lane.seen_at, lane.read_bytes - lane.seen_bytes
    limit = STALL_SECONDS[min(lane.stalls, len(STALL_SECONDS) - 1)]
    rate: float = TRICKLE_BYTES_PER_SECOND
    if custom.block > 0 and _is_left_behind(lane, others, custom):
        limit = min(limit, custom.long * 2.0**lane.stalls)
        rate = max(rate, LEFT_BEHIND_SHARE * BLOCK_BYTES / custom.block)
    if came >= max(1.0, seconds * rate):
        if seconds >= 1.0:
            lane.mark(now)
        return False
    return seconds >= limit


def _is_left_behind(lane: Lane, others: Sequence[Lane], custom: Custom) -> bool:
    """Others brought something since this one did, or have nothing left to do but wait for it.

    When the line itself pauses, all of them fall silent together.
    """
    if custom.moved_at > lane.moved_at + custom.long / 4:
        return True
    return (bool(others) or lane.is_last) and not any(other.is_busy for other in others)
