"""Repositories of a lab hub: refs, commits with full trees, and a store of blobs shared by all.

Tests seed with ``store.create("model", "org/name")`` and ``repo.commit({"path": b"..."})``; the
handlers of a hub use the same calls, from the lab's thread, so every change holds the store's lock.
A tree maps a path to a :class:`TreeFile`, which names its bytes by digest; ``store.blobs`` (SHA-256
-> content, deduplicated over all repositories of the hub) has the bytes, or has lost them.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from hubferry.lab.content import BytesContent, Content, KnownContent, lfs_pointer, to_content

RepoType = Literal["model", "dataset"]
LfsRule = Callable[[str, int], bool]
Seed = Content | bytes | str | Path


@dataclass(frozen=True)
class TreeFile:
    """One path of one commit.

    ``oid`` is the Git id of what Git itself holds: the file, or for an LFS file its pointer.
    ``last_commit`` is the commit that last changed the path.
    """

    size: int
    sha256: str
    oid: str
    is_lfs: bool
    last_commit: str = ""


@dataclass(frozen=True)
class Commit:
    """An immutable snapshot."""

    id: str
    parent: str | None
    message: str
    date: datetime
    author: str
    tree: Mapping[str, TreeFile]


class BlobStore:
    """Contents by SHA-256; which of them are LFS objects is known apart.

    A regular file's bytes live in Git: the LFS store has not seen them. Files that another server
    puts into ``folder`` are objects too; their names are taken for their digests.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._by_sha256: dict[str, Content] = {}
        self._objects: set[str] = set()

    def add(self, content: Content, *, is_lfs: bool = True) -> str:
        """Keep ``content``; return its digest. The first of two equal contents stays."""
        return self.put(content.sha256, content, is_lfs=is_lfs)

    def put(self, sha256: str, content: Content, *, is_lfs: bool = True) -> str:
        """Keep ``content`` under a digest it may not have: a store that trusts its clients."""
        self._by_sha256.setdefault(sha256, content)
        if is_lfs:
            self._objects.add(sha256)
        return sha256

    def get(self, sha256: str) -> Content | None:
        """Return the content, or None where the hub never had it or lost it."""
        self._take_in(sha256)
        return self._by_sha256.get(sha256)

    def drop(self, sha256: str) -> None:
        """Lose a blob, as a store with a fault does; trees go on naming it."""
        self._by_sha256.pop(sha256, None)
        self._objects.discard(sha256)
        if self._folder:
            (self._folder / sha256).unlink(missing_ok=True)

    def has_object(self, sha256: str) -> bool:
        """Tell whether the LFS store holds this object."""
        self._take_in(sha256)
        return sha256 in self._objects

    def __contains__(self, sha256: str) -> bool:
        return self.get(sha256) is not None

    def __len__(self) -> int:
        return len(self._by_sha256)

    def _take_in(self, sha256: str) -> None:
        """Learn of an object that came by way of the folder."""
        if self._folder is None or sha256 in self._objects:
            return
        with suppress(FileNotFoundError):
            self.put(sha256, KnownContent((self._folder / sha256).stat().st_size, sha256))


@dataclass
class Repo:
    """A repository; ``id`` is ``owner/name``, or one segment on Hugging Face.

    ``card`` is the parsed card metadata a hub shows, ``extra`` what only one hub knows of
    (descriptions, visibility numbers), ``granted`` the users let through the gate.
    """

    store: RepoStore = field(repr=False)
    repo_type: RepoType
    id: str
    created_by: str
    created_at: datetime
    is_private: bool = False
    gated: Literal[False, "auto", "manual"] = False
    is_disabled: bool = False
    license: str | None = None
    downloads: int = 0
    card: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    granted: set[str] = field(default_factory=set)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict, repr=False)

    @property
    def namespace(self) -> str:
        """The owner; empty for one-segment ids."""
        return self.id.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The last segment of the id."""
        return self.id.rpartition("/")[2]

    def resolve(self, revision: str | None = None) -> Commit | None:
        """Return the commit a branch, tag or full commit id names (default branch for None)."""
        name = revision or self.store.default_branch
        commit_id = self.branches.get(name) or self.tags.get(name) or name
        return self.commits.get(commit_id)

    def head(self, branch: str | None = None) -> Commit | None:
        """Return the newest commit of a branch, or None for an empty or missing one."""
        return self.commits.get(self.branches.get(branch or self.store.default_branch, ""))

    @property
    def modified_at(self) -> datetime:
        """When the default branch last changed; for an empty repository, when it was made."""
        head = self.head()
        return head.date if head else self.created_at

    def tree(self, revision: str | None = None) -> Mapping[str, TreeFile]:
        """Return path -> file; empty for an empty repository or an unknown revision."""
        commit = self.resolve(revision)
        return commit.tree if commit else {}

    def read(self, path: str, revision: str | None = None) -> bytes:
        """Return a whole file's bytes, for tests.

        Raises:
            KeyError: no such path, or its blob is lost.
        """
        file = self.tree(revision)[path]
        content = self.store.blobs.get(file.sha256)
        if content is None:
            raise KeyError(f"{path}: blob {file.sha256} is not stored")
        return bytes(content.read(0, content.size))

    def commit(
        self,
        files: Mapping[str, Seed],
        deletes: Iterable[str] = (),
        *,
        message: str = "update",
        branch: str | None = None,
        author: str | None = None,
        lfs: Collection[str] | None = None,
        date: datetime | None = None,
    ) -> str:
        """Store the contents and commit them, now or as of ``date``; return the commit id.

        ``lfs`` names the paths to keep by pointer; None leaves it to the hub's own rule.
        Unknown paths in ``deletes`` are ignored. Hashes every content not hashed before.
        """
        rule = self.store.lfs_rule if lfs is None else lambda path, _size: path in lfs
        changes: dict[str, TreeFile] = {}
        for path, seed in files.items():
            content = to_content(seed)
            changes[path] = self.store.add_file(content, is_lfs=rule(path, content.size))
        return self.commit_tree(
            changes, deletes, message=message, branch=branch, author=author, date=date
        ).id

    def commit_tree(
        self,
        changes: Mapping[str, TreeFile],
        deletes: Iterable[str] = (),
        *,
        message: str,
        branch: str | None = None,
        author: str | None = None,
        date: datetime | None = None,
    ) -> Commit:
        """Commit files whose blobs were stored before (or never: nothing is checked here)."""
        branch = branch or self.store.default_branch
        with self.store.lock:
            parent = self.head(branch)
            tree = dict(parent.tree) if parent else {}
            for path in deletes:
                tree.pop(path, None)
            now = date or datetime.now(UTC)
            commit_id = self._new_id(parent, message, changes, now)
            for path, file in changes.items():
                tree[path] = replace(file, last_commit=commit_id)
            commit = Commit(
                commit_id, parent.id if parent else None, message, now, author or self.created_by,
                tree,
            )  # fmt: skip
            self.commits[commit_id] = commit
            self.branches[branch] = commit_id
        return commit

    def tag(self, name: str, revision: str | None = None) -> None:
        """Point a tag at a revision.

        Raises:
            KeyError: the revision names no commit.
        """
        commit = self.resolve(revision)
        if commit is None:
            raise KeyError(revision)
        with self.store.lock:
            self.tags[name] = commit.id

    def history(self, branch: str | None = None) -> list[Commit]:
        """Return a branch's commits, newest first."""
        found: list[Commit] = []
        commit = self.head(branch)
        while commit:
            found.append(commit)
            commit = self.commits.get(commit.parent or "")
        return found

    def _new_id(
        self, parent: Commit | None, message: str, changes: Mapping[str, TreeFile], now: datetime
    ) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        lines = [self.id, parent.id if parent else "", message, now.isoformat()]
        lines += [str(len(self.commits)), *(f"{path} {f.oid}" for path, f in changes.items())]
        digest.update("\n".join(lines).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


class RepoStore:
    """All repositories of one hub."""

    def __init__(
        self, *, default_branch: str, lfs_rule: LfsRule, blob_folder: Path | None = None
    ) -> None:
        self.default_branch = default_branch
        self.lfs_rule = lfs_rule
        self.blobs = BlobStore(blob_folder)
        self.lock = threading.RLock()
        self._repos: dict[tuple[RepoType, str], Repo] = {}
        self._moved: dict[tuple[RepoType, str], str] = {}

    def create(
        self,
        repo_type: RepoType,
        repo_id: str,
        *,
        is_private: bool = False,
        created_by: str = "lab-user",
        files: Mapping[str, Seed] | None = None,
    ) -> Repo:
        """Make a repository, with a first commit if ``files`` are given.

        Raises:
            FileExistsError: the id is taken for this type.
        """
        with self.lock:
            if (repo_type, repo_id) in self._repos:
                raise FileExistsError(repo_id)
            repo = Repo(
                self, repo_type, repo_id, created_by, datetime.now(UTC), is_private=is_private
            )
            self._repos[repo_type, repo_id] = repo
            self._moved.pop((repo_type, repo_id), None)
        if files:
            repo.commit(files, message="initial commit")
        return repo

    def get(self, repo_type: RepoType, repo_id: str) -> Repo | None:
        """Return a repository, or None."""
        return self._repos.get((repo_type, repo_id))

    def rename(self, repo_type: RepoType, repo_id: str, new_id: str) -> None:
        """Give a repository another id; the old one is remembered.

        Raises:
            KeyError: there is no such repository.
            FileExistsError: the new id is taken.
        """
        with self.lock:
            if (repo_type, new_id) in self._repos:
                raise FileExistsError(new_id)
            repo = self._repos.pop((repo_type, repo_id))
            repo.id = new_id
            self._repos[repo_type, new_id] = repo
            self._moved[repo_type, repo_id] = new_id
            self._moved.pop((repo_type, new_id), None)

    def moved_to(self, repo_type: RepoType, repo_id: str) -> str | None:
        """Return the present id of a repository that was renamed, or None."""
        return self._moved.get((repo_type, repo_id))

    def delete(self, repo_type: RepoType, repo_id: str) -> bool:
        """Remove a repository (its blobs stay); tell whether it was there."""
        with self.lock:
            return self._repos.pop((repo_type, repo_id), None) is not None

    def __iter__(self) -> Iterator[Repo]:
        return iter(list(self._repos.values()))

    def add_file(self, content: Content, *, is_lfs: bool) -> TreeFile:
        """Store a content and return the tree entry for it, without its last commit."""
        self.blobs.add(content, is_lfs=is_lfs)
        if is_lfs:
            return lfs_file(content.sha256, content.size)
        return TreeFile(content.size, content.sha256, content.git_oid, is_lfs=False)


def lfs_file(sha256: str, size: int) -> TreeFile:
    """Return the tree entry of an LFS file, whether or not its blob is stored."""
    oid = BytesContent(lfs_pointer(sha256, size)).git_oid
    return TreeFile(size, sha256, oid, is_lfs=True)
