"""The HTTP client of the data plane, on urllib3.

One attempt a call, no hidden retry, no hidden redirect. Credentials go to the
origins they were made for and to no other, decided anew on every redirect hop.
Every failure leaves as one of our errors.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from hubferry.errors import CancelledError, CopyError, ProtocolError
from hubferry.net.answers import parse_json
from hubferry.net.bodies import SMALL_BODY_BYTES, CountedBody, discard, let_go, read_body
from hubferry.net.config import HttpConfig, Origin, origin_of, proxy_for, show_origin
from hubferry.net.connections import OpenSockets, make_pools
from hubferry.net.pacing import Heard, Pacer, Refused, is_used_up
from hubferry.net.signed import SignedAddresses
from hubferry.net.status import (
    Refusal,
    RefusalMap,
    error_for_status,
    error_for_transport,
    retry_after_seconds,
)
from hubferry.net.stream import Hop, HttpStream, check_answer
from hubferry.text import T

__all__ = ["Brake", "Credentials", "Hop", "HttpAnswer", "HttpClient", "HttpConfig", "HttpStream"]

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# RFC 9110, 15.4: these two keep the method and the body, the others turn a POST into a GET.
_REDIRECTS_OF_WRITES = frozenset({307, 308})
# A store that served ranges of the file a moment ago; another connection is soon tried.
_RANGE_SECONDS = 10.0
# What a store says of an address whose signature has run out, or whose object moved.
_STALE = frozenset({400, 401, 403, 404, 410})
# A page of 1,000 tree entries is about 0.5 MB; nothing we ask for comes near this.
_JSON_BODY_BYTES = 64 * 1024 * 1024


Brake = Callable[[str, str], AbstractContextManager[Refused]]
"""A turn for one request, by its method and URL: see ``net.pacing.Brakes``."""


@dataclass(frozen=True)
class Credentials:
    """Headers that only ``origins`` may see, made fresh for each request."""

    origins: frozenset[Origin]
    headers: Callable[[], dict[str, str]] = field(repr=False)


@dataclass(frozen=True)
class HttpAnswer:
    """A whole answer: status below 400, headers with lower-case names, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    origin: Origin
    location: str | None = field(default=None, repr=False)
    """Where a redirect that was not followed points to, absolute. May be signed."""

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ProtocolError: it is not JSON.
        """
        try:
            return parse_json(self.body)
        except ValueError:
            host = show_origin(self.origin)
            raise ProtocolError(T("{host} sent something that is not JSON", host=host)) from None


class HttpClient:
    """A pool of connections with one set of credentials. Thread-safe.

    A request that is cut by :meth:`close` fails with UnavailableError; every later
    one with CancelledError, so that nobody tries again.

    Args:
        map_refusal: the hub's reading of statuses of 400 and more; None from it
            means the general reading of :func:`error_for_status`.
        pacer: keeps requests below the limits that the hub tells; None: it tells none.
        brake: has requests wait for limits that only a refusal tells; told of each, unless
            the pacer knows better.
    """

    def __init__(
        self,
        config: HttpConfig,
        *,
        credentials: Credentials | None = None,
        map_refusal: RefusalMap | None = None,
        pacer: Pacer | None = None,
        brake: Brake | None = None,
    ) -> None:
        self._config = config
        self._credentials = credentials
        self._map_refusal = map_refusal
        self._pacer = pacer
        self._brake = brake or _no_brake
        self._sockets = OpenSockets()
        self._pools: dict[tuple[str | None, bool], PoolManager] = {}
        self._lock = threading.Lock()
        self._signed = SignedAddresses()
        self._is_closed = False

    def get(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        start: int = 0,
        end: int | None = None,
        *,
        remembers: bool = False,
    ) -> HttpStream:
        """Open bytes ``start`` to ``end`` (exclusive) of ``url``, following redirects.

        Args:
            remembers: go straight to where the last such call for ``url`` was
                redirected to another origin, until that is refused; for files
                read in many ranges.

        Raises:
            CopyError: as mapped from the status, or from the transport.
        """
        asked = {**(headers or {}), "accept-encoding": "identity"}
        if start or end is not None:
            asked["range"] = f"bytes={start}-{'' if end is None else end - 1}"
        find = self._follow_remembered if remembers else self._follow
        response, hops = find("GET", url, asked)
        try:
            size, total, ignored = check_answer(hops, start, end)
        except BaseException:
            response.close()
            raise
        return self._stream(response, hops, size, total, ignored)

    def get_json(self, url: str, headers: Mapping[str, str] | None = None) -> HttpAnswer:
        """A whole small answer to a GET, following redirects."""
        response, hops = self._follow("GET", url, {"accept": "application/json", **(headers or {})})
        return self._whole(response, hops[-1], _JSON_BODY_BYTES, is_repeatable=True)

    def head(
        self, url: str, headers: Mapping[str, str] | None = None, *, follow: bool = False
    ) -> HttpAnswer:
        """The headers of ``url``; without ``follow`` a redirect is an answer too."""
        asked = {**(headers or {}), "accept-encoding": "identity"}
        response, hops = self._follow("HEAD", url, asked, max_hops=MAX_REDIRECTS if follow else 0)
        discard(response, self._silence)
        target = hops[-1].headers.get("location")
        location = urljoin(url, target) if target else None
        return HttpAnswer(hops[-1].status, hops[-1].headers, b"", hops[-1].origin, location)

    def put(
        self,
        url: str,
        headers: Mapping[str, str] | None,
        length: int,
        chunks: Iterable[memoryview],
        *,
        answer_timeout_seconds: float = 300.0,
    ) -> HttpAnswer:
        """Send exactly ``length`` bytes from ``chunks`` as they come, and read the answer.

        An answer that comes before the body is through (413, 403) ends the
        sending and is raised. Errors raised by ``chunks`` come out as they are,
        and the connection is closed with the body unfinished.

        Args:
            answer_timeout_seconds: a store may take long to finish a large object.
        """
        body = CountedBody(chunks, length)
        sent = {**(headers or {}), "content-length": str(length)}
        # Zero bytes are sent without a body: urllib3 would still expect chunks.
        response, hop = self._send(
            "PUT",
            url,
            sent,
            iter(body) if length else b"",
            timeout_seconds=answer_timeout_seconds,
        )
        try:
            if response.status < 400 and length and not body.is_complete:
                raise ProtocolError(
                    T("{host} answered before the upload was through", host=show_origin(hop.origin))
                )
            return self._whole(response, hop, SMALL_BODY_BYTES, is_repeatable=True, method="PUT")
        finally:
            if not body.is_complete:
                response.close()  # the rest of the body must not open the next request

    def post_json(
        self,
        url: str,
        payload: object,
        headers: Mapping[str, str] | None = None,
        *,
        is_repeatable: bool = False,
    ) -> HttpAnswer:
        """POST ``payload`` as JSON. See :meth:`post`."""
        body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
        return self.post(
            url,
            body,
            {"content-type": "application/json", **(headers or {})},
            is_repeatable=is_repeatable,
        )

    def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        is_repeatable: bool = False,
        answer_timeout_seconds: float | None = None,
        method: str = "POST",
    ) -> HttpAnswer:
        """POST (or another writing ``method``) a small body and read the whole answer.

        A redirect is followed on the same origin only: a renamed repository
        answers so, and it says that nothing was done yet.

        Raises:
            UnavailableError: ``ambiguous`` if the request was sent, no good answer
                came back, and the request is not ``is_repeatable``.
        """
        asked = {"accept": "application/json", **(headers or {})}
        response, hop = self._write(
            method,
            url,
            asked,
            body,
            timeout_seconds=answer_timeout_seconds,
            is_repeatable=is_repeatable,
        )
        return self._whole(
            response, hop, _JSON_BODY_BYTES, is_repeatable=is_repeatable, method=method
        )

    def post_stream(
        self, url: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> HttpStream:
        """POST a small body that asks a question, and open the answer, however long it is.

        Redirects as for :meth:`post`. The request must be safe to repeat.

        Raises:
            CopyError: as mapped from the status, or from the transport.
        """
        asked = {**(headers or {}), "accept-encoding": "identity"}
        response, hop = self._write("POST", url, asked, body)
        self._raise_if_refused("POST", response, hop, False, True)
        try:
            size, total, _ = check_answer((hop,), 0, None)
        except BaseException:
            response.close()
            raise
        return self._stream(response, (hop,), size, total, False)

    def close(self) -> None:
        """Cut every open connection, also under other threads, for good; safe to repeat."""
        with self._lock:
            self._is_closed = True
            pools, self._pools = list(self._pools.values()), {}
        self._sockets.cut()
        for pool in pools:
            pool.clear()

    @property
    def _silence(self) -> float:
        """How long the other end may say nothing, in seconds."""
        return self._config.read_timeout_seconds

    def _stream(
        self,
        response: BaseHTTPResponse,
        hops: tuple[Hop, ...],
        size: int | None,
        total: int | None,
        ignored_range: bool,
    ) -> HttpStream:
        return HttpStream(
            response,
            hops,
            size_bytes=size,
            total_bytes=total,
            ignored_range=ignored_range,
            patience_seconds=self._silence,
        )

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], max_hops: int = MAX_REDIRECTS
    ) -> tuple[BaseHTTPResponse, tuple[Hop, ...]]:
        hops: tuple[Hop, ...] = ()
        first = _origin(url)
        while True:
            response, hop = self._send(method, url, headers)
            hops = (*hops, hop)
            target = hop.headers.get("location")
            if response.status not in _REDIRECTS or not target or max_hops == 0:
                self._raise_if_refused(method, response, hop, hop.origin != first, True)
                return response, hops
            discard(response, self._silence)
            if len(hops) > max_hops:
                host = show_origin(hop.origin)
                raise ProtocolError(T("{host} redirects without end", host=host))
            url = urljoin(url, target)

    def _write(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_seconds: float | None = None,
        is_repeatable: bool = True,
    ) -> tuple[BaseHTTPResponse, Hop]:
        """Send a small body, again where a redirect on the same origin says so."""
        for _ in range(MAX_REDIRECTS):
            response, hop = self._send(
                method,
                url,
                headers,
                body,
                timeout_seconds=timeout_seconds,
                is_repeatable=is_repeatable,
            )
            moved = _moved_here(url, hop)
            if moved is None:
                break
            discard(response, self._silence)
            url = moved
        return response, hop

    def _follow_remembered(
        self, method: str, url: str, headers: Mapping[str, str]
    ) -> tuple[BaseHTTPResponse, tuple[Hop, ...]]:
        """As :meth:`_follow`, sparing the redirects of an address that is known."""
        found = self._at_known(method, url, headers)
        if found is not None:
            return found
        with self._signed.asking(url):
            found = self._at_known(method, url, headers)  # someone else may have asked meanwhile
            if found is not None:
                return found
            response, hops = self._follow(method, url, headers)
            if hops[-1].origin != hops[0].origin:
                last = hops[-2].headers["location"]
                self._signed.keep(url, urljoin(url, last), hops)
            return response, hops

    def _at_known(
        self, method: str, url: str, headers: Mapping[str, str]
    ) -> tuple[BaseHTTPResponse, tuple[Hop, ...]] | None:
        """An answer from where ``url`` is known to lead; None if unknown or no longer good."""
        known = self._signed.find(url)
        if known is None:
            return None
        try:
            response, hop = self._send(
                method, known.url, headers, timeout_seconds=min(_RANGE_SECONDS, self._silence)
            )
        except CopyError:
            self._signed.forget(url, known)  # another address may lead elsewhere
            raise
        if response.status < 300:
            if known.is_same(hop.headers.get("etag")):
                return response, (*known.hops, hop)
            # Another content, or a store whose nodes name the same one differently. What the
            # hub leads to now is read; whether it fits is for the digest to say.
            response.close()
            self._signed.forget(url, known)
            return None
        self._signed.forget(url, known)
        if response.status in _STALE or response.status < 400:
            discard(response, self._silence)
            return None
        self._raise_if_refused(method, response, hop, True, True)
        raise AssertionError("a status of 400 and more is refused")

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[memoryview] | None = None,
        *,
        timeout_seconds: float | None = None,
        is_repeatable: bool = True,
    ) -> tuple[BaseHTTPResponse, Hop]:
        origin = _origin(url)
        credentials = self._credentials
        own = credentials.headers() if credentials and origin in credentials.origins else {}
        # Lower case makes one header of "Authorization" and "authorization". The call's wins:
        # an LFS answer may name the credentials it wants for the next step.
        sent = {"user-agent": self._config.user_agent, **_lower(own), **_lower(headers)}
        silence = timeout_seconds or self._silence
        limits = Timeout(connect=self._config.connect_timeout_seconds, read=silence)
        with self._brake(method, url) as refused, self._turn(url) as heard:
            pools = self._pool(origin)  # after the wait: the client may be closed meanwhile
            try:
                response = pools.urlopen(
                    method,
                    url,
                    body=body,
                    headers=sent,
                    timeout=limits,
                    retries=False,
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                )
            except (HTTPError, OSError) as error:
                raise error_for_transport(error, origin, is_repeatable=is_repeatable) from None
            told = _lower(response.headers)
            heard(told)
            if response.status == 429 and not is_used_up(told):
                refused(retry_after_seconds(told))
        return response, Hop(origin, response.status, told)

    def _turn(self, url: str) -> AbstractContextManager[Heard]:
        return self._pacer.turn(url) if self._pacer else nullcontext(_unheard)

    def _pool(self, origin: Origin) -> PoolManager:
        proxy = proxy_for(self._config, origin)
        is_plain = origin[0] == "http" and not (proxy or "").lower().startswith("https:")
        key = (proxy, is_plain)
        with self._lock:
            if self._is_closed:
                raise CancelledError(T("the connections were closed"))
            if key not in self._pools:
                self._pools[key] = make_pools(self._config, proxy, self._sockets, is_plain=is_plain)
            return self._pools[key]

    def _whole(
        self,
        response: BaseHTTPResponse,
        hop: Hop,
        limit_bytes: int,
        *,
        is_repeatable: bool,
        method: str = "GET",
    ) -> HttpAnswer:
        self._raise_if_refused(method, response, hop, False, is_repeatable)
        try:
            body = read_body(response, limit_bytes + 1, self._silence)
            rest = len(body) > limit_bytes
        except (HTTPError, OSError) as error:
            raise error_for_transport(error, hop.origin, is_repeatable=is_repeatable) from None
        finally:
            let_go(response)
        if rest:
            host = show_origin(hop.origin)
            raise ProtocolError(T("{host} sent a longer answer than expected", host=host))
        return HttpAnswer(hop.status, hop.headers, body, hop.origin)

    def _raise_if_refused(
        self,
        method: str,
        response: BaseHTTPResponse,
        hop: Hop,
        is_foreign: bool,
        is_repeatable: bool,
    ) -> None:
        if response.status < 400 and not (method not in ("GET", "HEAD") and response.status >= 300):
            return
        try:
            body = read_body(response, SMALL_BODY_BYTES, self._silence)
        except (HTTPError, OSError):
            body = b""  # the status alone says what happened
        finally:
            response.close()
        if response.status < 400:
            host = show_origin(hop.origin)
            raise ProtocolError(T("{host} redirects a {method}", host=host, method=method))
        refusal = Refusal(
            method, hop.origin, hop.status, hop.headers, body, is_foreign, is_repeatable
        )
        mapped = self._map_refusal(refusal) if self._map_refusal else None
        raise mapped or error_for_status(refusal)


def _moved_here(url: str, hop: Hop) -> str | None:
    """Where a write is to be sent instead, if that is on the same origin."""
    target = hop.headers.get("location")
    if hop.status not in _REDIRECTS_OF_WRITES or not target:
        return None
    moved = urljoin(url, target)
    return moved if _origin(moved) == hop.origin else None


def _no_brake(method: str, url: str) -> AbstractContextManager[Refused]:
    return nullcontext(_untold)


def _untold(seconds: float | None) -> None:
    """Nobody brakes this client, so nobody is told of a refusal."""


def _unheard(headers: Mapping[str, str]) -> None:
    """Nobody paces this client, so nobody listens."""


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _origin(url: str) -> Origin:
    try:
        return origin_of(url)
    except ValueError:
        raise ProtocolError(T("an address that is not http(s) was given")) from None
