"""The Xet data format: hashes of chunks, xorbs and files, and xorbs laid out by arithmetic.

A file is cut into chunks, chunks are packed into xorbs, and a Merkle tree over the chunk hashes
names both. The real client cuts by content; here every chunk but the last has the same size, so any
byte of any xorb is found by division and no xorb is ever built whole. A reader cannot tell: the
boundaries are in the chunk headers, and readers do not cut again.

Sources: "Hashing" and "Xorb Formation & Serialization Format" in huggingface/hub-docs (docs/xet);
``aggregated_hashes.rs`` in huggingface/xet-core. ``tests/lab/test_lab_xet.py`` compares the hashes
with those that hf_xet itself writes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from blake3 import blake3

CHUNK_BYTES = 64 * 1024
"""The protocol's target chunk size."""

CHUNKS_PER_XORB = 1008
"""63 MiB of data: whole MiB, and under the protocol's 64 MiB with all chunk headers."""

CHUNK_HEADER_BYTES = 8
XORB_BYTES = CHUNK_BYTES * CHUNKS_PER_XORB
STORED_CHUNK_BYTES = CHUNK_HEADER_BYTES + CHUNK_BYTES
EMPTY_HASH = "0" * 64
"""The file hash of no bytes at all."""

# Both keys are given in the specification, "Hashing", as lists of byte values.
_DATA_KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
_INTERNAL_NODE_KEY = bytes.fromhex(
    "017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f"
)
_FILE_KEY = bytes(32)

_READ_BYTES = 16 * CHUNK_BYTES
_MEAN_BRANCHING = 4
_MAX_CHILDREN = 2 * _MEAN_BRANCHING + 1

Node = tuple[bytes, int]
"""A hash (32 raw bytes) and the size in bytes of the data below it."""


class Readable(Protocol):
    """What the format needs of a content: its size and any part of it."""

    @property
    def size(self) -> int:
        """Size in bytes."""

    def read(self, start: int, end: int) -> bytes | bytearray | memoryview:
        """Return the bytes from ``start`` up to, not including, ``end``."""


def hash_text(raw: bytes) -> str:
    """Return a raw hash as text: four little-endian 64-bit numbers in hex, not byte by byte."""
    return "{:016x}{:016x}{:016x}{:016x}".format(*struct.unpack("<4Q", raw))


def chunk_hash(data: bytes | bytearray | memoryview) -> bytes:
    """Return the raw hash of one chunk's uncompressed bytes."""
    return blake3(data, key=_DATA_KEY).digest()


def merkle_root(nodes: list[Node]) -> bytes:
    """Return the raw root hash over chunk nodes in file order; the xorb hash of those chunks."""
    if not nodes:
        return bytes(32)
    while len(nodes) > 1:
        nodes = list(_parents(nodes))
    return nodes[0][0]


def file_hash(nodes: list[Node]) -> str:
    """Return the Xet file id (64 hex) of a file made of these chunks."""
    if not nodes:
        return EMPTY_HASH
    return hash_text(blake3(merkle_root(nodes), key=_FILE_KEY).digest())


def _parents(nodes: list[Node]) -> Iterator[Node]:
    start = 0
    while start < len(nodes):
        end = _next_cut(nodes, start)
        yield _merge(nodes[start:end])
        start = end


def _next_cut(nodes: list[Node], start: int) -> int:
    """Return where a group of children that begins at ``start`` ends: 3 to 9 of them."""
    remaining = len(nodes) - start
    if remaining <= 2:
        return len(nodes)
    last = min(_MAX_CHILDREN, remaining)
    for offset in range(2, last):
        # "hash % 4" takes the last of the four little-endian numbers, so its lowest byte is [24].
        if nodes[start + offset][0][24] % _MEAN_BRANCHING == 0:
            return start + offset + 1
    return start + last


def _merge(children: list[Node]) -> Node:
    lines = "".join(f"{hash_text(raw)} : {size}\n" for raw, size in children)
    total = sum(size for _, size in children)
    return blake3(lines.encode(), key=_INTERNAL_NODE_KEY).digest(), total


@dataclass(frozen=True)
class Term:
    """One run of chunks of one xorb, as a reconstruction names it.

    ``first_chunk`` is inclusive, ``end_chunk`` exclusive; ``byte_start`` inclusive and ``byte_end``
    exclusive count stored bytes (headers included) within the xorb.
    """

    xorb_index: int
    first_chunk: int
    end_chunk: int
    unpacked_bytes: int

    @property
    def byte_start(self) -> int:
        """Where the first chunk's header begins in the xorb."""
        return self.first_chunk * STORED_CHUNK_BYTES

    @property
    def byte_end(self) -> int:
        """Where the last chunk's data ends in the xorb."""
        chunks = self.end_chunk - self.first_chunk
        return self.byte_start + chunks * CHUNK_HEADER_BYTES + self.unpacked_bytes

    def join(self, other: Term) -> Term:
        """Return the shortest run of the same xorb that holds both."""
        last = max(self, other, key=lambda term: term.end_chunk)
        first_chunk = min(self.first_chunk, other.first_chunk)
        skipped_bytes = (last.first_chunk - first_chunk) * CHUNK_BYTES
        return Term(
            last.xorb_index, first_chunk, last.end_chunk, last.unpacked_bytes + skipped_bytes
        )


class XetFile:
    """A file as chunks and xorbs, without its bytes: 32 bytes per chunk, 10 MiB for 20 GiB.

    Safe to use from several threads.
    """

    def __init__(self, size_bytes: int, digests: bytes) -> None:
        self.size_bytes = size_bytes
        self._digests = digests
        self._xorb_hashes: dict[int, str] = {}
        self.hash = file_hash(self._nodes(0, -(-size_bytes // CHUNK_BYTES)))

    @classmethod
    def of(cls, content: Readable) -> XetFile:
        """Read and hash a whole content, 1 MiB at a time."""
        digests = bytearray()
        for start in range(0, content.size, _READ_BYTES):
            data = memoryview(content.read(start, min(start + _READ_BYTES, content.size)))
            for offset in range(0, len(data), CHUNK_BYTES):
                digests += chunk_hash(data[offset : offset + CHUNK_BYTES])
        return cls(content.size, bytes(digests))

    def xorb_hash(self, index: int) -> str:
        """Return the hash (64 hex) of one of the file's xorbs."""
        known = self._xorb_hashes.get(index)
        if known is None:
            first = index * CHUNKS_PER_XORB
            root = merkle_root(self._nodes(first, first + CHUNKS_PER_XORB))
            known = self._xorb_hashes[index] = hash_text(root)
        return known

    def terms(self, start: int, end: int) -> list[Term]:
        """Return the runs of whole chunks that cover bytes ``start`` to ``end`` (exclusive)."""
        first, last = start // XORB_BYTES, (end - 1) // XORB_BYTES
        return [self._term(index, start, end) for index in range(first, last + 1)]

    def _term(self, index: int, start: int, end: int) -> Term:
        base = index * XORB_BYTES
        first_chunk = max(0, start - base) // CHUNK_BYTES
        stop = min(end - base, XORB_BYTES)
        end_chunk = -(-stop // CHUNK_BYTES)
        data_end = min(base + end_chunk * CHUNK_BYTES, self.size_bytes)
        return Term(index, first_chunk, end_chunk, data_end - base - first_chunk * CHUNK_BYTES)

    def _nodes(self, first: int, end: int) -> list[Node]:
        """Return the nodes of chunks ``first`` to ``end`` (exclusive; may lie past the last)."""
        return [
            (
                self._digests[32 * number : 32 * number + 32],
                min(CHUNK_BYTES, self.size_bytes - number * CHUNK_BYTES),
            )
            for number in range(first, min(end, len(self._digests) // 32))
        ]


class Xorb:
    """A xorb of a content that is never built: chunks with headers, no footer.

    The footer is optional for readers, who are only ever given ranges of whole chunks.
    """

    def __init__(self, content: Readable, index: int) -> None:
        self._content = content
        self._start = index * XORB_BYTES
        self._end = min(self._start + XORB_BYTES, content.size)

    @property
    def size(self) -> int:
        """Stored size in bytes, chunk headers included."""
        data = self._end - self._start
        return data + -(-data // CHUNK_BYTES) * CHUNK_HEADER_BYTES

    def read(self, start: int, end: int) -> bytes:
        """Return the stored bytes ``start`` to ``end`` (exclusive), computed when asked for."""
        first = start // STORED_CHUNK_BYTES
        stored = self._stored_chunks(first, -(-end // STORED_CHUNK_BYTES))
        skip = first * STORED_CHUNK_BYTES
        return stored[start - skip : end - skip]

    def _stored_chunks(self, first: int, end: int) -> bytes:
        stop = min(self._start + end * CHUNK_BYTES, self._end)
        data = memoryview(self._content.read(self._start + first * CHUNK_BYTES, stop))
        pieces: list[bytes | memoryview] = []
        for offset in range(0, len(data), CHUNK_BYTES):
            chunk = data[offset : offset + CHUNK_BYTES]
            pieces += (_header(len(chunk)), chunk)
        return b"".join(pieces)


def _header(size: int) -> bytes:
    """Return a chunk header: version 0, stored size, scheme 0 (uncompressed), size; 24-bit LE."""
    length = size.to_bytes(3, "little")
    return b"\x00" + length + b"\x00" + length
