"""Delivery: blobs and small files to the target, and the commits that name them.

One engine run carries everything. Tasks are pulled in commit order, contents
of small files wait in bounded memory until their commit, and the thread that
consumes the outcomes makes the commits, in order: one writer per branch. A
commit is made only after the target was asked once more, in batches, whether
it truly holds every blob the commit names.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hubferry.control import call
from hubferry.errors import (
    AccessError,
    CancelledError,
    ConflictError,
    CopyError,
    HubError,
    IntegrityError,
    LedgerError,
    NotFoundError,
    QuotaError,
    RateLimitedError,
    Side,
    UnavailableError,
)
from hubferry.events import Committed, FileFinished, FileProgress, FileStarted
from hubferry.hubs.base import BlobBody
from hubferry.model import (
    AddBlob,
    AddInline,
    Blob,
    CommitChange,
    Delete,
    FileEntry,
    GitOid,
    RepoInfo,
    Sha256,
)
from hubferry.plan import (
    RANK_CONFIG,
    Action,
    KnownDigests,
    PlanEntry,
    commit_rank,
    group_for_commits,
    is_same,
)
from hubferry.stream import CheckedBody, Content, MemoryBody, digest_stream, read_content
from hubferry.survey import BUFFER_BYTES, Survey, Tools, expect, list_pinned, opener
from hubferry.text import T

HELD_CONTENT_BYTES = 64 * 1024 * 1024
"""Small files read ahead of their commit, at most; above it only blobs are started."""

RESEND_ROUNDS = 3
"""How often a blob that the target took and then did not hold is sent again."""

NETWORK_DOWN_AFTER = 3
"""Files in a row that ended without a connection before the run stops trying."""


@dataclass(frozen=True, slots=True)
class SendTask:
    """One content to bring over, whichever paths want it."""

    key: str
    entry: FileEntry
    is_inline: bool
    was_stored: bool = False


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a task brought: the digest to commit, or the content that rides inside."""

    sha256: Sha256
    git_oid: GitOid | None = None
    content: Content | None = field(default=None, repr=False)
    was_sent: bool = False


@dataclass
class Tally:
    """What a delivery did; read by the report."""

    sent_paths: set[str] = field(default_factory=set)
    reused_paths: set[str] = field(default_factory=set)
    deleted_paths: set[str] = field(default_factory=set)
    failures: dict[str, CopyError] = field(default_factory=dict)
    commits: int = 0
    head: str | None = None


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
        self._message = message
        self._run_id = run_id
        self._info = found.target
        traits = tools.target.traits
        self._groups = deque(
            group_for_commits(entries, traits.commit_max_changes, traits.commit_max_inline_bytes)
        )
        self._group_count = len(self._groups)
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

    def run(self) -> Tally:
        """Deliver and commit everything.

        Files that fail are in ``tally.failures``; the others go on.

        Raises:
            CopyError: the run as a whole cannot go on (access, quota, limits,
                network down, cancelled). ``self.tally`` says what was done.
        """
        self._commit_ready()
        for outcome in self._tools.engine.run(self._schedule(), self._deliver, self._tools.cancel):
            self._in_flight -= 1
            self._settle(outcome.task, outcome.result, outcome.error)
            self._commit_ready()
        self._tools.cancel.check()
        self._commit_ready()
        return self.tally

    # --- tasks -----------------------------------------------------------------

    def _source(self, entry: PlanEntry) -> FileEntry:
        listed = self._found.source_listing.by_path.get(entry.path)
        if listed is None:
            return FileEntry(entry.path, entry.size_bytes)
        return self._found.known.enrich(listed, is_source=True)

    def _make_tasks(self, entries: Sequence[PlanEntry]) -> deque[SendTask]:
        tasks: dict[str, SendTask] = {}
        for entry in entries:
            if entry.action is Action.DELETE:
                continue
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
            elif task.was_stored:
                self._settle(task, Delivered(_digest(task.entry)), None)
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

    def _deliver(self, task: SendTask) -> Delivered:
        """The handler: runs in a worker, one task at a time."""
        entry = task.entry
        self._tools.observe(FileStarted(entry.path, entry.size_bytes))
        try:
            done = self._read_inline(entry) if task.is_inline else self._send_blob(entry)
        except CopyError as error:
            step = "read" if error.side is Side.SOURCE or task.is_inline else "blobs"
            side = Side.SOURCE if task.is_inline else Side.TARGET
            info = self._found.source if (error.side or side) is Side.SOURCE else self._info
            error.at(side=side, step=step, repo=str(info.repo), path=entry.path)
            if not isinstance(error, CancelledError):
                self._tools.observe(FileFinished(entry.path, entry.size_bytes, error=error))
            raise
        self._tools.observe(
            FileFinished(
                entry.path, entry.size_bytes, is_reused=not (done.was_sent or done.content)
            )
        )
        return done

    def _read_inline(self, entry: FileEntry) -> Delivered:
        content = self._found.kept.pop(entry.path, None) or self._read(entry)
        return Delivered(content.sha256, content.git_oid, content)

    def _read(self, entry: FileEntry) -> Content:
        tools = self._tools
        open_at = opener(tools.source, self._found.source, entry)
        return call(
            tools.patience(Side.SOURCE),
            lambda: read_content(
                expect(entry), open_at, tools.patience(Side.SOURCE), tools.traffic.read
            ),
        )

    def _send_blob(self, entry: FileEntry) -> Delivered:
        sha256, git_oid, content = entry.sha256, entry.git_oid, None
        if sha256 is None:
            sha256, git_oid, content = self._find_digest(entry)
        blob = Blob(sha256, entry.size_bytes)
        body = self._body(replace(entry, sha256=sha256), content)
        was_sent = self._put(blob, body)
        return Delivered(sha256, git_oid, was_sent=was_sent)

    def _find_digest(self, entry: FileEntry) -> tuple[Sha256, GitOid | None, Content | None]:
        """A target asks for a blob's digest before its bytes; find one nobody told."""
        if entry.size_bytes <= BUFFER_BYTES:
            content = self._found.kept.pop(entry.path, None) or self._read(entry)
            return content.sha256, content.git_oid, content
        tools = self._tools
        sha256, git_oid = call(
            tools.patience(Side.SOURCE),
            lambda: digest_stream(
                expect(entry),
                opener(tools.source, self._found.source, entry),
                tools.patience(Side.SOURCE),
                tools.traffic.read,
            ),
        )
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

    def _put(self, blob: Blob, body: BlobBody) -> bool:
        """Send a blob unless the target holds it; True if bytes were sent."""
        target, patience = self._tools.target, self._tools.patience(Side.TARGET)
        while True:
            patience.cancel.check()
            try:
                ticket = target.missing_blobs(self._info, [blob]).get(blob.sha256)
                if ticket is None:
                    return False
                target.put_blob(self._info, ticket, body)
            except CopyError as error:
                patience.wait_after(error)
            else:
                self._tools.traffic.sent(blob.size_bytes)
                return True

    # --- outcomes --------------------------------------------------------------

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

    def _commit_ready(self) -> None:
        """Make every commit whose files are all settled, in order."""
        while self._groups and all(
            entry.action is Action.DELETE or self._keys[entry.path] in self._done
            for entry in self._groups[0]
        ):
            self._commit_group(self._groups.popleft())

    def _commit_group(self, group: tuple[PlanEntry, ...]) -> None:
        good = [entry for entry in group if not self._leave_out(entry)]
        good = self._make_sure(good)
        if good:
            self._commit_split(good)
        self._release(group)

    def _leave_out(self, entry: PlanEntry) -> bool:
        """True for a file that failed, or that must not show because others failed."""
        if entry.action is Action.DELETE:
            return bool(self.tally.failures)
        done = self._done[self._keys[entry.path]]
        if isinstance(done, CopyError):
            self.tally.failures[entry.path] = done
            return True
        if entry.rank >= RANK_CONFIG and any(
            commit_rank(path) < RANK_CONFIG for path in self.tally.failures
        ):
            self.tally.failures[entry.path] = _held_back(entry, self._info)
            return True
        return False

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

    # --- commits ---------------------------------------------------------------

    def _make_sure(self, entries: list[PlanEntry]) -> list[PlanEntry]:
        """Ask the target once more for every blob; send again what it lost.

        A store that answered 200 and dropped the bytes costs a re-send here,
        not a rotten repository.
        """
        wanted = {
            self._blob(entry): entry
            for entry in entries
            if entry.action is not Action.DELETE and not entry.is_inline
        }
        for attempt in range(RESEND_ROUNDS + 1):
            lost = self._not_held(list(wanted))
            if not lost:
                return entries
            if attempt < RESEND_ROUNDS:
                for blob in lost:
                    self._send_again(wanted[blob])
        for entry in entries:
            if not entry.is_inline and entry.action != Action.DELETE and self._blob(entry) in lost:
                self.tally.failures[entry.path] = IntegrityError(
                    T("the target accepts the file's bytes but does not keep them"),
                    side=Side.TARGET,
                    step="blobs",
                    repo=str(self._info.repo),
                    path=entry.path,
                    hint=T("nothing was committed for it; report this to the hub, then run again"),
                )
        return [entry for entry in entries if entry.path not in self.tally.failures]

    def _blob(self, entry: PlanEntry) -> Blob:
        done = self._done[self._keys[entry.path]]
        assert isinstance(done, Delivered)
        return Blob(done.sha256, entry.size_bytes)

    def _not_held(self, blobs: Sequence[Blob]) -> set[Blob]:
        size = self._tools.target.traits.blob_query_size
        lost: set[Blob] = set()
        for start in range(0, len(blobs), size):
            batch = blobs[start : start + size]
            missing = call(
                self._tools.patience(Side.TARGET),
                lambda batch=batch: self._tools.target.missing_blobs(self._info, batch),  # type: ignore[misc]
            )
            lost.update(blob for blob in batch if blob.sha256 in missing)
        return lost

    def _send_again(self, entry: PlanEntry) -> None:
        key = self._keys[entry.path]
        done = self._done[key]
        assert isinstance(done, Delivered)
        known = replace(self._source(entry), sha256=done.sha256)
        self._done[key] = self._deliver(SendTask(key, known, is_inline=False))

    def _commit_split(self, entries: Sequence[PlanEntry]) -> None:
        """Commit; if the target refuses the group, halve it to find the file it refuses."""
        try:
            self._commit(entries)
        except (AccessError, QuotaError, NotFoundError, ConflictError):
            raise
        except HubError as error:
            if error.retryable or _ends_run(error):
                raise
            if len(entries) == 1:
                path = entries[0].path
                self.tally.failures[path] = error.at(path=path)
                return
            middle = len(entries) // 2
            self._commit_split(entries[:middle])
            self._commit_split(entries[middle:])

    def _commit(self, entries: Sequence[PlanEntry]) -> None:
        changes = [self._change(entry) for entry in entries]
        number = self.tally.commits + 1
        message = self._message(number, max(number, self._group_count))
        try:
            commit = self._commit_once(changes, message)
        except CopyError as error:
            repo = str(self._info.repo)
            raise error.at(side=Side.TARGET, step="commit", repo=repo) from error.__cause__
        self._info = replace(self._info, commit=commit)
        self._note_commit(entries, commit)

    def _commit_once(self, changes: Sequence[CommitChange], message: str) -> str | None:
        """Commit, exactly once, whatever the answer: after a lost one the listing decides."""
        target, patience = self._tools.target, self._tools.patience(Side.TARGET)
        while True:
            patience.cancel.check()
            try:
                return target.commit(self._info, changes, message)
            except CopyError as error:
                patience.wait_after(error)
                if isinstance(error, UnavailableError) and error.ambiguous:
                    has_landed, head = self._has_landed(changes)
                    if has_landed:
                        return head
                    self._info = replace(self._info, commit=head)

    def _has_landed(self, changes: Sequence[CommitChange]) -> tuple[bool, str | None]:
        """Whether the target shows all of these changes, and its present head."""
        target, info = self._tools.target, self._info
        fresh = call(
            self._tools.patience(Side.TARGET), lambda: target.resolve(info.repo, info.revision)
        )
        listing = list_pinned(target, fresh, Side.TARGET, self._tools)
        shown = dict(listing.by_path)
        doubtful = [c.path for c in changes if c.path not in shown and listing.is_doubtful(c.path)]
        if doubtful:
            looked = call(
                self._tools.patience(Side.TARGET), lambda: target.stat_files(fresh, doubtful)
            )
            shown.update({path: entry for path, entry in looked.items() if entry is not None})
        return all(_shows(shown, change, self._found.known) for change in changes), fresh.commit

    def _change(self, entry: PlanEntry) -> CommitChange:
        if entry.action is Action.DELETE:
            return Delete(entry.path)
        done = self._done[self._keys[entry.path]]
        assert isinstance(done, Delivered)
        if entry.is_inline:
            assert done.content is not None
            return AddInline(entry.path, done.content.data, done.sha256, done.content.git_oid)
        return AddBlob(entry.path, Blob(done.sha256, entry.size_bytes))

    def _note_commit(self, entries: Sequence[PlanEntry], commit: str | None) -> None:
        tally, tools = self.tally, self._tools
        tally.commits += 1
        tally.head = commit
        pairs: list[tuple[GitOid, Sha256]] = []
        for entry in entries:
            if entry.action is Action.DELETE:
                tally.deleted_paths.add(entry.path)
                continue
            done = self._done[self._keys[entry.path]]
            assert isinstance(done, Delivered)
            if done.git_oid is not None:
                pairs.append((done.git_oid, done.sha256))
            if entry.is_inline:
                tools.traffic.sent(entry.size_bytes)
            is_sent = entry.is_inline or self._first_use(entry, done)
            (tally.sent_paths if is_sent else tally.reused_paths).add(entry.path)
        self._found.known = self._found.known.with_pairs(pairs)
        tools.ledger.learn(pairs)
        tools.ledger.note(
            self._run_id,
            "committed",
            detail={"commit": commit, "paths": [entry.path for entry in entries]},
        )
        tools.observe(Committed(tally.commits, len(entries), commit))

    def _first_use(self, entry: PlanEntry, done: Delivered) -> bool:
        """True for the path that a blob's bytes are counted for; its twins were free."""
        if not done.was_sent:
            return False
        self._done[self._keys[entry.path]] = replace(done, was_sent=False)
        return True


def _key(entry: PlanEntry, source: FileEntry) -> str:
    """Names a content: paths with the same key travel together."""
    way = "inline" if entry.is_inline else "blob"
    return f"{way} {source.sha256 or source.git_oid or entry.path}"


def _digest(entry: FileEntry) -> Sha256:
    assert entry.sha256 is not None
    return entry.sha256


def _held_back(entry: PlanEntry, info: RepoInfo) -> CopyError:
    return ConflictError(
        T("held back, because files that it describes could not be copied"),
        side=Side.TARGET,
        step="commit",
        repo=str(info.repo),
        path=entry.path,
        hint=T("mend the files named above and run the same command again"),
    )


def _ends_run(error: CopyError) -> bool:
    """True for errors that every further file would meet too."""
    if isinstance(error, CancelledError | LedgerError | QuotaError):
        return True
    if isinstance(error, RateLimitedError):
        return error.is_final
    if error.side is Side.TARGET:
        return isinstance(error, AccessError | NotFoundError)
    return isinstance(error, AccessError) and error.path is None


def _shows(shown: Mapping[str, FileEntry], change: CommitChange, known: KnownDigests) -> bool:
    present = shown.get(change.path)
    if isinstance(change, Delete):
        return present is None
    if present is None:
        return False
    if isinstance(change, AddBlob):
        wanted = FileEntry(change.path, change.blob.size_bytes, sha256=change.blob.sha256)
    else:
        wanted = FileEntry(
            change.path, len(change.content), sha256=change.sha256, git_oid=change.git_oid
        )
    return is_same(wanted, known.enrich(present, is_source=False)) is True
