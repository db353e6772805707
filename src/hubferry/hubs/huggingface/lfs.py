"""Shapes of the write side: LFS batch, multipart, commit lines; pure functions.

Sources: Git LFS batch API (docs/api/batch.md in git-lfs/git-lfs) and
huggingface_hub ``lfs.py``, ``_commit_api.py``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hubferry.errors import HubError, IntegrityError, ProtocolError, TooLargeError, UnavailableError
from hubferry.hubs.huggingface.wire import at_endpoint
from hubferry.model import AddBlob, AddInline, Blob, CommitChange, Sha256
from hubferry.text import T

MEDIA_TYPE = "application/vnd.git-lfs+json"
HEADERS = {"accept": MEDIA_TYPE, "content-type": MEDIA_TYPE}
# UPLOAD_BATCH_MAX_NUM_FILES of the official client.
BATCH_SIZE = 256


@dataclass(frozen=True, slots=True)
class Upload:
    """How one blob is to be sent. The addresses are signed: never shown."""

    href: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    part_urls: tuple[str, ...] = field(default=(), repr=False)
    part_bytes: int = 0
    verify_href: str | None = field(default=None, repr=False)
    verify_headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def batch_question(blobs: Collection[Blob], branch: str) -> dict[str, object]:
    """The payload that asks which blobs are wanted."""
    return {
        "operation": "upload",
        "transfers": ["basic", "multipart"],
        "objects": [{"oid": blob.sha256.hex, "size": blob.size_bytes} for blob in blobs],
        "hash_algo": "sha256",
        "ref": {"name": branch},
    }


def wanted(data: Any, blobs: Collection[Blob], endpoint: str) -> dict[Sha256, Upload]:
    """The blobs the hub wants, from its answer; one named without ``actions`` is stored.

    Raises:
        HubError: the hub refuses a blob.
        ProtocolError: an answer we cannot read, or a blob it does not speak of.
    """
    try:
        named = {str(item["oid"]): item for item in data["objects"]}
        for item in named.values():
            if item.get("error"):
                raise _object_error(item["error"])
        sizes = {blob.sha256.hex: blob for blob in blobs}
        if missing := sizes.keys() - named.keys():
            # Hugging Face names every object. Silence is "unknown", never "stored".
            raise ProtocolError(
                T("Hugging Face did not say whether it holds {count} blobs", count=len(missing))
            )
        return {
            blob.sha256: _upload(named[oid]["actions"], blob, endpoint)
            for oid, blob in sizes.items()
            if (named[oid].get("actions") or {}).get("upload")
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ProtocolError(T("Hugging Face sent an LFS answer we cannot read")) from None


def _object_error(error: Mapping[str, Any]) -> HubError:
    code, said = int(error.get("code", 0)), str(error.get("message", ""))
    if code == 413:
        return TooLargeError(T("Hugging Face refuses this size: {said}", said=said))
    if code >= 500 or code == 429:
        return UnavailableError(T("the Hugging Face store has a problem: {said}", said=said))
    return HubError(T("Hugging Face refuses a blob: {said}", said=said))


def _upload(actions: Mapping[str, Any], blob: Blob, endpoint: str) -> Upload:
    upload, verify = actions["upload"], actions.get("verify") or {}
    header = {str(k): str(v) for k, v in (upload.get("header") or {}).items()}
    size = int(header.pop("chunk_size", 0))
    numbered = sorted((int(key), url) for key, url in header.items() if key.isdecimal())
    if size and len(numbered) != -(-blob.size_bytes // size):
        raise ValueError("parts do not cover the blob")
    verify_href = verify.get("href")
    return Upload(
        href=at_endpoint(upload["href"], endpoint),
        headers={} if size else header,
        part_urls=tuple(url for _, url in numbered) if size else (),
        part_bytes=size,
        verify_href=at_endpoint(verify_href, endpoint) if verify_href else None,
        verify_headers={str(k): str(v) for k, v in (verify.get("header") or {}).items()},
    )


class Parts:
    """Cuts one pass over a blob's chunks into parts, without holding any."""

    def __init__(self, chunks: Iterable[memoryview]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def take(self, length: int) -> Iterator[memoryview]:
        """The next ``length`` bytes, in views valid until the next one."""
        while length:
            if not len(self._rest):
                found = next(self._chunks, None)
                if found is None:
                    return
                self._rest = found
            piece, self._rest = self._rest[:length], self._rest[length:]
            length -= len(piece)
            yield piece

    def finish(self) -> None:
        """Let the source say its last word: its checks run at the end of its chunks.

        Raises:
            IntegrityError: it had more to give than the parts hold.
        """
        if len(self._rest) or next(self._chunks, None) is not None:
            raise IntegrityError(T("the blob is longer than the upload that was asked for"))


def commit_body(changes: Sequence[CommitChange], message: str, parent: str | None) -> bytes:
    """The newline-delimited JSON of one commit."""
    summary, _, description = message.partition("\n")
    header = {"summary": summary, "description": description.strip("\n")}
    if parent is not None:
        header["parentCommit"] = parent
    lines: list[dict[str, object]] = [{"key": "header", "value": header}]
    lines += [_line(change) for change in changes]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _line(change: CommitChange) -> dict[str, object]:
    if isinstance(change, AddInline):
        content = base64.b64encode(change.content).decode()
        value = {"content": content, "path": change.path, "encoding": "base64"}
        return {"key": "file", "value": value}
    if isinstance(change, AddBlob):
        blob = change.blob
        pointer = {"path": change.path, "algo": "sha256"}
        return {
            "key": "lfsFile",
            "value": {**pointer, "oid": blob.sha256.hex, "size": blob.size_bytes},
        }
    return {"key": "deletedFile", "value": {"path": change.path}}
