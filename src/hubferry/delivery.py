"""Delivery: blobs and small files to the target, and the commits that name them.

One engine run carries everything. Tasks are pulled in commit order; contents
of small files wait in bounded memory until their commit; the thread that
consumes the outcomes makes the commits. A commit is made only after the target
was asked once more, in batches, whether it truly holds every blob it names.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from hubferry.committing import Committer, Tally
from hubferry.control import call
from hubferry.errors import (
    AccessError,
    CancelledError,
    ConflictError,
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
from hubferry.plan import RANK_CONFIG, Action, PlanEntry, commit_rank, group_for_commits
from hubferry.sending import Delivered, Sender, SendTask
from hubferry.survey import Survey, Tools
from hubferry.text import T, Text

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
            entry.path: _key(entry, self._source(entry))
            for entry in entries
            if entry.action is not Action.DELETE
        }
        self._tasks = self._make_tasks(entries)
        self._wanted_by = Counter(self._keys.values())
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
            if result.content is not None:
                self._held_bytes += len(result.content.data)
            return
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
            good = self._make_sure(self._fit_to_show(group))
            self._committer.commit(good, self._delivered(good), self._fit_to_show)
            self._release(group)

    def _fit_to_show(self, entries: Sequence[PlanEntry]) -> list[PlanEntry]:
        """The entries that may be committed, as things stand now."""
        return [entry for entry in entries if not self._leave_out(entry)]

    def _leave_out(self, entry: PlanEntry) -> bool:
        """True for a file that failed, or that must not show because others failed."""
        failures = self.tally.failures
        if entry.action is Action.DELETE:
            return bool(failures)
        if entry.path in failures:
            return True
        done = self._done[self._keys[entry.path]]
        if isinstance(done, CopyError):
            failures[entry.path] = done
            return True
        # A half-copied repository must not be mistaken for a whole one.
        if entry.rank >= RANK_CONFIG and any(commit_rank(path) < RANK_CONFIG for path in failures):
            failures[entry.path] = self._failure(
                ConflictError,
                entry.path,
                T("held back, because files that it describes could not be copied"),
                T("mend the files named before it and run the same command again"),
            )
            return True
        return False

    def _failure(self, kind: type[CopyError], path: str, message: Text, hint: Text) -> CopyError:
        return kind(
            message,
            side=Side.TARGET,
            step="commit",
            repo=str(self._found.target.repo),
            path=path,
            hint=hint,
        )

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
        """Let go of contents that no later commit needs."""
        for entry in group:
            if entry.action is Action.DELETE:
                continue
            key = self._keys[entry.path]
            self._wanted_by[key] -= 1
            done = self._done[key]
            if self._wanted_by[key] == 0 and isinstance(done, Delivered) and done.content:
                self._held_bytes -= len(done.content.data)
                self._done[key] = replace(done, content=None)

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
            if not lost:
                return entries
            for path in {blob: path for path, blob in blobs.items() if blob in lost}.values():
                self._send_again(path, blobs[path])
            lost = self._not_held(lost)
        for path, blob in blobs.items():
            if blob in lost:
                self.tally.failures[path] = self._failure(
                    IntegrityError,
                    path,
                    T("the target accepts the file's bytes but does not keep them"),
                    T("nothing was committed for it; report this to the hub, then run again"),
                )
        return [entry for entry in entries if entry.path not in self.tally.failures]

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
        self._done[task.key] = self._sender.deliver(task)


def _key(entry: PlanEntry, source: FileEntry) -> str:
    """Names a content: paths with the same key travel together."""
    way = "inline" if entry.is_inline else "blob"
    return f"{way} {source.sha256 or source.git_oid or entry.path}"


def _ends_run(error: CopyError) -> bool:
    """True for errors that every further file would meet too."""
    if isinstance(error, CancelledError | LedgerError | QuotaError):
        return True
    if isinstance(error, RateLimitedError):
        return True  # its patience is used up, or it would not have come this far
    return error.side is Side.TARGET and isinstance(error, AccessError | NotFoundError)
