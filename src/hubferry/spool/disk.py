"""One file on disk, read and written at offsets from many threads."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hubferry.errors import Side, SpoolError
from hubferry.text import T

# Windows has neither call; there one thread at a time seeks and reads.
HAS_OFFSETS = hasattr(os, "preadv") and hasattr(os, "pwrite")

_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class DiskFile:
    """Reads and writes at offsets; thread-safe.

    ``close`` waits for calls under way: the number of a closed descriptor may
    belong to another file a moment later.
    """

    def __init__(self, path: Path, *, is_new: bool = False) -> None:
        """Open ``path``, or make it where nothing is.

        Raises:
            OSError: the file system said no.
        """
        flags = _FLAGS | (os.O_CREAT | os.O_EXCL if is_new else 0)
        self.path = path
        self._raw = io.FileIO(os.open(path, flags, 0o600), "r+")
        self._idle = threading.Condition()
        self._uses = 0
        self._is_closed = False
        self._seeking = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """The length of the file."""
        return os.fstat(self._raw.fileno()).st_size

    @property
    def is_ours(self) -> bool:
        """False for what somebody else may have laid out for us to write into.

        The owner may differ from us where a mount maps owners; then the
        folder's differs in the same way.
        """
        info = os.fstat(self._raw.fileno())
        owners = {self.path.parent.stat().st_uid, getattr(os, "geteuid", lambda: 0)()}
        return stat.S_ISREG(info.st_mode) and info.st_nlink == 1 and info.st_uid in owners

    def set_size(self, size_bytes: int) -> None:
        """Make the file this long, with holes; takes no room where holes are known."""
        self._raw.truncate(size_bytes)

    def write(self, offset: int, data: memoryview | bytes) -> None:
        """Write all of ``data``.

        Raises:
            SpoolError: the disk is full or broken, or the file was closed.
        """
        rest = memoryview(data).cast("B")
        with self._used():
            while rest:
                count = self._write_some(offset, rest)
                offset += count
                rest = rest[count:]

    def read(self, offset: int, buffer: memoryview) -> int:
        """Fill ``buffer`` from ``offset``; how many bytes came, fewer at the end of the file.

        Raises:
            SpoolError: the disk cannot read it, or the file was closed.
        """
        done = 0
        with self._used():
            while done < len(buffer):
                count = self._read_some(offset + done, buffer[done:])
                if not count:
                    break
                done += count
        return done

    def close(self) -> None:
        """Wait for the calls under way, then close; a second time does nothing."""
        with self._idle:
            self._is_closed = True
            self._idle.wait_for(lambda: not self._uses)
            self._raw.close()

    @contextmanager
    def _used(self) -> Iterator[None]:
        try:
            with self._idle:
                if self._is_closed:
                    raise OSError("the file was closed")
                self._uses += 1
            try:
                yield
            finally:
                with self._idle:
                    self._uses -= 1
                    self._idle.notify_all()
        except OSError as exc:
            raise SpoolError(
                T("{place}: {reason}", place=self.path, reason=exc.strerror or exc),
                side=Side.LOCAL,
                step="spool",
            ) from exc

    def _write_some(self, offset: int, data: memoryview) -> int:
        if HAS_OFFSETS:
            return os.pwrite(self._raw.fileno(), data, offset)
        with self._seeking:
            self._raw.seek(offset)
            return self._raw.write(data) or 0

    def _read_some(self, offset: int, buffer: memoryview) -> int:
        if HAS_OFFSETS:
            return os.preadv(self._raw.fileno(), [buffer], offset)
        with self._seeking:
            self._raw.seek(offset)
            return self._raw.readinto(buffer) or 0
