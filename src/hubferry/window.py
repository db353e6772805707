"""One file read over several connections and handed out in order.

While one connection is enough the reader reads itself. Where more help, lanes
(connections, a thread each) fill blocks ahead of it. In memory they may be
ahead by a few blocks a lane, whatever the size of the file; with a spooled
file below, by all of it. A lane whose connection drops goes on at its
offset; a lane that delivers nothing is cut off and does the same; a lane that
is refused for good fails the whole file.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from hubferry.control import GARBLED_SECONDS, Patience
from hubferry.errors import (
    CancelledError,
    CopyError,
    CorruptReadError,
    ProtocolError,
    RateLimitedError,
    UnavailableError,
)
from hubferry.lanes import LANE_BYTES, SPAN_BYTES, Lanes
from hubferry.shelf import MemoryShelf, Shelf, SpoolShelf
from hubferry.spool import SpoolFile
from hubferry.stalls import Custom, Lane, is_stalled
from hubferry.stream import BLOCK_BYTES, OpenRange
from hubferry.text import T
from hubferry.throttle import Throttle

SPAN_BLOCKS = SPAN_BYTES // BLOCK_BYTES
SOLO_SPANS = (4, 8, 16, 32)
"""Blocks one request asks for while a file has one lane: more each time, as nobody waits for it."""
SHARED_OUT_SECONDS = 0.3
"""The rest of a lone lane's range is shared out among more lanes if it would take longer."""
_LOOK_SECONDS = 0.25
_FEWEST_BLOCKS = 3


class Window:
    """Reads one file; ``blocks`` may be asked for again only with a spooled file below.

    Args:
        is_ranged: whether several ranges may be read at once; asked again and again.
        on_read: hears of bytes that came over the link.
        is_watched: False where a stream that is silent for seconds is no stall:
            it looks after itself, or has to skip what it was not asked for.
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
        is_watched: Callable[[], bool] = lambda: True,
    ) -> None:
        self._open_range = open_range
        self._size = size_bytes
        self._count = -(-size_bytes // BLOCK_BYTES)
        self._patience = patience
        self._stop = patience.cancel.child()
        self._lanes = lanes
        self._is_ranged = is_ranged
        self._throttle = throttle
        self._on_read = on_read
        self._is_watched = is_watched
        self._shelf: Shelf = SpoolShelf(spooled) if spooled else MemoryShelf(self._count)
        self._turn = threading.Condition()
        self._working: list[Lane] = []
        self._own = Lane(patience.fork(self._stop))
        self._head = 0
        self._next = 0
        self._solo_spans = 0
        self._custom = Custom()
        self._error: BaseException | None = None
        lanes.join(self)

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
            while not self._shelf.has(block):
                if self._error is not None:
                    raise self._error
                self._patience.cancel.check()
                if self._is_own(block):
                    break
                self._wait()
            else:
                if not self._shelf.is_endless:
                    return self._shelf.take(block)
        if self._shelf.is_endless:
            return self._shelf.take(block)  # from disk: not under the lock
        return self._read_own(block)

    def _is_own(self, block: int) -> bool:
        """Whether the reader is to read this block itself.

        While one connection is enough, no thread is needed, and a block stays in
        the cache of the processor that hashes and sends it.
        """
        if self._own.block < self._own.stop:
            return self._own.block == block
        is_alone = self._share() == 1 and not self._working
        return is_alone and not self._shelf.is_endless and self._claim(self._own)

    def _read_own(self, block: int) -> memoryview:
        with self._turn:
            content = self._shelf.buffer()[: self._size - block * BLOCK_BYTES]
        began, worked = self._now(), time.thread_time()
        self._fill(self._own, content)
        # Filling breaks off when the run is stopped or a lane has failed.
        self._patience.cancel.check()
        if self._error is not None:
            raise self._error
        waited = (self._now() - began) - (time.thread_time() - worked)
        self._lanes.climber.waited(max(0.0, waited))
        self._own.block += 1
        if self._own.block == self._own.stop:
            self._drop(self._own)
        with self._turn:
            self._shelf.put(block, content)
            return self._shelf.take(block)

    def _wait(self) -> None:
        """Wait for a lane."""
        began = self._now()
        self._turn.wait(_LOOK_SECONDS)
        self._lanes.climber.waited(self._now() - began)
        self._tend()

    def close(self) -> None:
        """Let go of all connections; safe to repeat."""
        self._lanes.leave(self)
        self._stop.cancel()
        with self._turn:
            lanes = [*self._working, self._own]
            streams = [lane.stream for lane in lanes if lane.stream is not None]
            self._turn.notify_all()
        for stream in streams:
            stream.close()

    def look_after(self) -> None:
        """Cut off lanes that deliver next to nothing; they go on over a new connection.

        Called by the keeper of the lanes, many times a second: whoever reads is
        blocked when it matters.
        """
        if not self._is_watched():
            return
        with self._turn:
            now = self._now()
            lanes = [*self._working, self._own]
            for lane in lanes:
                if not lane.is_busy:
                    continue
                others = [other for other in self._working if other is not lane]
                lane.is_last = self._next >= self._count and self._share() > 1
                if not is_stalled(lane, others, self._custom, now):
                    continue
                if lane.is_reading and lane.stream is not None:
                    self._cut(lane)
                elif lane.is_opening and lane is not self._own and not lane.stalls_on:
                    self._replace(lane)

    def _replace(self, lane: Lane) -> None:
        """Give the work of a lane whose connection does not open to a new one."""
        lane.is_abandoned = True
        self._working.remove(lane)
        heir = Lane(self._patience.fork(self._stop), lane.block, lane.stop)
        heir.stalls = lane.stalls + 1
        self._start(heir)

    def _cut(self, lane: Lane) -> None:
        lane.stalls += 1
        lane.was_cut = True
        lane.is_reading = False
        assert lane.stream is not None
        # In a thread of its own: closing waits for the reader to let go.
        threading.Thread(target=lane.stream.close, daemon=True).start()

    def _tend(self) -> None:
        """Start lanes up to the file's share; the reader is one while it has something to read."""
        share = self._share()
        if share == 1 and not self._shelf.is_endless:
            return
        while len(self._working) < share and not self._is_over():
            self._share_out()
            lane = Lane(self._patience.fork(self._stop))
            if not self._claim(lane):
                return
            self._start(lane)

    def _start(self, lane: Lane) -> None:
        self._working.append(lane)
        threading.Thread(target=self._work, args=(lane,), name="hubferry-lane", daemon=True).start()

    def _share(self) -> int:
        return self._lanes.share if self._is_ranged() else 1

    def _limit(self) -> int:
        """The first block that is too far ahead to be read now."""
        if self._shelf.is_endless:
            return self._count
        lanes = max(self._share(), len(self._working))
        return self._head + max(_FEWEST_BLOCKS, lanes * LANE_BYTES // BLOCK_BYTES)

    def _share_out(self) -> None:
        """Take the far end of the reader's own long span, so that others can help it."""
        lane = self._own
        fair = lane.block + 1 + SPAN_BLOCKS
        # What is on its way of the far end is lost: worth it only if it would take long.
        is_long = (lane.stop - fair) * self._custom.block > SHARED_OUT_SECONDS
        if self._is_ranged() and lane.stop == self._next and is_long:
            lane.stop = self._next = fair

    def _claim(self, lane: Lane) -> bool:
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

    # --- a lane's side -------------------------------------------------------------

    def _work(self, lane: Lane) -> None:
        try:
            while self._goes_on(lane):
                self._read_span(lane)
        except BaseException as error:  # noqa: BLE001 - raised again by the reader
            if not lane.is_abandoned:
                self._fail(error)
        finally:
            self._drop(lane)
            with self._turn:
                if not lane.is_abandoned:
                    self._working.remove(lane)
                self._turn.notify_all()

    def _goes_on(self, lane: Lane) -> bool:
        """Whether the lane has something to read, waiting for it; False when it is not needed."""
        with self._turn:
            while not (self._is_over() or lane.is_abandoned):
                if lane.block < lane.stop:
                    return True
                if self._next >= self._count or not self._is_needed():
                    return False
                if not self._claim(lane):
                    self._turn.wait(_LOOK_SECONDS)
        return False

    def _is_needed(self) -> bool:
        """Whether one lane more than the others is of use; one alone the reader can be itself."""
        share = self._share()
        if share == 1 and not self._shelf.is_endless:
            return False
        return len(self._working) <= share

    def _is_over(self) -> bool:
        return self._error is not None or self._stop.is_cancelled

    def _read_span(self, lane: Lane) -> None:
        while lane.block < lane.stop:
            with self._turn:
                while lane.block >= self._limit() and not self._is_over():
                    self._turn.wait(_LOOK_SECONDS)
                if self._is_over():
                    return
                buffer = self._shelf.buffer()
            buffer = buffer[: self._size - lane.block * BLOCK_BYTES]
            self._fill(lane, buffer)
            if self._is_over() or lane.is_abandoned:
                return
            self._put(lane, buffer)
        self._drop(lane)

    def _put(self, lane: Lane, content: memoryview) -> None:
        if self._shelf.is_endless:
            self._shelf.put(lane.block, content)  # to disk: not under the lock
        with self._turn:
            if not self._shelf.is_endless:
                self._shelf.put(lane.block, content)
            lane.block += 1
            self._turn.notify_all()

    def _fill(self, lane: Lane, buffer: memoryview) -> None:
        """Read one block, over as many connections as it takes."""
        start, filled = lane.block * BLOCK_BYTES, 0
        began, has_faults = self._now(), False
        lane.mark(began)
        while filled < len(buffer):
            if self._is_over() or lane.is_abandoned:
                return
            try:
                filled += self._some(lane, start + filled, buffer[filled:])
            except (UnavailableError, RateLimitedError, ProtocolError) as error:
                has_faults = True
                self._drop(lane)
                self._wait_after(lane, error)
        if not has_faults and len(buffer) == BLOCK_BYTES:
            self._custom.filled(self._now() - began)
        self._refuse_trailing(lane, start + filled)

    def _wait_after(self, lane: Lane, error: CopyError) -> None:
        """Pause before the lane opens a new connection, or raise if it has no tries left."""
        if lane.is_abandoned:
            return
        if isinstance(error, ProtocolError):
            self._forgive_once(lane, error)
            return
        had_progress = lane.since_fault >= BLOCK_BYTES
        lane.since_fault = 0
        was_cut, lane.was_cut = lane.was_cut, False
        is_first_drop = had_progress and not isinstance(error, RateLimitedError)
        is_early_cut = was_cut and not lane.stalls_on
        # A drop after progress is what lines do, and no reason to hold the reader up.
        if not (is_first_drop or is_early_cut or self._is_over()):
            lane.patience.wait_after(error)
        lane.mark(self._now())

    def _forgive_once(self, lane: Lane, error: ProtocolError) -> None:
        """One senseless answer is a hiccup of something on the way; two in a row are not."""
        if lane.was_garbled:
            raise error
        lane.was_garbled = True
        self._stop.sleep(GARBLED_SECONDS)

    def _now(self) -> float:
        return self._throttle.gate.running_seconds()

    def _some(self, lane: Lane, offset: int, buffer: memoryview) -> int:
        began = self._now()
        is_new = lane.stream is None
        if lane.stream is None:
            self._open(lane, offset)
        if lane.stream is None:
            return 0
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

    def _arrived(self, lane: Lane, count: int) -> None:
        lane.read_bytes += count
        lane.since_fault += count
        self._custom.moved_at = lane.moved_at = self._now()
        if lane.since_fault >= BLOCK_BYTES:
            lane.stalls = 0
            lane.was_garbled = False
            lane.patience.progressed()
        self._on_read(count)
        self._lanes.climber.moved(count)

    def _open(self, lane: Lane, offset: int) -> None:
        stop = lane.stop * BLOCK_BYTES
        lane.mark(self._now())
        lane.is_opening = True
        try:
            stream = self._open_range(offset, None if stop >= self._size else stop)
        finally:
            lane.is_opening = False
        with self._turn:
            if not (self._stop.is_cancelled or lane.is_abandoned):
                lane.stream = stream
                return
        stream.close()  # nobody waits for it any more

    def _drop(self, lane: Lane) -> None:
        with self._turn:
            stream, lane.stream = lane.stream, None
        if stream is not None:
            stream.close()

    def _refuse_trailing(self, lane: Lane, offset: int) -> None:
        """At the file's end the source must end too."""
        if offset != self._size or lane.stream is None or self._is_over():
            return
        lane.mark(self._now())
        lane.is_reading = True  # looked after like any read: it may never end
        try:
            is_longer = lane.stream.readinto(memoryview(bytearray(1))) > 0
        except (UnavailableError, RateLimitedError):
            # All bytes are here; a connection that breaks instead of ending is
            # no reason to read a large file again. The digests decide.
            return
        finally:
            lane.is_reading = False
        if is_longer:
            raise CorruptReadError(T("the source sent more bytes than its listing says"))

    def _fail(self, error: BaseException) -> None:
        with self._turn:
            is_first = self._error is None or isinstance(self._error, CancelledError)
            if is_first:
                self._error = error
            self._turn.notify_all()
