"""What the ModelScope hub of the lab says: envelopes, refusals, entries of listings.

The ``/api/v1`` surface wraps everything in ``Code``, ``Data``, ``Message``, ``RequestId``,
``Success``; ``/openapi/v1`` uses lower case and string codes. Sources: modelscope_hub 0.5.1
(``errors.py``, ``_legacy_api.py``); a captured listing in the tests of modelscope 1.40.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from aiohttp import web

from hubferry.lab.repos import Commit, Repo, TreeFile
from hubferry.lab.wire import RefusedError

INVALID_TOKEN_CODE = 10010103009
MODEL_EXISTS_CODE = 10010101001
DATASET_EXISTS_CODE = 10020101001
PUBLIC, PRIVATE = 5, 1


def success(request: web.Request, data: Any = None) -> web.Response:
    """Wrap ``data`` in the envelope of a success."""
    request_id = _request_id(request)
    envelope = {
        "Code": 200, "Data": data, "Message": "success", "RequestId": request_id, "Success": True
    }  # fmt: skip
    return web.json_response(envelope, headers={"X-Request-ID": request_id})


def refuse(
    request: web.Request,
    status: int,
    message: str,
    *,
    code: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> NoReturn:
    """Answer with a failure's envelope; ``code`` is the business code, else the status."""
    request_id = _request_id(request)
    envelope = {
        "Code": code or status, "Data": None, "Message": message, "RequestId": request_id,
        "Success": False,
    }  # fmt: skip
    own = {"X-Request-ID": request_id, **(headers or {})}
    raise RefusedError(web.json_response(envelope, status=status, headers=own))


def open_success(request: web.Request, data: Any) -> web.Response:
    """Wrap ``data`` as ``/openapi/v1`` does."""
    request_id = _request_id(request)
    envelope = {"success": True, "data": data, "request_id": request_id}
    return web.json_response(envelope, headers={"X-Request-ID": request_id})


def open_refuse(request: web.Request, status: int, code: str, message: str) -> NoReturn:
    """Answer with a failure as ``/openapi/v1`` does; ``code`` is a word."""
    request_id = _request_id(request)
    envelope = {"success": False, "code": code, "message": message, "request_id": request_id}
    raise RefusedError(
        web.json_response(envelope, status=status, headers={"X-Request-ID": request_id})
    )


def store_failure(status: int, code: str) -> web.Response:
    """Answer as an object store does: XML, no envelope."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")


def describe_repo(repo: Repo) -> dict[str, Any]:
    """Return a repository as ``GET /api/v1/{type}s/{id}`` shows it."""
    return {
        "Id": number_of(repo),
        "Path": repo.namespace,
        "Owner": repo.namespace,
        "Name": repo.name,
        "ChineseName": repo.extra.get("ChineseName", ""),
        "Description": repo.extra.get("Description", ""),
        "Visibility": PRIVATE if repo.is_private else repo.extra.get("Visibility", PUBLIC),
        "ProtectedMode": repo.extra.get("ProtectedMode", 2),
        "License": repo.license or "",
        "Tasks": [{"Name": task} for task in repo.card.get("tasks", [])],
        "Tags": repo.card.get("tags", []),
        "Downloads": repo.downloads,
        "Stars": 0,
        "CreatedBy": repo.created_by,
        "CreatedTime": int(repo.created_at.timestamp()),
        "LastUpdatedTime": int(repo.modified_at.timestamp()),
    }


def describe_repo_openly(repo: Repo) -> dict[str, Any]:
    """Return a repository as ``/openapi/v1`` shows it."""
    return {
        "id": repo.id,
        "display_name": repo.extra.get("ChineseName") or repo.name,
        "description": repo.extra.get("Description", ""),
        "private": repo.is_private,
        "gated": repo.gated is not False,
        "license": repo.license or "",
        "tasks": repo.card.get("tasks", []),
        "tags": repo.card.get("tags", []),
        "downloads": repo.downloads,
        "likes": 0,
        "created_at": repo.created_at.isoformat(),
        "last_modified": repo.modified_at.isoformat(),
    }


def number_of(repo: Repo) -> int:
    """Return a repository's numeric id, stable while the lab runs."""
    return int(uuid.uuid5(uuid.NAMESPACE_URL, f"{repo.repo_type}/{repo.id}").int % 10**7)


def listing(repo: Repo, commit: Commit, root: str, *, recursive: bool) -> Iterator[dict[str, Any]]:
    """Yield the entries below ``root`` ("" for all) in path order: folders too, before their files.

    Without ``recursive`` only direct children are yielded.
    """
    prefix = f"{root}/" if root else ""
    folders: set[str] = set()
    for path in sorted(commit.tree):
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        depths = range(1, len(parts)) if recursive else range(1, min(2, len(parts)))
        for depth in depths:
            folder = prefix + "/".join(parts[:depth])
            if folder not in folders:
                folders.add(folder)
                yield _entry(repo, commit, folder, None)
        if recursive or len(parts) == 1:
            yield _entry(repo, commit, path, commit.tree[path])


def describe_commit(commit: Commit) -> dict[str, Any]:
    """Return a commit as ``LatestCommitter`` shows it."""
    return {
        "Id": commit.id,
        "CommitterName": commit.author,
        "Message": commit.message,
        "Title": commit.message.partition("\n")[0],
        "CommittedDate": int(commit.date.timestamp()),
    }


def _entry(repo: Repo, commit: Commit, path: str, file: TreeFile | None) -> dict[str, Any]:
    last = repo.commits.get(file.last_commit if file else "", commit)
    return {
        "Path": path,
        "Name": path.rpartition("/")[2],
        "Size": file.size if file else 0,
        "Type": "blob" if file else "tree",
        "Mode": "33188" if file else "16384",
        "Sha256": file.sha256 if file else "",
        "IsLFS": file.is_lfs if file else False,
        "InCheck": False,
        "Revision": last.id,
        "CommitId": last.id,
        "CommitMessage": last.message,
        "CommitterName": last.author,
        "CommittedDate": int(last.date.timestamp()),
    }


def _request_id(request: web.Request) -> str:
    return request.headers.get("X-Request-ID") or uuid.uuid4().hex
