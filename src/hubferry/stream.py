"""Bytes on the move, checked.

A reader here survives drops (it reopens at its offset), counts, hashes, and
holds back the end: the last block is handed on only after size and digests
agree, so a corrupt source can never complete an upload under a good digest.
Where the bytes come from is a ``BlockSource``: one connection here, several in
``window``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from hubferry.control import Patience
from hubferry.errors import (
    CopyError,
    CorruptReadError,
    IntegrityError,
    RateLimitedError,
    Side,
    UnavailableError,
)
from hubferry.model import GitOid, Sha256
from hubferry.text import T
from hubferry.throttle import Throttle

BLOCK_BYTES = 1024 * 1024
"""Measured: below 256 KiB system calls dominate, above 1 MiB nothing is gained."""

LFS_POINTER_START = b"version https://git-lfs.github.com/spec/v1\n"
LFS_POINTER_MAX_BYTES = 1024
"""Source: Git LFS specification, docs/spec.md in git-lfs/git-lfs ("less than 1024 bytes")."""


class OpenStream(Protocol):
    """An open read, as the hub ports define it."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill from the start; 0 at the end."""

    def close(self) -> None:
        """Let go."""


OpenAt = Callable[[int], OpenStream]
"""Opens the file's bytes from an offset to its end."""

OpenRange = Callable[[int, int | None], OpenStream]
"""Opens bytes ``start`` to ``end`` (exclusive; None: the file's end)."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the bytes must be. Digests that nobody promised are None."""

    path: str
    size_bytes: int
    sha256: Sha256 | None = None
    git_oid: GitOid | None = None


class Digester:
    """SHA-256 and, when asked for, the Git blob oid of the same bytes in one pass."""

    def __init__(self, size_bytes: int, *, with_git: bool) -> None:
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(usedforsecurity=False) if with_git else None
        if self._git is not None:
            self._git.update(b"blob %d\0" % size_bytes)

    def update(self, block: memoryview | bytes | bytearray) -> None:
        """Take in the next bytes."""
        self._sha256.update(block)
        if self._git is not None:
            self._git.update(block)

    @property
    def sha256(self) -> Sha256:
        """SHA-256 of all bytes so far."""
        return Sha256(self._sha256.hexdigest())

    @property
    def git_oid(self) -> GitOid | None:
        """Git oid, if it was asked for."""
        return None if self._git is None else GitOid(self._git.hexdigest())


class ResumingReader:
    """Reads one file from start to end over as many connections as it takes.

    A drop or an early end reopens at the offset; the patience decides how
    often. A block's worth of progress earns the full patience again, so that a
    long file outlives any number of drops while a source that drips a byte
    before each drop does not.
    """

    def __init__(
        self,
        open_at: OpenAt,
        size_bytes: int,
        patience: Patience,
        *,
        on_read: Callable[[int], None] = lambda count: None,
        throttle: Throttle | None = None,
        start: int = 0,
    ) -> None:
        """``on_read`` hears of bytes as they arrive; ``throttle`` holds them to a limit."""
        self._open_at = open_at
        self._size = size_bytes
        self._patience = patience
        self._on_read = on_read
        self._throttle = throttle or Throttle()
        self._stream: OpenStream | None = None
        self._since_fault = 0
        self.offset = start

    def readinto(self, buffer: memoryview) -> int:
        """Fill ``buffer`` completely, or up to the file's end; 0 only at the end.

        Raises:
            CopyError: the patience is used up, or the run was cancelled.
        """
        wanted = min(len(buffer), self._size - self.offset)
        filled = 0
        while filled < wanted:
            self._patience.cancel.check()
            try:
                filled += self._some(buffer[filled:wanted])
            except (UnavailableError, RateLimitedError) as error:
                self.close()
                self._since_fault = 0
                self._patience.wait_after(error)
        return filled

    def _some(self, buffer: memoryview) -> int:
        if self._stream is None:
            self._stream = self._open_at(self.offset)
        granted = self._throttle.grant(len(buffer))
        count = self._stream.readinto(buffer[:granted])
        self._throttle.give_back(granted - count)
        if count == 0:
            raise UnavailableError(
                T("the source ended the transfer early, at byte {offset}", offset=self.offset)
            )
        self.offset += count
        self._on_read(count)
        self._since_fault += count
        if self._since_fault >= BLOCK_BYTES:
            self._patience.progressed()
        return count

    def has_trailing(self) -> bool:
        """True if the source sends more than the file's size; call at the end."""
        if self._stream is None:
            return False
        try:
            return self._stream.readinto(memoryview(bytearray(1))) > 0
        except (UnavailableError, RateLimitedError):
            # All bytes are here; a connection that breaks instead of ending is
            # no reason to read a large file again. The digests decide.
            return False

    def close(self) -> None:
        """Let go of the connection."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def is_lfs_pointer(content: bytes | bytearray | memoryview) -> bool:
    """True if the bytes are the text of a Git LFS pointer, not a file's content."""
    return (
        len(content) < LFS_POINTER_MAX_BYTES
        and bytes(content[: len(LFS_POINTER_START)]) == LFS_POINTER_START
    )


def refuse_lfs_pointer(path: str, content: bytes | bytearray | memoryview) -> None:
    """Raise IntegrityError if the "file" is the text of an LFS pointer.

    Such files are what a broken mirror upstream left behind: copying one
    would pass the rot on under a good digest.
    """
    if is_lfs_pointer(content):
        raise IntegrityError(
            T("the source holds the text of a Git LFS pointer instead of the file itself"),
            path=path,
            hint=T(
                "the source repository is broken: ask its owner to upload the real file, "
                "or leave it out with --exclude"
            ),
        )


class BlockSource(Protocol):
    """A file's bytes from start to end."""

    def blocks(self) -> Iterator[memoryview]:
        """All blocks in order, at most 1 MiB each and valid until the next is asked for.

        Raises:
            CopyError: the source does not give them.
        """

    def close(self) -> None:
        """Let go of connections; safe to repeat."""


class SerialBlocks:
    """A file read over one connection at a time, in the thread that wants it."""

    def __init__(self, reader: ResumingReader, size_bytes: int) -> None:
        self._reader = reader
        self._size = size_bytes

    def blocks(self) -> Iterator[memoryview]:
        """As :class:`BlockSource`; refuses a source that sends more than the size."""
        block = memoryview(bytearray(min(BLOCK_BYTES, max(1, self._size))))
        while self._reader.offset < self._size:
            count = self._reader.readinto(block)
            if self._reader.offset == self._size:
                _refuse_trailing(self._reader)
            yield block[:count]

    def close(self) -> None:
        """Let go of the connection."""
        self._reader.close()


@dataclass
class CheckedBody:
    """A file's bytes for one upload: counted, hashed, the end held back.

    Satisfies the hub ports' ``BlobBody``. ``open_blocks`` gives the bytes from
    the start, for each try anew; ``throttle`` holds what goes out to a limit.
    """

    expected: Expected
    open_blocks: Callable[[], BlockSource]
    on_progress: Callable[[int], None] = field(default=lambda done: None)
    throttle: Throttle = field(default_factory=Throttle)
    on_sent: Callable[[int], None] = field(default=lambda count: None)

    @property
    def size_bytes(self) -> int:
        """How many bytes ``chunks`` will give."""
        return self.expected.size_bytes

    @contextmanager
    def chunks(self) -> Iterator[Iterator[memoryview]]:
        """The bytes in pieces of at most 1 MiB, each valid until the next one is asked for."""
        source = self.open_blocks()
        try:
            yield throttled(self._blocks(source), self.throttle, self.on_sent)
        finally:
            source.close()

    def _blocks(self, source: BlockSource) -> Iterator[memoryview]:
        # The upload's HTTP client sees these errors pass through it; the side
        # keeps anyone above from blaming the target for them.
        try:
            yield from self._checked(source)
        except CopyError as error:
            raise error.at(side=Side.SOURCE, path=self.expected.path) from error.__cause__

    def _checked(self, source: BlockSource) -> Iterator[memoryview]:
        size, done = self.size_bytes, 0
        digester = Digester(size, with_git=self.expected.git_oid is not None)
        for block in source.blocks():
            digester.update(block)
            self.on_progress(done)
            done += len(block)
            if done == size:
                # Everything that must hold before the last block may go on.
                if size < LFS_POINTER_MAX_BYTES:
                    refuse_lfs_pointer(self.expected.path, block)
                check_digests(digester, self.expected)
            yield block
        if size == 0:
            check_digests(digester, self.expected)
        self.on_progress(size)


def throttled(
    blocks: Iterable[memoryview],
    throttle: Throttle,
    on_sent: Callable[[int], None] = lambda count: None,
) -> Iterator[memoryview]:
    """The same bytes in pieces no larger than may pass now; ``on_sent`` hears of each after it."""
    for block in blocks:
        done = 0
        while done < len(block):
            count = throttle.grant(len(block) - done)
            yield block[done : done + count]
            done += count
            on_sent(count)


def _refuse_trailing(reader: ResumingReader) -> None:
    if reader.has_trailing():
        raise CorruptReadError(T("the source sent more bytes than its listing says"))


def check_digests(digester: Digester, expected: Expected) -> None:
    """Raise CorruptReadError unless every promised digest agrees."""
    is_good = (expected.sha256 is None or digester.sha256 == expected.sha256) and (
        expected.git_oid is None or digester.git_oid == expected.git_oid
    )
    if not is_good:
        raise CorruptReadError(
            T("the bytes read are not the ones the source's listing promises (digest differs)"),
            path=expected.path,
            hint=T(
                "nothing wrong was uploaded; if it stays so, the source's copy is damaged or "
                "something on the way changes the bytes (a proxy, a mirror)"
            ),
        )


@dataclass(frozen=True, slots=True)
class Content:
    """A small file held in memory, with both digests."""

    data: bytes = field(repr=False)
    sha256: Sha256
    git_oid: GitOid


def read_content(
    expected: Expected,
    open_at: OpenAt,
    patience: Patience,
    on_read: Callable[[int], None] = lambda count: None,
    throttle: Throttle | None = None,
) -> Content:
    """Read a small file whole, checked; memory is its size.

    Raises:
        CorruptReadError: other bytes than promised (worth one more try).
        IntegrityError: the content is the text of an LFS pointer.
    """
    size = expected.size_bytes
    buffer = bytearray(size)
    if size:
        reader = ResumingReader(open_at, size, patience, on_read=on_read, throttle=throttle)
        try:
            reader.readinto(memoryview(buffer))
            _refuse_trailing(reader)
        finally:
            reader.close()
    return checked_content(expected, bytes(buffer))


def checked_content(expected: Expected, data: bytes) -> Content:
    """The bytes of a small file with their digests, if they are what was promised.

    Raises:
        CorruptReadError: other bytes than promised (worth one more try).
        IntegrityError: the content is the text of an LFS pointer.
    """
    if len(data) != expected.size_bytes:
        raise CorruptReadError(
            T("the source sent another number of bytes than its listing says"), path=expected.path
        )
    digester = Digester(len(data), with_git=True)
    digester.update(data)
    check_digests(digester, expected)
    refuse_lfs_pointer(expected.path, data)
    git_oid = digester.git_oid
    assert git_oid is not None
    return Content(data, digester.sha256, git_oid)


@dataclass
class MemoryBody:
    """The body of a blob that is in memory already (and was checked when it came)."""

    content: Content
    on_progress: Callable[[int], None] = field(default=lambda done: None)
    throttle: Throttle = field(default_factory=Throttle)

    @property
    def size_bytes(self) -> int:
        """How many bytes ``chunks`` will give."""
        return len(self.content.data)

    @contextmanager
    def chunks(self) -> Iterator[Iterator[memoryview]]:
        """The bytes in pieces of at most 1 MiB."""
        yield throttled(self._blocks(), self.throttle)

    def _blocks(self) -> Iterator[memoryview]:
        view = memoryview(self.content.data)
        for start in range(0, len(view), BLOCK_BYTES):
            self.on_progress(start)
            yield view[start : start + BLOCK_BYTES]
        self.on_progress(len(view))


def digest_stream(
    expected: Expected,
    open_at: OpenAt,
    patience: Patience,
    on_read: Callable[[int], None] = lambda count: None,
    throttle: Throttle | None = None,
) -> tuple[Sha256, GitOid]:
    """Read a file of any size for its digests only; memory is one block.

    Raises:
        CorruptReadError: other bytes than promised (worth one more try).
    """
    size = expected.size_bytes
    digester = Digester(size, with_git=True)
    reader = ResumingReader(open_at, size, patience, on_read=on_read, throttle=throttle)
    source = SerialBlocks(reader, size)
    try:
        for block in source.blocks():
            digester.update(block)
    finally:
        source.close()
    check_digests(digester, expected)
    git_oid = digester.git_oid
    assert git_oid is not None
    return digester.sha256, git_oid
