"""Delivery: blobs and small files to the target, and the commits that name them.

One engine run carries everything. Tasks are pulled in commit order; contents
of small files wait in bounded memory until their commit; the thread that
consumes the outcomes makes the commits. A commit is made only after the target
was asked once more, in batches, whether it truly holds every blob it names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from hubferry.committing import Committer, Tally
from hubferry.control import call
from hubferry.errors import (
    AccessError,
    CancelledError,
    CopyError,
    IntegrityError,
    LedgerError,
    NotFoundError,
    QuotaError,
    RateLimitedError,
    Side,
    UnavailableError,
)
from hubferry.model import Blob, FileEntry
from hubferry.plan import Action, PlanEntry, group_for_commits
from hubferry.sending import Delivered, Sender, SendTask
from hubferry.survey import Survey, Tools
from hubferry.text import T

HELD_CONTENT_BYTES = 64 * 1024 * 1024
"""Small files read ahead of their commit, at most; above it only blobs are started."""

RESEND_ROUNDS = 3
"""How often a blob that the target took and then did not hold is sent again."""

NETWORK_DOWN_AFTER = 3
"""Files in a row that ended without a connection before the run stops trying."""


class Delivery:
    """Carries out the writing part of a plan; one use."""

    def __init__(
        self,
        entries: Sequence[PlanEntry],
        found: Survey,
        tools: Tools,
        message: Callable[[int, int], str],
        run_id: str,
    ) -> None:
        """``message`` gives the commit message for commit n of about m."""
        self.tally = Tally()
        self._found = found
        self._tools = tools
        traits = tools.target.traits
        self._groups = deque(
            group_for_commits(entries, traits.commit_max_changes, traits.commit_max_inline_bytes)
        )
        total = len(self._groups)
        self._committer = Committer(
            found, tools, self.tally, lambda number: message(number, max(number, total)), run_id
        )
        self._sender = Sender(found, tools, lambda: found.target)
        # Named once: a digest learned on the way must not rename a content.
        self._keys = {
            entry.path: _key(entry, self._source(entry), number)
            for number, group in enumerate(self._groups)
            for entry in group
            if entry.action is not Action.DELETE
        }
        self._tasks = self._make_tasks(entries)
        self._done: dict[str, Delivered | CopyError] = {}
        self._held_bytes = 0
        self._in_flight = 0
        self._outages = 0

    def run(self) -> None:
        """Deliver and commit everything.

        Files that fail are in ``tally.failures``; the others go on.

        Raises:
            CopyError: the run as a whole cannot go on (access, quota, limits,
                network down, cancelled). ``self.tally`` says what was done.
        """
        engine, cancel = self._tools.engine, self._tools.cancel
        for outcome in engine.run(self._schedule(), self._sender.deliver, cancel):
            self._in_flight -= 1
            self._settle(outcome.task, outcome.result, outcome.error)
            self._commit_ready()
        cancel.check()
        self._commit_ready()

    # --- tasks -----------------------------------------------------------------

    def _source(self, entry: PlanEntry) -> FileEntry:
        listed = self._found.source_listing.by_path[entry.path]
        return self._found.known.enrich(listed, is_source=True)

    def _make_tasks(self, entries: Sequence[PlanEntry]) -> deque[SendTask]:
        tasks: dict[str, SendTask] = {}
        for entry in entries:
            if entry.action is not Action.DELETE:
                key = self._keys[entry.path]
                is_stored = entry.action is Action.REUSE
                task = SendTask(key, self._source(entry), entry.is_inline, is_stored)
                tasks.setdefault(key, task)
        return deque(tasks.values())

    def _schedule(self) -> Iterator[SendTask | None]:
        """Tasks in commit order; None while read-ahead memory is full and work is in flight."""
        while self._tasks:
            is_full = self._held_bytes >= HELD_CONTENT_BYTES and self._in_flight > 0
            task = self._next_task(blobs_only=is_full)
            if task is None:
                yield None
            elif task.is_stored:
                assert task.entry.sha256 is not None, "only known blobs are found stored"
                self._settle(task, Delivered(task.entry.sha256), None)
            else:
                self._in_flight += 1
                self._held_bytes += _held_by(task)
                yield task

    def _next_task(self, *, blobs_only: bool) -> SendTask | None:
        if not blobs_only:
            return self._tasks.popleft()
        for place, task in enumerate(self._tasks):
            if not task.is_inline:
                del self._tasks[place]
                return task
        return None

    def _settle(self, task: SendTask, result: Delivered | None, error: Exception | None) -> None:
        """Note what became of a task; raise what the whole run cannot survive."""
        if error is None:
            assert result is not None
            self._outages = 0
            self._done[task.key] = result
            return
        self._held_bytes -= _held_by(task)
        if not isinstance(error, CopyError) or _ends_run(error):
            raise error
        self._done[task.key] = error
        if isinstance(error, UnavailableError):
            self._outages += 1
            if self._outages >= NETWORK_DOWN_AFTER:
                raise error

    # --- groups ----------------------------------------------------------------

    def _commit_ready(self) -> None:
        """Make every commit whose files are all settled, in order."""
        while self._groups and all(
            entry.action is Action.DELETE or self._keys[entry.path] in self._done
            for entry in self._groups[0]
        ):
            group = self._groups.popleft()
            good = self._make_sure([entry for entry in group if not self._has_failed(entry)])
            self._committer.commit(good, self._delivered(good))
            self._release(group)

    def _has_failed(self, entry: PlanEntry) -> bool:
        """True for a file whose content could not be delivered; notes it."""
        if entry.action is Action.DELETE:
            return False
        done = self._done[self._keys[entry.path]]
        if not isinstance(done, CopyError):
            return False
        self.tally.fail(entry.path, done.of(entry.path))
        return True

    def _delivered(self, entries: Sequence[PlanEntry]) -> Mapping[str, Delivered]:
        """What was delivered for these (good) entries, by path."""
        found: dict[str, Delivered] = {}
        for entry in entries:
            if entry.action is not Action.DELETE:
                done = self._done[self._keys[entry.path]]
                assert isinstance(done, Delivered)
                found[entry.path] = done
        return found

    def _release(self, group: Sequence[PlanEntry]) -> None:
        """Let go of the inline contents of a group; no other group has their keys."""
        for key in {self._keys[entry.path] for entry in group if entry.is_inline}:
            done = self._done.pop(key)
            if isinstance(done, Delivered) and done.content is not None:
                self._held_bytes -= len(done.content.data)

    # --- blobs, once more --------------------------------------------------------

    def _make_sure(self, entries: list[PlanEntry]) -> list[PlanEntry]:
        """Ask the target once more for every blob; send again what it lost.

        A store that answered 200 and dropped the bytes costs a re-send here,
        not a rotten repository.
        """
        delivered = self._delivered(entries)
        blobs = {
            entry.path: Blob(delivered[entry.path].sha256, entry.size_bytes)
            for entry in entries
            if entry.action is not Action.DELETE and not entry.is_inline
        }
        lost = self._not_held(set(blobs.values()))
        for _ in range(RESEND_ROUNDS):
            again = {
                blob: path
                for path, blob in blobs.items()
                if blob in lost and isinstance(self._done[self._keys[path]], Delivered)
            }
            if not again:
                break
            for blob, path in again.items():
                self._send_again(path, blob)
            lost = self._not_held(lost)
        for path, blob in blobs.items():
            if blob in lost and isinstance(self._done[self._keys[path]], Delivered):
                self._done[self._keys[path]] = self._not_kept(path)
        return [entry for entry in entries if not self._has_failed(entry)]

    def _not_kept(self, path: str) -> CopyError:
        return IntegrityError(
            T("the target accepts the file's bytes but does not keep them"),
            side=Side.TARGET,
            step="commit",
            repo=str(self._found.target.repo),
            path=path,
            hint=T("nothing was committed for it; report this to the hub, then run again"),
        )

    def _not_held(self, blobs: set[Blob]) -> set[Blob]:
        tools, size = self._tools, self._tools.target.traits.blob_query_size
        ordered, lost = sorted(blobs), set[Blob]()
        for start in range(0, len(ordered), size):
            lost |= self._ask(ordered[start : start + size], tools)
        return lost

    def _ask(self, batch: Sequence[Blob], tools: Tools) -> set[Blob]:
        missing = call(
            tools.patience(Side.TARGET),
            lambda: tools.target.missing_blobs(self._found.target, batch),
        )
        return {blob for blob in batch if blob.sha256 in missing}

    def _send_again(self, path: str, blob: Blob) -> None:
        source = self._found.source_listing.by_path[path]
        task = SendTask(self._keys[path], replace(source, sha256=blob.sha256), is_inline=False)
        try:
            self._done[task.key] = self._sender.deliver(task)
        except CopyError as error:
            if _ends_run(error):
                raise
            self._done[task.key] = error


def _key(entry: PlanEntry, source: FileEntry, group: int) -> str:
    """Names a content: paths with the same key travel together.

    Inline content only within its commit: kept for a later one it would fill
    the memory, and it has to be sent in each commit anyway.
    """
    way = f"inline {group}" if entry.is_inline else "blob"
    return f"{way} {source.sha256 or source.git_oid or entry.path}"


def _held_by(task: SendTask) -> int:
    """Bytes of memory that a task takes from its start to its commit."""
    return task.entry.size_bytes if task.is_inline else 0


def _ends_run(error: CopyError) -> bool:
    """True for errors that every further file would meet too."""
    if isinstance(error, CancelledError | LedgerError | QuotaError):
        return True
    if isinstance(error, RateLimitedError):
        return True  # its patience is used up, or it would not have come this far
    return error.side is Side.TARGET and isinstance(error, AccessError | NotFoundError)
