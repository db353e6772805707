"""Reading blobs out of a Git pack as it arrives; no I/O.

A pack is a header, then objects, each either deflated or a deflated delta
against another object of the pack. Nothing is inflated before its declared
size was compared with what was asked for, so a pack that lies cannot fill the
memory. Its closing checksum is not looked at: each object's own id proves more.
Source: gitformat-pack(5).
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from hubferry.hubs.huggingface.gitwire import ended_early, garbled

_HEADER_BYTES = 12
_OID_BYTES = 20
_BLOB, _OFFSET_DELTA, _REF_DELTA = 3, 6, 7
_SPECIAL_COPY_BYTES = 0x10000
# Git keeps a delta only where it is smaller than the object; a little more for tiny ones.
_DELTA_SPARE_BYTES = 64
# No size or offset needs more than eight bytes.
_LONGEST_SHIFT = 56


def read_pack(pieces: Iterable[bytes], sizes: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    """The blobs of a pack with their ids, in the pack's order, each checked by its id.

    Holds every content until the end, as a later one may be a delta against it;
    so together they are at most ``sum(sizes.values())`` bytes.

    Args:
        sizes: the ids asked for, as hex, with the size in bytes of each.

    Raises:
        GarbledError: not a pack, or not one of blobs that were asked for.
        UnavailableError: it ends early.
    """
    source = _Source(pieces)
    left = Counter(sizes.values())
    longest_delta = max(sizes.values(), default=0) + _DELTA_SPARE_BYTES
    by_offset: dict[int, bytes] = {}
    by_oid: dict[str, bytes] = {}
    for _ in range(_object_count(source, len(sizes))):
        offset = source.offset
        kind, size = source.type_and_size()
        if kind == _BLOB:
            _claim(left, size)
            data = source.inflate(size)
        else:
            base = _base(source, kind, offset, by_offset, by_oid)
            if size > longest_delta:
                raise garbled()
            data = apply_delta(base, source.inflate(size), left)
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        if oid not in sizes:
            raise garbled()
        by_offset[offset] = by_oid[oid] = data
        yield oid, data


def apply_delta(base: bytes, delta: bytes, left: Counter[int]) -> bytes:
    """The object that ``delta`` makes of ``base``; its size is taken out of ``left``.

    Raises:
        GarbledError: the delta is for another base or leads out of it, or its
            size is not among ``left``.
    """
    try:
        base_size, at = _varint(delta, 0)
        size, at = _varint(delta, at)
        if base_size != len(base):
            raise garbled()
        _claim(left, size)
        found = bytearray()
        while at < len(delta):
            piece, at = _delta_piece(base, delta, at)
            found += piece
            if len(found) > size:
                raise garbled()
    except IndexError:
        raise garbled() from None
    if len(found) != size:
        raise garbled()
    return bytes(found)


def _delta_piece(base: bytes, delta: bytes, at: int) -> tuple[bytes, int]:
    """What the instruction at ``at`` adds, and where the next one is."""
    order = delta[at]
    at += 1
    if not order & 0x80:
        piece = delta[at : at + order]
        if order == 0 or len(piece) != order:
            raise garbled()
        return piece, at + order
    # Seven bits say which bytes of a 4-byte offset and a 3-byte size follow.
    values = [0] * 7
    for number in range(7):
        if order >> number & 1:
            values[number] = delta[at]
            at += 1
    offset = int.from_bytes(values[:4], "little")
    size = int.from_bytes(values[4:], "little") or _SPECIAL_COPY_BYTES
    if offset + size > len(base):
        raise garbled()
    return base[offset : offset + size], at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A size in groups of seven bits, lowest first, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
        shift += 7
        if shift > _LONGEST_SHIFT:
            raise garbled()


def _claim(left: Counter[int], size: int) -> None:
    if left[size] <= 0:
        raise garbled()
    left[size] -= 1


def _object_count(source: _Source, limit: int) -> int:
    head = source.take(_HEADER_BYTES)
    count = int.from_bytes(head[8:], "big")
    if head[:4] != b"PACK" or head[4:8] not in (b"\0\0\0\2", b"\0\0\0\3") or count > limit:
        raise garbled()
    return count


def _base(
    source: _Source,
    kind: int,
    offset: int,
    by_offset: Mapping[int, bytes],
    by_oid: Mapping[str, bytes],
) -> bytes:
    """The object a delta builds on. Writers of packs put it first."""
    if kind == _OFFSET_DELTA:
        base = by_offset.get(offset - source.back_offset())
    elif kind == _REF_DELTA:
        base = by_oid.get(source.take(_OID_BYTES).hex())
    else:
        raise garbled()
    if base is None:
        raise garbled()
    return base


class _Source:
    """The bytes of a pack, taken from its pieces one after the other."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = b""
        self._at = 0
        self._before = 0

    @property
    def offset(self) -> int:
        """Bytes taken so far."""
        return self._before + self._at

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes, a few."""
        while len(self._held) - self._at < count:
            self._more()
        self._at += count
        return self._held[self._at - count : self._at]

    def type_and_size(self) -> tuple[int, int]:
        """Three bits of type; a size of which four bits come first, then seven a byte."""
        byte = self.take(1)[0]
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            if shift > _LONGEST_SHIFT:
                raise garbled()
            byte = self.take(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
        return kind, size

    def back_offset(self) -> int:
        """How far back the base of a delta begins; seven bits a byte, highest first."""
        byte = self.take(1)[0]
        value = byte & 0x7F
        while byte & 0x80:
            if value >> _LONGEST_SHIFT:
                raise garbled()
            byte = self.take(1)[0]
            value = (value + 1) << 7 | byte & 0x7F
        return value

    def inflate(self, size: int) -> bytes:
        """The ``size`` bytes that are deflated next; never makes more than one byte beyond."""
        engine = zlib.decompressobj()
        parts: list[bytes] = []
        found = 0
        # What zlib does not use is copied back to us, so it gets no more than it can need.
        bound = size + (size >> 9) + 64
        while not engine.eof:
            if self._at == len(self._held):
                self._more()
            piece = self._held[self._at : self._at + bound]
            try:
                parts.append(engine.decompress(piece, size + 1 - found))
            except zlib.error:
                raise garbled() from None
            found += len(parts[-1])
            if found > size:
                raise garbled()
            self._at += len(piece) - len(engine.unused_data) - len(engine.unconsumed_tail)
        if found != size:
            raise garbled()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _more(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise ended_early()
        self._before += self._at
        self._held = self._held[self._at :] + piece
        self._at = 0
