"""A cursor over the head of a GGUF file that fetches as little as it can.

Metadata has no length field: it must be walked. Values we do not need are
stepped over without reading them where the layout allows it; arrays of strings
(a tokenizer's vocabulary, several MB) do not, each string carries its own
length.
"""

from __future__ import annotations

import struct

from hubferry.inspection.faults import BrokenContentError, NotCheckedError
from hubferry.inspection.reader import RangeReader
from hubferry.model import FileEntry
from hubferry.text import T

READ_CAP_BYTES = 25_000_000
"""Read of one file's head at most; the largest vocabularies today take some 11 MB."""
_FIRST_FETCH_BYTES = 64 * 1024
_LARGEST_FETCH_BYTES = 4 * 1024 * 1024
_MAX_NAME_BYTES = 65_535
"""Keys are at most 2^16 - 1 bytes. Source: ``docs/gguf.md`` in ggml-org/ggml."""


class GgufCursor:
    """Position, window and byte order; sequential, with jumps forward and back."""

    def __init__(self, reader: RangeReader, entry: FileEntry) -> None:
        self.position = 0
        self.byte_order = "<"
        self._reader = reader
        self._entry = entry
        self._window = bytearray()
        self._window_start = 0
        self._fetched_bytes = 0
        self._fetch_bytes = _FIRST_FETCH_BYTES

    def number(self, code: str) -> int:
        """The next number of ``struct`` code ``code`` (integers only)."""
        size = struct.calcsize("<" + code)
        at = self._need(size)
        (value,) = struct.unpack_from(self.byte_order + code, self._window, at)
        self.position += size
        return int(value)

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes; callers cap ``size``."""
        at = self._need(size)
        self.position += size
        return bytes(self._window[at : at + size])

    def skip(self, size: int) -> None:
        """Step over ``size`` bytes without fetching them."""
        if size > self._entry.size_bytes - self.position:
            raise _past_end()
        self.position += size

    def string(self, cap_bytes: int = _MAX_NAME_BYTES) -> str:
        """The next string, which must be short."""
        length = self.number("Q")
        if length > cap_bytes:
            raise BrokenContentError(T("a name in its header claims {length} bytes", length=length))
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as exc:
            raise BrokenContentError(T("a name in its header is not valid UTF-8")) from exc

    def skip_string(self) -> int:
        """Step over a string of any length; returns that length."""
        length = self.number("Q")
        self.skip(length)
        return length

    def skip_strings(self, count: int) -> None:
        """Step over ``count`` strings."""
        unpack = struct.Struct(self.byte_order + "Q").unpack_from
        for _ in range(count):
            at = self._need(8)
            self.position += 8
            self.skip(unpack(self._window, at)[0])

    def jump(self, position: int) -> None:
        """Go on elsewhere, with small fetches again."""
        if position > self._entry.size_bytes:
            raise _past_end()
        self.position = position
        self._fetch_bytes = _FIRST_FETCH_BYTES

    def _need(self, size: int) -> int:
        """Make ``size`` bytes present; returns where they start in the window."""
        at = self.position - self._window_start
        if at < 0 or at + size > len(self._window):
            self._fetch(size)
            at = self.position - self._window_start
        return at

    def _fetch(self, size: int) -> None:
        window_end = self._window_start + len(self._window)
        if self.position + size > self._entry.size_bytes:
            raise _past_end()
        if self._window_start <= self.position <= window_end:
            # What was walked over is let go, so memory stays one fetch and a tail.
            del self._window[: self.position - self._window_start]
            start = window_end
        else:
            self._window.clear()
            start = self.position
        self._window_start = self.position
        end = max(self.position + size, start + self._fetch_bytes)
        end = min(end, self._entry.size_bytes)
        if self._fetched_bytes + end - start > READ_CAP_BYTES:
            raise NotCheckedError(T("its header is longer than {cap} bytes", cap=READ_CAP_BYTES))
        self._window += self._reader.read(self._entry, start, end)
        self._fetched_bytes += end - start
        self._fetch_bytes = min(2 * self._fetch_bytes, _LARGEST_FETCH_BYTES)


def _past_end() -> BrokenContentError:
    return BrokenContentError(T("it is cut short: its header runs past its end"))
