"""Which blocks of a spooled file are there: a byte each, in a file beside the data.

A block is marked after its bytes were written. A killed process leaves both
writes to the system's cache, in that order, so a mark never promises more than
is there. A power cut may lose data whose mark survived; whoever reads the
spool checks the digest, so that costs a second read and no wrong byte.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

from hubferry.errors import SpoolError
from hubferry.model import Sha256
from hubferry.spool.disk import DiskFile

BLOCK_BYTES = 1024 * 1024
"""What is present or missing as one: a reader's block, and 300 KB of map for a 300 GB file."""

_MAGIC = b"hubferry spool 1"
_HEADER = struct.Struct(">16sQQ32s")
_MISSING, _PRESENT = 0, 1


class BlockMap:
    """The blocks of one file, in memory and on disk; thread-safe.

    Bytes instead of bits: threads that mark neighbours never write one byte twice.
    """

    def __init__(self, file: DiskFile, size_bytes: int, blocks: bytearray) -> None:
        self._file = file
        self._size = size_bytes
        self._blocks = blocks

    @classmethod
    def create(cls, path: Path, sha256: Sha256, size_bytes: int) -> BlockMap:
        """A new map without a block; there must be no file at ``path``.

        Raises:
            OSError, SpoolError: it cannot be written.
        """
        blocks = bytearray(-(-size_bytes // BLOCK_BYTES))
        file = DiskFile(path, is_new=True)
        try:
            file.write(0, _header(sha256, size_bytes) + blocks)
        except SpoolError:
            file.close()
            raise
        return cls(file, size_bytes, blocks)

    @classmethod
    def load(cls, path: Path, sha256: Sha256, size_bytes: int) -> BlockMap | None:
        """The map of an earlier run; None if there is none for these bytes, or it is damaged."""
        try:
            file = DiskFile(path)
        except OSError:
            return None
        with suppress(OSError, SpoolError):
            blocks = _read_blocks(file, sha256, size_bytes)
            if blocks is not None:
                return cls(file, size_bytes, blocks)
        file.close()
        return None

    @property
    def present_bytes(self) -> int:
        """How many bytes are there."""
        count = self._blocks.count(_PRESENT)
        if count and self._blocks[-1] == _PRESENT:
            return (count - 1) * BLOCK_BYTES + self._size - (len(self._blocks) - 1) * BLOCK_BYTES
        return count * BLOCK_BYTES

    def mark(self, start: int, end: int) -> None:
        """The blocks that lie wholly within ``[start, end)`` are present now."""
        first = -(-start // BLOCK_BYTES)
        last = len(self._blocks) if end >= self._size else end // BLOCK_BYTES
        if first >= last:
            return
        marks = bytes([_PRESENT]) * (last - first)
        self._file.write(_HEADER.size + first, marks)
        self._blocks[first:last] = marks

    def missing(self, start: int) -> tuple[int, int] | None:
        """The next missing ``[a, b)`` from the block of ``start`` on; None if there is none."""
        first = self._blocks.find(_MISSING, start // BLOCK_BYTES)
        if first < 0:
            return None
        return first * BLOCK_BYTES, self._offset(self._blocks.find(_PRESENT, first))

    def present_until(self, start: int) -> int:
        """The end of the present bytes that begin at ``start``; ``start`` itself if none do."""
        return max(start, self._offset(self._blocks.find(_MISSING, start // BLOCK_BYTES)))

    def close(self) -> None:
        """Close the file; what is marked stays."""
        self._file.close()

    def _offset(self, block: int) -> int:
        return self._size if block < 0 else min(block * BLOCK_BYTES, self._size)


def _header(sha256: Sha256, size_bytes: int) -> bytes:
    return _HEADER.pack(_MAGIC, size_bytes, BLOCK_BYTES, bytes.fromhex(sha256.hex))


def _read_blocks(file: DiskFile, sha256: Sha256, size_bytes: int) -> bytearray | None:
    header = _header(sha256, size_bytes)
    data = bytearray(len(header) + -(-size_bytes // BLOCK_BYTES))
    # The length first: a foreign file must not be read whatever its size.
    if not file.is_ours or file.size_bytes != len(data):
        return None
    if file.read(0, memoryview(data)) != len(data) or not data.startswith(header):
        return None
    blocks = data[len(header) :]
    is_sane = blocks.count(_MISSING) + blocks.count(_PRESENT) == len(blocks)
    return blocks if is_sane else None
