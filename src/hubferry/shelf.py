"""Where blocks of one file wait between the connections that bring them and their reader."""

from __future__ import annotations

from typing import Protocol

from hubferry import spool
from hubferry.errors import SpoolError
from hubferry.spool import SpoolFile
from hubferry.stream import BLOCK_BYTES
from hubferry.text import T

if spool.BLOCK_BYTES != BLOCK_BYTES:
    raise AssertionError(
        "the spool marks other blocks than are read: its reader would wait for ever"
    )


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
