"""The official client, made to speak through ours.

``huggingface_hub`` knows its hub's addresses and shapes, so it builds and reads
the control requests. Its own transport does not fit a program with several
hubs: one client for the whole process (one proxy, and any connection error
closes it for everybody), no time limit, the token inside. So each request of an
``HfApi`` made here carries the number of the :class:`HttpClient` it belongs to,
and that client sends it: its proxy, its limits, its credentials, its errors.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from huggingface_hub import HfApi, constants, set_client_factory
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from hubferry import __version__
from hubferry.errors import ProtocolError, UnavailableError, UsageError
from hubferry.net.http import HttpClient
from hubferry.text import T

__all__ = ["HfApi", "is_offline", "make_api", "reading_answers"]

_MARK = "x-hubferry-client"
_numbers = itertools.count(1)
_clients: weakref.WeakValueDictionary[str, HttpClient] = weakref.WeakValueDictionary()
_lock = threading.Lock()
_is_installed = False
# RecursionError: an answer nested deeper than anything a hub has to say.
_UNREADABLE = (
    HfHubHTTPError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
)


def make_api(endpoint: str, client: HttpClient) -> HfApi:
    """An ``HfApi`` whose requests go through ``client``; it never holds a token itself."""
    global _is_installed  # noqa: PLW0603 - the official client has one factory a process
    with _lock:
        if not _is_installed:
            set_client_factory(_Router)
            _is_installed = True
        number = str(next(_numbers))
        _clients[number] = client
    return HfApi(
        endpoint=endpoint,
        token=False,
        library_name="hubferry",
        library_version=__version__,
        headers={_MARK: number},
    )


def is_offline() -> bool:
    """True if the user told the official client to stay off the network."""
    return bool(constants.HF_HUB_OFFLINE)


@contextmanager
def reading_answers(name: str) -> Iterator[None]:
    """Turn what the official client raises over a name or an answer into our errors."""
    try:
        yield
    except HFValidationError:
        raise UsageError(T("{name} is not a repository name", name=repr(name))) from None
    except _UNREADABLE as error:
        # Not passed on: the text may hold the address and parts of the answer.
        kind = type(error).__name__
        raise ProtocolError(
            T("Hugging Face sent an answer we cannot read ({kind})", kind=kind)
        ) from None


class _Router(httpx2.Client):
    """Sends marked requests through our clients and leaves all others as they were."""

    def __init__(self) -> None:
        # Without connections of its own: making them reads certificates, and we have ours.
        super().__init__(follow_redirects=True, timeout=30.0, transport=httpx2.BaseTransport())
        self._others: httpx2.Client | None = None

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Answer one request of the official client."""
        if request.url.path == "/api/agent-harnesses":
            # Asked of huggingface.co whatever the endpoint, outside any proxy of
            # ours, only to adorn the User-Agent. 404 means "none".
            return httpx2.Response(404, request=request)
        if _MARK not in request.headers:
            with _lock:
                self._others = self._others or httpx2.Client(follow_redirects=True, timeout=30.0)
            return self._others.send(request, **options)
        client = _clients.get(request.headers.pop(_MARK))
        if client is None:
            raise UnavailableError(T("the connection to Hugging Face was closed"))
        return _through(client, request)


def _through(client: HttpClient, request: httpx2.Request) -> httpx2.Response:
    # Framing headers are made anew by our client for what it really sends.
    dropped = {"host", "connection", "content-length", "accept-encoding"}
    headers = {k.lower(): v for k, v in request.headers.items() if k.lower() not in dropped}
    if request.method == "GET":
        answer = client.get_json(str(request.url), headers)
    else:
        answer = client.post(
            str(request.url),
            request.read(),
            headers,
            is_repeatable=True,
            method=request.method,
        )
    kept = {k: v for k, v in answer.headers.items() if k not in {"content-encoding", *dropped}}
    return httpx2.Response(answer.status, headers=kept, content=answer.body, request=request)
