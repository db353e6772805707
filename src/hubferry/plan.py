"""What should happen: listing x listing x policy -> plan. Pure, no I/O.

The plan is a value: printable, serialisable, the same for a dry run and for a
real one. It is made again whenever more is known (digests learned by reading,
blobs the target turned out to hold); making it again costs nothing and keeps
one set of rules.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from hubferry.model import (
    Blob,
    FileEntry,
    GitOid,
    Listing,
    RefusedPath,
    Sha256,
    Visibility,
    folders_of,
)
from hubferry.text import T, Text


class Action(StrEnum):
    """What happens to one path."""

    PRESENT = "present"
    """The target holds equal content."""
    READ = "read"
    """A digest is unknown: read the source once, then decide."""
    INLINE = "inline"
    """Its bytes ride inside a commit."""
    UPLOAD = "upload"
    """Its blob is sent, then named in a commit."""
    REUSE = "reuse"
    """The target holds the blob already; only a commit is needed."""
    DELETE = "delete"
    """Goes away (mirror)."""
    KEEP = "keep"
    """Only at the target, and stays."""
    CONFLICT = "conflict"
    """The target differs and the policy says to leave it."""
    REFUSED = "refused"
    """May not be written there."""
    FILTERED = "filtered"
    """Not selected by --include/--exclude."""


WRITES = frozenset({Action.INLINE, Action.UPLOAD, Action.REUSE, Action.READ, Action.DELETE})


class OnConflict(StrEnum):
    """What to do where the target has other content at a path."""

    OVERWRITE = "overwrite"
    SKIP = "skip"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user asked for, as far as the plan depends on it.

    ``include``/``exclude`` follow the official clients: shell globs on the
    whole path where ``*`` crosses folders; a pattern that ends in ``/`` means
    everything below; a backslash counts as a slash. ``max_delete`` None: 100
    files, or half where there are more than 10.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    on_conflict: OnConflict = OnConflict.OVERWRITE
    is_mirror: bool = False
    delete_hub_files: bool = False
    max_delete: int | None = None
    visibility: Visibility | None = None
    license: str | None = None
    commit_message: str | None = None
    backup_tag: str | None = None

    def selects(self, path: str) -> bool:
        """True if the filters let ``path`` through."""
        if not (self.include or self.exclude):
            return True
        if self.include and not _matches(path, self.include):
            return False
        return not _matches(path, self.exclude)


def _matches(path: str, patterns: Iterable[str]) -> bool:
    # Source: huggingface_hub.utils.filter_repo_objects (fnmatchcase on the whole
    # path, backslashes in paths and patterns taken as slashes).
    globs = (pattern.replace("\\", "/") for pattern in patterns)
    return any(
        fnmatch.fnmatchcase(path.replace("\\", "/"), glob + "*" if glob.endswith("/") else glob)
        for glob in globs
    )


class TargetRules(Protocol):
    """The few questions the plan asks of a target; all pure."""

    def must_inline(self, path: str) -> bool:
        """The target parses this file itself."""

    def wants_inline(self, path: str, size_bytes: int) -> bool:
        """This file should ride inside the commit."""

    def path_problem(self, path: str) -> Text | None:
        """Why the target cannot hold this path."""


@dataclass(frozen=True)
class KnownDigests:
    """Digests learned by reading, now or in an earlier run.

    A pair belongs to content, not to a path.
    """

    sha256_of: Mapping[GitOid, Sha256] = field(default_factory=dict)
    git_oid_of: Mapping[Sha256, GitOid] = field(default_factory=dict)
    by_path: Mapping[str, tuple[Sha256, GitOid]] = field(default_factory=dict)
    """Source paths read in this run, for sources that tell no digest at all."""

    def with_pairs(
        self,
        pairs: Iterable[tuple[GitOid, Sha256]],
        by_path: Mapping[str, tuple[Sha256, GitOid]] | None = None,
    ) -> KnownDigests:
        """These and more."""
        both = list(pairs)
        return KnownDigests(
            {**self.sha256_of, **dict(both)},
            {**self.git_oid_of, **{sha256: git_oid for git_oid, sha256 in both}},
            {**self.by_path, **(by_path or {})},
        )

    def enrich(self, entry: FileEntry, *, is_source: bool) -> FileEntry:
        """The entry with every digest that is known for it."""
        sha256, git_oid = entry.sha256, entry.git_oid
        if is_source and entry.path in self.by_path:
            sha256, git_oid = self.by_path[entry.path]
        if sha256 is None and git_oid is not None:
            sha256 = self.sha256_of.get(git_oid)
        if git_oid is None and sha256 is not None:
            git_oid = self.git_oid_of.get(sha256)
        if sha256 == entry.sha256 and git_oid == entry.git_oid:
            return entry
        return replace(entry, sha256=sha256, git_oid=git_oid)


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """One path: what happens and why. ``sha256`` is the wanted content's, where known."""

    path: str
    action: Action
    reason: Text
    size_bytes: int = 0
    sha256: Sha256 | None = None
    is_inline: bool = False
    """Of a READ entry: how it will travel if it turns out to differ."""
    rank: int = 0

    @property
    def writes(self) -> bool:
        """True if a commit will, or may, name this path."""
        return self.action in WRITES


@dataclass(frozen=True)
class Plan:
    """Every path of source and target, in commit order."""

    entries: tuple[PlanEntry, ...]

    def of(self, *actions: Action) -> tuple[PlanEntry, ...]:
        """The entries with one of these actions."""
        return tuple(entry for entry in self.entries if entry.action in actions)

    @property
    def writes(self) -> tuple[PlanEntry, ...]:
        """The entries a commit will, or may, name."""
        return tuple(entry for entry in self.entries if entry.writes)

    @property
    def send_bytes(self) -> int:
        """Bytes to send: distinct blobs once, inline files each time."""
        inline = sum(entry.size_bytes for entry in self.of(Action.INLINE))
        unknown = sum(e.size_bytes for e in self.of(Action.UPLOAD) if e.sha256 is None)
        blobs = {e.sha256: e.size_bytes for e in self.of(Action.UPLOAD) if e.sha256 is not None}
        return inline + unknown + sum(blobs.values())

    def blobs(self, *actions: Action) -> tuple[Blob, ...]:
        """The distinct known blobs behind entries with these actions, in order."""
        found = {
            Blob(entry.sha256, entry.size_bytes): None
            for entry in self.of(*actions)
            if entry.sha256 is not None
        }
        return tuple(found)


# Commit order: a repository that is copied half-way must not look whole, so
# what makes loaders and people believe in it comes after what it describes.
RANK_UNBLOCK, RANK_DATA, RANK_CONFIG, RANK_CARD, RANK_DELETE = 0, 1, 2, 3, 4
_CONFIG_SUFFIXES = (".json", ".yaml", ".yml", ".toml", ".cfg", ".ini")


def commit_rank(path: str) -> int:
    """Weights and data first, then indexes and configuration, the card last."""
    name = path.rsplit("/", 1)[-1].lower()
    if name in {"readme.md", "readme"}:
        return RANK_CARD
    return RANK_CONFIG if name.endswith(_CONFIG_SUFFIXES) else RANK_DATA


def is_same(source: FileEntry, target: FileEntry) -> bool | None:
    """Whether two files hold the same bytes; None if no digest can be compared."""
    if source.size_bytes != target.size_bytes:
        return False
    if source.sha256 is not None and target.sha256 is not None:
        return source.sha256 == target.sha256
    if source.git_oid is not None and target.git_oid is not None:
        return source.git_oid == target.git_oid
    return None


@dataclass(frozen=True)
class _Planner:
    """The rules, path by path; see ``make_plan``."""

    target: Listing
    rules: TargetRules
    policy: Policy
    known: KnownDigests
    inline_limit_bytes: int
    own_files: Collection[str]
    source_paths: frozenset[str]
    source_folders: frozenset[str]
    kept_paths: frozenset[str]
    kept_folders: frozenset[str]

    def change(self, source: FileEntry) -> PlanEntry:
        """What happens to one source path."""
        is_inline = self._is_inline(source)
        action, reason = self._decide(source, Action.INLINE if is_inline else Action.UPLOAD)
        return PlanEntry(
            source.path,
            action,
            reason,
            source.size_bytes,
            source.sha256,
            is_inline,
            commit_rank(source.path),
        )

    def _decide(self, source: FileEntry, send: Action) -> tuple[Action, Text]:
        path = source.path
        if not self.policy.selects(path):
            return Action.FILTERED, T("not selected")
        if (problem := self.rules.path_problem(path)) is not None:
            return Action.REFUSED, problem
        if (present := self.target.by_path.get(path)) is not None:
            return self._compare(source, self.known.enrich(present, is_source=False), send)
        if (blocker := self._blocker(path)) is not None:
            return Action.REFUSED, blocker
        return send, T("not at the target")

    def _is_inline(self, source: FileEntry) -> bool:
        if self.rules.must_inline(source.path):
            # One commit body has to fit into memory: past that even a card travels as a blob.
            return source.size_bytes <= self.inline_limit_bytes
        return self.rules.wants_inline(source.path, source.size_bytes)

    def _compare(self, source: FileEntry, present: FileEntry, send: Action) -> tuple[Action, Text]:
        same = is_same(source, present)
        if same:
            return Action.PRESENT, T("equal at the target")
        if same is None:
            return Action.READ, T("same size; a digest is unknown, so it is read once to compare")
        if self.policy.on_conflict is not OnConflict.OVERWRITE:
            return Action.CONFLICT, T("differs at the target; left alone by --on-conflict")
        return send, T("differs at the target")

    def _blocker(self, path: str) -> Text | None:
        """Why ``path`` cannot stand beside what the target keeps (file against folder)."""
        for parent in folders_of([path]):
            if parent in self.kept_paths:
                return T("the target has a file named {path}, and it is not deleted", path=parent)
        if path in self.kept_folders:
            return T("the target has a folder of this name, and it is not deleted")
        return None

    def only_at_target(self, target: FileEntry) -> PlanEntry:
        """What happens to a path only the target has."""
        path = target.path
        entry = PlanEntry(
            path,
            Action.KEEP,
            T("only at the target"),
            target.size_bytes,
            target.sha256,
            rank=RANK_DELETE,
        )
        if path in self.kept_paths:
            is_own = self.policy.is_mirror and path in self.own_files
            return replace(entry, reason=T("made by the hub itself")) if is_own else entry
        is_blocking = path in self.source_folders or not self.source_paths.isdisjoint(
            folders_of([path])
        )
        return replace(
            entry,
            action=Action.DELETE,
            reason=T("not at the source"),
            rank=RANK_UNBLOCK if is_blocking else RANK_DELETE,
        )


def make_plan(
    source: Listing,
    target: Listing,
    rules: TargetRules,
    policy: Policy,
    known: KnownDigests,
    *,
    own_files: Collection[str] = (),
    inline_limit_bytes: int,
) -> Plan:
    """Decide for every path of both listings; in commit order.

    Complete: every source path and every target path appears exactly once.
    Order-free: the order of the listings does not matter.
    """
    refused_paths = {refused.path for refused in source.refused}
    extra = [
        entry
        for entry in target.entries
        if entry.path not in source.by_path and entry.path not in refused_paths
    ]
    kept = frozenset(entry.path for entry in extra if _stays(entry.path, policy, own_files))
    planner = _Planner(
        target,
        rules,
        policy,
        known,
        inline_limit_bytes,
        own_files,
        frozenset(source.by_path),
        folders_of(source.by_path),
        kept,
        folders_of(kept),
    )
    entries = [planner.change(known.enrich(entry, is_source=True)) for entry in source.entries]
    entries += [_refused(refused, policy) for refused in source.refused]
    entries += [planner.only_at_target(entry) for entry in extra]
    return Plan(tuple(sorted(entries, key=lambda entry: (entry.rank, entry.path))))


def _stays(path: str, policy: Policy, own_files: Collection[str]) -> bool:
    """Whether a path that only the target has is kept."""
    if not policy.is_mirror or not policy.selects(path):
        return True
    return path in own_files and not policy.delete_hub_files


def _refused(refused: RefusedPath, policy: Policy) -> PlanEntry:
    if not policy.selects(refused.path):
        return PlanEntry(refused.path, Action.FILTERED, T("not selected"))
    return PlanEntry(refused.path, Action.REFUSED, refused.reason)


def settle_blobs(plan: Plan, stored: Collection[Sha256]) -> Plan:
    """The plan after the target said which blobs it holds."""
    reason = T("the target holds these bytes already")
    return Plan(
        tuple(
            replace(entry, action=Action.REUSE, reason=reason)
            if entry.action is Action.UPLOAD and entry.sha256 in stored
            else entry
            for entry in plan.entries
        )
    )


def base64_bytes(size_bytes: int) -> int:
    """How many bytes ``size_bytes`` take in base64, as inline content travels."""
    return -(-size_bytes // 3) * 4


def group_for_commits(
    entries: Sequence[PlanEntry], max_changes: int, max_inline_bytes: int
) -> list[tuple[PlanEntry, ...]]:
    """Split entries, kept in order, into commits within the target's limits.

    Inline content counts as it travels, in base64. A single inline file above
    ``max_inline_bytes`` goes alone.
    """
    groups: list[list[PlanEntry]] = []
    weight = 0
    for entry in entries:
        inline = base64_bytes(entry.size_bytes) if entry.is_inline else 0
        if not groups or len(groups[-1]) >= max_changes or weight + inline > max_inline_bytes:
            groups.append([])
            weight = 0
        groups[-1].append(entry)
        weight += inline
    return [tuple(group) for group in groups]


def listing_digest(listing: Listing) -> str:
    """A digest of what a listing says: stands in for a head commit where a hub tells none."""
    lines = (
        f"{entry.path}\0{entry.size_bytes}\0{entry.sha256 or entry.git_oid or ''}\n"
        for entry in listing.entries
    )
    digest = hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass"))
    return f"listing:{digest.hexdigest()}"


def deletion_limit(policy: Policy, target_files: int) -> int:
    """How many files a mirror may delete before it stops and asks for --max-delete."""
    if policy.max_delete is not None:
        return policy.max_delete
    return min(100, target_files // 2) if target_files > 10 else 100
