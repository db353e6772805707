"""What is sent to ModelScope to write there, as pure functions.

Source, unless a line says otherwise: modelscope_hub 0.5.1 (``_legacy_api``,
``_upload``, ``api``, ``constants``).
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from modelscope_hub.constants import (
    MODEL_LFS_SUFFIX,
    UPLOAD_INLINE_METADATA_PATHS,
    UPLOAD_LFS_FORCE_THRESHOLD_BYTES,
)

from hubferry.errors import ProtocolError
from hubferry.hubs.modelscope.failures import Failure
from hubferry.hubs.modelscope.wire import API, COMMIT_ID, RefusedAnswer, digest, segment
from hubferry.model import AddBlob, AddInline, Blob, CommitChange, RepoId, Sha256, Visibility
from hubferry.text import T

_LFS_SUFFIXES = tuple(MODEL_LFS_SUFFIX)
_INLINE_NAMES = frozenset(name.lower() for name in UPLOAD_INLINE_METADATA_PATHS)

# The licences that the web form of ModelScope knows, by their lower-case id.
# Source: ``_LICENSE_DISPLAY_TO_SPDX`` and ``License`` in modelscope_hub 0.5.1.
_SAME_LICENSES = (
    "apache-2.0",
    "mit",
    "gpl-2.0",
    "gpl-3.0",
    "lgpl-2.1",
    "lgpl-3.0",
    "afl-3.0",
    "ecl-2.0",
    "bsd-2-clause",
    "bsd-3-clause",
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc0-1.0",
    "unlicense",
)
_LICENSES = {
    **{name: name for name in _SAME_LICENSES},
    "mpl-2.0": "MPL-2.0",
    "apache license 2.0": "apache-2.0",
    "mit license": "mit",
}


@dataclass(frozen=True, slots=True)
class UploadAction:
    """Where a blob may be sent; the URL is signed, so it is never shown."""

    href: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify_href: str | None = field(default=None, repr=False)
    verify_headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def batch_path(repo: RepoId) -> str:
    """The question for blobs."""
    return f"{API}/repos/{segment(repo)}/info/lfs/objects/batch"


def batch_request(blobs: Collection[Blob]) -> dict[str, object]:
    """The body of ``info/lfs/objects/batch``: one object per digest."""
    objects = [{"oid": b.sha256.hex, "size": b.size_bytes} for b in sorted(set(blobs))]
    return {"operation": "upload", "objects": objects}


def batch_answer(data: object, blobs: Collection[Blob]) -> dict[Sha256, UploadAction]:
    """Which blobs are missing, and where each may be sent.

    Named with an upload action: missing. Not named, or named without actions:
    stored, in this repository or any other.

    Raises:
        ProtocolError: no object list, or one that does not fit the question; it
            says nothing about what is stored.
        RefusedAnswer: the hub refuses one of the objects.
    """
    objects = data.get("objects") if isinstance(data, Mapping) else None
    if not isinstance(objects, Sequence) or isinstance(objects, str):
        raise ProtocolError(T("ModelScope did not say which blobs it holds"))
    asked = {blob.sha256: blob.size_bytes for blob in blobs}
    missing: dict[Sha256, UploadAction] = {}
    for item in objects:
        oid = digest(item.get("oid")) if isinstance(item, Mapping) else None
        if oid is None or oid not in asked or item.get("size", asked[oid]) != asked[oid]:
            raise ProtocolError(T("ModelScope answered about another blob than asked"))
        if item.get("error"):
            raise RefusedAnswer(_object_failure(item["error"]))
        if (action := _upload_action(item.get("actions"))) is not None:
            missing[oid] = action
    return missing


def _object_failure(error: object) -> Failure:
    # Source: Git LFS batch API, "Object errors": ``code`` and ``message``.
    detail = error if isinstance(error, Mapping) else {}
    code = detail.get("code")
    return Failure(
        status=code if isinstance(code, int) else 400, message=str(detail.get("message", error))
    )


def _upload_action(actions: object) -> UploadAction | None:
    if not actions:
        return None
    upload = actions.get("upload") if isinstance(actions, Mapping) else None
    href = upload.get("href") if isinstance(upload, Mapping) else None
    if not isinstance(actions, Mapping) or not isinstance(href, str) or not href:
        raise ProtocolError(T("ModelScope did not say where to send a blob"))
    verify = actions.get("verify")
    verify_href = verify.get("href") if isinstance(verify, Mapping) else None
    return UploadAction(
        href,
        _headers(upload),
        verify_href if isinstance(verify_href, str) else None,
        _headers(verify),
    )


def _headers(action: object) -> dict[str, str]:
    raw = action.get("header") if isinstance(action, Mapping) else None
    return {str(k): str(v) for k, v in raw.items()} if isinstance(raw, Mapping) else {}


def commit_action(change: CommitChange) -> dict[str, object]:
    """One action of a commit. ``create`` overwrites too; no other verb is needed."""
    if isinstance(change, AddBlob):
        return _create(change.path, "lfs", change.blob.size_bytes, sha256=change.blob.sha256.hex)
    if isinstance(change, AddInline):
        content = base64.b64encode(change.content).decode("ascii")
        return _create(change.path, "normal", len(change.content), content=content)
    return {"action": "delete", "path": change.path}


def _create(
    path: str, kind: str, size: int, *, sha256: str = "", content: str = ""
) -> dict[str, object]:
    return {
        "action": "create",
        "type": kind,
        "path": path,
        "size": size,
        "sha256": sha256,
        "content": content,
        "encoding": "base64" if kind == "normal" else "",
    }


def commit_id(data: object) -> str | None:
    """The id of a new commit, if the answer tells one; the official client does not read any."""
    if not isinstance(data, Mapping):
        return None
    for key in ("CommitId", "CommitID", "commit_id", "Oid", "oid", "Id", "id", "Sha", "sha"):
        value = data.get(key)
        if isinstance(value, str) and COMMIT_ID.fullmatch(value):
            return value
    return None


def create_body(
    repo: RepoId, visibility: Visibility, license_id: str | None
) -> dict[str, str | int]:
    """The body that creates a model; says visibility and licence always.

    The official client's own defaults are public and Apache-2.0, and would
    publish a false licence.
    """
    owner, _, name = repo.name.partition("/")
    body: dict[str, str | int] = {
        "Path": owner,
        "Name": name,
        "Visibility": 5 if visibility is Visibility.PUBLIC else 1,
        "License": _LICENSES.get((license_id or "").strip().lower(), "Other"),
    }
    if visibility is Visibility.GATED:
        body["ProtectedMode"] = 1
    return body


def must_inline(path: str) -> bool:
    """True for the names that ModelScope parses, in any folder and any case."""
    return path.rpartition("/")[2].lower() in _INLINE_NAMES


def wants_inline(path: str, size_bytes: int) -> bool:
    """The official client's rule, and never an empty blob: nobody has seen one stored."""
    if must_inline(path) or size_bytes == 0:
        return True
    is_listed = path.lower().endswith(_LFS_SUFFIXES)
    return not is_listed and size_bytes <= int(UPLOAD_LFS_FORCE_THRESHOLD_BYTES)
