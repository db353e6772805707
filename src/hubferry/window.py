"""One file read over several connections and handed out in order.

Lanes (connections, a thread each) fill blocks ahead of one reader. In memory
they may be ahead by a few blocks a lane, whatever the size of the file; with a
spooled file below, by all of it. A lane whose connection drops goes on at its
offset; a lane that delivers nothing is cut off and does the same; a lane that
is refused for good fails the whole file.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from hubferry.control import Patience
from hubferry.errors import (
    CancelledError,
    CopyError,
    CorruptReadError,
    RateLimitedError,
    SpoolError,
    UnavailableError,
)
from hubferry.lanes import LANE_BYTES, SPAN_BYTES, Lanes
from hubferry.spool import SpoolFile
from hubferry.stream import BLOCK_BYTES, OpenRange, OpenStream
from hubferry.text import T
from hubferry.throttle import Throttle

SPAN_BLOCKS = SPAN_BYTES // BLOCK_BYTES
SOLO_SPANS = (4, 8, 16, 32)
"""Blocks one request asks for while a file has one lane: more each time, as nobody waits for it."""
SHARED_OUT_SECONDS = 0.3
"""The rest of a lone lane's range is shared out among more lanes if it would take longer."""
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
_LOOK_SECONDS = 0.25
_LOOK_OFTEN_SECONDS = 0.05
_FEWEST_BLOCKS = 3


class Shelf(Protocol):
    """Where blocks wait between the lanes and the reader. Blocks of one file, by number.

    ``buffer`` and ``has`` are called by one thread at a time; ``put`` and
    ``take`` too, unless ``is_endless``.
    """

    is_endless: bool
    """True if lanes may run ahead of the reader as far as they like."""

    def missing(self, block: int) -> tuple[int, int] | None:
        """The next run of blocks ``[a, b)`` from ``block`` on that are not here; None: none is."""

    def buffer(self) -> memoryview:
        """A block of memory for a lane to fill."""

    def put(self, block: int, content: memoryview) -> None:
        """A block has come; its buffer is the shelf's from here on."""

    def has(self, block: int) -> bool:
        """Whether the reader can take this block."""

    def take(self, block: int) -> memoryview:
        """A block for the reader, valid until the next ``take``."""


class _Buffers:
    """Blocks of memory, used again and again."""

    def __init__(self) -> None:
        self._free: list[memoryview] = []

    def get(self) -> memoryview:
        return self._free.pop() if self._free else memoryview(bytearray(BLOCK_BYTES))

    def give_back(self, used: memoryview) -> None:
        self._free.append(memoryview(used.obj))


class MemoryShelf:
    """Blocks in memory; each is handed out once, then its buffer is used again."""

    is_endless = False

    def __init__(self, count: int) -> None:
        self._count = count
        self._filled: dict[int, memoryview] = {}
        self._buffers = _Buffers()
        self._lent: memoryview | None = None

    def missing(self, block: int) -> tuple[int, int] | None:
        """In memory everything has to come."""
        return (block, self._count) if block < self._count else None

    def buffer(self) -> memoryview:
        """A used buffer or a new one."""
        return self._buffers.get()

    def put(self, block: int, content: memoryview) -> None:
        """Keep it until the reader comes."""
        self._filled[block] = content

    def has(self, block: int) -> bool:
        """Whether a lane brought it."""
        return block in self._filled

    def take(self, block: int) -> memoryview:
        """Hand out a block; the one before it may be filled again."""
        if self._lent is not None:
            self._buffers.give_back(self._lent)
        self._lent = self._filled.pop(block)
        return self._lent


class SpoolShelf:
    """Blocks in a spooled file: those of an earlier try are there already."""

    is_endless = True

    def __init__(self, file: SpoolFile) -> None:
        self._file = file
        self._buffers = _Buffers()
        self._block = memoryview(bytearray(BLOCK_BYTES))

    def missing(self, block: int) -> tuple[int, int] | None:
        """As the spool's map says."""
        if block * BLOCK_BYTES >= self._file.size_bytes:
            return None
        found = self._file.missing(block * BLOCK_BYTES)
        return None if found is None else (found[0] // BLOCK_BYTES, -(-found[1] // BLOCK_BYTES))

    def buffer(self) -> memoryview:
        """A used buffer or a new one."""
        return self._buffers.get()

    def put(self, block: int, content: memoryview) -> None:
        """Write, then mark."""
        start = block * BLOCK_BYTES
        self._file.write(start, content)
        self._file.mark(start, start + len(content))
        self._buffers.give_back(content)

    def has(self, block: int) -> bool:
        """As the spool's map says."""
        start, end = self._range(block)
        return self._file.is_present(start, end)

    def take(self, block: int) -> memoryview:
        """Read it back."""
        start, end = self._range(block)
        content = self._block[: end - start]
        if self._file.read(start, content) != len(content):
            raise SpoolError(T("the spool gave back less than was put into it"))
        return content

    def _range(self, block: int) -> tuple[int, int]:
        start = block * BLOCK_BYTES
        return start, min(start + BLOCK_BYTES, self._file.size_bytes)


@dataclass
class _Lane:
    """One connection's state; ``stop`` may be lowered by others to share its work out."""

    patience: Patience
    block: int = 0
    stop: int = 0
    stream: OpenStream | None = None
    since_fault: int = 0
    stalls: int = 0
    is_reading: bool = False
    read_bytes: int = 0
    seen_at: float = 0.0
    seen_bytes: int = 0
    moved_at: float = 0.0
    was_cut: bool = False

    def mark(self, now: float) -> None:
        """What it delivers is counted from here on."""
        self.seen_at, self.seen_bytes = now, self.read_bytes
        self.moved_at = max(self.moved_at, now)


class _Custom:
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


class Window:
    """Reads one file; ``blocks`` may be asked for again only with a spooled file below.

    Args:
        is_ranged: whether several ranges may be read at once; asked again and again.
        on_read: hears of bytes that came over the link.
    """

    def __init__(
        self,
        open_range: OpenRange,
        size_bytes: int,
        patience: Patience,
        lanes: Lanes,
        *,
        is_ranged: Callable[[], bool],
        throttle: Throttle,
        on_read: Callable[[int], None],
        spooled: SpoolFile | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_range = open_range
        self._size = size_bytes
        self._count = -(-size_bytes // BLOCK_BYTES)
        self._patience = patience
        self._lanes = lanes
        self._is_ranged = is_ranged
        self._throttle = throttle
        self._on_read = on_read
        self._clock = clock
        self._shelf: Shelf = SpoolShelf(spooled) if spooled else MemoryShelf(self._count)
        self._turn = threading.Condition()
        self._working: list[_Lane] = []
        self._head = 0
        self._next = 0
        self._solo_spans = 0
        self._custom = _Custom()
        self._looked_at = 0.0
        self._error: BaseException | None = None
        self._is_closed = False
        self._exit = ExitStack()
        self._exit.enter_context(lanes.joined())

    # --- the reader's side -------------------------------------------------------

    def blocks(self) -> Iterator[memoryview]:
        """All blocks in order, each valid until the next is asked for.

        Raises:
            CopyError: what stopped a lane; or the run was cancelled.
        """
        for block in range(self._count):
            yield self._take(block)

    def _take(self, block: int) -> memoryview:
        with self._turn:
            self._head = block
            self._turn.notify_all()
            self._tend()
            self._cut_stalled()
            while not self._shelf.has(block):
                if self._error is not None:
                    raise self._error
                self._patience.cancel.check()
                self._wait()
            if not self._shelf.is_endless:
                return self._shelf.take(block)
        return self._shelf.take(block)  # from disk: not under the lock

    def _wait(self) -> None:
        """Wait for a lane; see to it that all of them move."""
        began = self._clock()
        self._turn.wait(_LOOK_OFTEN_SECONDS)
        if not self._throttle.gate.is_paused:
            self._lanes.climber.waited(self._clock() - began)
        self._cut_stalled()
        self._tend()

    def close(self) -> None:
        """Let go of all connections; safe to repeat."""
        with self._turn:
            self._is_closed = True
            streams = [lane.stream for lane in self._working if lane.stream is not None]
            self._turn.notify_all()
        for stream in streams:
            stream.close()
        self._exit.close()

    def _tend(self) -> None:
        """Start lanes up to the file's share."""
        while len(self._working) < self._share() and not self._is_over():
            self._share_out()
            lane = _Lane(self._patience.fork())
            if not self._claim(lane):
                return
            self._working.append(lane)
            threading.Thread(
                target=self._work, args=(lane,), name="hubferry-lane", daemon=True
            ).start()

    def _share(self) -> int:
        return self._lanes.share if self._is_ranged() else 1

    def _limit(self) -> int:
        """The first block that is too far ahead to be read now."""
        if self._shelf.is_endless:
            return self._count
        lanes = max(self._share(), len(self._working))
        return self._head + max(_FEWEST_BLOCKS, lanes * LANE_BYTES // BLOCK_BYTES)

    def _share_out(self) -> None:
        """Take the far end of a long span from a lone lane, so that others can help it."""
        if len(self._working) != 1 or not self._is_ranged():
            return
        lane = self._working[0]
        fair = lane.block + 1 + SPAN_BLOCKS
        # What is on its way of the far end is lost: worth it only if it would take long.
        is_long = (lane.stop - fair) * self._custom.block > SHARED_OUT_SECONDS
        if lane.stop == self._next and is_long:
            lane.stop = self._next = fair

    def _claim(self, lane: _Lane) -> bool:
        """Give the lane the next span to read; False if there is none now."""
        found = self._shelf.missing(self._next)
        if found is None:
            self._next = self._count
            return False
        start, end = found
        if start >= self._limit():
            return False
        lane.block = start
        lane.stop = self._next = min(end, start + self._span_blocks())
        return True

    def _span_blocks(self) -> int:
        if not self._is_ranged():
            return self._count
        if self._share() > 1:
            return SPAN_BLOCKS
        self._solo_spans += 1
        return SOLO_SPANS[min(self._solo_spans, len(SOLO_SPANS)) - 1]

    def _cut_stalled(self) -> None:
        """Cut off lanes that deliver next to nothing; they go on over a new connection."""
        now = self._throttle.gate.running_seconds()
        if now - self._looked_at < _LOOK_OFTEN_SECONDS:
            return
        self._looked_at = now
        for lane in self._working:
            if lane.is_reading and lane.stream is not None and self._is_stalled(lane, now):
                lane.stalls += 1
                lane.was_cut = True
                lane.is_reading = False
                # In a thread of its own: closing waits for the reader to let go.
                threading.Thread(target=lane.stream.close, daemon=True).start()

    def _is_stalled(self, lane: _Lane, now: float) -> bool:
        seconds, came = now - lane.seen_at, lane.read_bytes - lane.seen_bytes
        usual = self._custom
        limit = STALL_SECONDS[min(lane.stalls, len(STALL_SECONDS) - 1)]
        rate: float = TRICKLE_BYTES_PER_SECOND
        if usual.block > 0 and self._is_left_behind(lane):
            limit = min(limit, usual.long * 2.0**lane.stalls)
            rate = max(rate, LEFT_BEHIND_SHARE * BLOCK_BYTES / usual.block)
        if came >= max(1.0, seconds * rate):
            if seconds >= 1.0:
                lane.mark(now)
            return False
        return seconds >= limit

    def _is_left_behind(self, lane: _Lane) -> bool:
        """Others brought something since this one did, or have nothing left to do but wait for it.

        When the line itself pauses, all of them fall silent together.
        """
        if self._custom.moved_at > lane.moved_at + self._custom.long / 4:
            return True
        others = [other for other in self._working if other is not lane]
        is_waited_for = bool(others) or (self._next >= self._count and self._share() > 1)
        return is_waited_for and not any(other.is_reading for other in others)

    # --- a lane's side -------------------------------------------------------------

    def _work(self, lane: _Lane) -> None:
        try:
            while self._goes_on(lane):
                self._read_span(lane)
        except BaseException as error:  # noqa: BLE001 - raised again by the reader
            self._fail(error)
        finally:
            self._drop(lane)
            with self._turn:
                self._working.remove(lane)
                self._turn.notify_all()

    def _goes_on(self, lane: _Lane) -> bool:
        """Whether the lane has something to read, waiting for it; False when it is not needed."""
        with self._turn:
            while not self._is_over():
                if lane.block < lane.stop:
                    return True
                if self._next >= self._count or len(self._working) > self._share():
                    return False
                if not self._claim(lane):
                    self._turn.wait(_LOOK_SECONDS)
        return False

    def _is_over(self) -> bool:
        return self._is_closed or self._error is not None or self._patience.cancel.is_cancelled

    def _read_span(self, lane: _Lane) -> None:
        while lane.block < lane.stop:
            with self._turn:
                while lane.block >= self._limit() and not self._is_over():
                    self._turn.wait(_LOOK_SECONDS)
                if self._is_over():
                    return
                buffer = self._shelf.buffer()
            buffer = buffer[: self._size - lane.block * BLOCK_BYTES]
            self._fill(lane, buffer)
            if self._is_over():
                return
            self._put(lane, buffer)
        self._drop(lane)

    def _put(self, lane: _Lane, content: memoryview) -> None:
        if self._shelf.is_endless:
            self._shelf.put(lane.block, content)  # to disk: not under the lock
        with self._turn:
            if not self._shelf.is_endless:
                self._shelf.put(lane.block, content)
            lane.block += 1
            self._turn.notify_all()

    def _fill(self, lane: _Lane, buffer: memoryview) -> None:
        """Read one block, over as many connections as it takes."""
        start, filled = lane.block * BLOCK_BYTES, 0
        began, has_faults = self._now(), False
        lane.mark(began)
        while filled < len(buffer):
            if self._is_over():
                return
            try:
                filled += self._some(lane, start + filled, buffer[filled:])
            except (UnavailableError, RateLimitedError) as error:
                has_faults = True
                self._drop(lane)
                self._wait_after(lane, error)
        if not has_faults and len(buffer) == BLOCK_BYTES:
            self._custom.filled(self._now() - began)
        self._refuse_trailing(lane, start + filled)

    def _wait_after(self, lane: _Lane, error: CopyError) -> None:
        """Pause before the lane opens a new connection, or raise if it has no tries left."""
        had_progress = lane.since_fault >= BLOCK_BYTES
        lane.since_fault = 0
        was_cut, lane.was_cut = lane.was_cut, False
        is_first_drop = had_progress and not isinstance(error, RateLimitedError)
        is_early_cut = was_cut and lane.stalls < len(STALL_SECONDS)
        # A drop after progress is what lines do, and no reason to hold the reader up.
        if not (is_first_drop or is_early_cut or self._is_over()):
            lane.patience.wait_after(error)
        lane.mark(self._now())

    def _now(self) -> float:
        return self._throttle.gate.running_seconds()

    def _some(self, lane: _Lane, offset: int, buffer: memoryview) -> int:
        began = self._now()
        is_new = lane.stream is None
        if lane.stream is None:
            self._open(lane, offset)
        assert lane.stream is not None
        granted = self._throttle.grant(len(buffer))
        if is_new or granted < len(buffer):
            lane.mark(self._now())  # waiting for leave is not the lane's fault
        lane.is_reading = True
        try:
            count = lane.stream.readinto(buffer[:granted])
        finally:
            lane.is_reading = False
        self._throttle.give_back(granted - count)
        if count == 0:
            raise UnavailableError(
                T("the source ended the transfer early, at byte {offset}", offset=offset)
            )
        if is_new:
            self._custom.opened(self._now() - began)
        self._arrived(lane, count)
        return count

    def _arrived(self, lane: _Lane, count: int) -> None:
        lane.read_bytes += count
        lane.since_fault += count
        self._custom.moved_at = lane.moved_at = self._now()
        if lane.since_fault >= BLOCK_BYTES:
            lane.stalls = 0
            lane.patience.progressed()
        self._on_read(count)
        self._lanes.climber.moved(count)

    def _open(self, lane: _Lane, offset: int) -> None:
        stop = lane.stop * BLOCK_BYTES
        stream = self._open_range(offset, None if stop >= self._size else stop)
        with self._turn:
            lane.stream = stream
            if not self._is_closed:
                return
        stream.close()  # closed meanwhile, by the reader, which saw no stream

    def _drop(self, lane: _Lane) -> None:
        with self._turn:
            stream, lane.stream = lane.stream, None
        if stream is not None:
            stream.close()

    def _refuse_trailing(self, lane: _Lane, offset: int) -> None:
        """At the file's end the source must end too."""
        if offset != self._size or lane.stream is None or self._is_over():
            return
        try:
            is_longer = lane.stream.readinto(memoryview(bytearray(1))) > 0
        except (UnavailableError, RateLimitedError):
            # All bytes are here; a connection that breaks instead of ending is
            # no reason to read a large file again. The digests decide.
            return
        if is_longer:
            raise CorruptReadError(T("the source sent more bytes than its listing says"))

    def _fail(self, error: BaseException) -> None:
        with self._turn:
            is_first = self._error is None or isinstance(self._error, CancelledError)
            if is_first:
                self._error = error
            self._turn.notify_all()
