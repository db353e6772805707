"""The write side of the lab's ModelScope hub: repositories, LFS batch, blobs, tags.

Facts kept: models are created by JSON, datasets by a form; a batch answer names only the objects
the store lacks, whatever repository brought the others; a blob goes in one PUT to a signed address
on another origin. Source: modelscope_hub 0.5.1, ``_legacy_api.py`` and ``api.py``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from hubferry.lab.ms_access import Access
from hubferry.lab.ms_answers import (
    DATASET_EXISTS_CODE,
    INVALID_TOKEN_CODE,
    MODEL_EXISTS_CODE,
    PRIVATE,
    describe_repo,
    refuse,
    success,
)
from hubferry.lab.policy import GITATTRIBUTES
from hubferry.lab.repos import RepoType
from hubferry.lab.wire import fault_kind, read_bytes, read_json, receive_body

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9._-]{2,100}")
_BATCH_LIMIT = 1000
_VISIBILITIES = (1, 3, 5)
_COOKIE_SECONDS = 30 * 24 * 3600
_FORM_FIELD = re.compile(rb'name="([^"]+)"\r\n(?:[^\r\n]+\r\n)*\r\n(.*?)\r\n--', re.DOTALL)


class Writing:
    """Handlers that create, store and delete; commits have a module of their own."""

    def __init__(self, lab: Lab, access: Access) -> None:
        self._lab = lab
        self._access = access

    async def login(self, request: web.Request) -> web.StreamResponse:
        """``POST /api/v1/login``: a Git token and a session; a read-tier token gets neither."""
        body = _mapping(request, await read_json(request))
        token = str(body.get("AccessToken", ""))
        who = self._lab.ms.accounts.find(token)
        if who is None:
            message = "AccessToken is invalid or expired"
            refuse(request, 400, message, code=INVALID_TOKEN_CODE)
        if who.tier == "read":
            refuse(request, 403, "the token has no permission for this operation")
        data = {
            "AccessToken": f"git-{token}",
            "Username": who.user,
            "Email": f"{who.user}@example.com",
        }
        response = success(request, data)
        response.set_cookie("m_session_id", token, max_age=_COOKIE_SECONDS, path="/")
        return response

    async def create(self, request: web.Request) -> web.StreamResponse:
        """``POST /api/v1/models`` (JSON, ``Path``) or ``…/datasets`` (form, ``Owner``)."""
        kind = cast(RepoType, request.match_info["kind"].removesuffix("s"))
        fields = await _fields(request, kind)
        owner = str(fields.get("Path" if kind == "model" else "Owner") or "")
        name = str(fields.get("Name") or "")
        if not owner or not _NAME.fullmatch(name):
            refuse(
                request,
                400,
                "参数错误: path is required and the name must be 2-100 of A-z 0-9 . _ -",
            )
        who = self._access.may_create(request, owner)
        visibility = _visibility(request, fields)
        store = self._lab.ms.repos
        repo_id = f"{owner}/{name}"
        if store.get(kind, repo_id):
            code = MODEL_EXISTS_CODE if kind == "model" else DATASET_EXISTS_CODE
            refuse(request, 400, "该名称已被注册使用，请重新命名", code=code)
        license_name = str(fields.get("License") or "") or None
        first = {".gitattributes": GITATTRIBUTES, "README.md": _first_card(name, license_name)}
        repo = store.create(
            kind,
            repo_id,
            is_private=visibility == PRIVATE,
            created_by=who.user,
            files=first if self._lab.config.make_first_files else None,
        )
        repo.license = license_name
        repo.extra = {"Visibility": visibility}
        for key in ("ChineseName", "Description", "ProtectedMode"):
            if fields.get(key):
                repo.extra[key] = int(fields[key]) if key == "ProtectedMode" else str(fields[key])
        return success(request, describe_repo(repo))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """``DELETE /api/v1/{kind}/{id}``."""
        repo = self._access.deletable(request)
        self._lab.ms.repos.delete(repo.repo_type, repo.id)
        return success(request)

    async def delete_file(self, request: web.Request) -> web.StreamResponse:
        """``DELETE …/file`` and ``DELETE …/repo``: closed to tokens, deletes are commits."""
        self._access.writable(request)
        refuse(request, 401, "user not logged in")

    async def tag(self, request: web.Request) -> web.StreamResponse:
        """``POST …/repo/tag`` with ``TagName`` and ``Ref``."""
        repo, _ = self._access.writable(request)
        body = _mapping(request, await read_json(request))
        name, ref = str(body.get("TagName") or ""), str(body.get("Ref") or "master")
        if not name:
            refuse(request, 400, "参数错误：版本名称不能为空")
        if name in repo.tags or name in repo.branches:
            refuse(request, 409, f"tag already exists: {name}")
        if repo.resolve(ref) is None:
            refuse(request, 404, f"revision not found: {ref}")
        repo.tag(name, ref)
        return success(request, {"Revision": name})

    async def batch(self, request: web.Request) -> web.StreamResponse:
        """``POST …/info/lfs/objects/batch``: names what must be uploaded, and nothing else."""
        repo, _ = self._access.writable(request)
        body = _mapping(request, await read_json(request))
        objects = body.get("objects")
        if body.get("operation") != "upload" or not isinstance(objects, list):
            refuse(request, 400, "operation must be upload, with a list of objects")
        if len(objects) > _BATCH_LIMIT:
            refuse(request, 413, f"at most {_BATCH_LIMIT} objects")
        wanted: dict[str, dict[str, Any]] = {}
        for item in objects:
            oid, size = _object(request, item)
            if not self._lab.ms.repos.blobs.has_object(oid):
                wanted[oid] = {
                    "oid": oid,
                    "size": size,
                    "authenticated": True,
                    "actions": {"upload": {"href": self._upload_url(repo.id, oid, size)}},
                }
        return success(request, {"transfer": "basic", "objects": list(wanted.values())})

    def _upload_url(self, repo_id: str, oid: str, size: int) -> str:
        elsewhere = self._lab.config.store_url
        return self._lab.signer.url(
            elsewhere or self._lab.url("ms.lfs"),
            f"/{oid}" if elsewhere else f"/{repo_id}/objects/{oid}",
            self._lab.config.signed_url_seconds,
            size=str(size),
        )

    async def put(self, request: web.Request) -> web.StreamResponse:
        """``PUT {lfs}/{id}/objects/{oid}``: one blob, whole, at a signed address."""
        reason = self._lab.signer.check(request)
        if reason:
            refuse(request, 403, reason)
        limit = self._lab.config.max_put_bytes
        if limit is not None and (request.content_length or 0) > limit:
            refuse(request, 413, "the object is too large")
        keep = not self._lab.config.discard_blobs
        dropped = fault_kind(request) == "drop_blob"
        received = await receive_body(request, keep=keep and not dropped)
        oid, size = request.match_info["oid"], int(request.query.get("size", "-1"))
        if (received.sha256, received.size) != (oid, size):
            refuse(request, 400, "the bytes are not what oid and size say")
        if not dropped:
            self._lab.ms.repos.blobs.add(received.content)
        return success(request, {"oid": oid})


async def _fields(request: web.Request, kind: RepoType) -> dict[str, Any]:
    if kind == "model":
        return _mapping(request, await read_json(request))
    body = await read_bytes(request)
    if request.content_type != "multipart/form-data":
        refuse(request, 400, "datasets are created by multipart/form-data")
    return {name.decode(): value.decode() for name, value in _FORM_FIELD.findall(body)}


def _mapping(request: web.Request, body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        refuse(request, 400, "the body must be an object")
    return body


def _visibility(request: web.Request, fields: dict[str, Any]) -> int:
    try:
        visibility = int(fields.get("Visibility", 5))
    except (TypeError, ValueError):
        visibility = 0
    if visibility not in _VISIBILITIES:
        refuse(request, 400, "Visibility must be 1, 3 or 5")
    return visibility


def _object(request: web.Request, item: Any) -> tuple[str, int]:
    oid = item.get("oid") if isinstance(item, dict) else None
    size = item.get("size") if isinstance(item, dict) else None
    if not isinstance(oid, str) or not SHA256.fullmatch(oid) or not isinstance(size, int):
        refuse(request, 400, "an object has oid (64 hex digits) and size")
    return oid, size


def _first_card(name: str, license_name: str | None) -> str:
    header = f"---\nlicense: {license_name}\n---\n" if license_name else ""
    return f"{header}# {name}\n"
