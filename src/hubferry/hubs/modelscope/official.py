"""The official ModelScope client, tamed: no retry of its own, no surprise, no leak.

``modelscope_hub`` keeps its client for ``/api/v1`` in a private module, so
everything that knows about its inside is in this file. What is changed, and why:

- its retries are off: they sleep without hearing a stop, and turn a 429 on a
  read into a server error without its ``Retry-After``;
- every answer is looked at before the client sees it, because it reads some
  failures that arrive under HTTP 200 as success;
- ``.netrc`` is not consulted: requests would let it replace the token;
- a redirect to another place is refused: a POST would silently become a GET.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urljoin

import modelscope_hub
import requests
from modelscope_hub._legacy_api import LegacyClient
from modelscope_hub.errors import HubError as ClientError
from requests.adapters import HTTPAdapter

from hubferry import __version__
from hubferry.errors import CopyError, ProtocolError, UnavailableError
from hubferry.hubs.modelscope.failures import Asked, Failure, error_for, failure_in
from hubferry.hubs.modelscope.wire import RefusedAnswer
from hubferry.net.answers import parse_json
from hubferry.net.config import HttpConfig, origin_of, proxy_for, tls_context
from hubferry.net.secret import Secret
from hubferry.net.status import error_for_transport, retry_after_seconds
from hubferry.text import T

R = TypeVar("R")

USER_AGENT = f"modelscope_hub/{modelscope_hub.__version__}; hubferry/{__version__}"
"""Starts like the official one: that keeps the client from making an install id in HOME."""


def make_client(endpoint: str, token: Secret | None, config: HttpConfig) -> Any:
    """A ``LegacyClient`` for ``endpoint`` that makes one attempt a call. Thread-safe.

    Connections go through the proxy and trust the certificates of ``config``.
    """
    client = LegacyClient(
        token=token.reveal() if token else None,
        endpoint=endpoint,
        max_retries=0,
        user_agent=USER_AGENT,
    )
    session: requests.Session = client._session
    # The proxy is decided here once; left to itself, requests prefers the environment's.
    session.trust_env = False
    proxy = proxy_for(config, origin_of(endpoint))
    session.proxies = {"http": proxy, "https": proxy} if proxy else {}
    # Redirects to elsewhere are refused, so no other scheme is ever needed.
    session.adapters.clear()
    scheme = origin_of(endpoint)[0]
    is_plain = scheme == "http" and not (proxy or "").lower().startswith("https:")
    session.mount(f"{scheme}://", _Adapter(config, is_plain=is_plain))
    session.hooks["response"].append(check_answer)
    # The cookie is set on first use, unlocked: do it before any thread comes along.
    client._ensure_session_auth()
    return client


def close_client(client: Any) -> None:
    """Let go of its connections."""
    client._session.close()
    client._read_session.close()


class _Adapter(HTTPAdapter):
    """Our certificates, read only if something is to be encrypted, and no retries."""

    def __init__(self, config: HttpConfig, *, is_plain: bool) -> None:
        self._context = None if is_plain else tls_context(config)
        super().__init__(pool_maxsize=config.max_connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing to add: requests would put its own bundle over our context."""


def check_answer(response: requests.Response, *_args: object, **_kwargs: object) -> None:
    """Stop an answer that says no, whatever its status, before the client reads it.

    Raises:
        RefusedAnswer: the envelope or the status says no.
        ProtocolError: a redirect to another place, or no envelope.
    """
    if response.is_redirect:
        _check_redirect(response)
        return
    body = _json(response)
    ident = response.headers.get("X-Request-ID")
    failure = failure_in(body, status=response.status_code) if isinstance(body, dict) else None
    if failure is None and response.status_code >= 400:
        words = "" if response.text.lstrip().startswith("<") else response.text[:300]
        failure = Failure(status=response.status_code, message=words, request_id=ident)
    if failure is not None:
        headers = {name.lower(): value for name, value in response.headers.items()}
        raise RefusedAnswer(failure.named(ident), retry_after_seconds(headers))
    if not isinstance(body, dict):
        raise ProtocolError(
            T("ModelScope sent an answer that is not a JSON object"), request_id=ident
        )


def _json(response: requests.Response) -> object:
    try:
        return parse_json(response.content)
    except ValueError:
        return None


def _check_redirect(response: requests.Response) -> None:
    target = urljoin(response.url, response.headers.get("Location", ""))
    try:
        same = origin_of(target) == origin_of(response.url)
    except ValueError:
        same = False
    if response.request.method != "GET" or not same:
        raise ProtocolError(
            T("ModelScope's endpoint redirects to another place"),
            hint=T("name that place with --ms-endpoint"),
        )


def call(asked: Asked, work: Callable[[], R], *, endpoint: str) -> R:
    """Run one request of either client; every failure comes out as one of our errors.

    Foreign exceptions are not chained: they may print a token or a signed URL.
    """
    try:
        return work()
    except RefusedAnswer as refused:
        raise error_for(refused.failure, asked, refused.retry_after_seconds) from None
    except ProtocolError as error:
        raise _ambiguous(error, asked) from None
    except (ClientError, requests.RequestException) as error:
        raise error_for_transport(
            error, origin_of(endpoint), is_repeatable=asked.is_repeatable
        ) from None


def _ambiguous(error: ProtocolError, asked: Asked) -> CopyError:
    """An unreadable answer to a write leaves open whether it was done."""
    if asked.is_repeatable:
        return error
    return UnavailableError(error.message, ambiguous=True, request_id=error.request_id)
