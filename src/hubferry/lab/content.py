"""Contents: the bytes a lab hub stores, held in memory, on disk, or computed by offset.

Every content has ``size`` (bytes), ``sha256`` and ``git_oid`` (both lower-case hex, computed once
on first use), and ``read(start, end)``, which gives any part of it without holding the rest.

:class:`SyntheticContent` costs neither memory nor disk whatever its size. It repeats one random
block of 1 MiB in which every 64 KiB are stamped with the seed and their number, so that no two
stamped pieces of any two synthetic contents are equal and nothing can be deduplicated by accident.
:class:`KnownContent` remembers a digest and a size and has no bytes: what a hub that hashes and
discards keeps of an upload.
"""

from __future__ import annotations

import hashlib
import random
import struct
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

READ_SIZE_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 20
_STAMP_EVERY_BYTES = 1 << 16
_STAMP = struct.Struct("<8sQ")

Buffer = bytes | bytearray | memoryview


class MissingBytesError(LookupError):
    """The content is known by digest only; its bytes were not kept."""


@runtime_checkable
class Content(Protocol):
    """Bytes with a size and digests."""

    @property
    def size(self) -> int:
        """Size in bytes."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes, 64 hex digits."""

    @property
    def git_oid(self) -> str:
        """SHA-1 of the Git blob holding the bytes, 40 hex digits."""

    def read(self, start: int, end: int) -> Buffer:
        """Return the bytes from ``start`` up to, not including, ``end`` (clamped to the size)."""


class _Digests:
    """Digests over ``size`` and ``read`` of the class it is mixed into."""

    size: int

    def read(self, start: int, end: int) -> Buffer:
        raise NotImplementedError

    @cached_property
    def sha256(self) -> str:
        return self._digest(hashlib.sha256())

    @cached_property
    def git_oid(self) -> str:
        return self._digest(hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False))

    def _digest(self, digest: hashlib._Hash) -> str:
        for start in range(0, self.size, READ_SIZE_BYTES):
            digest.update(self.read(start, min(start + READ_SIZE_BYTES, self.size)))
        return digest.hexdigest()


class BytesContent(_Digests):
    """Bytes held in memory."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._view = memoryview(data)

    def read(self, start: int, end: int) -> Buffer:
        """Return a view, no copy."""
        return self._view[start:end]


class FileContent(_Digests):
    """Bytes in a file, which must not change while a hub serves it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size

    def read(self, start: int, end: int) -> Buffer:
        """Read from disk; each call opens the file anew, so threads may share the content."""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(max(0, min(end, self.size) - start))


class SyntheticContent(_Digests):
    """Pseudo-random bytes computed from ``seed`` and offset; ``size`` in bytes, without a limit."""

    def __init__(self, size: int, seed: int | str = 0) -> None:
        self.size = size
        self.seed = str(seed)
        self._mark = hashlib.sha256(self.seed.encode()).digest()[:8]

    @cached_property
    def sha256(self) -> str:
        """Computed once per process and (size, seed): a 20 GiB content takes a while to hash."""
        return _synthetic_sha256(self.size, self.seed)

    def read(self, start: int, end: int) -> Buffer:
        """Compute the bytes; one copy of what is asked, plus at most one block on either side."""
        end = min(end, self.size)
        if end <= start:
            return b""
        first, last = start // _BLOCK_BYTES, (end - 1) // _BLOCK_BYTES
        if first == last:
            return self._read_within_block(start, end)
        stamped = bytearray(_random_block() * (last - first + 1))
        for offset in range(0, len(stamped), _STAMP_EVERY_BYTES):
            number = (first * _BLOCK_BYTES + offset) // _STAMP_EVERY_BYTES
            _STAMP.pack_into(stamped, offset, self._mark, number)
        skip = first * _BLOCK_BYTES
        return memoryview(stamped)[start - skip : end - skip]

    def _read_within_block(self, start: int, end: int) -> Buffer:
        """Compute the pieces of 64 KiB that are touched: thousands of small files are seeded."""
        first, last = start // _STAMP_EVERY_BYTES, (end - 1) // _STAMP_EVERY_BYTES
        skip = first * _STAMP_EVERY_BYTES
        inside = skip % _BLOCK_BYTES
        size = (last + 1 - first) * _STAMP_EVERY_BYTES
        stamped = bytearray(memoryview(_random_block())[inside : inside + size])
        for number in range(first, last + 1):
            _STAMP.pack_into(stamped, (number - first) * _STAMP_EVERY_BYTES, self._mark, number)
        return memoryview(stamped)[start - skip : end - skip]


class KnownContent:
    """A digest and a size whose bytes were thrown away."""

    def __init__(self, size: int, sha256: str) -> None:
        self.size = size
        self.sha256 = sha256

    @property
    def git_oid(self) -> str:
        """Unknowable without the bytes.

        Raises:
            MissingBytesError: always.
        """
        raise MissingBytesError(self.sha256)

    def read(self, start: int, end: int) -> Buffer:
        """Refuse.

        Raises:
            MissingBytesError: always.
        """
        raise MissingBytesError(self.sha256)


def to_content(value: Content | bytes | str | Path) -> Content:
    """Return ``value`` as a content: bytes and text in memory, a path as the file it names."""
    if isinstance(value, str):
        return BytesContent(value.encode())
    if isinstance(value, bytes):
        return BytesContent(value)
    if isinstance(value, Path):
        return FileContent(value)
    return value


def lfs_pointer(sha256: str, size: int) -> bytes:
    """Return the text Git stores in place of an LFS file.

    Source: git-lfs/git-lfs, ``docs/spec.md``, "The Pointer".
    """
    return (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
    ).encode()


@lru_cache(maxsize=1)
def _random_block() -> bytes:
    return random.Random("hubferry lab block").randbytes(_BLOCK_BYTES)


@lru_cache(maxsize=256)
def _synthetic_sha256(size: int, seed: str) -> str:
    content = SyntheticContent(size, seed)
    digest = hashlib.sha256()
    for start in range(0, size, READ_SIZE_BYTES):
        digest.update(content.read(start, start + READ_SIZE_BYTES))
    return digest.hexdigest()
