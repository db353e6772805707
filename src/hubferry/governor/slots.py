"""Slots: transfers side by side to one account, of all repositories and processes.

Inside the process the climbing level says how many, and repositories that wait
get equal shares of it. Among processes there are as many slots as one of them
may use at most: locks on the first bytes of a file, so that a process that is
killed frees its own. Whoever finds none free keeps the head of the line, one
more lock, until it has one: a process that always has a next transfer ready
would else take every slot again that it has just given back.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hubferry.control import CancelToken
from hubferry.governor.byte_locks import ByteLocks
from hubferry.governor.ports import Tell
from hubferry.text import T

_POLL_SECONDS = 0.1
"""How often a slot that other processes hold is asked for, and whether the run was stopped."""
_LINE = 1_000_000
"""The byte of the head of the line; nobody has so many slots."""
TOLD_AFTER_SECONDS = 5.0
"""A wait for other processes is told after this long: most are over before."""


class ByteSlots:
    """The slots of one account. Thread-safe.

    Args:
        locks: None until it is known whose account it is: then only this process counts.
        level: how many transfers of this process may be on their way now; at least 1.
        most: the slots that all processes share.
        waited: told how long somebody had to wait for the level, in seconds.
    """

    def __init__(
        self,
        locks: Callable[[], ByteLocks | None],
        level: Callable[[], int],
        most: int,
        *,
        waited: Callable[[float], None] = lambda seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._waited = waited
        self._is_in_line = False
        self._locks = locks
        self._level = level
        self._most = most
        self._clock = clock
        self._changed = threading.Condition()
        self._held: Counter[int] = Counter()
        self._waiting: Counter[int] = Counter()
        self._has_told = False

    @property
    def in_use(self) -> int:
        """Transfers of this process on their way."""
        return self._held.total()

    @contextmanager
    def turn(self, party: object, cancel: CancelToken, tell: Tell) -> Iterator[None]:
        """Wait for a slot and hold it inside the block; see ``ports.Slots``."""
        key = id(party)
        locks = self._locks()
        slot = self._enter(key, locks, cancel, tell)
        try:
            yield
        finally:
            with self._changed:
                if locks is not None:
                    locks.release(slot)
                _less(self._held, key)
                self._changed.notify_all()

    def _enter(self, key: int, locks: ByteLocks | None, cancel: CancelToken, tell: Tell) -> int:
        others_since: float | None = None
        with self._changed:
            self._waiting[key] += 1
            try:
                while True:
                    cancel.check()
                    if self._held.total() >= self._present_level():
                        self._leave_line(locks)
                    may_go = self._is_its_turn(key)
                    slot = self._take(locks) if may_go else None
                    if slot is not None:
                        self._held[key] += 1
                        return slot
                    now = self._clock()
                    if not may_go:
                        others_since = None
                    elif others_since is None:
                        others_since = now
                    self._tell_if_long(others_since, tell)
                    self._changed.wait(_POLL_SECONDS)
                    if not may_go:
                        self._waited(self._clock() - now)
            finally:
                _less(self._waiting, key)
                if not self._waiting:
                    self._leave_line(locks)
                self._changed.notify_all()

    def _present_level(self) -> int:
        return max(1, min(self._most, self._level()))

    def _is_its_turn(self, key: int) -> bool:
        level = self._present_level()
        if self._held.total() >= level:
            return False
        # Somebody who waits has less than this, or all of the level is in use.
        share = -(-level // len(self._waiting))
        return len(self._waiting) == 1 or self._held[key] < share

    def _take(self, locks: ByteLocks | None) -> int | None:
        if locks is None:
            return 0
        if not self._is_in_line and not locks.try_acquire(_LINE):
            return None
        self._is_in_line = True
        slot = next((slot for slot in range(self._most) if locks.try_acquire(slot)), None)
        if slot is not None:
            self._leave_line(locks)
        return slot

    def _leave_line(self, locks: ByteLocks | None) -> None:
        if self._is_in_line and locks is not None:
            self._is_in_line = False
            locks.release(_LINE)

    def _tell_if_long(self, since: float | None, tell: Tell) -> None:
        if self._has_told or since is None or self._clock() - since < TOLD_AFTER_SECONDS:
            return
        self._has_told = True
        tell(
            T(
                "other processes use all {count} transfers to this account; waiting for one to end",
                count=self._most,
            )
        )


def _less(counter: Counter[int], key: int) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
