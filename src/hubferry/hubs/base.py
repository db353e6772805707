"""The hub ports: what the core asks of any hub, as source and as target.

Two protocols, so that nobody writes to a source by mistake. The core never
asks a hub for its name; it asks for ``traits``. Every method is blocking and
may be called from several threads at once. Unless said otherwise a method is
safe to repeat and makes ONE attempt (the callers own the retries): it raises
``RateLimitedError`` or ``UnavailableError`` when a later try may succeed.
Foreign exceptions never leave a hub package.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from hubferry.model import (
    Access,
    Blob,
    CommitChange,
    FileEntry,
    Identity,
    Listing,
    Refs,
    RepoId,
    RepoInfo,
    RepoList,
    RepoQuery,
    RepoSummary,
    Sha256,
    Visibility,
)
from hubferry.text import Text


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of a hub. ``kind`` says what is measured:

    ``file_bytes`` (one file), ``files`` (in the repo), ``folder_files`` (direct
    children of one folder), ``folder_listing`` (direct children of one folder
    from which on the hub cannot list it in full), ``regular_bytes`` (all files
    outside LFS).
    ``is_proven``: the hub is known to refuse above ``value``; else only advice.
    """

    kind: str
    value: int
    is_proven: bool
    source: str


@dataclass(frozen=True, slots=True)
class HubTraits:
    """What the core may ask of a hub instead of its name."""

    name: str
    """The address scheme (``hf``); for printing, never for branching."""
    title: str
    """What people call it."""
    default_branch: str
    pins_commits: bool
    """Reads can be pinned to the commit ``resolve`` told."""
    tells_head: bool
    """``resolve`` tells the commit of a branch, so a moved head can be seen cheaply."""
    keeps_history: bool = True
    """Commits are kept, so the state before a change can be named again."""
    can_tag: bool = False
    own_files: frozenset[str] = frozenset()
    """Files the hub makes itself; a mirror keeps them unless told otherwise."""
    commit_max_changes: int = 256
    commit_max_inline_bytes: int = 8 * 1024 * 1024
    commit_seconds: float = 1.0
    """A guess at how long one commit takes, for time estimates."""
    blob_query_size: int = 64
    """Blobs asked for in one ``missing_blobs`` call."""
    limits: tuple[Limit, ...] = ()
    tells_scans: bool = False
    """``stat_files`` tells the hub's own security verdict, many paths a request."""
    is_local: bool = False
    """Reads and writes cost disk, not a network link."""
    has_collections: bool = False
    """``list_collection`` works."""
    catalog_limit: int | None = None
    """Most repositories that ``list_repos`` can reach for one query; None: all."""
    lists_private: bool = True
    """Lists show the private repositories that the token may see. False: they may leave them
    out, so a repository that is missing from a list may exist all the same."""
    bulk_files: int = 0
    """Most files of one ``read_many`` call; 0: the hub has no way to read many at once."""
    bulk_bytes: int = 0
    """Most bytes of one ``read_many`` call, all files together: what it may hold in memory."""


@runtime_checkable
class ByteStream(Protocol):
    """An open read. One thread at a time."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill ``buffer`` from its start; 0 means the stream ended.

        An early end is not an error here: the checked reader above counts.

        Raises:
            UnavailableError: dropped, stalled or timed out.
        """

    def close(self) -> None:
        """Let go of the connection; safe to repeat, from any thread."""


class BlobBody(Protocol):
    """What a target reads while it stores a blob: exactly ``size_bytes`` bytes, checked.

    ``chunks`` may be called again only if the earlier one was not exhausted;
    it starts over from byte 0. It raises CopyError (never OSError, which HTTP
    clients would wrap) when the source fails; the target must then leave the
    upload incomplete.
    """

    @property
    def size_bytes(self) -> int:
        """How many bytes ``chunks`` gives."""

    def chunks(self) -> AbstractContextManager[Iterable[memoryview]]:
        """The bytes in order, in pieces of at most 1 MiB, valid until the next one."""


@dataclass(frozen=True, slots=True)
class UploadTicket:
    """A target's permission to store one blob: where, and with which headers.

    Never logged, never in the ledger: the URL is signed. ``detail`` belongs to
    the hub that made it.
    """

    blob: Blob
    detail: object = field(default=None, repr=False)


class Hub(Protocol):
    """What both roles share."""

    @property
    def traits(self) -> HubTraits:
        """The hub's traits; constant."""

    def identity(self) -> Identity:
        """Who the token belongs to; asks the hub.

        Raises:
            InvalidTokenError: the hub does not know the token.
        """

    def token_place(self) -> Identity:
        """What is known without asking: the endpoint, the token's place and mask; no user."""

    def resolve(self, repo: RepoId, revision: str | None) -> RepoInfo:
        """Turn a revision into a commit, with what the hub tells of the repo.

        Raises:
            NotFoundError: ``what`` is ``repo`` or ``revision``.
            AccessError: private, gated, or a bad token.
        """

    def list_files(self, info: RepoInfo) -> Listing:
        """Every path of the pinned commit; complete or an error.

        Folders that the hub cannot list in full are named in
        ``doubtful_folders``. It is long, so each page is tried again on its
        own, with the patience the hub was built with.
        """

    def stat_files(self, info: RepoInfo, paths: Sequence[str]) -> Mapping[str, FileEntry | None]:
        """Look at single paths, for folders that cannot be listed.

        None: the path is not there. A path missing from the answer: the hub
        does not let us look. Costs about one request a path.
        """

    def list_repos(self, query: RepoQuery) -> RepoList:
        """The repositories that fit, page by page; costs O(pages) requests.

        Each page is tried again on its own, as in ``list_files``.

        Raises:
            NotFoundError: there is no such owner, where the hub tells.
            UsageError: this hub has no such list, or not with these criteria.
        """

    def list_collection(self, slug: str) -> RepoList:
        """The repositories of a collection, in its order; what is no repository is left out.

        Each is told as ``summary`` would; one that cannot be looked at is told by its name alone.

        Raises:
            NotFoundError: there is no such collection.
            UsageError: this hub has no collections.
        """

    def summary(self, repo: RepoId) -> RepoSummary:
        """What ``list_repos`` would tell of one repository; one request.

        Raises:
            NotFoundError, AccessError: as ``resolve``.
        """

    def list_refs(self, repo: RepoId) -> Refs:
        """The names of the branches and tags; one request.

        Raises:
            NotFoundError, AccessError: as ``resolve``.
        """

    def close(self) -> None:
        """Let go of connections."""


class SourceHub(Hub, Protocol):
    """A hub that is read from."""

    def open(
        self, info: RepoInfo, entry: FileEntry, start: int = 0, end: int | None = None
    ) -> ByteStream:
        """Open bytes ``start`` to ``end`` (exclusive; None: to the file's end).

        Raises:
            CorruptReadError: the hub announces another size or digest than the listing.
            UnavailableError: worth another try (an expired signed URL is this too).
        """

    def reads_ranges(self, entry: FileEntry) -> bool:
        """Whether several ranges of this file may be read at once, each for one request.

        False: one stream from start to end is the best there is. The answer may
        turn while the file is read: a way is given up, or a server turns out to
        ignore ranges. Asks nobody.
        """

    def read_many(
        self, info: RepoInfo, entries: Sequence[FileEntry]
    ) -> Iterator[tuple[FileEntry, bytes]]:
        """The contents of many small regular files in a few requests, in any order.

        A way to save requests, never a promise: what cannot be brought this way
        is left out without an error, and the caller opens it alone. The bytes
        are unchecked. At most ``traits.bulk_files`` files of
        ``traits.bulk_bytes`` in all a call, and both traits say 0 where there
        is no such way. Closing the iterator early is fine.

        Raises:
            RateLimitedError, UnavailableError: a later try may succeed.
        """


class TargetHub(Hub, Protocol):
    """A hub that is written to. One writer per branch at a time."""

    def write_access(self, repo: RepoId) -> Access:
        """Whether the token may write there, as far as asking tells; writes nothing."""

    def is_branch(self, info: RepoInfo) -> bool:
        """Whether ``info.revision`` is a branch, which a commit can go to; not a tag or commit."""

    def must_inline(self, path: str) -> bool:
        """True if the hub parses this file itself, so it must ride inside the commit."""

    def wants_inline(self, path: str, size_bytes: int) -> bool:
        """True if this file should ride inside the commit rather than be a blob."""

    def path_problem(self, path: str) -> Text | None:
        """Why this hub cannot hold ``path`` (beyond ``model.path_problem``), or None."""

    def create_repo(self, repo: RepoId, visibility: Visibility, license_id: str | None) -> None:
        """Create the repository; fine if it exists. Anything but PUBLIC is made private."""

    def missing_blobs(
        self, info: RepoInfo, blobs: Collection[Blob]
    ) -> Mapping[Sha256, UploadTicket]:
        """Which of ``blobs`` the target does not hold, with leave to send each.

        A failed call raises; it is never read as "stored". At most
        ``traits.blob_query_size`` blobs a call.
        """

    def put_blob(self, info: RepoInfo, ticket: UploadTicket, body: BlobBody) -> None:
        """Store one blob; returns only when the target has said that it is stored.

        Raises:
            TooLargeError, QuotaError: final.
            UnavailableError: ask ``missing_blobs`` again for a fresh ticket, then retry.
        """

    def commit(self, info: RepoInfo, changes: Sequence[CommitChange], message: str) -> str | None:
        """Make one commit on ``info.revision``; returns its id where the hub tells it.

        Not safe to repeat blindly: after ``UnavailableError`` with
        ``ambiguous`` the caller lists first.
        """

    def tag(self, info: RepoInfo, name: str) -> None:
        """Name the present head; fine if the tag exists.

        Raises:
            HubError: the hub does not allow it.
        """
