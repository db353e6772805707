"""What goes out and what comes in, to the last byte."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable

from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from hubferry.errors import IntegrityError
from hubferry.net.progress import Progress
from hubferry.text import T

SMALL_BODY_BYTES = 64 * 1024
"""Enough for any answer that is not data: errors, redirects, confirmations."""

_PIECE_BYTES = 64 * 1024


class CountedBody:
    """Passes chunks on and sees to it that they add up to the promised length."""

    def __init__(self, chunks: Iterable[memoryview], length: int) -> None:
        self._chunks = chunks
        self._length = length
        self.is_complete = length == 0

    def __iter__(self) -> Generator[memoryview, None, None]:
        sent = 0
        for chunk in self._chunks:
            sent += len(chunk)
            if sent > self._length:
                break
            yield chunk
        if sent != self._length:
            raise IntegrityError(
                T("an upload of {length} bytes got {sent}", length=self._length, sent=sent)
            )
        # Only now has urllib3 sent the last chunk: it asks for more until there is none.
        self.is_complete = True


def let_go(response: BaseHTTPResponse) -> None:
    """Give the connection of a fully read answer back; drop any other."""
    if getattr(response, "length_remaining", None) not in (0, None):
        response.close()
    else:
        response.release_conn()


def read_body(response: BaseHTTPResponse, limit_bytes: int, patience_seconds: float) -> bytes:
    """The decoded body, or its first ``limit_bytes`` if it is longer.

    Raises:
        HTTPError, OSError: it broke off, or next to nothing came for ``patience_seconds``.
    """
    progress, found = Progress(patience_seconds), bytearray()
    while len(found) < limit_bytes:
        since = time.monotonic()
        # Not ``read``: it returns when all is there, and each byte buys more time.
        piece = response.read1(min(_PIECE_BYTES, limit_bytes - len(found)), decode_content=True)
        if not piece:
            break
        found += piece
        progress.moved(len(piece), time.monotonic() - since)
    return bytes(found)


def discard(response: BaseHTTPResponse, patience_seconds: float) -> None:
    """Read the small body of a redirect, so that its connection can serve again."""
    try:
        read_body(response, SMALL_BODY_BYTES, patience_seconds)
    except (HTTPError, OSError):
        response.close()
    else:
        let_go(response)
