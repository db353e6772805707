"""Bytes out of ModelScope: what the answer promises is checked before they are used.

LFS files are redirected to a signed URL that honours ``Range``; regular files
come directly and ignore ``Range``, so their beginning is read and dropped.
Source: modelscope_hub 0.5.1, comments in ``_download``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from hubferry.errors import CorruptReadError
from hubferry.hubs.base import ByteStream
from hubferry.hubs.modelscope.wire import digest
from hubferry.model import FileEntry, Sha256, Storage
from hubferry.net.http import HttpStream
from hubferry.net.stream import SlicedStream
from hubferry.text import T

_BUFFER_BYTES = 256 * 1024


class NoBytes:
    """The stream of an empty range; no request is made for it."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Always at the end."""
        return 0

    def close(self) -> None:
        """Nothing to let go of."""


def checked(stream: HttpStream, entry: FileEntry, start: int, stop: int) -> ByteStream:
    """``stream`` as bytes ``start`` to ``stop`` of ``entry``, if it promises the right file.

    Raises:
        CorruptReadError: another size or digest than the listing said; an empty
            200 for a file that is not empty is a known fault of the hub's
            storage, and often gone at the next try.
    """
    try:
        _check_promise(stream, entry)
    except CorruptReadError:
        stream.close()
        raise
    is_part = start > 0 or stop < entry.size_bytes
    if not is_part or stream.status == 206:
        return stream
    return SlicedStream(stream, start, stop - start)


def _check_promise(stream: HttpStream, entry: FileEntry) -> None:
    size, sha256 = told(stream)
    if size is not None and size != entry.size_bytes:
        raise CorruptReadError(
            T(
                "ModelScope sends {found} bytes where its listing says {expected}",
                found=size,
                expected=entry.size_bytes,
            ),
            path=entry.path,
        )
    if sha256 is not None and entry.sha256 is not None and sha256 != entry.sha256:
        raise CorruptReadError(
            T("ModelScope sends another content than its listing says"), path=entry.path
        )


def told(stream: HttpStream) -> tuple[int | None, Sha256 | None]:
    """Size and SHA-256 of the whole file, as far as the answers on the way tell them."""
    digests = (digest(hop.headers.get("x-linked-etag")) for hop in stream.hops)
    sizes = (_linked_size(hop.headers) for hop in stream.hops)
    linked = next((size for size in sizes if size is not None), None)
    size = linked if stream.total_bytes is None else stream.total_bytes
    return size, next((found for found in digests if found is not None), None)


def _linked_size(headers: Mapping[str, str]) -> int | None:
    value = headers.get("x-linked-size", "")
    return int(value) if value.isdecimal() else None


def look_at(stream: HttpStream, path: str) -> FileEntry:
    """The entry of a file that no listing shows; closes the stream.

    A redirected (LFS) file tells its digest in a header, or leaves it unknown:
    it may be too large to read. Any other is read and hashed; it is small, or
    the hub would not keep it inline.

    Raises:
        CorruptReadError: the bytes do not add up to the size announced.
    """
    try:
        size, sha256 = told(stream)
        if (len(stream.hops) > 1 or stream.status == 206) and size is not None:
            return FileEntry(path, size, Storage.LFS, sha256)
        hasher, count = hashlib.sha256(), 0
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        while length := stream.readinto(buffer):
            hasher.update(buffer[:length])
            count += length
        if size is not None and size != count:
            raise CorruptReadError(T("ModelScope sent only a part of the file"), path=path)
        return FileEntry(path, count, Storage.REGULAR, Sha256(hasher.hexdigest()))
    finally:
        stream.close()
