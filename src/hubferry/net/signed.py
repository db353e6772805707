"""Signed addresses that a hub redirected to, remembered for the ranges that follow.

A file read in many ranges would otherwise ask the hub for the same redirect
before each of them: a round trip and a request of its quota every time. Kept in
memory only, never longer than a few minutes, and forgotten at the first
refusal.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hubferry.errors import CopyError
from hubferry.net.stream import Hop

GOOD_FOR_SECONDS = 600.0
"""Hugging Face signs for an hour, ModelScope does not say: a guess well below both."""
_MOST_KEPT = 4096


@dataclass(frozen=True, slots=True)
class SignedAddress:
    """Where ``hops`` (the redirects) led to. The address is signed, so it is never shown."""

    url: str = field(repr=False)
    hops: tuple[Hop, ...] = field(repr=False)
    good_until: float
    etag: str | None = None
    """What the store calls this content: ranges of another one must not be joined to it."""

    def is_same(self, etag: str | None) -> bool:
        """False if an answer names another content; a weak tag names the same bytes here."""
        if etag is None or self.etag is None:
            return True
        return etag.removeprefix("W/") == self.etag.removeprefix("W/")


class _Question:
    """Where an address leads to, asked by one for all who want to know."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self.error: CopyError | None = None


class SignedAddresses:
    """Addresses by the one they were asked for under. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, SignedAddress] = OrderedDict()
        self._asking: dict[str, _Question] = {}

    def find(self, asked: str) -> SignedAddress | None:
        """The address that ``asked`` led to, if it is still good."""
        with self._lock:
            known = self._known.get(asked)
            return known if known is not None and known.good_until > self._clock() else None

    def keep(self, asked: str, url: str, hops: tuple[Hop, ...]) -> None:
        """Remember where ``asked`` led to: over all hops but the last to ``url``."""
        etag = hops[-1].headers.get("etag")
        with self._lock:
            found = SignedAddress(url, hops[:-1], self._clock() + GOOD_FOR_SECONDS, etag)
            self._known[asked] = found
            self._known.move_to_end(asked)
            if len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)

    def forget(self, asked: str, known: SignedAddress) -> None:
        """``known`` was refused; an address found by someone else meanwhile is kept."""
        with self._lock:
            if self._known.get(asked) is known:
                del self._known[asked]

    @contextmanager
    def asking(self, asked: str) -> Iterator[None]:
        """One asks while the others wait for what it finds, so that they need not ask too.

        Raises:
            CopyError: the one that was waited for failed so. A hub that does not
                answer costs all of them one time limit, and not one after the other.
        """
        question = self._own_question(asked)
        if question is None:
            yield
            return
        try:
            yield
        except CopyError as error:
            question.error = copy.copy(error)
            raise
        finally:
            with self._lock:
                del self._asking[asked]
            question.is_over.set()

    def _own_question(self, asked: str) -> _Question | None:
        """A question to be asked by the caller; None if another's has been answered."""
        while True:
            with self._lock:
                question = self._asking.get(asked)
                if question is None:
                    question = self._asking[asked] = _Question()
                    return question
            question.is_over.wait()
            if question.error is not None:
                raise copy.copy(question.error)
            if self.find(asked) is not None:
                return None
            # It led to nothing that could be kept: the next one asks.
