"""The nouns: frozen values, no behaviour beyond their own validity.

The three digests are three types on purpose: a Git blob oid, a Xet hash and a
SHA-256 all look like hex, and comparing across them must not type-check.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from hubferry.text import T, Text

_HEX64 = re.compile(r"[0-9a-f]{64}")
_HEX40 = re.compile(r"[0-9a-f]{40}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, order=True)
class Sha256:
    """SHA-256 of a file's bytes, 64 lower-case hex digits."""

    hex: str

    def __post_init__(self) -> None:
        if not _HEX64.fullmatch(self.hex):
            raise ValueError("a SHA-256 is 64 lower-case hex digits")

    def __str__(self) -> str:
        return f"sha256:{self.hex}"

    @classmethod
    def parse(cls, text: str) -> Sha256:
        """Accept bare hex and ``sha256:`` + hex, in either case (hubs send both)."""
        return cls(text.removeprefix("sha256:").lower())


@dataclass(frozen=True, slots=True, order=True)
class GitOid:
    """SHA-1 of ``blob <size>\\0`` and a file's bytes: Git's id of a blob, 40 hex digits."""

    hex: str

    def __post_init__(self) -> None:
        if not _HEX40.fullmatch(self.hex):
            raise ValueError("a Git oid is 40 lower-case hex digits")

    def __str__(self) -> str:
        return f"git:{self.hex}"


@dataclass(frozen=True, slots=True, order=True)
class XetHash:
    """Xet file id, 64 hex digits; not a SHA-256 of anything."""

    hex: str

    def __post_init__(self) -> None:
        if not _HEX64.fullmatch(self.hex):
            raise ValueError("a Xet hash is 64 lower-case hex digits")


class RepoType(StrEnum):
    """What kind of repository."""

    MODEL = "model"
    DATASET = "dataset"


class Visibility(StrEnum):
    """Who may read a repository. ``GATED`` and ``UNKNOWN`` are never made public."""

    PUBLIC = "public"
    INTERNAL = "internal"
    PRIVATE = "private"
    GATED = "gated"
    UNKNOWN = "unknown"


class Storage(StrEnum):
    """How a hub stores a path: inline in Git, by LFS pointer, or it does not say."""

    REGULAR = "regular"
    LFS = "lfs"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RepoId:
    """One repository on one hub; ``name`` is ``owner/name`` (or what the hub allows)."""

    hub: str
    name: str
    repo_type: RepoType = RepoType.MODEL

    def __str__(self) -> str:
        kind = "" if self.repo_type is RepoType.MODEL else f"{self.repo_type.value}s/"
        return f"{self.hub}://{kind}{self.name}"


@dataclass(frozen=True, slots=True)
class Address:
    """A repository and the revision a user asked for (None: the hub's default)."""

    repo: RepoId
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}" if self.revision else str(self.repo)


def _mark(commit: str | None, modified_at: int | None) -> str | None:
    if commit is not None:
        return f"commit:{commit}"
    return None if modified_at is None else f"modified:{modified_at}"


@dataclass(frozen=True, slots=True)
class RepoInfo:
    """A revision, resolved once; everything later is pinned to it.

    ``commit`` is None where the hub does not tell one. ``branch`` is what a
    commit would go to. ``files_seen`` etc. stay out: that is the listing.
    """

    repo: RepoId
    revision: str
    commit: str | None
    visibility: Visibility = Visibility.UNKNOWN
    license: str | None = None
    pipeline_tag: str | None = None
    library_name: str | None = None
    tags: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()
    web_url: str | None = None
    is_disabled: bool = False
    modified_at: int | None = None
    """Unix seconds of the last change, where the hub tells no commit."""

    @property
    def mark(self) -> str | None:
        """As ``RepoSummary.mark``, of this revision."""
        return _mark(self.commit, self.modified_at)


@dataclass(frozen=True, slots=True)
class RepoSummary:
    """What a list call tells of a repository; what the hub does not tell is None.

    ``repo`` is its present id, which may differ from one that was asked for: it
    was renamed then. ``commit`` is the head of the default branch;
    ``modified_at`` is in Unix seconds, without fractions.
    """

    repo: RepoId
    commit: str | None = None
    modified_at: int | None = None
    visibility: Visibility = Visibility.UNKNOWN
    is_disabled: bool = False
    license: str | None = None
    task: str | None = None
    library: str | None = None
    family: str | None = None
    """The model's architecture in the hub's own word (``llama``, ``bert``)."""
    tags: tuple[str, ...] = ()
    downloads: int | None = None

    @property
    def mark(self) -> str | None:
        """Names the repository's state as far as the list tells it: equal marks, nothing new."""
        return _mark(self.commit, self.modified_at)


@dataclass(frozen=True, slots=True)
class RepoQuery:
    """Which repositories a list call is asked for; None and empty mean any."""

    repo_type: RepoType = RepoType.MODEL
    owner: str | None = None
    search: str | None = None
    task: str | None = None
    library: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RepoList:
    """The answer of a list call, all of its pages.

    ``is_complete`` False: the hub has more (``total``, where it tells) than its
    lists reach; who is missing here may well exist.
    """

    summaries: tuple[RepoSummary, ...]
    is_complete: bool = True
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Refs:
    """The names of a repository's branches and tags, each sorted."""

    branches: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One path of one commit. Digests the hub does not tell are None."""

    path: str
    size_bytes: int
    storage: Storage = Storage.UNKNOWN
    sha256: Sha256 | None = None
    git_oid: GitOid | None = None
    xet_hash: XetHash | None = None
    revision: str | None = None
    security_status: str | None = None


@dataclass(frozen=True, slots=True)
class RefusedPath:
    """A path that must not be written anywhere, and why."""

    path: str
    reason: Text


@dataclass(frozen=True)
class Listing:
    """Every path of one commit.

    ``refused`` are paths the hub listed that no one may write.
    ``doubtful_folders`` are folders the hub cannot list in full: what is
    listed there is true, what is missing there means nothing.
    """

    repo: RepoId
    commit: str | None
    entries: tuple[FileEntry, ...]
    refused: tuple[RefusedPath, ...] = ()
    doubtful_folders: tuple[str, ...] = ()

    @cached_property
    def by_path(self) -> Mapping[str, FileEntry]:
        """The entries by path."""
        return {entry.path: entry for entry in self.entries}

    @property
    def total_bytes(self) -> int:
        """Sum of the sizes."""
        return sum(entry.size_bytes for entry in self.entries)

    def is_doubtful(self, path: str) -> bool:
        """True if the hub cannot say whether ``path`` is missing.

        A folder cut off by the hub may hide subfolders too, so everything
        below a doubtful folder is in doubt.
        """
        return any(
            folder == "" or path.startswith(folder + "/") for folder in self.doubtful_folders
        )


@dataclass(frozen=True, slots=True, order=True)
class Blob:
    """Bytes with a size and a digest, whichever path points at them."""

    sha256: Sha256
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AddInline:
    """A regular file whose bytes ride inside the commit."""

    path: str
    content: bytes = field(repr=False)
    sha256: Sha256
    git_oid: GitOid


@dataclass(frozen=True, slots=True)
class AddBlob:
    """A path that points at a blob the target already holds."""

    path: str
    blob: Blob


@dataclass(frozen=True, slots=True)
class Delete:
    """A path that must go."""

    path: str


CommitChange = AddInline | AddBlob | Delete


class Access(StrEnum):
    """Whether the token may write: unknown until the first write on some hubs."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a token belongs to. ``user`` None: anonymous. ``token_source`` names the place only."""

    user: str | None
    organizations: tuple[str, ...] = ()
    token_source: str | None = None
    token_masked: str | None = None
    token_role: str | None = None
    endpoint: str = ""


def path_problem(path: str) -> Text | None:
    """Why ``path`` may not be written anywhere, or None.

    Backslashes, long names and case collisions are legal between hubs; only a
    local file system may have to refuse them.
    """
    if not path:
        return T("the path is empty")
    if path.startswith("/"):
        return T("the path is absolute")
    if _CONTROL.search(path):
        return T("the path holds a control character")
    if _SURROGATE.search(path):
        return T("the path is not valid Unicode")
    segments = path.split("/")
    if "" in segments:
        return T("the path has an empty segment")
    if "." in segments or ".." in segments:
        return T("the path has a '.' or '..' segment")
    if ".git" in path.lower().split("/"):
        return T("the path goes into a .git folder")
    return None


def folders_of(paths: Iterable[str]) -> frozenset[str]:
    """Every folder above the paths (without the root)."""
    found: set[str] = set()
    for path in paths:
        parent = path.rpartition("/")[0]
        while parent and parent not in found:
            found.add(parent)
            parent = parent.rpartition("/")[0]
    return frozenset(found)


def make_listing(
    repo: RepoId,
    commit: str | None,
    entries: Iterable[FileEntry],
    *,
    doubtful_folders: Iterable[str] = (),
) -> Listing:
    """Sort a hub's entries into a listing, setting aside paths nobody may write.

    A path that is a file and a folder at once is refused, as is everything
    below it: whichever was written first would break the other.

    Raises:
        ValueError: the same path twice (the caller names the hub and raises its own error).
    """
    good: dict[str, FileEntry] = {}
    refused: dict[str, RefusedPath] = {}
    for entry in entries:
        if (reason := path_problem(entry.path)) is not None:
            refused[entry.path] = RefusedPath(entry.path, reason)
        elif entry.path in good:
            raise ValueError(f"path listed twice: {entry.path!r}")
        else:
            good[entry.path] = entry
    both = good.keys() & folders_of(good)
    for path in good if both else ():
        for parent in both & folders_of([path]):
            reason = T("the path is a file and a folder at once")
            refused[parent] = RefusedPath(parent, reason)
            refused[path] = RefusedPath(path, reason)
    kept = tuple(good[path] for path in sorted(good) if path not in refused)
    return Listing(
        repo,
        commit,
        kept,
        tuple(refused[path] for path in sorted(refused)),
        tuple(sorted(set(doubtful_folders))),
    )
