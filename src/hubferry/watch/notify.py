"""A few words to systemd: ready, alive, stopping (``sd_notify``).

Source: the manual page sd_notify(3): a datagram of ``NAME=value`` lines to the
socket that ``NOTIFY_SOCKET`` names, ``@`` for the abstract namespace.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from typing import Self

_log = logging.getLogger(__name__)


class Notifier:
    """Says nothing where nobody listens. Thread-safe; never raises."""

    def __init__(self, address: str | None = None, watchdog_seconds: float | None = None) -> None:
        self._address = address
        self.watchdog_seconds = watchdog_seconds
        """A sign of life is expected at least this often; None: no one waits for it."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """As systemd tells a service."""
        address = environ.get("NOTIFY_SOCKET")
        if not address or address[0] not in "/@" or not hasattr(socket, "AF_UNIX"):
            return cls()
        seconds = None
        is_mine = environ.get("WATCHDOG_PID") in (None, str(os.getpid()))
        microseconds = environ.get("WATCHDOG_USEC", "")
        if is_mine and microseconds.isdigit() and int(microseconds) > 0:
            seconds = int(microseconds) / 1e6
        return cls(address, seconds)

    def ready(self) -> None:
        """The service is up."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """What ``systemctl status`` shows."""
        self._send("STATUS=" + text.replace("\n", " "))

    def alive(self) -> None:
        """The sign of life."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The service is on its way down."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                # A full queue must not hold up the loop.
                sender.setblocking(False)
                sender.sendto(text.encode(), address)
        except OSError as error:
            _log.debug("systemd does not listen: %s", error)
