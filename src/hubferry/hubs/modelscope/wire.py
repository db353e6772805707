"""What ModelScope answers, as pure functions; what is sent to it is in ``sending``.

ModelScope answers in an envelope: ``Code``, ``Data``, ``Message``,
``RequestId``, ``Success``. A failure may arrive under HTTP 200, so every
answer passes :func:`unwrap` before anybody believes it.

Source, unless a line says otherwise: modelscope_hub 0.5.1 (``_legacy_api``,
``_upload``, ``errors``), which describes the live server in its comments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from hubferry.errors import ProtocolError
from hubferry.hubs.modelscope.failures import Failure, failure_in
from hubferry.model import (
    FileEntry,
    Refs,
    RepoId,
    RepoInfo,
    Sha256,
    Storage,
    Visibility,
)
from hubferry.text import T

HUB = "ms"
API = "/api/v1"
LOGIN = f"{API}/login"
ME = "/openapi/v1/users/me"
DEFAULT_BRANCH = "master"
LISTING_CAP = 3000
"""Entries in one ``repo/files`` answer; a server limit without any flag that it was hit."""

EMPTY_SHA256 = Sha256("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")

COMMIT_ID = re.compile(r"[0-9a-f]{40}")


class RefusedAnswer(Exception):
    """An envelope that says no, whatever its HTTP status; becomes a CopyError one level up."""

    def __init__(self, failure: Failure, retry_after_seconds: float | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Page:
    """One listing answer: its files, its folders, and whether it was cut off."""

    files: tuple[FileEntry, ...]
    folders: tuple[str, ...]

    @property
    def is_cut(self) -> bool:
        """True if the server may hold more than it said."""
        return len(self.files) + len(self.folders) >= LISTING_CAP


def segment(repo: RepoId) -> str:
    """``models/owner/name``: the part of every path that names the repository."""
    return f"{repo.repo_type.value}s/{quote(repo.name)}"


def listing_path(repo: RepoId) -> str:
    """The listing call of a model; it knows no pages."""
    return f"{API}/{segment(repo)}/repo/files"


def file_url(endpoint: str, repo: RepoId, revision: str, path: str) -> str:
    """The URL of a file's bytes."""
    query = urlencode({"Revision": revision, "FilePath": path}, quote_via=quote)
    return f"{endpoint}{API}/{segment(repo)}/repo?{query}"


def unwrap(body: object, *, status: int = 200) -> object:
    """The ``Data`` of an envelope that says yes.

    Raises:
        RefusedAnswer: the envelope says no.
        ProtocolError: not an envelope at all.
    """
    if not isinstance(body, Mapping):
        raise ProtocolError(T("ModelScope sent an answer that is not a JSON object"))
    failure = failure_in(body, status=status)
    if failure is not None:
        raise RefusedAnswer(failure)
    return body.get("Data", body)


def repo_info(repo: RepoId, revision: str, data: object, *, endpoint: str) -> RepoInfo:
    """A repository as ``GET /api/v1/models/owner/name`` tells it.

    Raises:
        ProtocolError: the answer does not describe a repository.
    """
    if not isinstance(data, Mapping) or not any(key in data for key in ("Name", "Id", "Path")):
        raise ProtocolError(T("ModelScope's answer does not describe a repository"))
    tasks = [item.get("Name") for item in _mappings(data.get("Tasks"))]
    return RepoInfo(
        repo=repo,
        revision=revision,
        # No call tells the commit of a branch; a commit id given by the user is one.
        commit=revision if COMMIT_ID.fullmatch(revision) else None,
        visibility=_visibility(data),
        license=_text(data.get("License")),
        pipeline_tag=next((task for task in tasks if isinstance(task, str) and task), None),
        tags=tuple(tag for tag in _sequence(data.get("Tags")) if isinstance(tag, str)),
        base_models=_base_models(data.get("BaseModel")),
        web_url=f"{endpoint}/{segment(repo)}",
        modified_at=_seconds(data.get("LastUpdatedTime")),
    )


def _seconds(value: object) -> int | None:
    """A moment in Unix seconds; True is no number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def user(data: object) -> tuple[str, tuple[str, ...]]:
    """The login name and the organisations in the answer of ``users/me`` or of a login.

    The name's field has changed over time; the order is the official client's
    (``UserInfo`` in ``types``).

    Raises:
        ProtocolError: an answer without a name.
    """
    fields = data if isinstance(data, Mapping) else {}
    if isinstance(fields.get("data"), Mapping):
        fields = fields["data"]  # the newer interface writes its envelope in lower case
    keys = ("Username", "username", "name", "Name", "preferred_username", "user_name", "login")
    # Newer answers may leave a field there and empty.
    name = next((fields[key] for key in keys if _text(fields.get(key))), None)
    if not isinstance(name, str):
        raise ProtocolError(T("ModelScope did not say who you are"))
    groups = _sequence(fields.get("organizations") or fields.get("Organizations"))
    names = (
        item.get("name", item.get("Name")) if isinstance(item, Mapping) else item for item in groups
    )
    return name, tuple(item for item in names if isinstance(item, str))


def revisions_path(repo: RepoId) -> str:
    """The call that names branches and tags."""
    return f"{API}/{segment(repo)}/revisions"


def ref_names(data: object) -> Refs:
    """Every branch and tag; none for an empty repository.

    Raises:
        ProtocolError: not a revision answer; never read as "none".
    """
    revisions = data.get("RevisionMap") if isinstance(data, Mapping) else None
    if not isinstance(revisions, Mapping):
        raise ProtocolError(T("ModelScope's answer does not list revisions"))
    return Refs(_ref_names(revisions.get("Branches")), _ref_names(revisions.get("Tags")))


def _ref_names(items: object) -> tuple[str, ...]:
    names = (
        item.get("Revision") if isinstance(item, Mapping) else item for item in _sequence(items)
    )
    return tuple(sorted(name for name in names if isinstance(name, str)))


def page(data: object) -> Page:
    """One answer of ``repo/files``.

    Raises:
        ProtocolError: an answer without a file list; never read as "empty".
    """
    raw = data
    if isinstance(data, Mapping):
        key = "Files" if "Files" in data else "files"
        # Null is an empty Go slice; the key itself says that this is a listing.
        raw = [] if key in data and data[key] is None else data.get(key)
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise ProtocolError(T("ModelScope's answer does not list files"))
    files: list[FileEntry] = []
    folders: list[str] = []
    for entry in raw:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("Path"), str):
            raise ProtocolError(T("ModelScope listed an entry without a path"))
        if entry.get("Type") == "tree":
            folders.append(entry["Path"])
        else:
            files.append(_file_entry(entry))
    return Page(tuple(files), tuple(folders))


def _file_entry(entry: Mapping[str, object]) -> FileEntry:
    path = str(entry["Path"])
    size = entry.get("Size")
    if entry.get("Type") != "blob" or not isinstance(size, int) or size < 0:
        raise ProtocolError(T("ModelScope listed something that is not a file: {path}", path=path))
    revision = entry.get("Revision")
    is_lfs = entry.get("IsLFS")
    return FileEntry(
        path=path,
        size_bytes=size,
        storage={True: Storage.LFS, False: Storage.REGULAR}.get(
            is_lfs if isinstance(is_lfs, bool) else None,  # type: ignore[arg-type]
            Storage.UNKNOWN,
        ),
        sha256=EMPTY_SHA256 if size == 0 else digest(entry.get("Sha256")),
        revision=revision if isinstance(revision, str) and COMMIT_ID.fullmatch(revision) else None,
    )


def digest(raw: object) -> Sha256 | None:
    """A SHA-256 if ``raw`` is one; anything else (a Git id, an empty string) is unknown."""
    if not isinstance(raw, str):
        return None
    try:
        return Sha256.parse(raw.strip().removeprefix("W/").strip('"'))
    except ValueError:
        return None


def _visibility(data: Mapping[str, object]) -> Visibility:
    if data.get("ProtectedMode") == 1:
        return Visibility.GATED
    known = {1: Visibility.PRIVATE, 3: Visibility.INTERNAL, 5: Visibility.PUBLIC}
    raw = data.get("Visibility")
    return known.get(raw, Visibility.UNKNOWN) if isinstance(raw, int) else Visibility.UNKNOWN


def _base_models(raw: object) -> tuple[str, ...]:
    values = [raw] if isinstance(raw, str) else _sequence(raw)
    return tuple(value for value in values if isinstance(value, str) and value)


def _text(raw: object) -> str | None:
    return raw if isinstance(raw, str) and raw else None


def _sequence(raw: object) -> Sequence[object]:
    return raw if isinstance(raw, Sequence) and not isinstance(raw, str) else ()


def _mappings(raw: object) -> list[Mapping[str, object]]:
    return [item for item in _sequence(raw) if isinstance(item, Mapping)]
