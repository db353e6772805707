"""The spooled bytes of one blob."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from hubferry.spool.blocks import BlockMap
from hubferry.spool.disk import DiskFile


class SpoolFile:
    """A blob's bytes on disk, as far as they came; thread-safe, held by one process.

    Made by :meth:`hubferry.spool.Spool.open`. Offsets are the blob's own.
    Every method but ``close`` and ``remove`` may raise SpoolError: the disk is
    full or broken, or the file was closed; the copy then goes on without it.
    """

    def __init__(
        self, data: DiskFile, blocks: BlockMap, size_bytes: int, let_go: Callable[[bool], None]
    ) -> None:
        """``let_go`` gives up the right to the closed files, kept or not; called once."""
        self.size_bytes = size_bytes
        self._data = data
        self._blocks = blocks
        self._let_go = let_go
        self._ending = threading.Lock()
        self._has_ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def present_bytes(self) -> int:
        """How many bytes are there, in whole blocks."""
        return self._blocks.present_bytes

    def missing(self, start: int = 0) -> tuple[int, int] | None:
        """The next missing bytes ``[a, b)`` from ``start`` on, in whole blocks; None at the end.

        A ``start`` inside a missing block gives that whole block.
        """
        return self._blocks.missing(start)

    def is_present(self, start: int, end: int) -> bool:
        """Whether all bytes of ``[start, end)`` are there."""
        return self._blocks.present_until(start) >= end

    def write(self, offset: int, data: memoryview) -> None:
        """Write bytes, in any order; they count once :meth:`mark` says so.

        Raises:
            ValueError: beyond the blob's end.
            SpoolError: the disk is full or broken.
        """
        if offset < 0 or offset + len(data) > self.size_bytes:
            raise ValueError("these bytes lie beyond the blob's end")
        self._data.write(offset, data)

    def mark(self, start: int, end: int) -> None:
        """The blocks wholly within ``[start, end)`` were written and are present from now on.

        Parts of blocks at either end are not marked; the blob's last block may be short.
        """
        self._blocks.mark(start, end)

    def read(self, offset: int, buffer: memoryview) -> int:
        """Fill ``buffer`` from ``offset`` as far as bytes are present; how many came, 0 for none.

        What comes is unchecked: a digest decides whether it is right.
        """
        count = min(len(buffer), self._blocks.present_until(offset) - offset)
        return self._data.read(offset, buffer[:count]) if count > 0 else 0

    def close(self) -> None:
        """Keep the bytes for a later try or run."""
        self._end(is_kept=True)

    def remove(self) -> None:
        """Delete the bytes: the target holds them, or they were wrong.

        Does nothing after ``close``: they may be another process's by now.
        """
        self._end(is_kept=False)

    def _end(self, *, is_kept: bool) -> None:
        with self._ending:
            if self._has_ended:
                return
            self._has_ended = True
        self._blocks.close()
        self._data.close()
        self._let_go(is_kept)
