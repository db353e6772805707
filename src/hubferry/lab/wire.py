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
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aiohttp import web

from hubferry.lab.bodies import (
    Received,
    parse_range,
    read_bytes,
    read_json,
    receive_body,
    stream_content,
    stream_range,
)
from hubferry.lab.content import BytesContent
from hubferry.lab.exchange import (
    EXCHANGE,
    ConnectionCutError,
    Exchange,
    RefusedError,
    exchange_of,
    fault_kind,
    wait,
)
from hubferry.lab.faults import BODY_FAULTS, Fault

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

__all__ = [
    "ConnectionCutError",
    "Exchange",
    "Handler",
    "Received",
    "RefusedError",
    "Routes",
    "bearer_token",
    "exchange_of",
    "fault_kind",
    "parse_range",
    "read_bytes",
    "read_json",
    "receive_body",
    "stream_content",
    "stream_range",
    "wait",
]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
            request[EXCHANGE] = exchange
            return await _carry_out(exchange, request, handler)

        self.app.router.add_route(method, pattern, handle)

    def close(self) -> None:
        """Answer everything else with 404; called once when the origin goes up."""
        self.add("*", "/{tail:.*}", f"{self.origin}.unknown", _not_found)


def bearer_token(request: web.Request) -> str | None:
    """Return the token of the ``Authorization: Bearer`` header, or None."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


async def _carry_out(
    exchange: Exchange, request: web.Request, handler: Handler
) -> web.StreamResponse:
    lab, name = exchange.lab, exchange.endpoint
    lab.counters.started(name)
    lab.counters.scan_head(exchange.origin, name, request.raw_path, request.headers)
    target = unquote(request.raw_path)
    exchange.fault = lab.faults.take(name, target)
    exchange.meter = lab.faults.meter(name, target)
    exchange.pacers = lab.shape.pacers(name)
    status = "aborted"
    try:
        await asyncio.sleep(lab.shape.latency_seconds(name))
        response = await _answer(exchange, request, handler)
        status = str(response.status)
        return response
    except ConnectionResetError:
        # A fault closed the socket, or the client did; aiohttp finds that out by itself.
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
    if fault and fault.kind in BODY_FAULTS and not exchange.is_fault_spent:
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
