"""The source's bytes for whoever needs them: one blob for an upload, small files in one go.

A blob is read through a window of connections, and through the spool where its
setting allows and a broken upload made it worth while; small ones over one
connection.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from hubferry.control import call
from hubferry.errors import (
    CopyError,
    CorruptReadError,
    IntegrityError,
    RateLimitedError,
    Side,
    SpoolError,
    UnavailableError,
)
from hubferry.events import FileProgress, Note
from hubferry.hubs.base import BlobBody
from hubferry.model import FileEntry, RepoInfo, Sha256
from hubferry.spool import SpoolFile, SpoolMode
from hubferry.stream import (
    BlockSource,
    CheckedBody,
    Content,
    checked_content,
)
from hubferry.survey import Tools, expect
from hubferry.text import T, Text
from hubferry.window import Window

BULK_FILES = 256
"""Small files read in one go: what fits into a commit, so that commits can start early."""

BULK_LIMITS = 3
BULK_WAIT_SECONDS = 60.0
"""So often, and so long at a time, a limit on reading many at once is waited for."""

SMALL_BYTES = 4 * 1024 * 1024
"""Up to this size a blob is read over one connection, and not worth a place in the spool."""

Item = TypeVar("Item")


class Shelter:
    """Spooled files of one run: open while they are of use, removed when they are not."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._lock = threading.Lock()
        self._done: dict[Sha256, SpoolFile] = {}
        self._told: set[str] = set()

    def open(self, sha256: Sha256, size_bytes: int, *, has_failed: bool) -> SpoolFile | None:
        """Where this blob's bytes are kept, if the setting and the room allow it."""
        spool = self._tools.spool
        if spool is None or size_bytes <= SMALL_BYTES:
            return None
        if not (spool.mode is SpoolMode.ALWAYS or has_failed or spool.has(sha256)):
            return None
        with self._lock:
            again = self._done.pop(sha256, None)
        if again is not None:
            return again  # sent, and then not held by the target: it is sent once more
        refusals: list[Text] = []
        found = spool.open(sha256, size_bytes, refusals.append)
        if found is None and self._done:
            # What the target holds needs its room no longer.
            self.committed(list(self._done))
            found = spool.open(sha256, size_bytes, refusals.append)
        if found is None:
            self._tell(refusals[-1])
        return found

    def failed(self, error: SpoolError) -> None:
        """The disk is full or broken; the copy goes on without it."""
        self._tell(T("the spool is not used any more for this file: {reason}", reason=error))

    def sent(self, sha256: Sha256, file: SpoolFile) -> None:
        """The target took it; keep it until the commit that names it."""
        with self._lock:
            self._done[sha256] = file

    def committed(self, digests: Sequence[Sha256]) -> None:
        """The target shows these blobs."""
        with self._lock:
            files = [self._done.pop(digest) for digest in digests if digest in self._done]
        for file in files:
            file.remove()

    def close(self) -> None:
        """Nothing that was sent stays on the disk."""
        self.committed(list(self._done))

    def _tell(self, reason: Text) -> None:
        if str(reason) not in self._told:
            self._told.add(str(reason))
            self._tools.observe(Note("warning", reason))


class BlobReading:
    """One blob's bytes, for as many tries of its upload as it takes. A context manager."""

    def __init__(self, tools: Tools, info: RepoInfo, entry: FileEntry, shelter: Shelter) -> None:
        """``entry`` tells the SHA-256."""
        assert entry.sha256 is not None, "a blob is named by its digest"
        self._tools = tools
        self._info = info
        self._entry = entry
        self._sha256 = entry.sha256
        self._shelter = shelter
        self._has_failed = False
        self._spool_failed = False
        self._is_resumed = False
        self._had_rot = False
        self._file: SpoolFile | None = None
        self._window: Window | None = None

    def __enter__(self) -> BlobReading:
        return self

    def __exit__(self, *exc: object) -> None:
        self._leave_window()
        if self._file is not None:
            self._file.close()  # kept for a later run

    def body(self) -> BlobBody:
        """The bytes for the next try."""
        entry, tools = self._entry, self._tools

        def progress(done: int) -> None:
            tools.observe(FileProgress(entry.path, done))

        return CheckedBody(
            expect(entry), self._open_blocks, progress, tools.sent_throttle, tools.uploads.moved
        )

    def failed(self, error: CopyError) -> bool:
        """A try ended so; True if the next one may begin at once, without counting this one."""
        if isinstance(error, SpoolError):
            self._shelter.failed(error)
            self._spool_failed = True
            self._forget_spooled()
            return True
        if isinstance(error, CorruptReadError):
            # Bytes of an earlier run may have rotted on the disk: that is not the source's
            # fault, once.
            is_rot = self._is_resumed and not self._had_rot
            self._had_rot |= is_rot
            self._is_resumed = False
            self._forget_spooled()
            return is_rot
        self._has_failed |= error.side is not Side.SOURCE
        return False

    def sent(self) -> None:
        """The target holds the blob."""
        self._leave_window()
        if self._file is not None:
            self._shelter.sent(self._sha256, self._file)
            self._file = None

    def _forget_spooled(self) -> None:
        self._leave_window()
        if self._file is not None:
            self._file.remove()
            self._file = None

    def _leave_window(self) -> None:
        if self._window is not None:
            self._window.close()
            self._window = None

    def _open_blocks(self) -> BlockSource:
        if self._file is None and not self._spool_failed:
            self._file = self._shelter.open(
                self._sha256, self._entry.size_bytes, has_failed=self._has_failed
            )
            self._is_resumed = self._file is not None and self._file.present_bytes > 0
        if self._file is None:
            return self._open_window(None)
        # Over a spooled file the connections go on reading between two tries.
        if self._window is None:
            self._window = self._open_window(self._file)
        return _Lasting(self._window)

    def _open_window(self, file: SpoolFile | None) -> Window:
        tools, entry = self._tools, self._entry

        is_small = entry.size_bytes <= SMALL_BYTES

        def is_ranged() -> bool:
            return not is_small and tools.source.reads_ranges(entry)

        return Window(
            partial(tools.source.open, self._info, entry),
            entry.size_bytes,
            tools.patience(Side.SOURCE),
            tools.lanes,
            is_ranged=is_ranged,
            throttle=tools.read_throttle,
            on_read=tools.traffic.read,
            spooled=file,
            # A stream that is not ranged may skip what it was not asked for, or look
            # after itself (Xet).
            is_watched=lambda: tools.source.reads_ranges(entry) or is_small,
        )


class _Lasting:
    """A window that outlives the try it is read for."""

    def __init__(self, window: Window) -> None:
        self._window = window

    def blocks(self) -> Iterator[memoryview]:
        """From the start again."""
        return self._window.blocks()

    def close(self) -> None:
        """Left to its owner."""


@dataclass(frozen=True, slots=True)
class BulkLimits:
    """What one call for many small files may be about."""

    files: int
    size_bytes: int


def bulk_limits(tools: Tools) -> BulkLimits | None:
    """The source's limits for reading many files in one go; None if it has no such way."""
    traits = tools.source.traits
    if not (traits.bulk_files and traits.bulk_bytes):
        return None
    return BulkLimits(min(traits.bulk_files, BULK_FILES), traits.bulk_bytes)


def take_batch(
    queue: deque[Item], size_of: Callable[[Item], int], limits: BulkLimits
) -> list[Item]:
    """Take as many from the front as one call may be about; one at least."""
    batch = [queue.popleft()]
    total = size_of(batch[0])
    while queue and len(batch) < limits.files:
        total += size_of(queue[0])
        if total > limits.size_bytes:
            break
        batch.append(queue.popleft())
    return batch


def drop_spooled(tools: Tools, entries: Iterable[FileEntry]) -> None:
    """Remove what the spool keeps of files that the target was seen to hold."""
    spool = tools.spool
    if spool is None or not spool.policy.folder.is_dir():
        return
    for entry in entries:
        if entry.sha256 is not None and entry.size_bytes > SMALL_BYTES and spool.has(entry.sha256):
            file = spool.open(entry.sha256, entry.size_bytes)
            if file is not None:
                file.remove()


def read_bulk(
    tools: Tools, info: RepoInfo, entries: Sequence[FileEntry]
) -> dict[str, Content | CopyError]:
    """Small files in a few requests, checked, by path.

    What is missing from the answer, or came damaged, is to be read alone. What
    came before a fault is not asked for again.

    Raises:
        CopyError: the hub cannot be read now, nothing came, and the patience is used up.
    """
    found: dict[str, Content | CopyError] = {}
    damaged: set[str] = set()
    limits = 0

    def read() -> None:
        nonlocal limits
        try:
            read_left()
        except RateLimitedError as error:
            # This way may have a limit of its own while single files are served.
            limits += 1
            if limits < BULK_LIMITS and (error.retry_after_seconds or 0.0) <= BULK_WAIT_SECONDS:
                raise
            given_up = UnavailableError(error.message, request_id=error.request_id)
            given_up.is_final = True
            raise given_up from error

    def read_left() -> None:
        left = [e for e in entries if e.path not in found and e.path not in damaged]
        for entry, data in tools.source.read_many(info, left):
            tools.traffic.read(len(data))
            tools.read_throttle.take(len(data))
            try:
                found[entry.path] = checked_content(expect(entry), data)
            except CorruptReadError:
                damaged.add(entry.path)
            except IntegrityError as error:
                found[entry.path] = error.at(side=Side.SOURCE, path=entry.path)

    try:
        call(tools.patience(Side.SOURCE), read)
    except UnavailableError as error:
        if not found:
            raise error.at(side=Side.SOURCE) from error.__cause__
    except CopyError as error:
        raise error.at(side=Side.SOURCE) from error.__cause__
    return found
