"""One content to the target: the handler that an engine runs in its workers.

A task is a content, whichever paths want it. Handling it twice does no harm:
the target is asked before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hubferry.control import call
from hubferry.errors import CancelledError, CopyError, Side
from hubferry.events import FileFinished, FileProgress, FileStarted
from hubferry.hubs.base import BlobBody, UploadTicket
from hubferry.model import Blob, FileEntry, GitOid, RepoInfo, Sha256
from hubferry.stream import CheckedBody, Content, MemoryBody, digest_stream, read_content
from hubferry.survey import BUFFER_BYTES, Survey, Tools, expect, opener


@dataclass(frozen=True, slots=True)
class SendTask:
    """One content to bring over; ``entry`` is one of the source paths that hold it."""

    key: str
    entry: FileEntry
    is_inline: bool
    is_stored: bool = False
    """The target said that it holds this blob."""


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
        tools = self._tools
        open_at = opener(tools.source, self._found.source, entry)
        try:
            return call(
                tools.patience(Side.SOURCE),
                lambda: read_content(
                    expect(entry), open_at, tools.patience(Side.SOURCE), tools.traffic.read
                ),
            )
        except CopyError as error:
            raise error.at(side=Side.SOURCE) from error.__cause__

    def _send_blob(self, entry: FileEntry) -> Delivered:
        sha256, git_oid, content = entry.sha256, entry.git_oid, None
        if sha256 is None:
            sha256, git_oid, content = self._find_digest(entry)
        body = self._body(replace(entry, sha256=sha256), content)
        was_sent = self._put(Blob(sha256, entry.size_bytes), body)
        return Delivered(sha256, git_oid, was_sent=was_sent)

    def _find_digest(self, entry: FileEntry) -> tuple[Sha256, GitOid | None, Content | None]:
        """A target asks for a blob's digest before its bytes; find one nobody told."""
        if entry.size_bytes <= BUFFER_BYTES:
            content = self._take(entry)
            return content.sha256, content.git_oid, content
        tools = self._tools
        open_at = opener(tools.source, self._found.source, entry)
        try:
            sha256, git_oid = call(
                tools.patience(Side.SOURCE),
                lambda: digest_stream(
                    expect(entry), open_at, tools.patience(Side.SOURCE), tools.traffic.read
                ),
            )
        except CopyError as error:
            raise error.at(side=Side.SOURCE) from error.__cause__
        return sha256, git_oid, None

    def _body(self, entry: FileEntry, content: Content | None) -> BlobBody:
        def progress(done: int) -> None:
            self._tools.observe(FileProgress(entry.path, done))

        if content is not None:
            return MemoryBody(content, progress)
        return CheckedBody(
            expect(entry),
            opener(self._tools.source, self._found.source, entry),
            self._tools.patience(Side.SOURCE),
            progress,
            self._tools.traffic.read,
        )

    def _ask(self, blob: Blob) -> UploadTicket | None:
        patience = self._tools.patience(Side.TARGET)
        target = self._tools.target
        return call(patience, lambda: target.missing_blobs(self._target(), [blob])).get(blob.sha256)

    def _put(self, blob: Blob, body: BlobBody) -> bool:
        """Send a blob unless the target holds it; True if bytes were sent.

        A ticket is asked for just before each try: its address is short-lived,
        and an upload whose answer was lost shows up as stored.
        """
        target, patience = self._tools.target, self._tools.patience(Side.TARGET)
        while True:
            patience.cancel.check()
            try:
                ticket = self._ask(blob)
                if ticket is None:
                    return False
                target.put_blob(self._target(), ticket, body)
            except CopyError as error:
                patience.wait_after(error)
            else:
                self._tools.traffic.sent(blob.size_bytes)
                return True
