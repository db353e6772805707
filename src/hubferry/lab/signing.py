"""Signed addresses: made on one origin, honoured on another until they expire.

``signer.url(origin_url, path, seconds)`` makes one; the handler on the other origin calls
``signer.check(request)``, which returns None when the address is good and the reason otherwise.
The signature covers method-independent path, further parameters and expiry, never a token.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from urllib.parse import quote, urlencode

from aiohttp import web


class Signer:
    """One secret per lab; ``url`` and ``check`` are each other's inverse."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def url(self, origin_url: str, path: str, seconds: float, **params: str) -> str:
        """Return ``origin_url`` + ``path`` (unescaped) with parameters, expiry and signature."""
        expires = f"{time.time() + seconds:.3f}"
        signature = self._sign(path, params, expires)
        query = urlencode({**params, "Expires": expires, "Signature": signature})
        return f"{origin_url}{quote(path)}?{query}"

    def check(self, request: web.Request) -> str | None:
        """Return why the address of ``request`` is not good: unsigned, altered or expired."""
        params = dict(request.query)
        expires, signature = params.pop("Expires", ""), params.pop("Signature", "")
        if not expires or not signature:
            return "MissingSignature"
        if not hmac.compare_digest(signature, self._sign(request.path, params, expires)):
            return "SignatureDoesNotMatch"
        if float(expires) < time.time():
            return "Request has expired"
        return None

    def _sign(self, path: str, params: dict[str, str], expires: str) -> str:
        text = "\n".join([path, *(f"{key}={params[key]}" for key in sorted(params)), expires])
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()
