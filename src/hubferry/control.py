"""Stopping and waiting: the only clock and the only sleep of the data path.

A :class:`CancelToken` is shared by everything one run starts. A
:class:`Patience` is the budget that travels with a piece of work, so that the
three places that may try again (``net``, ``stream``, ``engines``) spend from
one purse instead of multiplying their attempts.
"""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from hubferry.errors import (
    CancelledError,
    CopyError,
    CorruptReadError,
    CorruptWriteError,
    ProtocolError,
    RateLimitedError,
    UnavailableError,
)
from hubferry.text import T, Text

R = TypeVar("R")

GARBLED_SECONDS = 0.5
"""Pause before a request is repeated whose answer made no sense."""
REREADS = 2
"""Fresh reads of a file whose bytes were wrong: chosen so that a lasting damage is found soon."""

WaitObserver = Callable[[Text, float], None]
"""Told the reason of a wait and the Unix time of its end; 0.0 means the wait is over."""


class CancelToken:
    """Set once, seen by all threads of a run."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._listeners: list[Callable[[], None]] = []
        self._children: weakref.WeakSet[CancelToken] = weakref.WeakSet()
        # May be taken again under itself: a signal handler cancels in whatever the thread was at.
        self._lock = threading.RLock()

    def cancel(self) -> None:
        """Ask everything to stop, and everything that hangs on it."""
        if self._event.is_set():
            return
        self._event.set()
        with self._lock:
            children = list(self._children)
        for child in children:
            child.cancel()
        for listener in self._listeners:
            listener()

    def on_cancel(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when someone asks to stop, in the thread that asks; must be quick."""
        self._listeners.append(listener)

    def child(self) -> CancelToken:
        """A token for a part of the work: stopped with this one, or alone."""
        child = CancelToken()
        with self._lock:
            self._children.add(child)
        if self.is_cancelled:
            child.cancel()
        return child

    @property
    def is_cancelled(self) -> bool:
        """True once someone asked to stop."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise CancelledError if someone asked to stop."""
        if self._event.is_set():
            raise CancelledError(T("stopped on request; run the same command again to go on"))

    def sleep(self, seconds: float) -> None:
        """Wait, but wake up at once and raise when someone asks to stop."""
        if self._event.wait(max(0.0, seconds)):
            self.check()


@dataclass
class WaitBudget:
    """How long a run may wait in all for rate limits (``--wait-on-limit``); thread-safe."""

    limit_seconds: float
    spent_until: float = 0.0
    spent_seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def renew(self) -> None:
        """Begin anew: something was finished, so the waiting was worth it."""
        with self._lock:
            self.spent_seconds = 0.0

    def take(self, seconds: float) -> bool:
        """Reserve a wait that starts now; False if the budget does not allow it.

        Workers that wait for the same window wait side by side: only the part
        past the latest end already paid for counts.
        """
        with self._lock:
            now = time.monotonic()
            end = now + seconds
            extra = max(0.0, end - max(now, self.spent_until))
            if self.spent_seconds + extra > self.limit_seconds:
                return False
            self.spent_seconds += extra
            self.spent_until = max(self.spent_until, end)
            return True


class Patience:
    """The budget of tries of one piece of work; not shared between threads.

    ``attempts`` counts tries after which a plain fault is final. Waits that a
    hub asked for are paid from the run's :class:`WaitBudget` instead.
    """

    def __init__(
        self,
        cancel: CancelToken,
        waits: WaitBudget,
        *,
        attempts: int = 8,
        base_seconds: float = 0.5,
        cap_seconds: float = 60.0,
        on_wait: WaitObserver | None = None,
    ) -> None:
        self.cancel = cancel
        self._waits = waits
        self._attempts = attempts
        self.attempts_left = attempts
        self._rereads_left = REREADS
        self._failures = 0
        self._limits = 0
        self._base = base_seconds
        self._cap = cap_seconds
        self._on_wait = on_wait or (lambda reason, until: None)

    def wait_after(self, error: CopyError) -> None:
        """Pause before another try, or raise ``error`` if there is none left.

        Raises:
            CopyError: ``error`` itself: not retryable, or the budget is used up.
            CancelledError: someone asked to stop during the pause.
        """
        self.cancel.check()
        if not error.retryable or error.is_final:
            raise error
        if isinstance(error, RateLimitedError):
            self._wait_for_limit(error)
            return
        self.attempts_left -= 1
        if isinstance(error, CorruptReadError | CorruptWriteError):
            self._rereads_left -= 1
        if self.attempts_left <= 0 or self._rereads_left < 0:
            error.is_final = True
            raise error
        self._failures += 1
        self._pause(self._backoff(self._failures), T("trying again: {reason}", reason=error))

    def fork(self, cancel: CancelToken) -> Patience:
        """The same patience for another connection of the same work, with tries of its own.

        When a network goes down under twenty connections it goes down once, not
        twenty times. ``cancel`` stops this one.
        """
        return Patience(
            cancel,
            self._waits,
            attempts=self._attempts,
            base_seconds=self._base,
            cap_seconds=self._cap,
            on_wait=self._on_wait,
        )

    def progressed(self) -> None:
        """Earn the full patience again after real progress, so that a long file outlives drops.

        Wrong bytes are not forgiven this way: each re-read costs the whole file.
        """
        self._failures = 0
        self.attempts_left = self._attempts

    def _backoff(self, failures: int) -> float:
        # Full jitter over the upper half: workers that failed together do not
        # come back together, and none comes back at once.
        ceiling: float = min(self._cap, self._base * 2.0 ** min(failures - 1, 30))
        return ceiling * random.uniform(0.5, 1.0)

    def _wait_for_limit(self, error: RateLimitedError) -> None:
        self._limits += 1
        seconds = error.retry_after_seconds
        if seconds is None:
            # A limit without a word on its end: start at 5 s, never beyond 5 min
            # (Hugging Face's window, and what ModelScope's limit clears within).
            seconds = min(300.0, 5.0 * 2.0 ** min(self._limits - 1, 30)) * random.uniform(0.8, 1.0)
        # A hub that says "again at once" forever must not be asked in a tight loop.
        # (In this order a NaN out of a header loses.)
        seconds = max(self._backoff(self._limits), seconds)
        self.wait_out(seconds, error)

    def wait_out(self, seconds: float, error: RateLimitedError) -> None:
        """Pause until a limit lets requests through again; paid from the run's wait budget.

        Also for a limit that was seen coming, so that nothing was refused yet.

        Raises:
            RateLimitedError: ``error``, final: the budget does not allow the wait.
            CancelledError: someone asked to stop.
        """
        self.cancel.check()
        if not self._waits.take(seconds):
            error.hint = T(
                "the waiting allowed by --wait-on-limit is used up; run the same command later"
            )
            error.is_final = True
            raise error
        self._pause(seconds, T("rate limit"))

    def _pause(self, seconds: float, reason: Text) -> None:
        self._on_wait(reason, time.time() + seconds)
        try:
            self.cancel.sleep(seconds)
        finally:
            self._on_wait(reason, 0.0)


def call(patience: Patience, work: Callable[[], R], *, is_repeatable: bool = False) -> R:
    """Run a replayable request until it succeeds or the patience ends.

    An ambiguous failure (``UnavailableError.ambiguous``) is passed on at once:
    only the caller can find out whether the work was done. ``is_repeatable``
    says that doing the work twice does no harm, so it is simply tried again.
    """
    was_garbled = False
    while True:
        patience.cancel.check()
        try:
            return work()
        except ProtocolError:
            # One senseless answer is a hiccup of something on the way; two are
            # a protocol that we do not speak.
            if was_garbled:
                raise
            was_garbled = True
            patience.cancel.sleep(GARBLED_SECONDS)
        except UnavailableError as error:
            if error.ambiguous and not is_repeatable:
                raise
            patience.wait_after(error)
        except CopyError as error:
            patience.wait_after(error)
