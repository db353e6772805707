"""Commits: exactly once, whatever the answer; halved until the culprit is alone.

Commits of a run are made one at a time, in order: one writer per branch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hubferry.control import call
from hubferry.errors import (
    AccessError,
    ConflictError,
    CopyError,
    HubError,
    NotFoundError,
    QuotaError,
    Side,
    UnavailableError,
)
from hubferry.events import Committed
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
    RANK_UNBLOCK,
    Action,
    KnownDigests,
    PlanEntry,
    commit_rank,
    is_same,
)
from hubferry.sending import Delivered
from hubferry.survey import Survey, Tools, list_pinned
from hubferry.text import T


@dataclass
class Tally:
    """What a delivery did; read by the report, even if the run ended early."""

    sent_paths: set[str] = field(default_factory=set)
    reused_paths: set[str] = field(default_factory=set)
    deleted_paths: set[str] = field(default_factory=set)
    failures: dict[str, CopyError] = field(default_factory=dict)
    """Filled by ``fail`` only."""
    lowest_failed_rank: int | None = None
    commits: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def fail(self, path: str, error: CopyError) -> None:
        """Note that a file could not be brought over; safe from any thread."""
        rank = commit_rank(path)
        with self._lock:
            self.failures[path] = error
            if self.lowest_failed_rank is None or rank < self.lowest_failed_rank:
                self.lowest_failed_rank = rank


class Committer:
    """Makes the commits of one run."""

    def __init__(
        self,
        found: Survey,
        tools: Tools,
        tally: Tally,
        message: Callable[[int], str],
        run_id: str,
    ) -> None:
        """``message`` gives the commit message for the run's commit number n, from 1."""
        self._found = found
        self._tools = tools
        self._tally = tally
        self._message = message
        self._run_id = run_id
        self._counted: set[Sha256] = set()

    @property
    def target(self) -> RepoInfo:
        """The target as the last commit left it."""
        return self._found.target

    def commit(self, entries: Sequence[PlanEntry], done: Mapping[str, Delivered]) -> None:
        """Commit; if the target refuses the group, halve it to find the file it refuses.

        ``done`` holds what was delivered, by path. A file that is refused even
        alone goes to the tally's failures, and what must not show without it
        goes there too.
        """
        entries = [entry for entry in entries if not self._is_held_back(entry)]
        if not entries:
            return
        try:
            self._commit_group(entries, done)
        except (AccessError, QuotaError, NotFoundError, ConflictError):
            raise
        except HubError as error:
            if error.retryable:
                raise
            if len(entries) == 1:
                path = entries[0].path
                self._tally.fail(path, error.at(path=path))
                return
            middle = len(entries) // 2
            self.commit(entries[:middle], done)
            self.commit(entries[middle:], done)

    def _is_held_back(self, entry: PlanEntry) -> bool:
        """True for what must not happen because files that come before it failed."""
        lowest = self._tally.lowest_failed_rank
        if lowest is None:
            return False
        if entry.action is Action.DELETE:
            # What stands in the way of other files has to go before them.
            return entry.rank != RANK_UNBLOCK
        if lowest >= entry.rank:
            return False
        # A half-copied repository must not be mistaken for a whole one.
        error = ConflictError(
            T("held back, because files that it describes could not be copied"),
            side=Side.TARGET,
            step="commit",
            repo=str(self.target.repo),
            path=entry.path,
            hint=T("mend the files named before it and run the same command again"),
        )
        self._tally.fail(entry.path, error)
        return True

    def _commit_group(self, entries: Sequence[PlanEntry], done: Mapping[str, Delivered]) -> None:
        changes = [_change(entry, done) for entry in entries]
        try:
            commit = self._commit_once(changes, self._message(self._tally.commits + 1))
        except CopyError as error:
            repo = str(self.target.repo)
            raise error.at(side=Side.TARGET, step="commit", repo=repo) from error.__cause__
        self._found.target = replace(self.target, commit=commit)
        self._note(entries, done, commit)

    def _commit_once(self, changes: Sequence[CommitChange], message: str) -> str | None:
        """After a lost answer the target's listing decides whether to send again."""
        target, patience = self._tools.target, self._tools.patience(Side.TARGET)
        self._tools.sent_throttle.take(
            sum(len(change.content) for change in changes if isinstance(change, AddInline))
        )
        is_in_doubt = False
        while True:
            patience.cancel.check()
            try:
                return target.commit(self.target, changes, message)
            except CopyError as error:
                is_in_doubt |= isinstance(error, UnavailableError) and error.ambiguous
                # After a lost answer, what moved the branch may be that very commit,
                # landing late: that is no conflict, and the listing knows.
                may_be_ours = is_in_doubt and isinstance(error, ConflictError)
                if not may_be_ours:
                    patience.wait_after(error)
                if is_in_doubt:
                    has_landed, head = self._has_landed(changes)
                    if has_landed:
                        return head
                    if may_be_ours:
                        raise
                    self._found.target = replace(self.target, commit=head)

    def _has_landed(self, changes: Sequence[CommitChange]) -> tuple[bool, str | None]:
        """Whether the target shows all of these changes, and its present head."""
        tools, info = self._tools, self.target
        target = tools.target
        fresh = call(tools.patience(Side.TARGET), lambda: target.resolve(info.repo, info.revision))
        listing = list_pinned(target, fresh, Side.TARGET, tools)
        shown = dict(listing.by_path)
        hidden = [c.path for c in changes if c.path not in shown and listing.is_doubtful(c.path)]
        if hidden:
            looked = call(tools.patience(Side.TARGET), lambda: target.stat_files(fresh, hidden))
            shown.update({path: entry for path, entry in looked.items() if entry is not None})
        return all(_shows(shown, change, self._found.known) for change in changes), fresh.commit

    def _note(
        self, entries: Sequence[PlanEntry], done: Mapping[str, Delivered], commit: str | None
    ) -> None:
        tally, tools = self._tally, self._tools
        tally.commits += 1
        pairs: list[tuple[GitOid, Sha256]] = []
        for entry in entries:
            if entry.action is Action.DELETE:
                tally.deleted_paths.add(entry.path)
                continue
            delivered = done[entry.path]
            if delivered.git_oid is not None:
                pairs.append((delivered.git_oid, delivered.sha256))
            if entry.is_inline:
                tools.traffic.sent(entry.size_bytes)
            is_sent = entry.is_inline or self._is_first_use(delivered)
            (tally.sent_paths if is_sent else tally.reused_paths).add(entry.path)
        self._found.known = self._found.known.with_pairs(pairs)
        tools.ledger.learn(pairs)
        detail = {"commit": commit, "paths": [entry.path for entry in entries]}
        tools.ledger.note(self._run_id, "committed", detail=detail)
        tools.observe(Committed(tally.commits, len(entries), commit))

    def _is_first_use(self, delivered: Delivered) -> bool:
        """True for the path that a blob's bytes are counted for; its twins were free."""
        if not delivered.was_sent or delivered.sha256 in self._counted:
            return False
        self._counted.add(delivered.sha256)
        return True


def _change(entry: PlanEntry, done: Mapping[str, Delivered]) -> CommitChange:
    if entry.action is Action.DELETE:
        return Delete(entry.path)
    delivered = done[entry.path]
    if not entry.is_inline:
        return AddBlob(entry.path, Blob(delivered.sha256, entry.size_bytes))
    content = delivered.content
    assert content is not None, "an inline file keeps its content until its commit"
    return AddInline(entry.path, content.data, content.sha256, content.git_oid)


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
