"""The spool's folder: who may use which bytes, and how much room there is.

All processes of a user share the folder. Per blob it holds ``<sha256>.data``
(as long as the blob, with holes), ``<sha256>.map`` (which blocks are there)
and, while a process uses it, ``<sha256>.lock``: an operating system lock that
falls with its process. ``spool.lock`` guards the books: room is counted, and
lock files come and go, by one process at a time.

The books are the files themselves. A blob in use counts with its full length,
whatever is written of it yet; one that nobody uses counts with what it takes
on the disk.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

import filelock

from hubferry.errors import SpoolError
from hubferry.model import Sha256
from hubferry.spool.blocks import BlockMap
from hubferry.spool.disk import DiskFile
from hubferry.spool.file import SpoolFile
from hubferry.spool.place import Place, blob_name
from hubferry.text import T, Text

GB = 1000**3
KEPT_SECONDS = 7 * 24 * 3600.0
"""Bytes nobody came back for are swept after this long; chosen to outlast a weekend."""
_BOOKS_SECONDS = 2.0
"""The books are held for milliseconds; who waits longer waits for a stopped process."""
_POLL_SECONDS = 0.01
_NO_LOCKS = (OSError, NotImplementedError)  # the latter: a file system without locks


class SpoolMode(StrEnum):
    """When bytes go to the disk: after a failed upload, never, or from the first byte on."""

    AUTO = "auto"
    OFF = "off"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class SpoolPolicy:
    """What a user allows.

    ``limit_bytes``: of all blobs in ``folder`` together; None for no limit.
    ``reserve_bytes``: what stays free on that disk; None for 5 GB, or a tenth
    of a disk below 50 GB.
    """

    mode: SpoolMode
    folder: Path
    limit_bytes: int | None = None
    reserve_bytes: int | None = None


class Spool:
    """Opens spooled blobs; thread-safe, and shared by processes through the folder.

    Nothing here raises for want of room or of a working disk: a copy goes on
    without the spool. Nothing is made on disk before a blob is opened.
    """

    def __init__(self, policy: SpoolPolicy, *, clock: Callable[[], float] = time.time) -> None:
        self.policy = policy
        self._folder = policy.folder.absolute()
        self._clock = clock
        self._books_here = threading.Lock()

    @property
    def mode(self) -> SpoolMode:
        """When bytes go to the disk."""
        return self.policy.mode

    def has(self, sha256: Sha256) -> bool:
        """Whether bytes of this blob were kept, by this run or an earlier one."""
        place = self._place(sha256.hex)
        try:
            return place.map.is_file() and place.data.is_file()
        except OSError:
            return False

    def open(
        self, sha256: Sha256, size_bytes: int, tell: Callable[[Text], None] = lambda why: None
    ) -> SpoolFile | None:
        """Take up the bytes kept of a blob, or room for all of it; None where that cannot be.

        Room for the whole blob is set aside until the file is closed. Kept
        bytes of another size, or with a damaged map, are dropped.

        Args:
            tell: hears why it cannot be: no room, another process, a disk that fails.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._books():
                return self._take(self._place(sha256.hex), sha256, size_bytes)
        except _RefusedHere as refused:
            tell(refused.why)
        except filelock.Timeout:
            tell(T("another process keeps the spool in {folder} locked", folder=self._folder))
        except (*_NO_LOCKS, SpoolError) as exc:
            tell(T("the spool in {folder} cannot be used: {cause}", folder=self._folder, cause=exc))
        return None

    def sweep(self) -> None:
        """Delete what nobody uses and nobody can or will use again. Other files are left alone."""
        with suppress(*_NO_LOCKS):
            if not self._folder.is_dir():
                return
            with self._books():
                names = {name for path in self._folder.iterdir() if (name := blob_name(path))}
                for name in names:
                    with suppress(*_NO_LOCKS):
                        self._sweep(self._place(name))

    def _sweep(self, place: Place) -> None:
        with place.held():
            if self._is_stale(place):
                place.drop()

    def _is_stale(self, place: Place) -> bool:
        if not (place.map.exists() and place.data.exists()):
            return True
        changed = max(place.map.stat().st_mtime, place.data.stat().st_mtime)
        return self._clock() - changed > KEPT_SECONDS

    def _place(self, name: str) -> Place:
        return Place(self._folder, name)

    @contextmanager
    def _books(self) -> Iterator[None]:
        """Raises filelock.Timeout, an OSError, if another process does not let go of them."""
        lock = filelock.FileLock(self._folder / "spool.lock", timeout=_BOOKS_SECONDS, mode=0o600)
        # Threads first queue here: they need not poll for each other.
        with self._books_here:
            with lock.acquire(poll_interval=_POLL_SECONDS):
                yield

    def _take(self, place: Place, sha256: Sha256, size_bytes: int) -> SpoolFile:
        lock = place.new_lock()
        try:
            lock.acquire()
        except filelock.Timeout:
            raise _RefusedHere(T("another copy is spooling the same bytes")) from None
        try:
            data, blocks = self._load_or_create(place, sha256, size_bytes)
        except BaseException:
            place.release(lock)
            raise
        return SpoolFile(data, blocks, size_bytes, partial(self._let_go, place, lock))

    def _load_or_create(
        self, place: Place, sha256: Sha256, size_bytes: int
    ) -> tuple[DiskFile, BlockMap]:
        found = place.load(sha256, size_bytes)
        if found is None:
            place.drop()
            self._check_room(place, size_bytes)
            return place.create(sha256, size_bytes)
        try:
            self._check_room(place, size_bytes)
        except BaseException:
            for file in found:
                file.close()
            raise
        return found

    def _let_go(self, place: Place, lock: filelock.BaseFileLock, is_kept: bool) -> None:
        if not is_kept:
            with suppress(OSError):
                place.drop()
        try:
            with self._books():
                place.release(lock)
        except _NO_LOCKS:
            # The lock file stays, which the next sweep clears.
            with suppress(*_NO_LOCKS):
                lock.release()

    def _check_room(self, place: Place, size_bytes: int) -> None:
        """Raises _RefusedHere if the rest of this blob has no room beside the others."""
        taken, promised = self._others(place)
        limit = self.policy.limit_bytes
        if limit is not None and taken + size_bytes > limit:
            raise _RefusedHere(
                T(
                    "no room in the spool for {size}: {taken} of its limit of {limit} are taken",
                    size=_amount(size_bytes),
                    taken=_amount(taken),
                    limit=_amount(limit),
                )
            )
        disk = shutil.disk_usage(self._folder)
        reserve = self.policy.reserve_bytes
        if reserve is None:
            reserve = min(5 * GB, disk.total // 10)
        free = disk.free - promised
        if free - (size_bytes - place.allocated()) < reserve:
            raise _RefusedHere(
                T(
                    "no room in the spool for {size}: the disk of {folder} has {free} left, "
                    "of which {reserve} stay free",
                    size=_amount(size_bytes),
                    folder=self._folder,
                    free=_amount(max(0, free)),
                    reserve=_amount(reserve),
                )
            )

    def _others(self, own: Place) -> tuple[int, int]:
        """Bytes that other blobs count with, and those of them not on the disk yet."""
        taken = promised = 0
        for path in self._folder.glob("*.data"):
            name = blob_name(path)
            if name is None or name == own.name:
                continue
            place = self._place(name)
            allocated, length = place.allocated(), place.length()
            if not place.is_held():
                length = allocated
            taken += length
            promised += length - allocated
        return taken, promised


class _RefusedHere(Exception):
    """No spool for this blob, and why."""

    def __init__(self, why: Text) -> None:
        super().__init__(str(why))
        self.why = why


def _amount(size_bytes: int) -> str:
    """Decimal, as the reports show sizes."""
    if size_bytes < GB:
        return f"{size_bytes / 1000**2:.1f} MB"
    return f"{size_bytes / GB:.1f} GB"
