"""Contents to the target: what an engine's workers do for a delivery.

A task is a content, whichever paths want it, or a batch of small ones.
Handling one twice does no harm: the target is asked before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from hubferry.control import GARBLED_SECONDS, call
from hubferry.errors import CancelledError, CopyError, ProtocolError, Side
from hubferry.events import FileFinished, FileProgress, FileStarted, Note
from hubferry.hubs.base import UploadTicket
from hubferry.model import Blob, FileEntry, GitOid, RepoInfo, Sha256
from hubferry.reading import BlobReading, Shelter, read_bulk
from hubferry.stream import Content, MemoryBody, digest_stream, read_content
from hubferry.survey import BUFFER_BYTES, Survey, Tools, expect, opener
from hubferry.text import T, Text

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class SendTask:
    """One content to bring over; ``entry`` is one of the source paths that hold it."""

    key: str
    entry: FileEntry
    is_inline: bool


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a task brought: the digest to commit, or the content that rides inside."""

    sha256: Sha256
    git_oid: GitOid | None = None
    content: Content | None = field(default=None, repr=False)
    was_sent: bool = False


class Sender:
    """Reads from the source and stores at the target; used from many threads."""

    def __init__(self, found: Survey, tools: Tools, target: Callable[[], RepoInfo]) -> None:
        """``target`` tells the target as it is now: its head moves with each commit."""
        self._found = found
        self._tools = tools
        self._target = target
        self.shelter = Shelter(tools)

    def deliver(self, task: SendTask) -> Delivered:
        """Bring one content over.

        Raises:
            CopyError: with side, step, repo and path filled in.
        """
        entry = task.entry
        self._tools.observe(FileStarted(entry.path, entry.size_bytes))
        try:
            done = self._read_inline(entry) if task.is_inline else self._send_blob(entry)
        except CopyError as error:
            self._place(error, task)
            if not isinstance(error, CancelledError):
                self._tools.observe(FileFinished(entry.path, entry.size_bytes, error=error))
            raise
        is_reused = not (done.was_sent or done.content)
        self._tools.observe(FileFinished(entry.path, entry.size_bytes, is_reused=is_reused))
        return done

    def read_small(self, tasks: Sequence[SendTask]) -> dict[str, Delivered | CopyError]:
        """Read many inline contents in few requests, by key; the rest is to be read alone.

        Raises:
            CopyError: the source cannot be read now.
        """
        kept = {task.key: self._found.kept.pop(task.entry.path, None) for task in tasks}
        wanted = [task.entry for task in tasks if kept[task.key] is None]
        try:
            came = read_bulk(self._tools, self._found.source, wanted) if wanted else {}
        except CopyError as error:
            self._place(error, tasks[0])
            raise
        done: dict[str, Delivered | CopyError] = {}
        for task in tasks:
            content = kept[task.key] or came.get(task.entry.path)
            if content is not None:
                done[task.key] = self._small_one(task, content)
        return done

    def stored(self, blobs: Sequence[Blob]) -> set[Sha256]:
        """Which of these blobs the target holds already; at most ``traits.blob_query_size``."""
        try:
            missing = self._missing(blobs)
        except CopyError as error:
            repo = str(self._found.target.repo)
            raise error.at(side=Side.TARGET, step="blobs", repo=repo) from error.__cause__
        return {blob.sha256 for blob in blobs if blob.sha256 not in missing}

    def _small_one(self, task: SendTask, content: Content | CopyError) -> Delivered | CopyError:
        entry = task.entry
        if isinstance(content, CopyError):
            self._place(content, task)
            self._tools.observe(FileFinished(entry.path, entry.size_bytes, error=content))
            return content
        self._tools.observe(FileFinished(entry.path, entry.size_bytes))
        return Delivered(content.sha256, content.git_oid, content)

    def _place(self, error: CopyError, task: SendTask) -> None:
        side = error.side or (Side.SOURCE if task.is_inline else Side.TARGET)
        repo = (self._found.source if side is Side.SOURCE else self._found.target).repo
        step = "read" if side is Side.SOURCE else "blobs"
        error.at(side=side, step=step, repo=str(repo), path=task.entry.path)

    def _read_inline(self, entry: FileEntry) -> Delivered:
        content = self._take(entry)
        return Delivered(content.sha256, content.git_oid, content)

    def _take(self, entry: FileEntry) -> Content:
        """A small file's content: kept from comparing, or read now."""
        kept = self._found.kept.pop(entry.path, None)
        if kept is not None:
            return kept
        return self._read(entry, read_content)

    def _read(self, entry: FileEntry, how: Callable[..., R]) -> R:
        tools = self._tools
        open_at = opener(tools.source, self._found.source, entry)

        def work() -> R:
            patience = tools.patience(Side.SOURCE)
            return how(expect(entry), open_at, patience, tools.traffic.read, tools.read_throttle)

        try:
            return call(tools.patience(Side.SOURCE), work)
        except CopyError as error:
            raise error.at(side=Side.SOURCE) from error.__cause__

    def _send_blob(self, entry: FileEntry) -> Delivered:
        if entry.sha256 is not None:
            return Delivered(entry.sha256, entry.git_oid, was_sent=self._put(entry, None))
        # A target asks for a blob's digest before its bytes; find one nobody told.
        if entry.size_bytes <= BUFFER_BYTES:
            content = self._take(entry)
            sha256, git_oid = content.sha256, content.git_oid
            was_sent = self._put(replace(entry, sha256=sha256), content)
            return Delivered(sha256, git_oid, was_sent=was_sent)
        sha256, git_oid = self._read(entry, digest_stream)
        was_sent = self._put(replace(entry, sha256=sha256), None)
        return Delivered(sha256, git_oid, was_sent=was_sent)

    def _missing(self, blobs: Sequence[Blob]) -> Mapping[Sha256, UploadTicket]:
        patience = self._tools.patience(Side.TARGET)
        target = self._tools.target
        return call(patience, lambda: target.missing_blobs(self._target(), blobs))

    def _put(self, entry: FileEntry, content: Content | None) -> bool:
        """Send a blob unless the target holds it; True if bytes were sent.

        A ticket is asked for just before each try: its address is short-lived,
        and an upload whose answer was lost shows up as stored.
        """
        assert entry.sha256 is not None
        tools, sha256 = self._tools, entry.sha256
        # In this order: whoever waits for a claim holds no slot, so whoever has one gets on.
        with tools.claims.holding(sha256, tools.cancel, lambda: self._tell_claimed(entry)) as late:
            if late and sha256 in self.stored([Blob(sha256, entry.size_bytes)]):
                return False
            with tools.slots.turn(self, tools.cancel, self._tell):
                return self._send(entry, content)

    def _tell_claimed(self, entry: FileEntry) -> None:
        self._tell(T("another copy sends what {path} holds; waiting for it", path=entry.path))

    def _tell(self, text: Text) -> None:
        self._tools.observe(Note("info", text))

    def _send(self, entry: FileEntry, content: Content | None) -> bool:
        assert entry.sha256 is not None
        blob = Blob(entry.sha256, entry.size_bytes)
        tools, patience = self._tools, self._tools.patience(Side.TARGET)
        with BlobReading(tools, self._found.source, entry, self.shelter) as reading:
            was_garbled = False
            while True:
                patience.cancel.check()
                try:
                    ticket = self._missing([blob]).get(blob.sha256)
                    if ticket is None:
                        return False
                    body = reading.body() if content is None else self._in_memory(entry, content)
                    tools.target.put_blob(self._target(), ticket, body)
                except ProtocolError:
                    # One senseless answer is a hiccup of something on the way; two are not.
                    if was_garbled:
                        raise
                    was_garbled = True
                    patience.cancel.sleep(GARBLED_SECONDS)
                except CopyError as error:
                    if not reading.failed(error):
                        patience.wait_after(error)
                else:
                    reading.sent()
                    tools.traffic.sent(blob.size_bytes)
                    return True

    def _in_memory(self, entry: FileEntry, content: Content) -> MemoryBody:
        def progress(done: int) -> None:
            self._tools.observe(FileProgress(entry.path, done))

        return MemoryBody(content, progress, self._tools.sent_throttle)
