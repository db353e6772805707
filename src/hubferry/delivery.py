"""Delivery: blobs and small files to the target, and the commits that name them.

One engine run carries everything side by side: questions which blobs the target
holds, blobs (the largest first, small files in the gaps), small files, and the
commits, one at a time. What is to be started next is decided here, in the
thread that consumes the outcomes. A commit is made only after the target was
asked once more, in batches, whether it truly holds every blob it names.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hubferry.committing import Committer, Tally
from hubferry.engines.base import Outcome
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
from hubferry.events import FileFinished
from hubferry.model import Blob, FileEntry, Sha256
from hubferry.packing import Packer
from hubferry.plan import Action, PlanEntry, group_for_commits
from hubferry.reading import bulk_limits, take_batch
from hubferry.sending import Delivered, Sender, SendTask
from hubferry.survey import Survey, Tools, run_tools
from hubferry.text import T

SMALL_LANES = 16
"""Small files read at the same time, one request each: a guess that is kind to a hub."""

BULK_LANES = 2
"""Batches of small files read at the same time: one is unpacked while another comes."""

BESIDES = SMALL_LANES + BULK_LANES + 2
"""What an engine has to run beside blobs: small files, a question, a commit."""

RESEND_ROUNDS = 3
"""How often a blob that the target took and then did not hold is sent again."""

NETWORK_DOWN_AFTER = 3
"""Files in a row that ended without a connection before the run stops trying."""

LAST_COMMIT_SECONDS = 1.0
"""A run that is stopped waits this long for the answer to a commit that is on its way."""


@dataclass(frozen=True, slots=True)
class AskTask:
    """Which of these contents does the target hold already?"""

    tasks: tuple[SendTask, ...]


@dataclass(frozen=True, slots=True)
class BulkTask:
    """Small files to read in few requests."""

    tasks: tuple[SendTask, ...]


@dataclass(frozen=True, slots=True)
class CommitTask:
    """One commit."""

    entries: tuple[PlanEntry, ...]


Task = SendTask | AskTask | BulkTask | CommitTask
Result = Delivered | set[Sha256] | dict[str, Delivered | CopyError] | None


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
        self._tools = tools = run_tools(tools)
        traits = tools.target.traits
        limits = traits.commit_max_changes, traits.commit_max_inline_bytes
        total = len(group_for_commits(entries, *limits))
        self._committer = Committer(
            found, tools, self.tally, lambda number: message(number, max(number, total)), run_id
        )
        self._committing = threading.Lock()
        self._sender = Sender(found, tools, lambda: found.target)
        self._packer = Packer(entries, *limits)
        self._paths: dict[str, list[PlanEntry]] = {}
        self._keys: dict[str, str] = {}
        self._unasked: deque[SendTask] = deque()
        self._blobs: list[tuple[int, str, SendTask]] = []
        self._small: deque[SendTask] = deque()
        self._alone: deque[SendTask] = deque()
        self._done: dict[str, Delivered | CopyError] = {}
        self._in_flight = Counter[str]()
        self._held_bytes = 0
        self._outages = 0
        self._bulk = bulk_limits(tools)
        self._pulled_at: float | None = None
        self._sort_in(entries)

    def run(self) -> None:
        """Deliver and commit everything.

        Files that fail are in ``tally.failures``; the others go on.

        Raises:
            CopyError: the run as a whole cannot go on (access, quota, limits,
                network down, cancelled). ``self.tally`` says what was done.
        """
        cancel = self._tools.cancel
        try:
            engine = self._tools.mover or self._tools.engine
            outcomes: Iterator[Outcome[Task, Result]] = engine.run(
                self._schedule(), self._handle, cancel
            )
            for outcome in outcomes:
                self._in_flight[_kind(outcome.task)] -= 1
                self._settle(outcome.task, outcome.result, outcome.error)
            cancel.check()
            self._packer.check_empty()
        finally:
            # A commit on its way is counted if its answer comes soon.
            if self._committing.acquire(timeout=LAST_COMMIT_SECONDS):
                self._committing.release()
            cancel.cancel()
            self._sender.shelter.close()

    # --- what there is to do ------------------------------------------------------

    def _sort_in(self, entries: Sequence[PlanEntry]) -> None:
        """Every entry into its queue; contents that several paths want, once."""
        blobs: list[SendTask] = []
        for entry in entries:
            if entry.action is Action.DELETE:
                self._packer.settle(entry)
                continue
            source = self._source(entry)
            key = _key(entry, source)
            self._keys[entry.path] = key
            self._paths.setdefault(key, []).append(entry)
            if len(self._paths[key]) > 1:
                continue
            task = SendTask(key, source, entry.is_inline)
            if entry.is_inline:
                self._small.append(task)
            else:
                blobs.append(task)
        # The largest first: what is left at the end is small, and the tail short.
        blobs.sort(key=lambda task: (-task.entry.size_bytes, task.entry.path))
        for task in blobs:
            if task.entry.sha256 is None:
                self._queue(task)
            else:
                self._unasked.append(task)

    def _source(self, entry: PlanEntry) -> FileEntry:
        listed = self._found.source_listing.by_path[entry.path]
        return self._found.known.enrich(listed, is_source=True)

    def _queue(self, task: SendTask) -> None:
        heapq.heappush(self._blobs, (-task.entry.size_bytes, task.entry.path, task))

    # --- what is done next --------------------------------------------------------

    def _schedule(self) -> Iterator[Task | None]:
        """Whatever may start; None while all of it has to wait for work in flight."""
        while True:
            task = self._next()
            if task is not None:
                self._in_flight[_kind(task)] += 1
                yield task
            elif self._in_flight.total() > 0:
                yield None
            else:
                return

    def _next(self) -> Task | None:
        ways = (self._next_commit, self._next_question, self._next_blob, self._next_small)
        return next((task for way in ways if (task := way()) is not None), None)

    def _next_commit(self) -> Task | None:
        if self._in_flight["commit"]:
            return None
        group = self._packer.next_group()
        return CommitTask(group) if group else None

    def _next_question(self) -> Task | None:
        """Ask ahead of what is sent, never for everything first."""
        is_ahead = len(self._blobs) >= self._tools.uploads.level
        if not self._unasked or is_ahead or self._in_flight["ask"]:
            return None
        size = min(len(self._unasked), self._tools.target.traits.blob_query_size)
        return AskTask(tuple(self._unasked.popleft() for _ in range(size)))

    def _next_blob(self) -> Task | None:
        if not self._blobs:
            self._pulled_at = None
            return None
        if self._in_flight["blob"] >= self._tools.uploads.level:
            self._note_waiting()
            return None
        self._pulled_at = None
        return heapq.heappop(self._blobs)[2]

    def _note_waiting(self) -> None:
        """A blob could start if more were allowed to."""
        now = time.monotonic()
        if self._pulled_at is not None:
            self._tools.uploads.waited(now - self._pulled_at)
        self._pulled_at = now

    def _next_small(self) -> Task | None:
        limit = self._tools.held_content_bytes
        is_full = self._held_bytes >= limit and self._in_flight.total() > 0
        if is_full:
            return None
        if self._alone or self._bulk is None:
            queue = self._alone or self._small
            if not queue or self._in_flight["small"] >= SMALL_LANES:
                return None
            return self._hold(queue.popleft())
        if not self._small or self._in_flight["bulk"] >= BULK_LANES:
            return None
        return self._next_batch()

    def _next_batch(self) -> Task:
        assert self._bulk is not None
        batch = take_batch(self._small, lambda task: task.entry.size_bytes, self._bulk)
        return BulkTask(tuple(self._hold(task) for task in batch))

    def _hold(self, task: SendTask) -> SendTask:
        self._held_bytes += task.entry.size_bytes
        return task

    # --- in the workers -----------------------------------------------------------

    def _handle(self, task: Task) -> Result:
        match task:
            case SendTask():
                return self._sender.deliver(task)
            case AskTask():
                return self._sender.stored([_blob(one.entry) for one in task.tasks])
            case BulkTask():
                return self._sender.read_small(task.tasks)
            case CommitTask():
                with self._committing:
                    good = self._make_sure(task.entries)
                    self._committer.commit(good, self._delivered(good))
                    return None

    # --- what became of it --------------------------------------------------------

    def _settle(self, task: Task, result: Result, error: Exception | None) -> None:
        """Note what became of a task; raise what the whole run cannot survive."""
        if error is not None and (not isinstance(error, CopyError) or _ends_run(error)):
            raise error
        match task:
            case SendTask():
                self._settle_content(task, result, error)
            case AskTask():
                self._settle_question(task, result, error)
            case BulkTask():
                self._settle_batch(task, result, error)
            case CommitTask():
                if error is not None:
                    raise error
                self._release(task.entries)

    def _settle_content(self, task: SendTask, result: Result, error: CopyError | None) -> None:
        if error is None:
            assert isinstance(result, Delivered)
            self._outages = 0
            self._came(task, result)
            return
        self._failed(task, error)
        if isinstance(error, UnavailableError):
            self._outages += 1
            if self._outages >= NETWORK_DOWN_AFTER:
                raise error

    def _settle_question(self, task: AskTask, result: Result, error: CopyError | None) -> None:
        if error is not None:
            raise error
        assert isinstance(result, set)
        for one in task.tasks:
            sha256 = one.entry.sha256
            assert sha256 is not None
            if sha256 in result:
                size = one.entry.size_bytes
                self._tools.observe(FileFinished(one.entry.path, size, is_reused=True))
                self._came(one, Delivered(sha256, one.entry.git_oid))
            else:
                self._queue(one)

    def _settle_batch(self, task: BulkTask, result: Result, error: CopyError | None) -> None:
        if error is not None:
            # The way for many may fail while files are served: each is tried alone.
            result = {}
        assert isinstance(result, dict)
        if not result:
            self._bulk = None
        for one in task.tasks:
            done = result.get(one.key)
            if done is None:
                self._held_bytes -= one.entry.size_bytes  # held again when it starts again
                self._alone.append(one)
            elif isinstance(done, CopyError):
                self._failed(one, done)
            else:
                self._outages = 0
                self._came(one, done)

    def _came(self, task: SendTask, done: Delivered) -> None:
        """A content is here: every path that wants it may be committed."""
        self._done[task.key] = done
        for entry in self._paths[task.key]:
            self._packer.settle(entry)

    def _failed(self, task: SendTask, error: CopyError) -> None:
        if task.is_inline:
            self._held_bytes -= task.entry.size_bytes
        self._done[task.key] = error
        for entry in self._paths[task.key]:
            self.tally.fail(entry.path, error.of(entry.path))
            self._packer.drop(entry)

    def _release(self, group: Sequence[PlanEntry]) -> None:
        """Let go of what only these paths needed."""
        digests: list[Sha256] = []
        for entry in group:
            key = self._keys.get(entry.path)
            if key is None:
                continue
            done = self._done[key]
            self._paths[key].remove(entry)
            if isinstance(done, Delivered) and not entry.is_inline:
                digests.append(done.sha256)
            if entry.is_inline and not self._paths[key]:
                del self._done[key]
                self._held_bytes -= entry.size_bytes
        self._sender.shelter.committed(digests)

    def _delivered(self, entries: Sequence[PlanEntry]) -> Mapping[str, Delivered]:
        """What was delivered for these (good) entries, by path."""
        found: dict[str, Delivered] = {}
        for entry in entries:
            if entry.action is not Action.DELETE:
                done = self._done[self._keys[entry.path]]
                assert isinstance(done, Delivered)
                found[entry.path] = done
        return found

    # --- blobs, once more --------------------------------------------------------

    def _make_sure(self, entries: Sequence[PlanEntry]) -> list[PlanEntry]:
        """Ask the target once more for every blob; send again what it lost.

        A store that answered 200 and dropped the bytes costs a re-send here,
        not a rotten repository.
        """
        # Another commit may have found out already that a blob is not kept.
        entries = [entry for entry in entries if not self._has_failed(entry)]
        named = [e for e in entries if e.action is not Action.DELETE and not e.is_inline]
        delivered = self._delivered(named)
        blobs = {e.path: Blob(delivered[e.path].sha256, e.size_bytes) for e in named}
        lost = self._not_held(set(blobs.values()))
        for _ in range(RESEND_ROUNDS):
            again = {blob: path for path, blob in blobs.items() if self._is_good(path, blob, lost)}
            if not again:
                break
            for blob, path in again.items():
                self._send_again(path, blob)
            lost = self._not_held(lost)
        for path, blob in blobs.items():
            if self._is_good(path, blob, lost):
                self._done[self._keys[path]] = self._not_kept(path)
        return [entry for entry in entries if not self._has_failed(entry)]

    def _is_good(self, path: str, blob: Blob, lost: set[Blob]) -> bool:
        """True for a blob that was sent well and is not held all the same."""
        return blob in lost and isinstance(self._done[self._keys[path]], Delivered)

    def _has_failed(self, entry: PlanEntry) -> bool:
        """True for a file whose blob could not be kept; notes it."""
        if entry.action is Action.DELETE:
            return False
        done = self._done[self._keys[entry.path]]
        if not isinstance(done, CopyError):
            return False
        self.tally.fail(entry.path, done.of(entry.path))
        return True

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
        size = self._tools.target.traits.blob_query_size
        ordered, lost = sorted(blobs), set[Blob]()
        for start in range(0, len(ordered), size):
            lost |= self._ask(ordered[start : start + size])
        return lost

    def _ask(self, batch: Sequence[Blob]) -> set[Blob]:
        stored = self._sender.stored(batch)
        return {blob for blob in batch if blob.sha256 not in stored}

    def _send_again(self, path: str, blob: Blob) -> None:
        source = self._found.source_listing.by_path[path]
        task = SendTask(self._keys[path], replace(source, sha256=blob.sha256), is_inline=False)
        try:
            self._done[task.key] = self._sender.deliver(task)
        except CopyError as error:
            if _ends_run(error):
                raise
            self._done[task.key] = error


def _blob(entry: FileEntry) -> Blob:
    assert entry.sha256 is not None
    return Blob(entry.sha256, entry.size_bytes)


def _kind(task: Task) -> str:
    match task:
        case SendTask():
            return "small" if task.is_inline else "blob"
        case AskTask():
            return "ask"
        case BulkTask():
            return "bulk"
        case CommitTask():
            return "commit"


def _key(entry: PlanEntry, source: FileEntry) -> str:
    """Names a content: paths with the same key travel together.

    A digest learned on the way must not rename it, so this is asked once. Inline
    content is kept until its last path is committed: a path of a later rank
    has it read again instead of filling the memory.
    """
    way = f"inline {entry.rank}" if entry.is_inline else "blob"
    return f"{way} {source.sha256 or source.git_oid or entry.path}"


def _ends_run(error: CopyError) -> bool:
    """True for errors that every further file would meet too."""
    if isinstance(error, CancelledError | LedgerError | QuotaError):
        return True
    if isinstance(error, RateLimitedError):
        return True  # its patience is used up, or it would not have come this far
    return error.side is Side.TARGET and isinstance(error, AccessError | NotFoundError)
