"""A hub that is computed: any number of repositories, none of them kept.

Lists and trees come out of numbers when they are asked for, so what a benchmark measures is what
the core holds. A source tells what Hugging Face tells (head commits; a SHA-256 for LFS files, a Git
oid for the others), a target what ModelScope tells (the time of the last change; a SHA-256 for
every file). No byte of a file exists: whoever wants to read or write one is refused loudly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn, cast

from hubferry.errors import NotFoundError, QuotaError, UsageError
from hubferry.hubs import HUBS, Connection, HubKind
from hubferry.hubs.base import BlobBody, ByteStream, HubTraits, UploadTicket
from hubferry.model import (
    Access,
    Blob,
    CommitChange,
    FileEntry,
    GitOid,
    Identity,
    Listing,
    Refs,
    RepoId,
    RepoInfo,
    RepoList,
    RepoQuery,
    RepoSummary,
    Sha256,
    Storage,
    Visibility,
    make_listing,
)
from hubferry.text import T, Text

SOURCE_OWNER, TARGET_OWNER, FULL_OWNER = "source-org", "your-org", "full-org"
"""Whoever looks at a repository of the last one is told that its quota is full."""
REGULAR_EVERY = 5
"""One file of so many is small and regular, the others are LFS files."""

_SHARED_OF_THREE = 2
_FAMILY = 10
"""Repositories that share blobs with each other."""
_LFS_BYTES, _REGULAR_BYTES = 1 << 20, 1 << 10
_FIRST_SECOND = 1_700_000_000


@dataclass(frozen=True)
class Fleet:
    """``repos`` repositories of ``files`` files each; everything about them follows from that."""

    repos: int
    files: int

    def names(self) -> Iterator[str]:
        """The repositories' names without their owner, in order."""
        return (self.name(number) for number in range(self.repos))

    def name(self, number: int) -> str:
        """The name of a repository."""
        return f"model-{number:06}"

    def number(self, repo: RepoId) -> int | None:
        """Which repository this is; None if it is none of them."""
        name = repo.name.rpartition("/")[2]
        digits = name.removeprefix("model-")
        number = int(digits) if digits.isdecimal() else self.repos
        return number if number < self.repos and name == self.name(number) else None

    def entries(self, number: int, *, tells_git: bool) -> Iterator[FileEntry]:
        """The files of a repository; two of three are those of its whole family."""
        for file in range(self.files):
            is_shared = file % 3 < _SHARED_OF_THREE
            owner = number // _FAMILY if is_shared else self.repos + number
            content = owner * self.files + file
            yield self._entry(file, content, tells_git=tells_git)

    def _entry(self, file: int, content: int, *, tells_git: bool) -> FileEntry:
        path = f"part-{file % 7}/model-{file:05}-of-{self.files:05}"
        if file % REGULAR_EVERY:
            size = _LFS_BYTES + content
            return FileEntry(f"{path}.safetensors", size, Storage.LFS, Sha256(f"{content:064x}"))
        size = _REGULAR_BYTES + content % _REGULAR_BYTES
        if tells_git:
            oid = GitOid(f"{content:040x}")
            return FileEntry(f"{path}.txt", size, Storage.REGULAR, git_oid=oid)
        return FileEntry(f"{path}.txt", size, Storage.REGULAR, self.sha256_of_regular(content))

    @staticmethod
    def sha256_of_regular(content: int) -> Sha256:
        """What a ledger has to know to compare a Git oid with a SHA-256."""
        return Sha256(hashlib.sha256(b"%d" % content).hexdigest())

    def digests(self, number: int) -> Iterator[tuple[GitOid, Sha256]]:
        """The pairs that a copy of a repository would have learned."""
        for entry in self.entries(number, tells_git=True):
            if entry.git_oid is not None:
                yield entry.git_oid, self.sha256_of_regular(int(entry.git_oid.hex, 16))


class SyntheticHub:
    """One hub over a fleet, as source or as target; thread-safe, for it keeps nothing.

    Args:
        has_repos: False: its repositories do not exist yet.
    """

    def __init__(self, kind: HubKind, fleet: Fleet, *, is_source: bool, has_repos: bool) -> None:
        self.fleet = fleet
        self._has_repos = has_repos
        self._is_source = is_source
        self._owner = SOURCE_OWNER if is_source else TARGET_OWNER
        self._scheme = kind.scheme
        self.traits = HubTraits(
            name=kind.scheme,
            title=kind.title,
            default_branch=kind.default_branch,
            pins_commits=is_source,
            tells_head=is_source,
            lists_private=is_source,
        )

    def identity(self) -> Identity:
        """Somebody."""
        return Identity("synthetic")

    def token_place(self) -> Identity:
        """There is no token."""
        return Identity(None)

    def _number(self, repo: RepoId) -> int:
        number = self.fleet.number(repo) if self._has_repos else None
        if number is None:
            raise NotFoundError(T("{repo} does not exist", repo=repo))
        return number

    def resolve(self, repo: RepoId, revision: str | None) -> RepoInfo:
        """The one state there is."""
        if repo.name.startswith(f"{FULL_OWNER}/"):
            raise QuotaError(T("the quota of {owner} is full", owner=FULL_OWNER))
        summary = self.summary_of(self._number(repo))
        name = revision or self.traits.default_branch
        modified_at, visibility = summary.modified_at, summary.visibility
        found = RepoInfo(repo, name, summary.commit, visibility, "mit", modified_at=modified_at)
        return found if self._is_source else replace(found, commit=None)

    def list_files(self, info: RepoInfo) -> Listing:
        """Computed for this call."""
        entries = self.fleet.entries(self._number(info.repo), tells_git=self._is_source)
        return make_listing(info.repo, info.commit, entries)

    def stat_files(self, info: RepoInfo, paths: Sequence[str]) -> Mapping[str, FileEntry | None]:
        """Nobody has to ask: every folder can be listed."""
        _no()

    def list_repos(self, query: RepoQuery) -> RepoList:
        """All of them: what a batch asks for is one owner's."""
        count = self.fleet.repos if self._has_repos and query.owner == self._owner else 0
        return RepoList(tuple(map(self.summary_of, range(count))), True, count)

    def list_collection(self, slug: str) -> RepoList:
        """There are none."""
        raise UsageError(T("there is no collection {slug}", slug=slug))

    def summary(self, repo: RepoId) -> RepoSummary:
        """As the list tells it."""
        return self.summary_of(self._number(repo))

    def summary_of(self, number: int) -> RepoSummary:
        """What is told of a repository by its number."""
        repo = RepoId(self._scheme, f"{self._owner}/{self.fleet.name(number)}")
        commit = f"{number:040x}" if self._is_source else None
        return RepoSummary(repo, commit, _FIRST_SECOND + number, Visibility.PUBLIC)

    def list_refs(self, repo: RepoId) -> Refs:
        """One branch."""
        return Refs((self.traits.default_branch,))

    def open(
        self, info: RepoInfo, entry: FileEntry, start: int = 0, end: int | None = None
    ) -> ByteStream:
        """Refused: there are no bytes."""
        _no()

    def reads_ranges(self, entry: FileEntry) -> bool:
        """As hubs do."""
        return entry.storage is Storage.LFS

    def read_many(
        self, info: RepoInfo, entries: Sequence[FileEntry]
    ) -> Iterator[tuple[FileEntry, bytes]]:
        """Refused: there are no bytes."""
        _no()

    def write_access(self, repo: RepoId) -> Access:
        """Yes."""
        return Access.YES

    def is_branch(self, info: RepoInfo) -> bool:
        """There is one."""
        return info.revision == self.traits.default_branch

    def must_inline(self, path: str) -> bool:
        """Nothing is parsed here."""
        return False

    def wants_inline(self, path: str, size_bytes: int) -> bool:
        """The regular files."""
        return size_bytes < _LFS_BYTES

    def path_problem(self, path: str) -> Text | None:
        """Every path is fine."""
        return None

    def create_repo(self, repo: RepoId, visibility: Visibility, license_id: str | None) -> None:
        """Refused: nothing is kept."""
        _no()

    def missing_blobs(
        self, info: RepoInfo, blobs: Collection[Blob]
    ) -> Mapping[Sha256, UploadTicket]:
        """All of them: nothing is kept."""
        return {blob.sha256: UploadTicket(blob) for blob in blobs}

    def put_blob(self, info: RepoInfo, ticket: UploadTicket, body: BlobBody) -> None:
        """Refused: nothing is kept."""
        _no()

    def commit(self, info: RepoInfo, changes: Sequence[CommitChange], message: str) -> str | None:
        """Refused: nothing is kept."""
        _no()

    def tag(self, info: RepoInfo, name: str) -> None:
        """Refused: nothing is kept."""
        _no()

    def close(self) -> None:
        """Nothing to let go of."""


@contextmanager
def computed_hubs(fleet: Fleet, *, has_targets: bool) -> Iterator[None]:
    """Have ``hf`` and ``ms`` opened as hubs over this fleet, everywhere in this process."""
    kinds = cast("dict[str, HubKind]", HUBS)
    real = dict(kinds)
    try:
        for scheme, is_source in (("hf", True), ("ms", False)):
            has_repos = is_source or has_targets
            hub = SyntheticHub(real[scheme], fleet, is_source=is_source, has_repos=has_repos)
            kinds[scheme] = replace(real[scheme], open=partial(_opened, hub))
        yield
    finally:
        kinds.update(real)


def _opened(hub: SyntheticHub, connection: Connection) -> SyntheticHub:
    return hub


def _no() -> NoReturn:
    raise AssertionError("a computed hub has no bytes and keeps nothing")
