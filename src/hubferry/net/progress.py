"""When a connection that still moves, but next to nothing, counts as stalled."""

from __future__ import annotations

TRICKLE_BYTES_PER_SECOND = 1024
"""Less than this, for as long as we wait for any answer, is a stall. ``hubferry.stalls`` has a
figure of its own: lanes are compared with each other there, and cut off much sooner."""


class Progress:
    """What one connection moves, over the seconds spent waiting for it.

    A socket's time limit starts anew with each byte, so a byte now and then would
    live for ever. Only time inside reads and writes counts: how long the caller
    takes between them is not the other end's doing.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._bytes = 0
        self._seconds = 0.0

    def moved(self, count: int, seconds: float) -> None:
        """So many bytes took so many seconds.

        Raises:
            TimeoutError: next to nothing moved for ``patience_seconds``.
        """
        self._bytes += count
        self._seconds += seconds
        if self._seconds < self._patience:
            return
        if self._bytes < self._seconds * TRICKLE_BYTES_PER_SECOND:
            raise TimeoutError("next to nothing moves")
        self._bytes, self._seconds = 0, 0.0
