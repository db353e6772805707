"""From HTTP answers and transport failures to our errors; pure functions."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

import urllib3.exceptions as u3

from hubferry.errors import (
    AccessError,
    CopyError,
    CorruptReadError,
    CorruptWriteError,
    HubError,
    NotFoundError,
    ProtocolError,
    QuotaError,
    RateLimitedError,
    TimedOutError,
    TooLargeError,
    UnavailableError,
)
from hubferry.net.answers import parse_json
from hubferry.net.config import Origin, show_origin
from hubferry.net.redact import redact
from hubferry.text import T, Text

_REQUEST_ID_HEADERS = ("x-request-id", "requestid", "x-oss-request-id", "x-amz-request-id")
# 408 and 5xx are huggingface_hub's own list of transient answers (docs/hub-protocols.md 1.4).
_TRANSIENT = frozenset({408, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with a status of 400 or more. ``headers`` have lower-case names."""

    method: str
    origin: Origin
    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)
    is_foreign: bool = False
    """The answer comes from another origin than the one first asked (a CDN, a store)."""
    is_repeatable: bool = True
    """The request may be sent again without asking whether it was done."""


RefusalMap = Callable[[Refusal], CopyError | None]
"""A hub's own reading of a refusal; None leaves it to :func:`error_for_status`."""


def request_id(headers: Mapping[str, str]) -> str | None:
    """The id under which the other end logged the request, if it tells one."""
    return next((headers[name] for name in _REQUEST_ID_HEADERS if headers.get(name)), None)


def retry_after_seconds(headers: Mapping[str, str], now_unix: float | None = None) -> float | None:
    """``Retry-After`` in seconds, given as seconds or as an HTTP date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    try:
        when = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):  # the latter: a time zone with twenty digits
        return None
    return max(0.0, when - (time.time() if now_unix is None else now_unix))


def excerpt(body: bytes, limit: int = 200) -> str:
    """What a refusal says of itself, redacted, on one line; "" for HTML or nothing."""
    text = body[:4096].decode("utf-8", "replace").strip()
    if not text or text[:1] == "<":
        found = re.search(r"<Message>([^<]*)</Message>", text)  # S3 and OSS answer in XML
        text = found[1] if found else ""
    elif text[:1] == "{":
        text = _json_message(body) or text
    return redact(" ".join(text.split()))[:limit]


def _json_message(body: bytes) -> str | None:
    try:
        data = parse_json(body)
    except ValueError:
        return None
    for name in ("error", "message", "Message", "msg", "detail"):
        if isinstance(data, dict) and isinstance(data.get(name), str):
            return str(data[name])
    return None


def error_for_status(refusal: Refusal) -> CopyError:
    """The error for a status of 400 or more, for hubs that have no better word."""
    host, status = show_origin(refusal.origin), refusal.status
    said = excerpt(refusal.body) or "-"
    where = {"host": host, "status": status, "said": said}
    ident = request_id(refusal.headers)
    if status in (401, 403):
        return AccessError(
            T("{host} refused access (HTTP {status}): {said}", **where), request_id=ident
        )
    if status in (404, 410):
        message = T("{host} does not have this (HTTP {status}): {said}", **where)
        return NotFoundError(message, what="path", request_id=ident)
    if status in (402, 507):
        return QuotaError(
            T("{host} has no room left (HTTP {status}): {said}", **where), request_id=ident
        )
    if status == 413:
        return TooLargeError(
            T("{host} refuses this size (HTTP {status}): {said}", **where), request_id=ident
        )
    if status == 416:
        message = T("{host} has fewer bytes than its listing says (HTTP {status})", **where)
        return CorruptReadError(message, request_id=ident)
    if status == 429:
        return RateLimitedError(
            T("{host} asks to slow down (HTTP {status}): {said}", **where),
            retry_after_seconds=retry_after_seconds(refusal.headers),
            request_id=ident,
        )
    if refusal.method == "PUT" and status in (400, 422):
        # A store that checks what it gets; our own check saw the right bytes leave.
        return CorruptWriteError(
            T("{host} did not get the bytes that were sent (HTTP {status}): {said}", **where),
            request_id=ident,
        )
    if status in _TRANSIENT or status >= 500:
        return UnavailableError(
            T("{host} has a problem (HTTP {status}): {said}", **where),
            ambiguous=not refusal.is_repeatable,
            request_id=ident,
        )
    return HubError(T("{host} refused (HTTP {status}): {said}", **where), request_id=ident)


def error_for_transport(
    error: BaseException, origin: Origin, *, is_repeatable: bool = True
) -> CopyError:
    """The error for a failure of urllib3, ssl, http.client or the socket.

    The foreign text is not passed on: it holds the URL, which may be signed.
    """
    host = show_origin(origin)
    chain = tuple(_causes(error))
    if _is_untrusted(chain):
        return HubError(
            T("{host} shows a certificate that is not trusted here", host=host),
            headline="Connection failed",
            hint=T("behind an inspecting proxy, point SSL_CERT_FILE at its certificate"),
        )
    if isinstance(error, u3.LocationParseError | u3.InvalidHeader):
        return ProtocolError(T("{host} sent an address or length we cannot read", host=host))
    was_sent = not any(isinstance(cause, _NEVER_SENT) for cause in chain)
    ambiguous = was_sent and not is_repeatable
    hint = T("check the proxy settings") if _by_proxy(chain) else None
    if any(_is_timeout(cause) for cause in chain):
        return TimedOutError(
            T("no answer from {host} in time", host=host), ambiguous=ambiguous, hint=hint
        )
    reason = _reason(chain)
    return UnavailableError(
        T("no connection to {host}: {reason}", host=host, reason=reason),
        ambiguous=ambiguous,
        hint=hint,
    )


_NEVER_SENT = (u3.NewConnectionError, u3.ConnectTimeoutError, u3.ProxyError, ConnectionRefusedError)


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    todo = [error]
    while todo:
        cause = todo.pop()
        if cause is None or cause in found:
            continue
        found.append(cause)
        todo += [cause.__cause__, cause.__context__, getattr(cause, "original_error", None)]
        todo += [arg for arg in cause.args if isinstance(arg, BaseException)]
    return found


def _is_timeout(cause: BaseException) -> bool:
    # urllib3 derives NewConnectionError (refused, name unknown) from its TimeoutError.
    is_plain_refusal = isinstance(cause, u3.NewConnectionError)
    return isinstance(cause, TimeoutError | u3.TimeoutError) and not is_plain_refusal


def _is_untrusted(chain: tuple[BaseException, ...]) -> bool:
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in chain)


def _by_proxy(chain: tuple[BaseException, ...]) -> bool:
    return any(isinstance(cause, u3.ProxyError) for cause in chain)


def _reason(chain: tuple[BaseException, ...]) -> Text:
    table: tuple[tuple[tuple[type[BaseException], ...], Text], ...] = (
        ((u3.ProxyError,), T("the proxy did not let us through")),
        ((u3.NameResolutionError, socket.gaierror), T("its name is not known")),
        ((ConnectionRefusedError,), T("it refused")),
        ((u3.IncompleteRead,), T("the answer ended early")),
        ((ConnectionResetError, BrokenPipeError), T("it was cut off")),
        ((ssl.SSLError,), T("the encrypted connection broke")),
    )
    for kinds, reason in table:
        if any(isinstance(cause, kinds) for cause in chain):
            return reason
    return T("it broke ({kind})", kind=type(chain[0]).__name__)
