"""A folder on this machine as source and target; ``RepoId.name`` is its absolute path.

Blobs wait below ``.hubferry`` in the folder itself, so that a commit moves them
into place without copying; a file is replaced whole or not at all.
"""

from __future__ import annotations

import io
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hubferry.control import CancelToken
from hubferry.errors import (
    HubError,
    LocalError,
    NoSpaceError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from hubferry.hubs.base import BlobBody, ByteStream, HubTraits, UploadTicket
from hubferry.hubs.local import names
from hubferry.hubs.local.files import Digests, FilePart, entries, entry_of, local_error
from hubferry.model import (
    Access,
    AddBlob,
    AddInline,
    Blob,
    CommitChange,
    Delete,
    FileEntry,
    Identity,
    Listing,
    Refs,
    RefusedPath,
    RepoId,
    RepoInfo,
    RepoList,
    RepoQuery,
    RepoSummary,
    Sha256,
    Visibility,
    make_listing,
    path_problem,
)
from hubferry.text import T, Text

TRAITS = HubTraits(
    name="file",
    title="local folder",
    default_branch="folder",
    pins_commits=False,
    tells_head=False,
    keeps_history=False,
    commit_max_changes=1000,
    commit_seconds=0.1,
    blob_query_size=1000,
    is_local=True,
)

# Small files ride inside the commit: one write instead of a blob and a move.
_INLINE_BYTES = 64 * 1024
_COPY_BYTES = 1024 * 1024


class LocalHub:
    """The SourceHub and TargetHub of folders on this machine. Thread-safe."""

    def __init__(self, *, cancel: CancelToken) -> None:
        self._cancel = cancel
        self._digests = Digests(cancel)
        self._numbers = itertools.count()

    @property
    def traits(self) -> HubTraits:
        """The hub's traits; constant."""
        return TRAITS

    def close(self) -> None:
        """Nothing stays open."""

    def identity(self) -> Identity:
        """Nobody: a folder knows no tokens."""
        return Identity(None)

    def token_place(self) -> Identity:
        """A folder knows no tokens."""
        return Identity(None)

    def resolve(self, repo: RepoId, revision: str | None) -> RepoInfo:
        """The folder as it is; it has one revision only."""
        root = _root(repo)
        if root.is_file():
            raise LocalError(
                T("{place} is a file, not a folder", place=str(root)),
                hint=T("name the folder that holds the repository"),
            )
        if not root.is_dir():
            raise NotFoundError(T("there is no folder {place}", place=str(root)))
        if revision not in (None, TRAITS.default_branch):
            raise NotFoundError(T("a local folder has no revisions"), what="revision")
        return RepoInfo(repo, TRAITS.default_branch, None, web_url=root.as_uri())

    def list_files(self, info: RepoInfo) -> Listing:
        """Every file with both digests; reads the folder once (unchanged files only once)."""
        good, refused = entries(_root(info.repo), self._digests, self._cancel)
        listing = make_listing(info.repo, None, good)
        return replace(listing, refused=(*listing.refused, *refused))

    def stat_files(self, info: RepoInfo, paths: Sequence[str]) -> Mapping[str, FileEntry | None]:
        """Look at single files, hashed."""
        found: dict[str, FileEntry | None] = {}
        for path in paths:
            place = _below(_root(info.repo), path, is_read=True)
            try:
                found[path] = entry_of(path, place, self._digests) if place.is_file() else None
            except OSError as error:
                raise local_error(error, place) from error
        return found

    def list_repos(self, query: RepoQuery) -> RepoList:
        """Never: a folder holds files, and which of its subfolders are repositories it cannot tell.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            T("local folders cannot be listed"), hint=T("name each folder on a line of its own")
        )

    def list_collection(self, slug: str) -> RepoList:
        """Never: there are no collections of folders.

        Raises:
            UsageError: always.
        """
        raise UsageError(T("local folders have no collections"))

    def summary(self, repo: RepoId) -> RepoSummary:
        """That the folder is there; without a mark, as a folder's time tells not of its files."""
        self.resolve(repo, None)
        return RepoSummary(repo)

    def list_refs(self, repo: RepoId) -> Refs:
        """The one revision there is."""
        self.resolve(repo, None)
        return Refs((TRAITS.default_branch,))

    def open(
        self, info: RepoInfo, entry: FileEntry, start: int = 0, end: int | None = None
    ) -> ByteStream:
        """Open bytes ``start`` to ``end`` of a file."""
        stop = entry.size_bytes if end is None else min(end, entry.size_bytes)
        place = _below(_root(info.repo), entry.path, is_read=True)
        return FilePart(place, min(start, stop), stop, entry.size_bytes)

    def reads_ranges(self, entry: FileEntry) -> bool:
        """False: a disk gives no more to two readers than to one."""
        return False

    def read_many(
        self, info: RepoInfo, entries: Sequence[FileEntry]
    ) -> Iterator[tuple[FileEntry, bytes]]:
        """None: opening a file costs no request."""
        return iter(())

    def write_access(self, repo: RepoId) -> Access:
        """Whether the folder, or the nearest one above it that exists, may be written."""
        root = _root(repo)
        nearest = next(place for place in (root, *root.parents) if place.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            # Not Access.NO, which speaks of tokens.
            raise LocalError(
                T("the folder {place} cannot be written to", place=str(nearest)),
                hint=T("name a folder that you may write to"),
            )
        return Access.YES

    def is_branch(self, info: RepoInfo) -> bool:
        """A folder has one state, which can be written."""
        return True

    def must_inline(self, path: str) -> bool:
        """Never: a folder parses nothing."""
        return False

    def wants_inline(self, path: str, size_bytes: int) -> bool:
        """Small files."""
        return size_bytes <= _INLINE_BYTES

    def path_problem(self, path: str) -> Text | None:
        """Why this machine's file systems cannot hold ``path``."""
        return names.name_problem(path)

    def collisions(self, repo: RepoId, paths: Iterable[str]) -> tuple[RefusedPath, ...]:
        """Paths that the folder's file system takes for an earlier one (``A`` and ``a``)."""
        return names.collisions(_root(repo), paths)

    def create_repo(self, repo: RepoId, visibility: Visibility, license_id: str | None) -> None:
        """Make the folder; who may read it is for the file system to say."""
        root = _root(repo)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise local_error(error, root) from error

    def missing_blobs(
        self, info: RepoInfo, blobs: Collection[Blob]
    ) -> Mapping[Sha256, UploadTicket]:
        """Blobs that neither wait for their commit nor are known from the last listing."""
        root = _root(info.repo)
        return {
            blob.sha256: UploadTicket(blob)
            for blob in blobs
            if not _is_whole(_waiting(root, blob), blob)
            and self._digests.find(root, blob.sha256) is None
        }

    def put_blob(self, info: RepoInfo, ticket: UploadTicket, body: BlobBody) -> None:
        """Write a blob aside; it gets its name only when it is whole."""
        blob, root = ticket.blob, _root(info.repo)
        place = _waiting(root, blob)
        with suppress(OSError):
            if shutil.disk_usage(root).free < blob.size_bytes:
                raise NoSpaceError(
                    T("{size} bytes do not fit at {place}", size=blob.size_bytes, place=str(root))
                )
        with body.chunks() as chunks:
            self._write(root, place, chunks)

    def commit(self, info: RepoInfo, changes: Sequence[CommitChange], message: str) -> str | None:
        """Move every file into place, each whole; a folder keeps neither history nor message."""
        root = _root(info.repo)
        self._refuse_bad_paths(info.repo, changes)
        self._gather(root, [change.blob for change in changes if isinstance(change, AddBlob)])
        uses = Counter(change.blob for change in changes if isinstance(change, AddBlob))
        # Deletions first: a file may have to give way to a folder of its name.
        for change in changes:
            if isinstance(change, Delete):
                _delete(root, _below(root, change.path))
        for change in changes:
            self._cancel.check()
            if isinstance(change, AddInline):
                self._write(root, _below(root, change.path), [memoryview(change.content)])
            elif isinstance(change, AddBlob):
                uses[change.blob] -= 1
                self._settle(root, change, is_last=uses[change.blob] == 0)
        _tidy(root)
        return None

    def tag(self, info: RepoInfo, name: str) -> None:
        """Raise HubError: a folder has no tags."""
        raise HubError(T("a local folder has no tags"))

    def _refuse_bad_paths(self, repo: RepoId, changes: Sequence[CommitChange]) -> None:
        added = [change.path for change in changes if not isinstance(change, Delete)]
        bad = [(path, path_problem(path) or self.path_problem(path)) for path in added]
        bad += [(item.path, item.reason) for item in self.collisions(repo, added)]
        for path, reason in bad:
            if reason is not None:
                raise RefusedError(T("{path}: {reason}", path=path, reason=reason), path=path)

    def _gather(self, root: Path, blobs: Iterable[Blob]) -> None:
        """See that every blob waits aside, before anything that holds its content is replaced."""
        for blob in dict.fromkeys(blobs):
            place = _waiting(root, blob)
            if _is_whole(place, blob):
                continue
            holder = self._digests.find(root, blob.sha256)
            if holder is None:
                raise LocalError(
                    T(
                        "the blob {digest} is gone from {place}",
                        digest=blob.sha256,
                        place=str(root),
                    ),
                    hint=T("run the same command again"),
                )
            self._copy(root, holder, place)

    def _settle(self, root: Path, change: AddBlob, *, is_last: bool) -> None:
        waiting, place = _waiting(root, change.blob), _below(root, change.path)
        if not is_last:
            self._copy(root, waiting, place)
            return
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            waiting.replace(place)
            # Another commit may want the same content once more.
            self._digests.placed(place, change.blob.sha256)
        except OSError as error:
            raise local_error(error, place) from error

    def _copy(self, root: Path, source: Path, place: Path) -> None:
        try:
            with source.open("rb") as file:
                pieces = iter(lambda: file.read(_COPY_BYTES), b"")
                self._write(root, place, (memoryview(piece) for piece in pieces))
        except OSError as error:
            raise local_error(error, source) from error

    def _write(self, root: Path, place: Path, chunks: Iterable[memoryview]) -> None:
        """Write ``place`` whole or not at all; an error of ``chunks`` comes out as it is."""
        workshop = root / names.WORKSHOP
        temporary = workshop / f"{os.getpid()}-{next(self._numbers)}.part"
        try:
            with _opened(temporary) as file:
                for chunk in chunks:
                    self._cancel.check()
                    rest = chunk
                    while rest:
                        rest = rest[file.write(rest) or 0 :]
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(place)
        except OSError as error:
            raise local_error(error, place) from error
        finally:
            with suppress(OSError):
                temporary.unlink()


def _opened(temporary: Path) -> io.FileIO:
    # A commit that tidies up may take the folder away between making and using it.
    for _ in range(3):
        with suppress(FileNotFoundError):
            temporary.parent.mkdir(parents=True, exist_ok=True)
            return io.FileIO(temporary, "x")
    return io.FileIO(temporary, "x")


def _root(repo: RepoId) -> Path:
    return Path(repo.name).resolve()


def _below(root: Path, path: str, *, is_read: bool = False) -> Path:
    """The place of ``path``, which must lie below ``root``, whatever links are on the way.

    A link at its end is followed by reads; writes replace the link itself.

    Raises:
        RefusedError: it does not.
    """
    place = root / path
    problem = path_problem(path)
    if problem is None:
        reached = place if is_read else place.parent
        if not reached.resolve().is_relative_to(root):
            problem = T("the path goes through a link that leads out of the folder")
    if problem is not None:
        raise RefusedError(T("{path}: {reason}", path=path, reason=problem), path=path)
    return place


def _waiting(root: Path, blob: Blob) -> Path:
    return root / names.WORKSHOP / "blobs" / blob.sha256.hex


def _is_whole(place: Path, blob: Blob) -> bool:
    # Blobs get their name by a rename when they are whole; the size is a second look.
    try:
        return place.stat().st_size == blob.size_bytes
    except OSError:
        return False


def _delete(root: Path, place: Path) -> None:
    try:
        place.unlink(missing_ok=True)
    except OSError as error:
        raise local_error(error, place) from error
    for folder in place.parents:
        if folder == root:
            return
        try:
            folder.rmdir()
        except OSError:
            return  # not empty


def _tidy(root: Path) -> None:
    """Take away what killed processes left, and the workshop once nothing waits in it."""
    workshop = root / names.WORKSHOP
    for part in workshop.glob("*.part"):
        if not part.name.startswith(f"{os.getpid()}-"):
            part.unlink(missing_ok=True)
    for folder in (workshop / "blobs", workshop):
        with suppress(OSError):
            folder.rmdir()
