"""Looking at both ends before anything is decided: resolve, list, learn.

Used by every command that compares two repositories. Writes nothing to any
hub; what it learns of digests goes to the ledger.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import is_
from typing import TypeVar, cast

from hubferry.climbing import Climber
from hubferry.control import CancelToken, Patience, call
from hubferry.engines.base import Engine
from hubferry.errors import (
    CopyError,
    IntegrityError,
    NotFoundError,
    ProtocolError,
    Side,
)
from hubferry.events import Listed, Note, Observer, Resolved, StepStarted
from hubferry.governor.ports import Claims, FreeClaims, FreeSlots, Slots
from hubferry.hubs.base import Hub, HubTraits, SourceHub, TargetHub
from hubferry.lanes import Lanes
from hubferry.ledger import Ledger
from hubferry.model import (
    Access,
    Address,
    Blob,
    FileEntry,
    GitOid,
    Listing,
    RepoInfo,
    Sha256,
    Visibility,
)
from hubferry.plan import Action, KnownDigests, Plan, Policy, listing_digest, make_plan
from hubferry.spool import Spool
from hubferry.stream import Content, Expected, OpenAt
from hubferry.text import T
from hubferry.throttle import Throttle

A = TypeVar("A")
B = TypeVar("B")

BUFFER_BYTES = 16 * 1024 * 1024
"""Files up to this size are held in memory while their digest is worked out.

Hugging Face turns files above 10 MB into LFS files, so regular files fit.
"""

HELD_CONTENT_BYTES = 64 * 1024 * 1024
"""Small files read ahead of their commit by a process, at most."""

_STAT_SIZE = 50


@dataclass
class Traffic:
    """Bytes over the links, repeats included; counted from any thread."""

    read_bytes: int = 0
    sent_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def read(self, count: int) -> None:
        """Count bytes that came from the source."""
        with self._lock:
            self.read_bytes += count

    def sent(self, count: int) -> None:
        """Count bytes that went to the target."""
        with self._lock:
            self.sent_bytes += count


@dataclass
class Tools:
    """What a run works with; put together in ``app``.

    Every byte of file content passes ``read_throttle`` on its way from the source and
    ``sent_throttle`` on its way to the target; both share one gate.
    """

    source: SourceHub
    target: TargetHub
    engine: Engine
    ledger: Ledger
    cancel: CancelToken
    patience: Callable[[Side], Patience]
    observe: Observer
    traffic: Traffic = field(default_factory=Traffic)
    spool: Spool | None = None
    """None where no payload may touch the disk."""
    read_throttle: Throttle = field(default_factory=Throttle)
    sent_throttle: Throttle = field(default_factory=Throttle)
    lanes: Lanes = field(default_factory=Lanes)
    """The connections that large files are read over."""
    uploads: Climber = field(default_factory=lambda: Climber(1, 1))
    """How many blobs of this process travel at the same time."""
    slots: Slots = field(default_factory=FreeSlots)
    """Places of blobs on their way, for all who use the target's account."""
    claims: Claims = field(default_factory=FreeClaims)
    """Who sends which blob to the target."""
    held_content_bytes: int = HELD_CONTENT_BYTES
    """Small files read ahead of their commit, at most; above it only blobs are started."""
    mover: Engine | None = None
    """Runs a delivery, which needs room beside its blobs; None: ``engine`` does."""


def run_tools(tools: Tools) -> Tools:
    """The same tools for a part of the run that can be stopped without stopping the rest."""
    cancel = tools.cancel.child()

    def patience(side: Side) -> Patience:
        made = tools.patience(side)
        made.cancel = cancel
        return made

    return replace(tools, cancel=cancel, patience=patience)


@dataclass
class Survey:
    """Both ends as they are."""

    source: RepoInfo
    source_listing: Listing
    target: RepoInfo
    target_exists: bool
    target_listing: Listing
    known: KnownDigests
    kept: dict[str, Content] = field(default_factory=dict)
    drawn: tuple[tuple[object, ...], Plan] | None = field(default=None, repr=False)
    """The latest plan and what it was drawn from."""

    def source_head(self, tools: Tools) -> str:
        """What names the source's state."""
        return head_of(self.source, self.source_listing, tools.source.traits)

    def target_head(self, tools: Tools) -> str | None:
        """What names the target's state; None if it does not exist."""
        if not self.target_exists:
            return None
        return head_of(self.target, self.target_listing, tools.target.traits)


def opener(hub: SourceHub, info: RepoInfo, entry: FileEntry) -> OpenAt:
    """How ``stream`` opens this file at an offset."""
    return partial(hub.open, info, entry)


def resolve_and_list(
    hub: Hub, address: Address, side: Side, tools: Tools
) -> tuple[RepoInfo, Listing]:
    """Pin one end and list it.

    Raises:
        CopyError: with side, step and repo filled in.
    """
    patience = tools.patience(side)
    try:
        info = call(patience, lambda: hub.resolve(address.repo, address.revision))
    except CopyError as error:
        raise error.at(side=side, step="resolve", repo=str(address.repo)) from error.__cause__
    tools.observe(Resolved(side, info))
    return info, list_pinned(hub, info, side, tools)


def list_pinned(hub: Hub, info: RepoInfo, side: Side, tools: Tools) -> Listing:
    """List a resolved revision."""
    try:
        listing = call(tools.patience(side), lambda: hub.list_files(info))
    except CopyError as error:
        raise error.at(side=side, step="list", repo=str(info.repo)) from error.__cause__
    tools.observe(Listed(side, len(listing.entries), listing.total_bytes))
    return listing


def survey(source: Address, target: Address, tools: Tools, policy: Policy) -> Survey:
    """Resolve and list both ends at once, and gather what the ledger knows of their digests."""
    tools.observe(StepStarted("list"))
    (source_info, source_listing), (target_info, target_listing, exists) = both(
        partial(resolve_and_list, tools.source, source, Side.SOURCE, tools),
        partial(_look_at_target, target, tools),
        tools,
    )
    if not source_listing.entries:
        tools.observe(Note("warning", T("the source has no files")))
    if target_listing.doubtful_folders:
        target_listing = look_closer(source_listing, target_listing, target_info, tools, policy)
    known = _remembered(source_listing, target_listing, tools.ledger)
    return Survey(source_info, source_listing, target_info, exists, target_listing, known)


def both(first: Callable[[], A], second: Callable[[], B], tools: Tools) -> tuple[A, B]:
    """The answers of two questions that do not depend on each other, asked at the same time.

    Raises:
        CopyError: what the first one met, at once; else what the second met. So the
            error is the same as if they were asked one after the other.
        CancelledError: someone asked to stop.
    """
    questions: tuple[Callable[[], A | B], ...] = (first, second)
    answers: dict[int, A | B] = {}
    second_error: Exception | None = None
    for outcome in tools.engine.run((0, 1), lambda number: questions[number](), tools.cancel):
        if outcome.error is None:
            answers[outcome.task] = cast("A | B", outcome.result)
        elif outcome.task == 0:
            raise outcome.error
        else:
            second_error = outcome.error
    tools.cancel.check()
    if second_error is not None:
        raise second_error
    return cast(A, answers[0]), cast(B, answers[1])


def _look_at_target(target: Address, tools: Tools) -> tuple[RepoInfo, Listing, bool]:
    try:
        info, listing = resolve_and_list(tools.target, target, Side.TARGET, tools)
    except NotFoundError as error:
        if error.what != "repo":
            raise
        revision = target.revision or tools.target.traits.default_branch
        missing = RepoInfo(target.repo, revision, None)
        return missing, Listing(target.repo, None, ()), False
    return info, listing, True


def look_closer(
    source: Listing, target: Listing, info: RepoInfo, tools: Tools, policy: Policy
) -> Listing:
    """Look one by one at files whose folder the target cannot list in full.

    Files the target does not let us look at stay in doubt.
    """
    wanted = [
        entry.path
        for entry in source.entries
        if entry.path not in target.by_path
        and target.is_doubtful(entry.path)
        and policy.selects(entry.path)
    ]
    tools.observe(
        Note(
            "warning",
            T(
                "{folders} folder(s) at the target have too many entries to be listed; "
                "looking at {count} files one by one",
                folders=len(target.doubtful_folders),
                count=len(wanted),
            ),
        )
    )
    found: dict[str, FileEntry | None] = {}
    batches = (wanted[at : at + _STAT_SIZE] for at in range(0, len(wanted), _STAT_SIZE))

    def look(paths: Sequence[str]) -> Mapping[str, FileEntry | None]:
        return call(tools.patience(Side.TARGET), lambda: tools.target.stat_files(info, paths))

    for outcome in tools.engine.run(batches, look, tools.cancel):
        if isinstance(outcome.error, CopyError):
            raise outcome.error.at(side=Side.TARGET, step="list", repo=str(info.repo))
        if outcome.error is not None:
            raise outcome.error
        found.update(outcome.result or {})
    tools.cancel.check()
    seen = [entry for entry in found.values() if entry is not None]
    entries = sorted((*target.entries, *seen), key=lambda entry: entry.path)
    return replace(target, entries=tuple(entries))


def _remembered(source: Listing, target: Listing, ledger: Ledger) -> KnownDigests:
    entries = (*source.entries, *target.entries)
    oids = {entry.git_oid for entry in entries if entry.git_oid and not entry.sha256}
    # Git oids are only of use where one side tells nothing else.
    needs_git = any(entry.sha256 is None for entry in target.entries)
    digests = (
        {entry.sha256 for entry in entries if entry.sha256 and not entry.git_oid}
        if needs_git
        else set()
    )
    return KnownDigests(ledger.sha256_of(oids), ledger.git_oid_of(digests))


def draw_plan(found: Survey, tools: Tools, policy: Policy) -> Plan:
    """The plan for what is known now."""
    basis = (found.source_listing, found.target_listing, found.known, policy)
    if found.drawn is not None and all(map(is_, found.drawn[0], basis)):
        return found.drawn[1]  # nothing was learned since
    traits = tools.target.traits
    plan = make_plan(
        found.source_listing,
        found.target_listing,
        tools.target,
        policy,
        found.known,
        own_files=traits.own_files,
        inline_limit_bytes=traits.commit_max_inline_bytes,
    )
    found.drawn = basis, plan
    return plan


def stored_blobs(plan: Plan, found: Survey, tools: Tools) -> set[Sha256]:
    """Which of the plan's blobs the target holds already; asks in batches.

    Empty while the target's repository does not exist: there is nobody to ask.
    """
    if not found.target_exists:
        return set()
    wanted = plan.blobs(Action.UPLOAD)
    size = tools.target.traits.blob_query_size
    batches = (wanted[start : start + size] for start in range(0, len(wanted), size))

    def ask(batch: Sequence[Blob]) -> set[Sha256]:
        missing = call(
            tools.patience(Side.TARGET), lambda: tools.target.missing_blobs(found.target, batch)
        )
        return {blob.sha256 for blob in batch if blob.sha256 not in missing}

    stored: set[Sha256] = set()
    for outcome in tools.engine.run(batches, ask, tools.cancel):
        if isinstance(outcome.error, CopyError):
            repo = str(found.target.repo)
            raise outcome.error.at(side=Side.TARGET, step="plan", repo=repo)
        if outcome.error is not None:
            raise outcome.error
        stored |= outcome.result or set()
    tools.cancel.check()
    return stored


def head_of(info: RepoInfo, listing: Listing, traits: HubTraits) -> str:
    """What names a repository's present state: its commit, else a digest of its listing."""
    if traits.tells_head and info.commit:
        return info.commit
    return listing_digest(listing)


def ask_is_branch(found: Survey, tools: Tools) -> bool:
    """Whether the target's revision is a branch; asks only if it may be something else."""
    if not found.target_exists or found.target.revision == tools.target.traits.default_branch:
        return True
    try:
        return call(tools.patience(Side.TARGET), lambda: tools.target.is_branch(found.target))
    except CopyError as error:
        repo = str(found.target.repo)
        raise error.at(side=Side.TARGET, step="plan", repo=repo) from error.__cause__


def ask_write_access(found: Survey, tools: Tools) -> Access:
    """Whether the token may write to the target, as far as asking tells."""
    target = tools.target
    try:
        return call(tools.patience(Side.TARGET), lambda: target.write_access(found.target.repo))
    except CopyError as error:
        repo = str(found.target.repo)
        raise error.at(side=Side.TARGET, step="plan", repo=repo) from error.__cause__


def probe_source(found: Survey, plan: Plan, tools: Tools) -> None:
    """Open the first file that is to be sent, so that a source nobody may read leaves no trace.

    A gated repository lists its files to everyone and serves them to few. What
    everyone may read needs no probe.

    Raises:
        CopyError: the source refuses.
    """
    first = next(iter(plan.of(Action.UPLOAD, Action.INLINE, Action.READ)), None)
    is_open = found.source.visibility is Visibility.PUBLIC
    if is_open or first is None or not first.size_bytes:
        return
    entry = found.source_listing.by_path[first.path]
    try:
        stream = call(
            tools.patience(Side.SOURCE), lambda: tools.source.open(found.source, entry, 0, 1)
        )
    except (IntegrityError, NotFoundError, ProtocolError):
        return  # concerns this file only, and is told when its turn comes
    except CopyError as error:
        repo = str(found.source.repo)
        raise error.at(side=Side.SOURCE, step="read", repo=repo, path=first.path) from None
    stream.close()


def expect(entry: FileEntry) -> Expected:
    """What the bytes of a listed file must be."""
    return Expected(entry.path, entry.size_bytes, entry.sha256, entry.git_oid)


def remember(found: Survey, learned: Mapping[str, tuple[Sha256, GitOid]], ledger: Ledger) -> None:
    """Add digests learned by reading to the survey and to the ledger."""
    pairs = [(git, sha) for sha, git in learned.values()]
    found.known = found.known.with_pairs(pairs, learned)
    ledger.learn(pairs)
