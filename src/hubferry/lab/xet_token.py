"""Xet access tokens: handed out by the Hugging Face API, asked for by the Xet storage.

A token is a signed text (a JWT, as on the real hub) that grants the reading of one repository at
one commit until it expires. Nothing is remembered, so the two origins share only the secret.

Sources: "Authentication" in huggingface/hub-docs (docs/xet); huggingface_hub 2.4,
``utils/_xet.py``, which reads the headers; hf_xet 1.8, which reads the JSON.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from hubferry.lab.hf_access import Access
from hubferry.lab.repos import Commit, Repo, RepoType
from hubferry.lab.wire import Routes

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

_JWT_HEADER = b'{"alg":"HS256","typ":"JWT"}'
_SECRET = secrets.token_bytes(32)


@dataclass(frozen=True)
class Grant:
    """What a token allows. ``iss`` is the hub that gave it, ``exp`` in Unix seconds."""

    iss: str
    repo_type: RepoType
    repo_id: str
    commit: str
    exp: int


def encode_grant(grant: Grant) -> str:
    """Return the token for a grant."""
    body = f"{_encode(_JWT_HEADER)}.{_encode(json.dumps(asdict(grant)).encode())}"
    return f"{body}.{_sign(body)}"


def decode_grant(token: str) -> Grant | None:
    """Return what a token grants, expired or not; None for one that was never given out."""
    body, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _sign(body).encode()):
        return None
    payload = body.partition(".")[2]
    padding = "=" * (-len(payload) % 4)
    return Grant(**json.loads(base64.urlsafe_b64decode(payload + padding)))


def add_xet_token_routes(routes: Routes, lab: Lab) -> None:
    """Add ``GET /api/{models|datasets}/{repo}/xet-read-token/{revision}`` to the hub's API.

    Refusals are raised; the hub's own routes turn them into answers.
    """
    access = Access(lab)

    async def answer(request: web.Request) -> web.StreamResponse:
        repo = access.repo(request)
        access.require_bytes(request, repo)
        commit = access.commit(repo, request.match_info["revision"])
        return _token_answer(lab, repo, commit)

    routes.add(
        "GET",
        "/api/{kind:models|datasets}/{repo:[^/]+(?:/[^/]+)?}/xet-read-token/{revision:.+}",
        "xet.token",
        answer,
    )


def _token_answer(lab: Lab, repo: Repo, commit: Commit) -> web.Response:
    # The expiry is a whole number on the wire; rounding down keeps the token from outliving it.
    expires = int(time.time() + lab.config.xet_token_seconds)
    token = encode_grant(Grant(lab.hf.endpoint, repo.repo_type, repo.id, commit.id, expires))
    lab.counters.watch(token)
    cas_url = lab.url("xet.cas")
    return web.json_response(
        {"accessToken": token, "exp": expires, "casUrl": cas_url},
        headers={
            "X-Xet-Access-Token": token,
            "X-Xet-Token-Expiration": str(expires),
            "X-Xet-Cas-Url": cas_url,
        },
    )


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _sign(body: str) -> str:
    return _encode(hmac.digest(_SECRET, body.encode(), hashlib.sha256))
