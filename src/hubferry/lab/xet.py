"""Xet reads: the storage (CAS) of the Hugging Face side of a lab.

::

    GET  xet.token    (Hugging Face API)  a token for one repository and commit, and the CAS address
    GET  {xet.cas}    /v2/reconstructions/{file}   which chunks of which xorbs make up the file
    GET  {xet.cas}    /v1/reconstructions/{file}   the same in the older shape
    POST {xet.cas}    /v1/telemetry                thrown away
    GET  {xet.xorbs}  /xorbs/default/{xorb}        signed: one byte range, until it expires

A client tries ``/v2`` first and takes 404 for "not there": :data:`ONLY_V1` is the fault that makes
a storage of the older kind.

Source: "CAS API Documentation" and "Download Protocol" in huggingface/hub-docs (docs/xet);
``cas_types/mod.rs`` in huggingface/xet-core; requests seen from hf_xet 1.8.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from aiohttp import web

from hubferry.lab.content import Content, KnownContent, SyntheticContent
from hubferry.lab.faults import Fault
from hubferry.lab.wire import Routes, bearer_token, parse_range, read_bytes, stream_content
from hubferry.lab.xet_format import CHUNK_BYTES, Term, XetFile, Xorb
from hubferry.lab.xet_token import Grant, add_xet_token_routes, decode_grant

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

__all__ = ["ONLY_V1", "add_xet_token_routes", "build_xet_app", "xet_hash"]

ONLY_V1 = Fault("xet.reconstruction", "status", times=None, match="^/v2/", status=404)
"""``lab.faults.add(ONLY_V1)``: the storage does not know the newer address."""

_Fetch = Callable[[str, Term], dict[str, Any]]

_files: WeakKeyDictionary[Content, XetFile] = WeakKeyDictionary()
_hashing = Lock()


def build_xet_app(lab: Lab) -> list[Routes]:
    """Return the two origins of the storage."""
    storage = _Storage(lab)
    cas, xorbs = Routes(lab, "xet.cas"), Routes(lab, "xet.xorbs")
    file_id = "{file_id:[0-9a-f]{64}}"
    cas.add("GET", f"/v1/reconstructions/{file_id}", "xet.reconstruction", storage.reconstruct_v1)
    cas.add("GET", f"/v2/reconstructions/{file_id}", "xet.reconstruction", storage.reconstruct_v2)
    cas.add("POST", "/v1/telemetry", "xet.telemetry", storage.swallow)
    xorbs.add("GET", "/xorbs/default/{xorb:[0-9a-f]{64}}", "xet.xorb", storage.send_xorb)
    return [cas, xorbs]


def xet_hash(content: Content) -> str:
    """Return the Xet file id (64 hex) of a content, reading all of it the first time.

    About half a second per GiB, so an event loop asks for a large one in a thread.

    Raises:
        MissingBytesError: only its digest is known.
    """
    return _xet_file(content).hash


def _xet_file(content: Content) -> XetFile:
    found = _files.get(content)
    if found is None:
        # One at a time: hashing holds the interpreter lock, and none should be done twice.
        with _hashing:
            found = _files.get(content) or _hashed(content)
            _files[content] = found
    return found


def _hashed(content: Content) -> XetFile:
    if isinstance(content, SyntheticContent):
        return _synthetic_file(content.size, content.seed)
    return XetFile.of(content)


@lru_cache(maxsize=256)
def _synthetic_file(size: int, seed: str) -> XetFile:
    """One per process: equal synthetic contents are hashed once, whichever lab holds them."""
    return XetFile.of(SyntheticContent(size, seed))


class _Storage:
    """Reconstructions and xorbs; remembers only which xorbs it has given addresses for."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._xorbs: dict[str, Xorb] = {}

    async def reconstruct_v1(self, request: web.Request) -> web.Response:
        return await self._reconstruct(request, "fetch_info", _fetch_v1)

    async def reconstruct_v2(self, request: web.Request) -> web.Response:
        return await self._reconstruct(request, "xorbs", _fetch_v2)

    async def swallow(self, request: web.Request) -> web.Response:
        await read_bytes(request)
        return web.Response(status=204)

    async def send_xorb(self, request: web.Request) -> web.StreamResponse:
        reason = self._lab.signer.check(request)
        signed = request.query.get("X-Xet-Signed-Range", "")
        if reason is None and request.headers.get("Range") != signed:
            # "Not specifying this header will result in an authorization failure."
            reason = "Range is not the signed one"
        if reason:
            return web.Response(status=403, text=f"<Error><Message>{reason}</Message></Error>")
        xorb = self._xorbs[request.match_info["xorb"]]
        start, end = parse_range(request, xorb.size) or (0, xorb.size)
        headers = {"Content-Range": f"bytes {start}-{end - 1}/{xorb.size}"}
        # Of a content, sending asks only for the size and the bytes.
        body = cast("Content", xorb)
        return await stream_content(request, body, start, end, status=206, headers=headers)

    async def _reconstruct(self, request: web.Request, key: str, shape: _Fetch) -> web.Response:
        grant = self._grant(request)
        if grant is None:
            return web.Response(status=401, text="Unauthorized")
        found = await asyncio.to_thread(self._find, grant, request.match_info["file_id"])
        if found is None:
            return web.Response(status=404, text="File not found")
        content, file = found
        start, end = parse_range(request, file.size_bytes) or (0, file.size_bytes)
        terms = file.terms(start, end)
        fetches = {
            xorb: [shape(self._sign(xorb, content, run), run)]
            for xorb, run in _runs(file, terms).items()
        }
        return web.json_response(
            {
                # Terms begin with the chunk that holds the first byte asked for.
                "offset_into_first_range": start % CHUNK_BYTES,
                "terms": [_term_json(file, term) for term in terms],
                key: fetches,
            }
        )

    def _grant(self, request: web.Request) -> Grant | None:
        grant = decode_grant(bearer_token(request) or "")
        is_good = grant and grant.exp > time.time() and grant.iss == self._lab.hf.endpoint
        return grant if is_good else None

    def _find(self, grant: Grant, file_id: str) -> tuple[Content, XetFile] | None:
        """Look among the files the token was given for; others might as well not exist."""
        repo = self._lab.hf.repos.get(grant.repo_type, grant.repo_id)
        tree = repo.tree(grant.commit) if repo else {}
        for entry in tree.values():
            content = self._lab.hf.repos.blobs.get(entry.sha256) if entry.is_lfs else None
            if content is None or isinstance(content, KnownContent):
                continue
            file = _xet_file(content)
            if file.hash == file_id:
                return content, file
        return None

    def _sign(self, xorb: str, content: Content, run: Term) -> str:
        self._xorbs[xorb] = Xorb(content, run.xorb_index)
        signed_range = {"X-Xet-Signed-Range": f"bytes={run.byte_start}-{run.byte_end - 1}"}
        return self._lab.signer.url(
            self._lab.url("xet.xorbs"),
            f"/xorbs/default/{xorb}",
            self._lab.config.signed_url_seconds,
            **signed_range,
        )


def _runs(file: XetFile, terms: list[Term]) -> dict[str, Term]:
    """Return one run per xorb that covers all its terms: a file may repeat a xorb."""
    runs: dict[str, Term] = {}
    for term in terms:
        xorb = file.xorb_hash(term.xorb_index)
        runs[xorb] = runs[xorb].join(term) if xorb in runs else term
    return runs


def _term_json(file: XetFile, term: Term) -> dict[str, Any]:
    return {
        "hash": file.xorb_hash(term.xorb_index),
        "unpacked_length": term.unpacked_bytes,
        "range": _chunks(term),
    }


def _fetch_v1(url: str, run: Term) -> dict[str, Any]:
    return {"url": url, "range": _chunks(run), "url_range": _bytes(run)}


def _fetch_v2(url: str, run: Term) -> dict[str, Any]:
    return {"url": url, "ranges": [{"chunks": _chunks(run), "bytes": _bytes(run)}]}


def _chunks(term: Term) -> dict[str, int]:
    return {"start": term.first_chunk, "end": term.end_chunk}


def _bytes(term: Term) -> dict[str, int]:
    """Return where the chunks lie in the xorb; unlike all other ranges, the end is inclusive."""
    return {"start": term.byte_start, "end": term.byte_end - 1}
