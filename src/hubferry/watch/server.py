"""Webhooks, ``/healthz`` and ``/metrics`` over HTTP; needs the extra ``watch``.

A webhook only says "look now". Of its body nothing is believed but the
repository's name, and only a name that the manifest can mean leads to a look:
that is the worst a forged delivery can do. The secret is compared in constant
time before the body is read.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, Self

from hubferry.errors import LocalError, Side, UsageError
from hubferry.model import RepoId
from hubferry.text import T
from hubferry.watch.clock import Clock, RealClock
from hubferry.watch.health import Health
from hubferry.watch.loop import Answer

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

Parse = Callable[[bytes], RepoId | None]
"""The repository that a delivery names; None: nothing that is copied; ValueError: no delivery."""

MAX_BODY_BYTES = 1 << 20
BODY_SECONDS = 10.0
CONNECTION_SECONDS = 15.0
"""Of one connection: longer than any delivery takes, and no place is held for ever."""
MAX_CONNECTIONS = 64
BAD_SECRETS_A_MINUTE = 100
_MAX_PEERS = 1000
_MINUTE = 60.0
_START_SECONDS = 10.0
_STOP_SECONDS = 1.2
"""Ctrl-C has promised an end within two seconds."""
_SECRET_HEADER = "x-webhook-secret"  # noqa: S105 - a header's name

_log = logging.getLogger(__name__)


class Desk(Protocol):
    """What the server needs of the watch."""

    def deliver(self, repo: RepoId, digest: str) -> Answer:
        """A repository changed, says a delivery."""
        ...

    def health(self) -> Health:
        """How the watch is doing."""
        ...


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:8080``, ``[::]:8080`` or ``localhost:8080``.

    Raises:
        UsageError: anything else.
    """
    host, _, port = text.strip().rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if is_bracketed else host
    if not bare or (":" in bare) != is_bracketed or not port.isascii() or not port.isdigit():
        raise _bad_listen(text)
    if int(port) > 65535:
        raise _bad_listen(text)
    return bare, int(port)


def _bad_listen(text: str) -> UsageError:
    return UsageError(
        T("no host and port to listen on: {text}", text=repr(text)),
        hint=T("write it like 127.0.0.1:8080, or 0.0.0.0:8080 for every network of this computer"),
    )


class BadSecrets:
    """Wrong secrets by peer: who sent too many in the last minute is not heard."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def is_too_many(self, peer: str) -> bool:
        """Whether ``peer`` has to wait."""
        with self._lock:
            return self._count(peer)[1] >= BAD_SECRETS_A_MINUTE

    def note(self, peer: str) -> None:
        """One more."""
        with self._lock:
            since, count = self._count(peer)
            self._counts[peer] = (since, count + 1)
            self._counts.move_to_end(peer)
            if len(self._counts) > _MAX_PEERS:
                self._counts.popitem(last=False)

    def _count(self, peer: str) -> tuple[float, int]:
        now = self._clock.now()
        since, count = self._counts.get(peer, (now, 0))
        return (since, count) if 0 <= now - since < _MINUTE else (now, 0)


def make_app(
    desk: Desk,
    parsers: Mapping[str, Parse],
    secret: str | None,
    *,
    is_loopback: bool,
    clock: Clock | None = None,
) -> Starlette:
    """The application: ``POST /webhooks/<name of a parser>``, ``GET /healthz``, ``GET /metrics``.

    ``secret`` None closes the webhooks, but for loopback, where only this computer can come from.

    Raises:
        UsageError: the extra is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.requests import ClientDisconnect
        from starlette.responses import JSONResponse, PlainTextResponse
        from starlette.routing import Route
    except ModuleNotFoundError as exc:
        raise server_missing(exc) from exc

    time = clock or RealClock()
    bad = BadSecrets(time)

    def say(status: int, word: str) -> Response:
        return JSONResponse({"status": word}, status)

    def gate(request: Request) -> Response | None:
        """The refusal, or None for a delivery that may be read."""
        if secret is None:
            return None if is_loopback else say(403, "webhooks need a secret")
        peer = request.client.host if request.client else ""
        if bad.is_too_many(peer):
            return say(429, "too many requests")
        given = request.headers.get(_SECRET_HEADER, "")
        # Header bytes come as Latin-1; this is what was sent.
        if not hmac.compare_digest(given.encode("latin-1"), secret.encode()):
            bad.note(peer)
            return say(401, "unauthorized")
        return None

    async def webhook(request: Request) -> Response:
        if (refusal := gate(request)) is not None:
            return refusal
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return say(415, "json is expected")
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(request)
        except TimeoutError:
            return say(408, "the body did not come")
        except ClientDisconnect:
            return say(400, "bad request")
        if body is None:
            return say(413, "the body is too large")
        try:
            repo = parsers[request.path_params["hub"]](body)
        except KeyError:
            return say(404, "not found")
        except ValueError:
            return say(400, "no delivery of this hub")
        answer = Answer.IGNORED
        if repo is not None:
            answer = desk.deliver(repo, hashlib.sha256(body).hexdigest())
        _log.info("webhook: %s %s", repo, answer.value)
        return say(200 if answer is Answer.SEEN else 202, answer.value)

    def healthz(request: Request) -> Response:
        health, now = desk.health(), time.now()
        is_healthy = health.is_healthy(now)
        return JSONResponse(health_json(health, is_healthy=is_healthy), 200 if is_healthy else 503)

    def metrics(request: Request) -> Response:
        text = metrics_text(desk.health(), time.now())
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    return Starlette(
        routes=[
            Route("/webhooks/{hub}", webhook, methods=["POST"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ]
    )


async def _body(request: Request) -> bytes | None:
    """The body, or None if it is larger than may be; held in memory, at most 1 MiB."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > MAX_BODY_BYTES:
        return None
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > MAX_BODY_BYTES:
            return None
    return bytes(found)


def health_json(health: Health, *, is_healthy: bool) -> dict[str, object]:
    """What ``/healthz`` answers: counts and moments (Unix seconds), no names, nothing secret."""
    return {
        "status": "ok" if is_healthy else "failing",
        "is_alive": health.is_alive,
        "is_in_cycle": health.is_in_cycle,
        "started_at": health.started_at,
        "cycles": health.cycles,
        "last_cycle_at": health.last_cycle_at,
        "last_ok_at": health.last_ok_at,
        "next_due_at": health.next_due_at,
        "period_seconds": health.period_seconds,
        "failing_repos": health.failing_repos,
        "held_causes": len(health.held_causes),
        "is_manifest_wrong": health.manifest_error is not None,
    }


def metrics_text(health: Health, now: float) -> str:
    """The same in Prometheus' text format."""
    figures: dict[str, tuple[str, float | None]] = {
        "healthy": ("gauge", health.is_healthy(now)),
        "in_cycle": ("gauge", health.is_in_cycle),
        "started_timestamp_seconds": ("gauge", health.started_at),
        "cycles_total": ("counter", health.cycles),
        "last_cycle_timestamp_seconds": ("gauge", health.last_cycle_at),
        "last_ok_timestamp_seconds": ("gauge", health.last_ok_at),
        "next_due_timestamp_seconds": ("gauge", health.next_due_at),
        "period_seconds": ("gauge", health.period_seconds),
        "failing_repos": ("gauge", health.failing_repos),
        "held_causes": ("gauge", len(health.held_causes)),
        "manifest_wrong": ("gauge", health.manifest_error is not None),
    }
    lines = []
    for name, (kind, value) in figures.items():
        if value is not None:
            lines += [f"# TYPE hubferry_watch_{name} {kind}", f"hubferry_watch_{name} {value + 0}"]
    return "\n".join(lines) + "\n"


class WatchServer:
    """The server in a thread of its own; a context manager.

    The port is bound when it is made, so that a taken one is known before
    anything else begins.
    """

    def __init__(
        self,
        listen: str,
        desk: Desk,
        parsers: Mapping[str, Parse],
        secret: str | None,
        *,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """``failed`` is called when the server ends though nobody asked it to.

        Raises:
            UsageError: the extra is not installed, or ``listen`` is no host and port.
            LocalError: the port cannot be had.
        """
        host, port = parse_listen(listen)
        try:
            import uvicorn
        except ModuleNotFoundError as exc:
            raise server_missing(exc) from exc
        self._socket = _bind(host, port, listen)
        is_loopback = ipaddress.ip_address(self._socket.getsockname()[0]).is_loopback
        try:
            app = make_app(desk, parsers, secret, is_loopback=is_loopback)
        except BaseException:
            self._socket.close()
            raise
        self.is_open = secret is not None or is_loopback
        """Whether webhooks are heard at all."""
        self._failed = failed
        self._is_stopping = False
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=_short_lived(),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(target=self._serve, name="watch-server", daemon=True)

    @property
    def address(self) -> str:
        """``http://host:port``, with the port that was given by the system for port 0."""
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_stopping = True
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS)
        self._socket.close()

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except BaseException:  # noqa: BLE001 - the thread's edge; uvicorn may exit, too
            _log.exception("the webhook server failed")
        if not self._is_stopping:
            self._failed()


def _short_lived() -> type[asyncio.Protocol]:
    """uvicorn's HTTP/1.1, with an end to each connection.

    Its own limits begin after an answer: who sends no request, or half of one, keeps a place,
    and a few dozen of them would silence ``/healthz``.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class ShortLived(H11Protocol):
        def connection_made(  # type: ignore[override]  # as uvicorn's own
            self, transport: asyncio.Transport
        ) -> None:
            super().connection_made(transport)
            self.loop.call_later(CONNECTION_SECONDS, self._end)

        def _end(self) -> None:
            # None before the first request is complete, whatever type it is given there.
            cycle: RequestResponseCycle | None = self.cycle
            if cycle is None or cycle.response_complete:
                self.transport.close()
            else:
                cycle.keep_alive = False

    return ShortLived


def _bind(host: str, port: int, listen: str) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, number, _, address = found[0]
        made = socket.socket(family, kind, number)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            # Here and not only later: on Linux a taken port may show no earlier than this.
            made.listen(128)
        except BaseException:
            made.close()
            raise
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise LocalError(
            T("cannot listen on {listen}: {reason}", listen=listen, reason=reason),
            side=Side.LOCAL,
            step="watch",
            hint=T("another program may have this port: choose another one with --listen"),
        ) from exc
    return made


def server_missing(cause: ModuleNotFoundError) -> UsageError:
    """What to say when the server's own dependencies are not installed."""
    return UsageError(
        T("webhooks and /healthz are not installed: {module} is missing", module=cause.name),
        hint=T("pip install 'hubferry[watch]'"),
    )
