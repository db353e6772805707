"""Whether every file of a repository can be read, without copying anything.

``inspect`` reads headers only. This opens every file: a start is enough to
learn that the hub serves it and that it is no pointer left by a broken mirror;
``deep`` reads all bytes and compares them with what the listing promises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hubferry.control import call
from hubferry.errors import AccessError, CopyError, RateLimitedError, Side, UnavailableError
from hubferry.events import FileFinished, FileProgress, FileStarted, StepStarted
from hubferry.hubs.base import ByteStream
from hubferry.model import FileEntry, Listing, RepoInfo
from hubferry.outcome import ErrorRecord
from hubferry.stream import (
    LFS_POINTER_MAX_BYTES,
    ResumingReader,
    digest_stream,
    read_content,
    refuse_lfs_pointer,
)
from hubferry.survey import Tools, expect, opener

HEAD_BYTES = LFS_POINTER_MAX_BYTES
"""How much of a file is read: enough to tell a pointer from a file, far from a payload."""

_LASTING = (AccessError, RateLimitedError, UnavailableError)
"""After all tries these hold for the next file too: going on would only take long."""


@dataclass(frozen=True, slots=True)
class ReadReport:
    """What reading found. ``read_bytes`` counts repeats; ``is_deep``: every byte was read."""

    files: int
    read_bytes: int
    is_deep: bool
    errors: tuple[ErrorRecord, ...]


def check_readable(info: RepoInfo, listing: Listing, tools: Tools, *, is_deep: bool) -> ReadReport:
    """Open every file of a pinned listing; memory is one block for each worker.

    Raises:
        CopyError: the hub is down, limits us or forbids reading, after all tries.
        CancelledError: someone asked to stop.
    """
    tools.observe(StepStarted("verify"))
    check = partial(_read_whole if is_deep else _read_head, info, tools)
    errors: list[ErrorRecord] = []
    for outcome in tools.engine.run(iter(listing.entries), check, tools.cancel):
        if outcome.error is None:
            continue
        if not isinstance(outcome.error, CopyError):
            raise outcome.error
        error = outcome.error.at(
            side=Side.SOURCE, step="read", repo=str(info.repo), path=outcome.task.path
        )
        if isinstance(error, _LASTING):
            raise error
        errors.append(ErrorRecord.of(error))
    tools.cancel.check()
    errors.sort(key=lambda record: record.path or "")
    return ReadReport(len(listing.entries), tools.traffic.read_bytes, is_deep, tuple(errors))


def _read_head(info: RepoInfo, tools: Tools, entry: FileEntry) -> None:
    end = min(entry.size_bytes, HEAD_BYTES)
    if end == 0:
        return
    block = bytearray(end)
    reader = ResumingReader(_ranged(info, tools, entry, end), end, tools.patience(Side.SOURCE))
    try:
        tools.traffic.read(reader.readinto(memoryview(block)))
    finally:
        reader.close()
    if entry.size_bytes < LFS_POINTER_MAX_BYTES:
        refuse_lfs_pointer(entry.path, block)


def _ranged(
    info: RepoInfo, tools: Tools, entry: FileEntry, end: int
) -> Callable[[int], ByteStream]:
    # Without the end a hub would start to send, and some clients to buffer, the whole file.
    return lambda start: tools.source.open(info, entry, start, end)


def _read_whole(info: RepoInfo, tools: Tools, entry: FileEntry) -> None:
    tools.observe(FileStarted(entry.path, entry.size_bytes))
    done = 0

    def count(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        tools.traffic.read(size_bytes)
        tools.observe(FileProgress(entry.path, done))

    def read() -> None:
        nonlocal done
        done = 0
        is_small = entry.size_bytes < LFS_POINTER_MAX_BYTES
        reading = read_content if is_small else digest_stream
        open_at = opener(tools.source, info, entry)
        reading(expect(entry), open_at, tools.patience(Side.SOURCE), count)

    try:
        call(tools.patience(Side.SOURCE), read)
    except CopyError as error:
        tools.observe(FileFinished(entry.path, entry.size_bytes, error=error))
        raise
    tools.observe(FileFinished(entry.path, entry.size_bytes))
