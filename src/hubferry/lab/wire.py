"""How a hub's handlers meet the network: names, counters, faults, shaping, bodies.

A hub app is built from :class:`Routes`, one per origin::

    def build_ms_app(lab: Lab) -> list[Routes]:
        api, store = Routes(lab, "ms.api"), Routes(lab, "ms.lfs")
        api.add("POST", "/api/v1/models", "ms.create", hub.create)
        store.add("PUT", "/lfs/{oid}", "ms.put", hub.put)
        return [api, store]

``Routes.add(method, pattern, endpoint name, handler)``: the handler is an ordinary aiohttp handler.
"GET" does not imply "HEAD". What is not registered is counted as ``<origin>.unknown`` and is 404.

A handler uses, and never the aiohttp equivalents, so that faults and counters see all bytes:

- ``await read_bytes(request)`` / ``await read_json(request)`` for bodies that fit in memory,
- ``await receive_body(request)`` for blobs: hashed on the way, small ones kept in memory, large
  ones in a file of the lab (or nowhere with ``keep=False``),
- ``await stream_range(request, content, headers)`` for blobs going out, ``Range`` honoured; or
  ``stream_content(request, content, start, end, status=..., headers=...)`` underneath it,
- ``web.Response`` / ``web.json_response`` for small answers: faults apply to them as well.
  ``raise RefusedError(response)`` answers from deep inside a helper.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from aiohttp import web

from hubferry.lab.content import Buffer, BytesContent, Content, FileContent, KnownContent
from hubferry.lab.faults import Fault, Pacer

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SEND_BYTES = 512 * 1024
_MEMORY_LIMIT_BYTES = 4 << 20
_BODY_FAULTS = ("reset", "truncate", "corrupt", "stall")


class ConnectionCutError(ConnectionResetError):
    """The lab ended the connection on purpose; nothing more can be sent or read."""


class RefusedError(Exception):
    """Raised by a handler's helpers to answer at once with ``response``."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


@dataclass
class Exchange:
    """One request on its way through the lab."""

    lab: Lab
    origin: str
    endpoint: str
    fault: Fault | None = None
    is_fault_spent: bool = False
    pacers: list[Pacer] = field(default_factory=list)

    def body_fault(self) -> Fault | None:
        """Return the fault for a body, once: of what is received, else of what is sent."""
        if self.fault is None or self.is_fault_spent or self.fault.kind not in _BODY_FAULTS:
            return None
        self.is_fault_spent = True
        return self.fault

    async def pace(self, count: int) -> None:
        """Wait for the shaped bandwidth."""
        for pacer in self.pacers:
            await pacer.pace(count)


@dataclass(frozen=True)
class Received:
    """An uploaded body: what it was, and the content unless it was not to be kept."""

    size: int
    sha256: str
    content: Content


_EXCHANGE = web.RequestKey("exchange", Exchange)


class Routes:
    """The handlers of one origin, by endpoint name."""

    def __init__(self, lab: Lab, origin: str) -> None:
        self.origin = origin
        self._lab = lab
        self.app = web.Application(client_max_size=lab.config.max_body_bytes)

    def add(self, method: str, pattern: str, endpoint: str, handler: Handler) -> None:
        """Register a handler under a stable name; first match wins, ``*`` is any method."""

        async def handle(request: web.Request) -> web.StreamResponse:
            exchange = Exchange(self._lab, self.origin, endpoint)
            request[_EXCHANGE] = exchange
            return await _carry_out(exchange, request, handler)

        self.app.router.add_route(method, pattern, handle)

    def close(self) -> None:
        """Answer everything else with 404; called once when the origin goes up."""
        self.add("*", "/{tail:.*}", f"{self.origin}.unknown", _not_found)


def exchange_of(request: web.Request) -> Exchange:
    """Return what the lab knows of this request."""
    return request[_EXCHANGE]


def fault_kind(request: web.Request) -> str | None:
    """Return the kind of the fault this request meets, for what only a handler can do wrong."""
    fault = exchange_of(request).fault
    return fault.kind if fault else None


def bearer_token(request: web.Request) -> str | None:
    """Return the token of the ``Authorization: Bearer`` header, or None."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


async def read_bytes(request: web.Request) -> bytes:
    """Return the whole body, counted and looked through for tokens.

    Raises:
        web.HTTPRequestEntityTooLarge: more than the configured ``max_body_bytes``.
    """
    exchange = exchange_of(request)
    parts: list[bytes] = []
    total = 0
    async for piece in _incoming(request):
        total += len(piece)
        if total > exchange.lab.config.max_body_bytes:
            raise web.HTTPRequestEntityTooLarge(exchange.lab.config.max_body_bytes, total)
        parts.append(bytes(piece))
    body = b"".join(parts)
    exchange.lab.counters.scan_body(exchange.origin, exchange.endpoint, body)
    return body


async def read_json(request: web.Request) -> Any:
    """Return the body as JSON.

    Raises:
        web.HTTPBadRequest: it is not JSON.
    """
    try:
        return json.loads(await read_bytes(request))
    except ValueError:
        raise web.HTTPBadRequest(text="the body is not JSON") from None


async def receive_body(request: web.Request, *, keep: bool = True) -> Received:
    """Take in a blob, hashing it on the way.

    At most 4 MiB stay in memory, more goes to a file of the lab. With ``keep=False`` only size and
    digest are known afterwards.

    Raises:
        ConnectionCutError: a fault ended the upload.
        ConnectionResetError: the client did.
    """
    lab = exchange_of(request).lab
    digest, size, head = hashlib.sha256(), 0, bytearray()
    path: Path | None = None
    file = None
    try:
        async for piece in _incoming(request):
            digest.update(piece)
            size += len(piece)
            if not keep:
                continue
            head += piece
            if len(head) > _MEMORY_LIMIT_BYTES:
                if file is None:
                    path = lab.new_file()
                    file = path.open("wb")
                file.write(head)
                head.clear()
        if file:
            file.write(head)
    except BaseException:
        if path:
            path.unlink()
        raise
    finally:
        if file:
            file.close()
    content: Content = KnownContent(size, digest.hexdigest())
    if keep:
        content = FileContent(path) if path else BytesContent(bytes(head))
    return Received(size, digest.hexdigest(), content)


def parse_range(request: web.Request, size: int) -> tuple[int, int] | None:
    """Return start and end (exclusive) of a single-range ``Range`` header, or None without one.

    Raises:
        web.HTTPRequestRangeNotSatisfiable: the range begins at or after ``size``.
    """
    unit, _, text = request.headers.get("Range", "").partition("=")
    if unit != "bytes" or "," in text or "-" not in text:
        return None
    first, _, last = text.partition("-")
    try:
        start = int(first) if first else max(0, size - int(last))
        end = min(int(last) + 1, size) if first and last else size
    except ValueError:
        return None
    if start >= size:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    return start, end


async def stream_range(
    request: web.Request, content: Content, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Answer with the whole content, or with 206 and the part a ``Range`` header asks for."""
    found = parse_range(request, content.size)
    extra = {"Accept-Ranges": "bytes", **(headers or {})}
    if found is None:
        return await stream_content(request, content, 0, content.size, headers=extra)
    start, end = found
    extra["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
    return await stream_content(request, content, start, end, status=206, headers=extra)


async def stream_content(
    request: web.Request,
    content: Content,
    start: int,
    end: int,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Send bytes ``start`` to ``end`` (exclusive) with faults, bandwidth and counting applied.

    A HEAD request gets the same head and no body.

    Raises:
        ConnectionCutError: a fault ended the answer.
    """
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = end - start
    if "Content-Type" not in response.headers:
        response.content_type = "application/octet-stream"
    await response.prepare(request)
    if request.method != "HEAD":
        await _send(request, response, content, start, end)
        await response.write_eof()
    return response


async def _send(
    request: web.Request, response: web.StreamResponse, content: Content, start: int, end: int
) -> None:
    exchange = exchange_of(request)
    fault = exchange.body_fault()
    strike_at = start + int((end - start) * fault.fraction) if fault else end
    if fault and fault.kind == "corrupt":
        strike_at = min(strike_at, end - 1)
    position = start
    while position < end:
        if fault and position == strike_at and fault.kind != "corrupt":
            await _strike(request, fault)
            fault = None
        stop = min(position + SEND_BYTES, end)
        if fault and position < strike_at:
            stop = min(stop, strike_at)
        piece = content.read(position, stop)
        if fault and fault.kind == "corrupt" and position == strike_at:
            piece, fault = _flip(piece), None
        await exchange.pace(len(piece))
        await response.write(piece)
        exchange.lab.counters.moved(exchange.endpoint, bytes_out=len(piece))
        position = stop
    if fault and fault.kind != "corrupt":
        await _strike(request, fault)


async def _incoming(request: web.Request) -> Any:
    """Yield the pieces of a request body, with faults, bandwidth and counting applied."""
    exchange = exchange_of(request)
    fault = exchange.body_fault() if request.body_exists else None
    strike_at = int((request.content_length or 0) * fault.fraction) if fault else 0
    position = 0
    while True:
        if fault and position >= strike_at and fault.kind != "corrupt":
            await _strike(request, fault)
            fault = None
        piece: Buffer = await request.content.readany()
        if not piece:
            return
        if fault and fault.kind == "corrupt" and position + len(piece) > strike_at:
            piece, fault = _flip(piece), None
        position += len(piece)
        exchange.lab.counters.moved(exchange.endpoint, bytes_in=len(piece))
        await exchange.pace(len(piece))
        yield piece


async def _strike(request: web.Request, fault: Fault) -> None:
    if fault.kind == "stall":
        await wait(fault.seconds)
        return
    transport = request.transport
    if transport is not None:
        if fault.kind == "reset":
            # With a linger time of nothing, closing sends RST instead of FIN.
            peer: socket.socket = transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()
    raise ConnectionCutError(fault.kind)


async def wait(seconds: float | None) -> None:
    """Sleep; for ever (until the client leaves or the lab stops) with None."""
    if seconds is None:
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(seconds)


def _flip(piece: Buffer) -> bytes:
    return bytes([piece[0] ^ 1]) + bytes(piece[1:])


async def _carry_out(
    exchange: Exchange, request: web.Request, handler: Handler
) -> web.StreamResponse:
    lab, name = exchange.lab, exchange.endpoint
    lab.counters.started(name)
    lab.counters.scan_head(exchange.origin, name, request.raw_path, request.headers)
    exchange.fault = lab.faults.take(name, unquote(request.raw_path))
    exchange.pacers = lab.shape.pacers(name)
    status = "aborted"
    try:
        await asyncio.sleep(lab.shape.latency_seconds(name))
        response = await _answer(exchange, request, handler)
        status = str(response.status)
        return response
    except ConnectionCutError:
        # The socket is closed already; aiohttp finds that out by itself.
        return web.Response()
    finally:
        lab.counters.ended(name, status, exchange.fault.kind if exchange.fault else None)


async def _answer(exchange: Exchange, request: web.Request, handler: Handler) -> web.StreamResponse:
    fault = exchange.fault
    if fault and fault.kind in ("status", "empty"):
        return _instead(fault)
    if fault and fault.kind == "slow":
        await wait(fault.seconds)
    try:
        response = await handler(request)
    except RefusedError as exc:
        response = exc.response
    except web.HTTPException as exc:
        body = (exc.text or "").encode()
        response = web.Response(status=exc.status, body=body, headers=_own_headers(exc))
    if fault and fault.kind == "after_status":
        return _instead(fault)
    if fault and fault.kind == "after_hang":
        await wait(None)
    return await _finish(exchange, request, response)


def _own_headers(exc: web.HTTPException) -> dict[str, str]:
    return {k: v for k, v in exc.headers.items() if k.lower() != "content-length"}


async def _finish(
    exchange: Exchange, request: web.Request, response: web.StreamResponse
) -> web.StreamResponse:
    """Count a small answer, or send it through the fault meant for its body."""
    if response.prepared or not isinstance(response, web.Response):
        return response
    body = response.body if isinstance(response.body, bytes) else b""
    fault = exchange.fault
    if fault and fault.kind in _BODY_FAULTS and not exchange.is_fault_spent:
        headers = {k: v for k, v in response.headers.items() if k.lower() != "content-length"}
        return await stream_content(
            request, BytesContent(body), 0, len(body), status=response.status, headers=headers
        )
    exchange.lab.counters.moved(exchange.endpoint, bytes_out=len(body))
    return response


def _instead(fault: Fault) -> web.Response:
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    if fault.kind == "empty":
        return web.Response(status=200, headers=headers)
    return web.Response(status=fault.status, body=fault.body, headers=headers)


async def _not_found(request: web.Request) -> web.Response:
    exchange = exchange_of(request)
    line = f"{request.method} {exchange.origin} {request.path}"
    exchange.lab.counters.unknown(line)
    return web.json_response({"error": f"no such page: {request.path}"}, status=404)
