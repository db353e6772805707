"""One request on its way through the lab, and the two ways a handler is cut short."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from hubferry.lab.faults import BODY_FAULTS, Fault, Meter, Pacer

if TYPE_CHECKING:
    from hubferry.lab.server import Lab


_MOST_PIECE_BYTES = 512 * 1024
_LEAST_PIECE_BYTES = 16 * 1024
_PIECE_SECONDS = 0.02


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
    meter: Meter | None = None
    pacers: list[Pacer] = field(default_factory=list)

    def body_fault(self) -> Fault | None:
        """Return the fault for a body, once: of what is received, else of what is sent."""
        if self.fault is None or self.is_fault_spent or self.fault.kind not in BODY_FAULTS:
            return None
        self.is_fault_spent = True
        return self.fault

    def metered_fault(self, count: int) -> Fault | None:
        """Count bytes about to pass; return the fault that strikes them, now the request's own."""
        fault = self.meter.passed(count) if self.meter else None
        if fault:
            self.fault, self.is_fault_spent = fault, True
        return fault

    @property
    def piece_bytes(self) -> int:
        """How much to send at once: all that is sensible, or what flows smoothly at this rate."""
        rates = [pacer.bytes_per_second * _PIECE_SECONDS for pacer in self.pacers]
        return int(min([_MOST_PIECE_BYTES, *(max(rate, _LEAST_PIECE_BYTES) for rate in rates)]))

    async def pace(self, count: int) -> None:
        """Wait for the shaped bandwidth."""
        for pacer in self.pacers:
            await pacer.pace(count)


EXCHANGE = web.RequestKey("exchange", Exchange)


def exchange_of(request: web.Request) -> Exchange:
    """Return what the lab knows of this request."""
    return request[EXCHANGE]


def fault_kind(request: web.Request) -> str | None:
    """Return the kind of the fault this request meets, for what only a handler can do wrong."""
    fault = exchange_of(request).fault
    return fault.kind if fault else None


async def wait(seconds: float | None) -> None:
    """Sleep; for ever (until the client leaves or the lab stops) with None."""
    if seconds is None:
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(seconds)
