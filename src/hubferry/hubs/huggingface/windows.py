"""Files too large for one HTTP answer, read in turns."""

from __future__ import annotations

from collections.abc import Callable

from hubferry.hubs.base import ByteStream

WINDOW_BYTES = 40 * 10**9
"""The official client refuses to ask for more than 50 GB without a range
(``MAX_HTTP_DOWNLOAD_SIZE``), because the network in front of the store gives no
more in one answer; ranges of the same file are served."""


class Windows:
    """Bytes ``start`` to ``stop`` as several answers, each asked for when the last one ended."""

    def __init__(
        self,
        open_part: Callable[[int, int], ByteStream],
        start: int,
        stop: int,
        window_bytes: int,
    ) -> None:
        self._open_part = open_part
        self._offset = start
        self._stop = stop
        self._window = window_bytes
        self._is_closed = False
        # Now, so that a refusal shows where the file is opened.
        self._end = min(start + window_bytes, stop)
        self._stream = open_part(start, self._end)

    def readinto(self, buffer: memoryview, /) -> int:
        """As :meth:`HttpStream.readinto`; an answer that ends early ends it all."""
        if self._offset == self._end and self._end < self._stop:
            self._stream.close()
            self._end = min(self._offset + self._window, self._stop)
            self._stream = self._open_part(self._offset, self._end)
            if self._is_closed:  # meanwhile, by another thread, which saw the old one
                self._stream.close()
        count = self._stream.readinto(buffer)
        self._offset += count
        return count

    def close(self) -> None:
        """Let go of the connection; safe to repeat, from any thread."""
        self._is_closed = True
        self._stream.close()
