"""Reading a folder: what is in it, its digests, its bytes."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hubferry.control import CancelToken
from hubferry.errors import CopyError, CorruptReadError, LocalError, NoSpaceError, NotFoundError
from hubferry.hubs.local.names import is_private
from hubferry.model import FileEntry, GitOid, RefusedPath, Sha256, Storage
from hubferry.text import T, Text

_READ_BYTES = 1024 * 1024
# A file that changes twice within one tick of a coarse clock keeps its time:
# only what has rested this long is trusted by its time (FAT has ticks of 2 s).
_RESTED_SECONDS = 2.0

# Windows has no EDQUOT.
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}

Signature = tuple[int, int, int]
"""Size, modification time in ns, inode: what changes when the content does."""


def local_error(error: OSError, place: Path) -> CopyError:
    """What a failure of the local disk means."""
    where = {"place": str(place), "reason": error.strerror or type(error).__name__}
    if error.errno in _FULL:
        return NoSpaceError(
            T("the disk is full at {place}", **where), hint=T("make room and run the command again")
        )
    if isinstance(error, FileNotFoundError):
        return NotFoundError(T("there is no {place}", **where), what="path")
    return LocalError(T("cannot use {place}: {reason}", **where))


@dataclass(frozen=True, slots=True)
class Known:
    """The digests of a file as it was when it had ``signature``."""

    signature: Signature
    sha256: Sha256
    git_oid: GitOid


class Digests:
    """Digests of local files; one read each, remembered while the file rests. Thread-safe."""

    def __init__(self, cancel: CancelToken) -> None:
        self._cancel = cancel
        self._lock = threading.Lock()
        self._known: dict[Path, Known] = {}
        self._placed: dict[Path, tuple[Signature, Sha256]] = {}

    def of(self, place: Path) -> Known:
        """Digests of the file at ``place``.

        Raises:
            OSError: it cannot be read.
            CorruptReadError: it changed while it was read.
        """
        before = signature(place)
        with self._lock:
            known = self._known.get(place)
        if known is not None and known.signature == before:
            return known
        known = self._read(place, before)
        if time.time() - before[1] / 1e9 > _RESTED_SECONDS:
            with self._lock:
                self._known[place] = known
        return known

    def placed(self, place: Path, sha256: Sha256) -> None:
        """Remember content that was just put at ``place``, for :meth:`find` only."""
        with self._lock:
            self._placed[place] = (signature(place), sha256)

    def find(self, root: Path, sha256: Sha256) -> Path | None:
        """A file below ``root`` that still has this content."""
        with self._lock:
            held = [(p, k.signature) for p, k in self._known.items() if k.sha256 == sha256]
            held += [(p, seen) for p, (seen, digest) in self._placed.items() if digest == sha256]
        for place, seen in held:
            with suppress(OSError):
                if place.is_relative_to(root) and signature(place) == seen:
                    return place
        return None

    def _read(self, place: Path, before: Signature) -> Known:
        size = before[0]
        sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        buffer = memoryview(bytearray(min(_READ_BYTES, max(size, 1))))
        with place.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                self._cancel.check()
                sha256.update(buffer[:count])
                git.update(buffer[:count])
        if signature(place) != before:
            raise CorruptReadError(T("{place} changed while it was read", place=str(place)))
        return Known(before, Sha256(sha256.hexdigest()), GitOid(git.hexdigest()))


def signature(place: Path) -> Signature:
    """The signature of the file at ``place``, links followed."""
    status = place.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def walk(root: Path) -> Iterator[tuple[str, Path, Text | None]]:
    """Every file below ``root``: its path, its place, and why it is refused, if it is."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(root / prefix) as found:
            for item in sorted(found, key=lambda item: item.name):
                path = f"{prefix}/{item.name}" if prefix else item.name
                if is_private(path):
                    continue
                if item.is_dir(follow_symlinks=False):
                    waiting.append(path)
                else:
                    yield path, Path(item.path), _file_problem(item, root)


def _file_problem(item: os.DirEntry[str], root: Path) -> Text | None:
    if item.is_symlink():
        target = Path(item.path).resolve()
        if not target.is_relative_to(root):
            return T("a link that leads out of the folder")
        if not target.is_file():
            return T("a link to something that is not a file")
        if is_private(target.relative_to(root).as_posix()):
            return T("a link into a tool's own files")
    elif not item.is_file(follow_symlinks=False):
        return T("neither a file nor a folder")
    return None


def entry_of(path: str, place: Path, digests: Digests) -> FileEntry:
    """The entry of one file, hashed."""
    known = digests.of(place)
    return FileEntry(
        path, known.signature[0], Storage.UNKNOWN, sha256=known.sha256, git_oid=known.git_oid
    )


def entries(
    root: Path, digests: Digests, cancel: CancelToken
) -> tuple[list[FileEntry], list[RefusedPath]]:
    """All entries below ``root``, hashed, and the paths that are refused.

    Raises:
        LocalError: something cannot be read; a listing is complete or an error.
    """
    good: list[FileEntry] = []
    refused: list[RefusedPath] = []
    place = root
    try:
        for path, place, problem in walk(root):
            cancel.check()
            if problem is None:
                good.append(entry_of(path, place, digests))
            else:
                refused.append(RefusedPath(path, problem))
    except OSError as error:
        raise local_error(error, place) from error
    return good, refused


class FilePart:
    """Bytes of a local file, up to a given end."""

    def __init__(self, place: Path, start: int, stop: int, expected_bytes: int) -> None:
        """Open ``place`` at ``start``.

        Raises:
            CorruptReadError: the file does not have ``expected_bytes``.
            LocalError: it cannot be read.
        """
        self._place = place
        self._left = stop - start
        try:
            self._file = place.open("rb", buffering=0)
            size = os.fstat(self._file.fileno()).st_size
            self._file.seek(start)
        except OSError as error:
            raise local_error(error, place) from error
        if size != expected_bytes:
            self._file.close()
            raise CorruptReadError(T("{place} changed since it was listed", place=str(place)))

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill ``buffer`` from its start; 0 at the end."""
        try:
            count = self._file.readinto(buffer[: self._left]) or 0
        except OSError as error:
            raise local_error(error, self._place) from error
        except ValueError as error:  # closed by another thread
            raise LocalError(T("the file was closed")) from error
        self._left -= count
        return count

    def close(self) -> None:
        """Close the file; safe to repeat."""
        self._file.close()
