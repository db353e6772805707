"""The files of one blob in the spool's folder, and the lock that says who uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import filelock

from hubferry.errors import SpoolError
from hubferry.model import Sha256
from hubferry.spool.blocks import BlockMap
from hubferry.spool.disk import DiskFile

_NAME = re.compile(r"([0-9a-f]{64})\.(?:data|map|lock)")


def blob_name(path: Path) -> str | None:
    """The blob's digest if ``path`` is one of the spool's files; None for anybody else's."""
    found = _NAME.fullmatch(path.name)
    return found[1] if found else None


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one blob. Lock files are made and deleted by who holds the books alone."""

    folder: Path
    name: str

    @property
    def data(self) -> Path:
        return self.folder / f"{self.name}.data"

    @property
    def map(self) -> Path:
        return self.folder / f"{self.name}.map"

    @property
    def lock(self) -> Path:
        return self.folder / f"{self.name}.lock"

    def new_lock(self) -> filelock.BaseFileLock:
        # Not of a thread: a file is often closed by another one.
        return filelock.FileLock(self.lock, timeout=0, mode=0o600, thread_local=False)

    def release(self, lock: filelock.BaseFileLock) -> None:
        lock.release()
        with suppress(OSError):
            self.lock.unlink(missing_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises filelock.Timeout, an OSError, if the blob is in use."""
        lock = self.new_lock()
        lock.acquire()
        try:
            yield
        finally:
            self.release(lock)

    def is_held(self) -> bool:
        if not self.lock.exists():
            return False
        try:
            with self.held():
                return False
        except OSError:  # a timeout, or a file we cannot even open
            return True

    def drop(self) -> None:
        # The map first: data without a map is nothing, a map without its data a lie.
        self.map.unlink(missing_ok=True)
        self.data.unlink(missing_ok=True)

    def length(self) -> int:
        with suppress(OSError):  # removed just now
            return self.data.stat().st_size
        return 0

    def allocated(self) -> int:
        """What the data take on the disk; Windows sets the whole length aside at once."""
        with suppress(OSError):
            info = self.data.stat()
            blocks: int | None = getattr(info, "st_blocks", None)
            return info.st_size if blocks is None else min(info.st_size, blocks * 512)
        return 0

    def load(self, sha256: Sha256, size_bytes: int) -> tuple[DiskFile, BlockMap] | None:
        blocks = BlockMap.load(self.map, sha256, size_bytes)
        if blocks is None:
            return None
        with suppress(OSError):
            data = DiskFile(self.data)
            if data.is_ours and data.size_bytes == size_bytes:
                return data, blocks
            data.close()
        blocks.close()
        return None

    def create(self, sha256: Sha256, size_bytes: int) -> tuple[DiskFile, BlockMap]:
        data = DiskFile(self.data, is_new=True)
        try:
            data.set_size(size_bytes)
            # Last: a map speaks for data that is there.
            return data, BlockMap.create(self.map, sha256, size_bytes)
        except (OSError, SpoolError):
            data.close()
            self.drop()
            raise
