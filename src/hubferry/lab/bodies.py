"""Bodies coming in and going out, with faults, bandwidth and counting applied."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from hubferry.lab.content import Buffer, BytesContent, Content, FileContent, KnownContent
from hubferry.lab.exchange import ConnectionCutError, exchange_of, wait
from hubferry.lab.faults import Fault

_MEMORY_LIMIT_BYTES = 4 << 20


@dataclass(frozen=True)
class Received:
    """An uploaded body: what it was, and the content unless it was not to be kept."""

    size: int
    sha256: str
    content: Content


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
    is_chunked: bool = False,
) -> web.StreamResponse:
    """Send bytes ``start`` to ``end`` (exclusive) with faults, bandwidth and counting applied.

    A HEAD request gets the same head and no body. ``is_chunked`` keeps the length untold.

    Raises:
        ConnectionCutError: a fault ended the answer.
    """
    response = web.StreamResponse(status=status, headers=headers)
    if is_chunked:
        response.enable_chunked_encoding()
    else:
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
    piece_bytes = exchange.piece_bytes
    position = start
    while position < end:
        if fault and position == strike_at and fault.kind != "corrupt":
            await _strike(request, fault)
            fault = None
        stop = min(position + piece_bytes, end)
        if fault and position < strike_at:
            stop = min(stop, strike_at)
        piece = content.read(position, stop)
        if fault and fault.kind == "corrupt" and position == strike_at:
            piece, fault = _flip(piece), None
        piece = await _metered(request, piece)
        await exchange.pace(len(piece))
        await response.write(piece)
        exchange.lab.counters.moved(exchange.endpoint, bytes_out=len(piece))
        position = stop
    if fault and fault.kind != "corrupt":
        await _strike(request, fault)


async def _incoming(request: web.Request) -> AsyncIterator[Buffer]:
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
        piece = await _metered(request, piece)
        position += len(piece)
        exchange.lab.counters.moved(exchange.endpoint, bytes_in=len(piece))
        await exchange.pace(len(piece))
        yield piece


async def _metered(request: web.Request, piece: Buffer) -> Buffer:
    """Count a piece for a fault with ``every_bytes``, which may strike before or in it."""
    fault = exchange_of(request).metered_fault(len(piece))
    if fault is None:
        return piece
    if fault.kind == "corrupt":
        return _flip(piece)
    await _strike(request, fault)
    return piece


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


def _flip(piece: Buffer) -> bytes:
    return bytes([piece[0] ^ 1]) + bytes(piece[1:])
