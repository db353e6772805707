"""Our own requests to ModelScope, with its credentials kept to its own hosts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from hubferry.errors import CopyError, HubError, RateLimitedError, UnavailableError
from hubferry.hubs.modelscope import official
from hubferry.hubs.modelscope.address import HOSTS
from hubferry.hubs.modelscope.failures import Asked, Failure, failure_in, says_full
from hubferry.hubs.modelscope.sending import UploadAction
from hubferry.hubs.modelscope.wire import RefusedAnswer, unwrap
from hubferry.net.answers import parse_json
from hubferry.net.config import HttpConfig, Origin, origin_of
from hubferry.net.http import Credentials, HttpAnswer, HttpClient, HttpStream
from hubferry.net.pacing import Refused
from hubferry.net.secret import Secret
from hubferry.net.status import Refusal, excerpt, request_id, retry_after_seconds
from hubferry.text import T

R = TypeVar("R")

API_KIND = "api"
_ANSWER_SECONDS = 300.0
_STORING_BYTES_PER_SECOND = 50e6
"""A guess at the slowest store: 100 GB are waited for like the official client does."""


class Transport:
    """Both clients of one hub, ours and the official one. Thread-safe.

    ``official_client`` is the ``LegacyClient``; use it inside :meth:`ask` only.

    Args:
        brake: a turn for a request of a kind: requests that are too frequent are refused by
            kind, and all who use the account wait for it.
    """

    def __init__(
        self,
        endpoint: str,
        token: Secret | None,
        config: HttpConfig,
        brake: Callable[[str], AbstractContextManager[Refused]],
    ) -> None:
        self.endpoint = endpoint
        self._brake = brake
        self._token = token
        self._own = own_origins(endpoint)
        credentials = Credentials(self._own, self._headers) if token else None
        self._http = HttpClient(config, credentials=credentials, map_refusal=self._read_refusal)
        self.official_client: Any = official.make_client(endpoint, token, config)

    def ask(self, asked: Asked, work: Callable[[], R], kind: str = API_KIND) -> R:
        """Run ``work``, a request of this kind; its failures come out as our errors."""
        with self._brake(kind) as refused:
            try:
                return self.read(asked, work)
            except RateLimitedError as error:
                # What sends a body may end by its source's refusal, which is not this hub's.
                if error.side is None:
                    refused(error.retry_after_seconds)
                raise

    def read(self, asked: Asked, work: Callable[[], R]) -> R:
        """Run ``work``, which asks nothing: it reads an answer."""
        return official.call(asked, work, endpoint=self.endpoint)

    def get(self, asked: Asked, path: str, query: Mapping[str, str] | None = None) -> object:
        """The ``Data`` of a GET below the endpoint (``/api/v1/…``)."""
        url = self.endpoint + path + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        return self.ask(asked, lambda: _data(self._http.get_json(url)))

    def post(self, asked: Asked, path: str, body: object) -> object:
        """The ``Data`` of a POST below the endpoint."""
        url, again = self.endpoint + path, asked.is_repeatable
        return self.ask(asked, lambda: _data(self._http.post_json(url, body, is_repeatable=again)))

    def open(self, asked: Asked, url: str, start: int = 0, end: int | None = None) -> HttpStream:
        """Open a download, following the redirect to the store without our credentials."""
        is_part = start > 0 or end is not None
        return self.ask(
            asked,
            lambda: self._http.get(url, start=start, end=end, remembers=is_part),
            kind="file",
        )

    def put(
        self, asked: Asked, action: UploadAction, length: int, chunks: Iterable[memoryview]
    ) -> None:
        """Send one blob; returns only if the store says that it has it."""
        headers = self._store_headers(action.href, action.headers)
        # One PUT whatever the size, and the store answers when it has put all of it
        # away; the official client waits an hour. To give up costs the whole file.
        patience = _ANSWER_SECONDS + length / _STORING_BYTES_PER_SECOND
        self.ask(
            asked,
            lambda: _accepted(
                self._http.put(
                    action.href, headers, length, chunks, answer_timeout_seconds=patience
                )
            ),
            kind="store",
        )

    def confirm(self, asked: Asked, action: UploadAction, oid: str, length: int) -> None:
        """Make the call that an upload may have to be followed by.

        Source: Git LFS batch API, "Verification".
        """
        href = action.verify_href
        if href is None:
            return
        headers = self._store_headers(href, action.verify_headers)
        body = {"oid": oid, "size": length}
        self.ask(
            asked,
            lambda: _accepted(self._http.post_json(href, body, headers, is_repeatable=True)),
        )

    def close(self) -> None:
        """Cut all connections; safe to repeat."""
        self._http.close()
        official.close_client(self.official_client)

    def _headers(self) -> dict[str, str]:
        # Both, as the official client does: some calls read the one, some the other.
        token = self._token.reveal() if self._token else ""
        return {
            "authorization": f"Bearer {token}",
            "cookie": f"m_session_id={token}",
            "x-request-id": uuid.uuid4().hex,
        }

    def _store_headers(self, href: str, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers the hub asked for; ours besides only on the hub's own site.

        The official client sends the token to whatever host the answer names; a
        signed URL needs none, and a token goes to its own hub only.
        """
        if self._token and is_own_store(href, self.endpoint):
            return {**self._headers(), **headers}
        return dict(headers)

    def _read_refusal(self, refusal: Refusal) -> CopyError | None:
        """What a status of 400 and more means; the hub's own words leave as RefusedAnswer."""
        if refusal.origin not in self._own:
            if refusal.status not in (401, 403, 410):
                return None
            said = _failure(refusal.body, refusal.status)
            if said is not None and says_full(said):
                raise RefusedAnswer(said.named(request_id(refusal.headers)))
            return UnavailableError(
                T("the signed address has run out (HTTP {status})", status=refusal.status),
                request_id=request_id(refusal.headers),
            )
        ident = request_id(refusal.headers)
        failure = _failure(refusal.body, refusal.status) or Failure(
            refusal.status, message=excerpt(refusal.body)
        )
        raise RefusedAnswer(failure.named(ident), retry_after_seconds(refusal.headers))


def own_origins(endpoint: str) -> frozenset[Origin]:
    """The origins that the token belongs to: the endpoint, with and without ``www.``."""
    scheme, host, port = origin_of(endpoint)
    bare = host.removeprefix("www.")
    if bare not in HOSTS or scheme != "https":
        return frozenset({(scheme, host, port)})
    return frozenset({(scheme, bare, port), (scheme, f"www.{bare}", port)})


def is_own_store(href: str, endpoint: str) -> bool:
    """True for the endpoint itself and, over TLS, for hosts of the same ModelScope site."""
    if origin_of(href) in own_origins(endpoint):
        return True
    site = (urlsplit(endpoint).hostname or "").removeprefix("www.")
    parts = urlsplit(href)
    is_below = (parts.hostname or "").endswith("." + site)
    return site in HOSTS and parts.scheme == "https" and is_below


def _data(answer: HttpAnswer) -> object:
    return unwrap(answer.json(), status=answer.status)


def _accepted(answer: HttpAnswer) -> None:
    """A store answers with nothing, or with an envelope that may say no under HTTP 200."""
    failure = _failure(answer.body, answer.status)
    if failure is not None:
        raise RefusedAnswer(failure.named(request_id(answer.headers)))
    if answer.status not in (200, 201, 202, 204):
        raise HubError(T("the store answered with HTTP {status}", status=answer.status))


def _failure(body: bytes, status: int) -> Failure | None:
    try:
        parsed = parse_json(body) if body.lstrip()[:1] == b"{" else None
    except ValueError:
        return None
    return failure_in(parsed, status=status) if isinstance(parsed, dict) else None
