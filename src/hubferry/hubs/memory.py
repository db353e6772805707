"""The memory hub: a whole hub in this process, behind the real ports.

The reference for the contract tests, and what the core is tested with. It
records every request, so that a test can state which ones were made, and it
can be told which digests it lists, so that it stands for either kind of hub.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hubferry.errors import AccessError, HubError, NotFoundError
from hubferry.hubs.base import BlobBody, HubTraits, UploadTicket
from hubferry.model import (
    Access,
    AddInline,
    Blob,
    CommitChange,
    Delete,
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
    RepoType,
    Sha256,
    Storage,
    Visibility,
    make_listing,
)
from hubferry.text import T, Text

INLINE_BYTES = 64 * 1024
PAGE_SIZE = 1000
"""Repositories in one answer of a list."""


def sha256_of(data: bytes) -> Sha256:
    """SHA-256 of bytes in memory."""
    return Sha256(hashlib.sha256(data).hexdigest())


def git_oid_of(data: bytes) -> GitOid:
    """Git blob oid of bytes in memory."""
    return GitOid(hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest())


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


@dataclass
class MemoryRepo:
    """One repository: its commits, oldest first, each a whole tree.

    ``modified_at`` (Unix seconds) moves by a second with each commit.
    """

    visibility: Visibility = Visibility.PUBLIC
    license: str | None = "mit"
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{}])
    messages: list[str] = field(default_factory=list)
    tags: dict[str, int] = field(default_factory=dict)
    repo_type: RepoType = RepoType.MODEL
    is_disabled: bool = False
    task: str | None = None
    library: str | None = None
    family: str | None = None
    topics: tuple[str, ...] = ()
    downloads: int | None = None
    modified_at: int = 1_700_000_000

    @property
    def files(self) -> dict[str, bytes]:
        """The present tree."""
        return self.commits[-1]


def _fits(query: RepoQuery, name: str, repo: MemoryRepo) -> bool:
    return (
        query.repo_type is repo.repo_type
        and query.owner in (None, name.rpartition("/")[0])
        and (query.search or "").lower() in name.lower()
        and query.task in (None, repo.task)
        and query.library in (None, repo.library)
        and set(query.tags) <= set(repo.topics)
    )


class MemoryStream:
    """An open read of bytes in memory."""

    def __init__(self, data: memoryview) -> None:
        self._data = data

    def readinto(self, buffer: memoryview, /) -> int:
        """Hand out the next bytes."""
        count = min(len(buffer), len(self._data))
        buffer[:count] = self._data[:count]
        self._data = self._data[count:]
        return count

    def close(self) -> None:
        """Nothing to let go of."""


class MemoryHub:
    """A hub in memory; source and target.

    ``lists_sha256`` True lists SHA-256 for every file (as ModelScope does);
    False lists SHA-256 for LFS files and Git oids for the others (as Hugging
    Face does). ``before`` is called with each request's name and may raise.
    Lists tell the head commit, or with ``lists_commits`` False the time of the
    last change (as ModelScope does); ``catalog_limit`` and ``lists_private``
    are the traits of these names. ``collections`` are lists of repositories by
    slug; :meth:`rename` leaves the old name valid, as Hugging Face does.
    """

    def __init__(
        self,
        name: str = "memory",
        *,
        lists_sha256: bool = True,
        lists_commits: bool = True,
        catalog_limit: int | None = None,
        lists_private: bool = True,
    ) -> None:
        self._lists_sha256 = lists_sha256
        self._lists_commits = lists_commits
        self.traits = HubTraits(
            name=name,
            title="Memory",
            default_branch="main",
            pins_commits=True,
            tells_head=True,
            can_tag=True,
            own_files=frozenset({".gitattributes", "configuration.json"}),
            has_collections=True,
            catalog_limit=catalog_limit,
            lists_private=lists_private,
        )
        self.repos: dict[str, MemoryRepo] = {}
        self.collections: dict[str, list[RepoId]] = {}
        self._moved: dict[str, str] = {}
        self.blobs: dict[Sha256, bytes] = {}
        self.requests: list[str] = []
        self.before: Callable[[str], None] = lambda request: None
        self.is_readonly = False
        self._lock = threading.RLock()

    def seed(self, name: str, files: Mapping[str, bytes], **traits: Any) -> MemoryRepo:
        """Add a commit that makes ``files`` the whole tree; ``traits``: fields of MemoryRepo."""
        with self._lock:
            repo = self.repos.setdefault(name, MemoryRepo(commits=[]))
            repo.commits.append(dict(files))
            repo.modified_at += 1
            for key, value in traits.items():
                setattr(repo, key, value)
            for data in files.values():
                if len(data) > INLINE_BYTES:
                    self.blobs[sha256_of(data)] = data
            return repo

    def rename(self, name: str, new_name: str) -> None:
        """Give a repository another name; requests for the old one lead to it."""
        with self._lock:
            self.repos[new_name] = self.repos.pop(name)
            self._moved[name] = new_name
            self._moved.pop(new_name, None)

    def _ask(self, request: str) -> None:
        with self._lock:
            self.requests.append(request)
        self.before(request)

    def _present_name(self, name: str) -> str:
        while name not in self.repos and name in self._moved:
            name = self._moved[name]
        return name

    def _repo(self, repo: RepoId) -> MemoryRepo:
        found = self.repos.get(self._present_name(repo.name))
        if found is None:
            raise NotFoundError(T("{repo} does not exist", repo=repo))
        if found.is_disabled:
            raise AccessError(T("{repo} has been disabled", repo=repo))
        return found

    def identity(self) -> Identity:
        """Always the same user."""
        self._ask("identity")
        return Identity("memory-user", ("memory-org",))

    def token_place(self) -> Identity:
        """There is no token."""
        return Identity(None)

    def resolve(self, repo: RepoId, revision: str | None) -> RepoInfo:
        """A commit is ``c`` and its number."""
        self._ask("resolve")
        found = self._repo(repo)
        name = revision or self.traits.default_branch
        if name == self.traits.default_branch:
            number = len(found.commits) - 1
        elif name in found.tags:
            number = found.tags[name]
        elif name.startswith("c") and name[1:].isdigit() and int(name[1:]) < len(found.commits):
            number = int(name[1:])
        else:
            raise NotFoundError(T("{repo} has no {name}", repo=repo, name=name), what="revision")
        return RepoInfo(repo, name, f"c{number}", found.visibility, found.license)

    def _tree(self, info: RepoInfo) -> dict[str, bytes]:
        assert info.commit is not None
        return self._repo(info.repo).commits[int(info.commit[1:])]

    def _entry(self, path: str, data: bytes) -> FileEntry:
        is_lfs = len(data) > INLINE_BYTES
        return FileEntry(
            path,
            len(data),
            Storage.LFS if is_lfs else Storage.REGULAR,
            sha256_of(data) if is_lfs or self._lists_sha256 else None,
            None if is_lfs or self._lists_sha256 else git_oid_of(data),
        )

    def list_files(self, info: RepoInfo) -> Listing:
        """Everything, in one request."""
        self._ask("list")
        tree = self._tree(info)
        return make_listing(
            info.repo, info.commit, [self._entry(path, data) for path, data in tree.items()]
        )

    def stat_files(self, info: RepoInfo, paths: Sequence[str]) -> Mapping[str, FileEntry | None]:
        """One request a path."""
        tree = self._tree(info)
        found: dict[str, FileEntry | None] = {}
        for path in paths:
            self._ask(f"stat {path}")
            found[path] = self._entry(path, tree[path]) if path in tree else None
        return found

    def list_repos(self, query: RepoQuery) -> RepoList:
        """By name, 1,000 a request; what ``lists_private`` and ``catalog_limit`` allow."""
        with self._lock:
            fitting = [
                self._summary(name, repo)
                for name, repo in sorted(self.repos.items())
                if _fits(query, name, repo)
            ]
        if not self.traits.lists_private:
            fitting = [one for one in fitting if one.visibility is not Visibility.PRIVATE]
        shown = fitting[: self.traits.catalog_limit]
        for _ in range(max(1, -(-len(shown) // PAGE_SIZE))):
            self._ask("list_repos")
        return RepoList(tuple(shown), len(shown) == len(fitting), len(fitting))

    def list_collection(self, slug: str) -> RepoList:
        """In one request."""
        self._ask("list_collection")
        if slug not in self.collections:
            raise NotFoundError(T("there is no collection {slug}", slug=slug))
        with self._lock:
            return RepoList(tuple(self._of_collection(repo) for repo in self.collections[slug]))

    def _of_collection(self, repo: RepoId) -> RepoSummary:
        name = self._present_name(repo.name)
        found = self.repos.get(name)
        return self._summary(name, found) if found else RepoSummary(repo)

    def summary(self, repo: RepoId) -> RepoSummary:
        """As the list tells it, under the present name."""
        self._ask("summary")
        with self._lock:
            return self._summary(self._present_name(repo.name), self._repo(repo))

    def _summary(self, name: str, repo: MemoryRepo) -> RepoSummary:
        return RepoSummary(
            RepoId(self.traits.name, name, repo.repo_type),
            f"c{len(repo.commits) - 1}" if self._lists_commits else None,
            repo.modified_at,
            repo.visibility,
            repo.is_disabled,
            repo.license,
            repo.task,
            repo.library,
            repo.family,
            repo.topics,
            repo.downloads,
        )

    def list_refs(self, repo: RepoId) -> Refs:
        """The one branch there is, and the tags."""
        self._ask("list_refs")
        return Refs((self.traits.default_branch,), tuple(sorted(self._repo(repo).tags)))

    def open(
        self, info: RepoInfo, entry: FileEntry, start: int = 0, end: int | None = None
    ) -> MemoryStream:
        """Bytes of the pinned commit."""
        self._ask(f"open {entry.path}")
        tree = self._tree(info)
        if entry.path not in tree:
            raise NotFoundError(T("{path} does not exist", path=entry.path), what="path")
        return MemoryStream(memoryview(tree[entry.path])[start:end])

    def reads_ranges(self, entry: FileEntry) -> bool:
        """As hubs do: LFS files."""
        return entry.storage is Storage.LFS

    def read_many(
        self, info: RepoInfo, entries: Sequence[FileEntry]
    ) -> Iterator[tuple[FileEntry, bytes]]:
        """One request for all, if ``traits.bulk_files`` was set."""
        if self.traits.bulk_files:
            self._ask(f"read_many {len(entries)}")
            tree = self._tree(info)
            for entry in entries:
                if entry.path in tree:
                    yield entry, tree[entry.path]

    def write_access(self, repo: RepoId) -> Access:
        """Yes, unless the hub is read-only."""
        self._ask("write_access")
        return Access.NO if self.is_readonly else Access.YES

    def is_branch(self, info: RepoInfo) -> bool:
        """There is one branch."""
        return info.revision == self.traits.default_branch

    def must_inline(self, path: str) -> bool:
        """The card and what configures Git."""
        return path.rsplit("/", 1)[-1].lower() in {"readme.md", ".gitattributes"}

    def wants_inline(self, path: str, size_bytes: int) -> bool:
        """Small files."""
        return size_bytes <= INLINE_BYTES

    def path_problem(self, path: str) -> Text | None:
        """Memory holds every path."""
        return None

    def create_repo(self, repo: RepoId, visibility: Visibility, license_id: str | None) -> None:
        """A new repository has one empty commit."""
        self._ask("create")
        self._refuse_readonly(repo)
        with self._lock:
            is_public = visibility is Visibility.PUBLIC
            self.repos.setdefault(
                repo.name,
                MemoryRepo(Visibility.PUBLIC if is_public else Visibility.PRIVATE, license_id),
            )

    def _refuse_readonly(self, repo: RepoId) -> None:
        if self.is_readonly:
            raise AccessError(T("the token may not write to {repo}", repo=repo))

    def missing_blobs(
        self, info: RepoInfo, blobs: Collection[Blob]
    ) -> Mapping[Sha256, UploadTicket]:
        """Blobs are shared by all repositories of the hub."""
        self._ask("missing_blobs")
        self._repo(info.repo)
        return {blob.sha256: UploadTicket(blob) for blob in blobs if blob.sha256 not in self.blobs}

    def put_blob(self, info: RepoInfo, ticket: UploadTicket, body: BlobBody) -> None:
        """Keeps the bytes only when all of them came and the digest is right."""
        self._ask("put_blob")
        self._refuse_readonly(info.repo)
        received = bytearray()
        with body.chunks() as chunks:
            for chunk in chunks:
                received += chunk
        data = bytes(received)
        if len(data) != ticket.blob.size_bytes or sha256_of(data) != ticket.blob.sha256:
            raise HubError(T("the upload is not the blob that was announced"))
        with self._lock:
            self.blobs[ticket.blob.sha256] = data

    def commit(self, info: RepoInfo, changes: Sequence[CommitChange], message: str) -> str | None:
        """One more tree; refuses blobs it does not hold, and what no tree can be."""
        self._ask("commit")
        self._refuse_readonly(info.repo)
        with self._lock:
            repo = self._repo(info.repo)
            tree = dict(repo.files)
            for change in changes:
                if isinstance(change, Delete):
                    tree.pop(change.path, None)
                elif isinstance(change, AddInline):
                    tree[change.path] = change.content
                elif change.blob.sha256 in self.blobs:
                    tree[change.path] = self.blobs[change.blob.sha256]
                else:
                    raise HubError(T("{path}: the blob is not here", path=change.path))
            if any(parent in tree for path in tree for parent in _parents(path)):
                raise HubError(T("a path would be a file and a folder at once"))
            repo.commits.append(tree)
            repo.messages.append(message)
            repo.modified_at += 1
            return f"c{len(repo.commits) - 1}"

    def tag(self, info: RepoInfo, name: str) -> None:
        """Names the present commit."""
        self._ask("tag")
        self._refuse_readonly(info.repo)
        repo = self._repo(info.repo)
        repo.tags.setdefault(name, len(repo.commits) - 1)

    def close(self) -> None:
        """Nothing to let go of."""
