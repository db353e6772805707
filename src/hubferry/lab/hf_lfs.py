"""LFS uploads to the Hugging Face hub: the batch call, the object store, multipart, verify.

The batch call and the verification are the API's; the bytes go to signed addresses on another
origin. Objects above a size go in numbered parts, completed by a call to a signed address of the
API that carries no token.
Source: git-lfs/git-lfs, ``docs/api/batch.md``; huggingface_hub 2.4.0, ``lfs.py``.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import TYPE_CHECKING, Any

from aiohttp import web

from hubferry.lab.content import READ_SIZE_BYTES, Content, FileContent
from hubferry.lab.hf_access import Access, Refusal
from hubferry.lab.repos import Repo
from hubferry.lab.wire import Received, fault_kind, read_json, receive_body

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

PART_BYTES = 16_000_000
"""Size of a part, and the size above which an object goes in parts: a guess at the hub's own."""

_LFS_TYPE = "application/vnd.git-lfs+json"
_MAX_OBJECTS = 1000
_OID_DIGITS = 64


class HfLfs:
    """Handlers of the LFS protocol and of the store behind it."""

    def __init__(self, lab: Lab, access: Access) -> None:
        self._lab = lab
        self._access = access
        self._parts: dict[str, dict[int, Received]] = {}

    async def batch(self, request: web.Request) -> web.Response:
        """Say where each object goes; one that is stored already needs no action."""
        body = await read_json(request)
        objects = body.get("objects", []) if isinstance(body, dict) else []
        if not objects or len(objects) > _MAX_OBJECTS:
            raise Refusal(422, "between 1 and 1000 objects are expected")
        is_upload = body.get("operation") == "upload"
        repo = self._access.require_write(request)[0] if is_upload else self._access.repo(request)
        if not is_upload:
            self._access.require_bytes(request, repo)
        act = self._for_upload if is_upload else self._for_download
        answers = [act(request, repo, str(item["oid"]), int(item["size"])) for item in objects]
        in_parts = any("chunk_size" in _upload_header(answer) for answer in answers)
        return web.json_response(
            {"transfer": "multipart" if in_parts else "basic", "objects": answers},
            content_type=_LFS_TYPE,
        )

    async def put(self, request: web.Request) -> web.Response:
        """Take an object, or a part of one."""
        reason = self._lab.signer.check(request)
        if reason:
            return _store_error(403, reason)
        received = await receive_body(request)
        etag = f'"{received.sha256[:32]}"'
        if fault_kind(request) == "drop_blob":
            return web.Response(headers={"ETag": etag})
        upload_id = request.query.get("uploadId")
        oid = request.match_info["oid"]
        if upload_id is not None:
            parts = self._parts.get(upload_id)
            if parts is None:
                return _store_error(404, "NoSuchUpload")
            parts[int(request.query["partNumber"])] = received
        elif received.sha256 != oid:
            return _store_error(400, "the bytes are not those of the object id")
        else:
            self._lab.hf.repos.blobs.put(oid, received.content)
        return web.Response(headers={"ETag": etag})

    async def complete(self, request: web.Request) -> web.Response:
        """Put the parts together."""
        if self._lab.signer.check(request):
            raise Refusal(403, "Invalid or expired signature")
        body = await read_json(request)
        oid = request.match_info["oid"]
        parts = self._parts.pop(request.query["uploadId"], None)
        if parts is None and oid in self._lab.hf.repos.blobs:
            # A client that missed the first answer asks again.
            return web.json_response({"success": True})
        numbers = [int(part["partNumber"]) for part in body.get("parts", [])]
        if parts is None or numbers != sorted(parts):
            raise Refusal(400, "the parts do not make up the object")
        content = await asyncio.to_thread(self._join, [parts[n].content for n in numbers])
        if content.sha256 != oid:
            raise Refusal(400, "the bytes are not those of the object id")
        self._lab.hf.repos.blobs.put(oid, content)
        return web.json_response({"success": True})

    async def verify(self, request: web.Request) -> web.Response:
        """Confirm that an object arrived with the size that was promised."""
        self._access.require_write(request)
        body = await read_json(request)
        content = self._lab.hf.repos.blobs.get(str(body.get("oid")))
        if content is None:
            raise Refusal(404, "the object is not stored")
        if content.size != body.get("size"):
            raise Refusal(400, f"the object has {content.size} bytes")
        return web.json_response({})

    def _for_upload(self, request: web.Request, repo: Repo, oid: str, size: int) -> dict[str, Any]:
        answer: dict[str, Any] = {"oid": oid, "size": size}
        if len(oid) != _OID_DIGITS or size <= 0:
            return {**answer, "error": {"code": 422, "message": "invalid oid or size"}}
        if oid in self._lab.hf.repos.blobs:
            return answer
        prefix = "datasets/" if repo.repo_type == "dataset" else ""
        verify = f"{request.url.origin()}/{prefix}{repo.id}.git/info/lfs/objects/verify"
        upload = self._multipart(oid, size) if size > PART_BYTES else self._basic(oid)
        return {**answer, "actions": {"upload": upload, "verify": {"href": verify}}}

    def _for_download(
        self, _request: web.Request, _repo: Repo, oid: str, size: int
    ) -> dict[str, Any]:
        answer: dict[str, Any] = {"oid": oid, "size": size}
        if oid not in self._lab.hf.repos.blobs:
            return {**answer, "error": {"code": 404, "message": "object does not exist"}}
        path = f"/repos/{oid[:2]}/{oid[2:4]}/{oid}"
        return {**answer, "actions": {"download": {"href": self._signed("hf.cdn", path)}}}

    def _basic(self, oid: str) -> dict[str, Any]:
        return {"href": self._signed("hf.lfs", f"/uploads/{oid}")}

    def _multipart(self, oid: str, size: int) -> dict[str, Any]:
        upload_id = secrets.token_hex(8)
        self._parts[upload_id] = {}
        header = {"chunk_size": str(PART_BYTES)}
        for number in range(1, -(-size // PART_BYTES) + 1):
            # Zero-padded, as the hub does at times: readers must not look the keys up as "1".
            header[f"{number:05d}"] = self._signed(
                "hf.lfs", f"/uploads/{oid}", uploadId=upload_id, partNumber=str(number)
            )
        path = f"/api/complete_multipart/{oid}"
        return {"href": self._signed("hf.api", path, uploadId=upload_id), "header": header}

    def _signed(self, origin: str, path: str, **params: str) -> str:
        seconds = self._lab.config.signed_url_seconds
        return self._lab.signer.url(self._lab.url(origin), path, seconds, **params)

    def _join(self, parts: list[Content]) -> Content:
        path = self._lab.new_file()
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for part in parts:
                for start in range(0, part.size, READ_SIZE_BYTES):
                    data = part.read(start, min(start + READ_SIZE_BYTES, part.size))
                    digest.update(data)
                    file.write(data)
                if isinstance(part, FileContent):
                    part.path.unlink()
        content = FileContent(path)
        # Fills the cache of the lazy digest: the bytes were all read just now.
        content.__dict__["sha256"] = digest.hexdigest()
        return content


def _upload_header(answer: dict[str, Any]) -> dict[str, str]:
    upload: dict[str, Any] = answer.get("actions", {}).get("upload", {})
    header: dict[str, str] = upload.get("header", {})
    return header


def _store_error(status: int, message: str) -> web.Response:
    text = f"<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")
