"""Claims: a content on its way to a target is sent by one thread of one process.

Whoever wants the same content meanwhile waits, and then asks the target again:
usually it is stored by then. The lock is on the byte at the place that the
digest names, so it falls with a process that dies, and the next one takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hubferry.control import CancelToken
from hubferry.governor.byte_locks import ByteLocks
from hubferry.model import Sha256

FIRST_LOOK_SECONDS = 0.2
LAST_LOOK_SECONDS = 1.0
"""How often a claim that is held is asked for, at first and after a while."""


class ByteClaims:
    """The claims on contents of one target. Thread-safe.

    Args:
        locks: None until it is known which target this is: then nothing is claimed.
    """

    def __init__(self, locks: Callable[[], ByteLocks | None]) -> None:
        self._locks = locks

    @contextmanager
    def holding(
        self, sha256: Sha256, cancel: CancelToken, tell: Callable[[], None]
    ) -> Iterator[bool]:
        """Hold the claim on ``sha256`` inside the block; see ``ports.Claims``."""
        locks = self._locks()
        if locks is None:
            yield False
            return
        # 62 bits: two contents that meet there only wait for each other.
        offset = int(sha256.hex[:16], 16) >> 2
        had_to_wait = self._acquire(locks, offset, cancel, tell)
        try:
            yield had_to_wait
        finally:
            locks.release(offset)

    def _acquire(
        self, locks: ByteLocks, offset: int, cancel: CancelToken, tell: Callable[[], None]
    ) -> bool:
        cancel.check()
        if locks.try_acquire(offset):
            return False
        tell()
        seconds = FIRST_LOOK_SECONDS
        while True:
            cancel.sleep(seconds)
            if locks.try_acquire(offset):
                return True
            seconds = min(LAST_LOOK_SECONDS, seconds * 1.25)
