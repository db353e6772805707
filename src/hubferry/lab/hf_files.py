"""The bytes of files: ``resolve``, the small files behind it, and the CDN for the large ones.

A regular file answers 307 to ``/api/resolve-cache``, an LFS file 302 to a signed address on another
origin; the headers of the redirect describe the file.
Source: huggingface_hub 2.4.0, ``file_download.py`` and ``utils/_xet.py``; headers observed in
sunshowers/hf-mirror-site#50.
"""

from __future__ import annotations

import gzip
import mimetypes
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from hubferry.lab.content import Content
from hubferry.lab.hf_access import Access, entry_not_found
from hubferry.lab.hf_limits import quota_headers
from hubferry.lab.hf_xet import xet_hash_of
from hubferry.lab.repos import Commit, Repo, TreeFile
from hubferry.lab.wire import stream_range

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

_TEXT_SUFFIXES = (".json", ".txt", ".md", ".py", ".yaml", ".yml", ".csv", ".xml", ".html", ".jinja")
_COMPRESSED_FROM_BYTES = 256


class HfFiles:
    """Handlers that send files, or tell where they are."""

    def __init__(self, lab: Lab, access: Access) -> None:
        self._lab = lab
        self._access = access

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        """Redirect to the bytes of a path at a revision."""
        repo, commit, path, file = self._find(request)
        headers = _described(commit, file)
        if not file.is_lfs:
            target = f"/api/resolve-cache/{repo.repo_type}s/{repo.id}/{commit.id}/{quote(path)}"
            return _redirect(307, target, headers)
        xet_hash = await xet_hash_of(repo, path, file)
        if xet_hash:
            headers |= self._xet_headers(repo, commit, xet_hash)
        return _redirect(302, self._signed(path, file), headers)

    async def cached(self, request: web.Request) -> web.StreamResponse:
        """Send a regular file."""
        _, commit, path, file = self._find(request)
        content = self._content(commit, file)
        headers = {"ETag": f'"{file.oid}"', "X-Repo-Commit": commit.id, **quota_headers(request)}
        headers["Content-Disposition"] = _disposition(path)
        headers["Content-Type"] = _content_type(path)
        if request.method == "GET" and _is_compressed(request, path, content):
            return _compressed(content, headers)
        return await stream_range(request, content, headers)

    async def cdn(self, request: web.Request) -> web.StreamResponse:
        """Send an LFS file to whoever holds a good address; tokens mean nothing here."""
        reason = self._lab.signer.check(request)
        if reason:
            return _denied(403, "AccessDenied", reason)
        content = self._lab.hf.repos.blobs.get(request.match_info["sha256"])
        if content is None:
            return _denied(404, "NoSuchKey", "The specified key does not exist.")
        headers = {"ETag": f'"{content.sha256}"', "Content-Type": "application/octet-stream"}
        disposition = request.query.get("response-content-disposition")
        if disposition:
            headers["Content-Disposition"] = disposition
        return await stream_range(request, content, headers)

    def _find(self, request: web.Request) -> tuple[Repo, Commit, str, TreeFile]:
        repo = self._access.repo(request)
        self._access.require_bytes(request, repo)
        commit = self._access.commit(repo, request.match_info["rev"])
        path = request.match_info["path"]
        file = commit.tree.get(path)
        if file is None:
            raise entry_not_found(commit)
        return repo, commit, path, file

    def _content(self, commit: Commit, file: TreeFile) -> Content:
        content = self._lab.hf.repos.blobs.get(file.sha256)
        if content is None:
            raise entry_not_found(commit, "the blob of this file is lost")
        return content

    def _signed(self, path: str, file: TreeFile) -> str:
        return self._lab.signer.url(
            self._lab.config.cdn_url or self._lab.url("hf.cdn"),
            f"/repos/{file.sha256[:2]}/{file.sha256[2:4]}/{file.sha256}",
            self._lab.config.signed_url_seconds,
            **{"response-content-disposition": _disposition(path)},
        )

    def _xet_headers(self, repo: Repo, commit: Commit, xet_hash: str) -> dict[str, str]:
        token = f"{self._lab.hf.endpoint}/api/{repo.repo_type}s/{repo.id}"
        auth = f'<{token}/xet-read-token/{commit.id}>; rel="xet-auth"'
        storage = f"{self._lab.url('xet.cas')}/v1/reconstructions/{xet_hash}"
        link = f'{auth}, <{storage}>; rel="xet-reconstruction-info"'
        return {"X-Xet-Hash": xet_hash, "Link": link}


def _described(commit: Commit, file: TreeFile) -> dict[str, str]:
    etag = file.sha256 if file.is_lfs else file.oid
    return {
        "X-Repo-Commit": commit.id,
        "X-Linked-Size": str(file.size),
        "X-Linked-Etag": f'"{etag}"',
        "Accept-Ranges": "bytes",
    }


def _redirect(status: int, location: str, headers: dict[str, str]) -> web.Response:
    return web.Response(
        status=status,
        headers={**headers, "Location": location},
        text=f"Temporary Redirect. Redirecting to {location}",
    )


def _denied(status: int, code: str, message: str) -> web.Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}'
    return web.Response(
        status=status, text=f"{text}</Message></Error>", content_type="application/xml"
    )


def _disposition(path: str) -> str:
    # Quoted, so that a name with a quote or a line end in it cannot end the header.
    name = quote(path.rpartition("/")[2])
    return f"inline; filename*=UTF-8''{name}; filename=\"{name}\";"


def _content_type(path: str) -> str:
    if path.endswith(_TEXT_SUFFIXES):
        return "text/plain; charset=utf-8"
    return mimetypes.guess_type(path)[0] or "application/octet-stream"


def _is_compressed(request: web.Request, path: str, content: Content) -> bool:
    accepted = request.headers.get("Accept-Encoding", "")
    return (
        "gzip" in accepted
        and path.endswith(_TEXT_SUFFIXES)
        and content.size >= _COMPRESSED_FROM_BYTES
    )


def _compressed(content: Content, headers: dict[str, str]) -> web.Response:
    """Answer with the whole file whatever range was asked for, and without a length."""
    body = gzip.compress(content.read(0, content.size), compresslevel=1, mtime=0)
    headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    response = web.Response(body=body, headers=headers)
    response.enable_chunked_encoding()
    return response
