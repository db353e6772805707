"""Git's wire protocol, as far as fetching blobs by their ids needs it; no I/O.

Version 2 only: there "wants can be anything and are not limited to advertised
objects". Source: gitprotocol-v2(5), gitprotocol-common(5), gitprotocol-http(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from hubferry.errors import HubError, ProtocolError, UnavailableError
from hubferry.net.redact import redact
from hubferry.text import T

ADVERTISEMENT_TYPE = "application/x-git-upload-pack-advertisement"
REQUEST_TYPE = "application/x-git-upload-pack-request"
RESULT_TYPE = "application/x-git-upload-pack-result"

_FLUSH, _DELIMITER, _END = b"0000", b"0001", b"0002"
_WITHOUT_LINE = frozenset({_FLUSH, _DELIMITER, _END})
_HEX4 = re.compile(rb"[0-9a-fA-F]{4}")
_LENGTH_BYTES = 4
_DATA, _PROGRESS, _FATAL = 1, 2, 3


class GarbledError(ProtocolError):
    """What should be a Git answer cannot be read any further."""


def garbled() -> GarbledError:
    """The error for bytes that are not what the protocol or the pack format allows."""
    return GarbledError(T("the Git answer is garbled"))


def ended_early() -> UnavailableError:
    """The error for an answer that stops in the middle without saying so."""
    return UnavailableError(T("the Git answer ended early"))


def packet(line: bytes) -> bytes:
    """One pkt-line: its length, itself included, in four hex digits, then ``line``."""
    return b"%04x%b" % (len(line) + _LENGTH_BYTES, line)


def fetch_request(oids: Iterable[str]) -> bytes:
    """The body that asks for these objects and nothing that hangs on them."""
    wants = b"".join(packet(f"want {oid}\n".encode()) for oid in oids)
    options = packet(b"ofs-delta\n") + packet(b"no-progress\n")
    return b"".join(
        (packet(b"command=fetch\n"), _DELIMITER, options, wants, packet(b"done\n"), _FLUSH)
    )


def packets(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | None]:
    """The pkt-lines of an answer that comes in pieces; None for flush and its like.

    Raises:
        GarbledError: a length that is none.
        UnavailableError: the answer ends inside a packet.
    """
    held = bytearray()
    for piece in pieces:
        held += piece
        start = 0
        while (size := _packet_size(held, start)) is not None:
            begin, end = start + _LENGTH_BYTES, start + max(size, _LENGTH_BYTES)
            if end > len(held):
                break
            yield bytes(held[begin:end]) if size else None
            start = end
        del held[:start]
    if held:
        raise ended_early()


def check_advertisement(content_type: str, body: bytes) -> None:
    """See to it that a server fetches by protocol version 2, with SHA-1 ids.

    Raises:
        ProtocolError: it does not, or this is no Git server.
    """
    lines: list[bytes] = []
    if content_type.split(";", maxsplit=1)[0].strip().lower() == ADVERTISEMENT_TYPE:
        try:
            lines += (line.rstrip(b"\n") for line in packets([body]) if line is not None)
        except (GarbledError, UnavailableError):
            pass  # what came before says enough; refs of an older protocol are cut by us
    if lines and lines[0].startswith(b"# service="):
        del lines[0]
    can = {line.partition(b"=")[0]: line.partition(b"=")[2] for line in lines}
    if lines[:1] != [b"version 2"] or b"fetch" not in can:
        raise ProtocolError(T("the hub does not speak version 2 of Git's protocol"))
    if can.get(b"object-format", b"sha1") != b"sha1":
        raise ProtocolError(T("the hub's Git ids are of another kind"))


def pack_data(answer: Iterable[bytes | None]) -> Iterator[bytes]:
    """The pack inside the answer to :func:`fetch_request`, in pieces below 64 KiB.

    Raises:
        HubError: the server says why it sends none, or no more.
        GarbledError: not an answer to a fetch.
        UnavailableError: the answer ended early.
    """
    lines = iter(answer)
    for line in lines:
        if line is None:
            raise garbled()
        if line.startswith(b"ERR "):
            raise _refused(line[4:])
        if line == b"packfile\n":
            break
    else:
        raise ended_early()
    for line in lines:
        if line is None:
            return
        channel = line[0] if line else 0
        if channel == _DATA:
            yield line[1:]
        elif channel == _FATAL or line.startswith(b"ERR "):
            raise _refused(line[1:].removeprefix(b"RR "))
        elif channel != _PROGRESS:
            raise garbled()
    raise ended_early()


def _packet_size(held: bytearray, start: int) -> int | None:
    """Bytes of the packet at ``start``, 0 for flush and its like; None: not there yet."""
    digits = bytes(held[start : start + _LENGTH_BYTES])
    if len(digits) < _LENGTH_BYTES:
        return None
    if digits in _WITHOUT_LINE:
        return 0
    if not _HEX4.fullmatch(digits) or int(digits, 16) < _LENGTH_BYTES:
        raise garbled()
    return int(digits, 16)


def _refused(said: bytes) -> HubError:
    text = redact(" ".join(said[:200].decode("utf-8", "replace").split()))
    return HubError(T("Git on the hub refused: {said}", said=text))
