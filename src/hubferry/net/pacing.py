"""Obeying a hub's request limits before it has to refuse.

A hub may tell on every answer how many requests are left in the present window
(``RateLimit: "api";r=12;t=90``). A :class:`Pacer` learns from that and lets
requests wait for the next window when nothing would be left for them. A
:class:`Spacing` is for limits that are told by a refusal only. What such a
refusal tells is shared with everybody who uses the account: :class:`Brakes`.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from hubferry.control import Patience
from hubferry.errors import RateLimitedError
from hubferry.net.secret import Secret
from hubferry.text import T, Text

KindOf = Callable[[str], str | None]
"""What sort of request a URL is for its hub; None: the hub does not count it (a CDN's)."""
Heard = Callable[[Mapping[str, str]], None]
"""To be called with the headers of the answer."""
Refused = Callable[[float | None], None]
"""To be called when a request was refused as too frequent: seconds to wait, if told."""

# Source: huggingface/hub-docs, rate-limits.md, and huggingface_hub ``parse_ratelimit_headers``.
_LEFT = re.compile(r'"(\w+)"\s*;\s*r\s*=\s*(\d+)\s*;\s*t\s*=\s*(\d+)')
_QUOTA = re.compile(r"q\s*=\s*(\d+)")
_POLL_SECONDS = 0.2
"""How often a request that waits for the answer of another looks whether the run was stopped."""
_LOW_SHARE = 20
"""Below quota / 20 a window that others use too is shared out over its time."""


class Turns(Protocol):
    """Turns of requests that keep a distance, whoever sends them."""

    def book(self, gap_seconds: float, pause_seconds: float) -> tuple[float, float]:
        """Take the next turn, not before the pause; the distance to keep, and seconds until then.

        The distance is ``gap_seconds`` or what others have learned, whichever is longer.
        """


class Brakes(Protocol):
    """What all who use an account of a hub share of its refusals. Thread-safe."""

    def bind(self, endpoint: str, token: Secret | None) -> None:
        """Say whose account it is; before anything else."""

    def turn(self, kind: str, patience: Callable[[], Patience]) -> AbstractContextManager[Refused]:
        """Wait until a request of this kind may be sent; it is sent in the block.

        Raises:
            RateLimitedError: the wait would be longer than the run may wait; final.
            CancelledError: someone asked to stop.
        """

    def gap(self, kind: str) -> Turns:
        """The turns of requests that keep a distance."""


def braked(
    brakes: Brakes | None, kind: str | None, patience: Callable[[], Patience]
) -> AbstractContextManager[Refused]:
    """A turn; at once where nothing is shared or the hub does not count the request."""
    if brakes is None or kind is None:
        return nullcontext(_unheeded)
    return brakes.turn(kind, patience)


def _unheeded(seconds: float | None) -> None:
    """Nobody else is told of a refusal."""


def is_used_up(headers: Mapping[str, str]) -> bool:
    """Whether an answer says that its window is used up: then a :class:`Pacer` knows its end."""
    told = _LEFT.search(headers.get("ratelimit", ""))
    return told is not None and told[2].strip("0") == ""


@dataclass
class _Window:
    """One bucket of a hub in its present window; times by the pacer's clock."""

    left: int
    quota: int | None = None
    ends: tuple[float, float] | None = None
    """The earliest and the latest moment at which the window can end; None: not told yet."""
    first_left: int = 0
    ours: int = 0
    """Our requests that are not in ``first_left``: what else is missing was used by others."""
    next_at: float = 0.0

    @property
    def is_scarce_and_shared(self) -> bool:
        """Others use the bucket too, and not much is left."""
        is_shared = self.first_left - self.left > self.ours
        return is_shared and self.quota is not None and self.left * _LOW_SHARE <= self.quota


class Pacer:
    """Paces the requests of one client by what the answers tell. Thread-safe.

    Requests pass freely while more is left than is on its way. Alone with its
    quota a run may use it up and then waits for the next window; a bucket that
    others empty too is used evenly near its end, so that they do not run into
    refusals together. Until the first answer nothing is known and nothing waits.

    Args:
        kind_of: sorts requests. Which bucket a kind counts against is learned
            from the answers.
        patience: makes the budget of a wait: the run's, told to its observers.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        kind_of: KindOf,
        patience: Callable[[], Patience],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kind_of = kind_of
        self._patience = patience
        self._clock = clock
        self._changed = threading.Condition()
        self._windows: dict[str, _Window] = {}
        self._bucket_of: dict[str, str] = {}
        self._in_flight: Counter[str] = Counter()

    @contextmanager
    def turn(self, url: str) -> Iterator[Heard]:
        """Wait until a request for ``url`` may be sent; it is in flight inside the block.

        Raises:
            RateLimitedError: the wait would be longer than the run may wait; final.
            CancelledError: someone asked to stop.
        """
        kind = self._kind_of(url)
        if kind is None:
            yield _ignore
            return
        sent_at = self._enter(kind)
        try:
            yield lambda headers: self._learn(kind, headers, sent_at)
        finally:
            with self._changed:
                self._in_flight[kind] -= 1
                self._changed.notify_all()

    def _enter(self, kind: str) -> float:
        while True:
            with self._changed:
                window = self._windows.get(self._bucket_of.get(kind, ""))
                now = self._clock()
                if window is None or self._may_go(window, kind, now):
                    if window is not None:
                        window.ours += 1
                    self._in_flight[kind] += 1
                    return now
                ends = window.ends
                until = self._wait_end(window, now)
                if until is None:
                    self._changed.wait(_POLL_SECONDS)
            patience = self._patience()
            patience.cancel.check()
            if until is not None:
                patience.wait_out(until - now, _used_up(until - now))
                self._over(window, ends, until)

    def _may_go(self, window: _Window, kind: str, now: float) -> bool:
        if window.ends is not None and now >= window.ends[1]:
            _renew(window)
        if window.left <= self._on_its_way(kind):
            return False
        if not window.is_scarce_and_shared or window.ends is None:
            return True
        if now < window.next_at:
            return False
        window.next_at = now + (window.ends[1] - now) / window.left
        return True

    def _on_its_way(self, kind: str) -> int:
        """Requests whose answers may not be counted in what is known to be left."""
        bucket = self._bucket_of[kind]
        return sum(n for k, n in self._in_flight.items() if self._bucket_of.get(k) == bucket)

    def _wait_end(self, window: _Window, now: float) -> float | None:
        """When to look again; None: when an answer comes, which will tell more."""
        if window.ends is None:
            return None
        if window.left <= 0:
            return window.ends[1]
        return window.next_at if now < window.next_at else None

    def _over(self, window: _Window, ends: tuple[float, float] | None, until: float) -> None:
        """A wait has been waited: what it was for is over, whatever the clocks say."""
        with self._changed:
            if window.ends is ends and ends is not None and until >= ends[1]:
                _renew(window)
            if window.next_at <= until:
                window.next_at = 0.0

    def _learn(self, kind: str, headers: Mapping[str, str], sent_at: float) -> None:
        told = _LEFT.search(headers.get("ratelimit", ""))
        if told is None:
            return
        bucket, left, seconds = told[1], int(told[2]), int(told[3])
        policy = _QUOTA.search(headers.get("ratelimit-policy", ""))
        # The figure is rounded, and it was made somewhere between sending and now.
        ends = (sent_at + seconds - 1, self._clock() + seconds + 1)
        with self._changed:
            self._bucket_of[kind] = bucket
            window = self._windows.setdefault(bucket, _Window(left))
            window.quota = int(policy[1]) if policy else window.quota
            if window.ends is None or ends[0] > window.ends[1]:
                # Another window than the last one known. This request is in the figure.
                window.left = window.first_left = left
                window.ends, window.ours = ends, self._on_its_way(kind) - 1
            elif ends[1] >= window.ends[0]:
                window.left = min(window.left, left)
                window.ends = max(window.ends[0], ends[0]), min(window.ends[1], ends[1])
            self._changed.notify_all()


def _renew(window: _Window) -> None:
    """A new window has begun and nobody has told of it yet."""
    window.left = max(1, window.left if window.quota is None else window.quota)
    window.ends, window.next_at = None, 0.0


def _ignore(headers: Mapping[str, str]) -> None:
    """What an answer tells that is not the hub's own."""


def _used_up(seconds: float) -> RateLimitedError:
    said = T("the hub allows no more requests for {seconds} seconds", seconds=round(seconds))
    return RateLimitedError(said, retry_after_seconds=seconds)


class Spacing:
    """Keeps requests of one kind apart once a hub has refused one as too frequent.

    The limit is not told. So: the requests let through from the first one up to
    a refusal, over the time until one was let through again, are what the hub
    allows; later ones keep that distance. One request at a time.

    Args:
        turns: shared with others who send such requests; None: nobody does.
    """

    def __init__(
        self,
        patience: Callable[[], Patience],
        *,
        longest_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        turns: Turns | None = None,
    ) -> None:
        self._patience = patience
        self._turns = turns
        self._one = threading.Lock()
        self._longest = longest_seconds
        self._clock = clock
        self.gap_seconds = 0.0
        self._first_at = self._last_at = 0.0
        self._passed = 0
        self._was_refused = False

    @contextmanager
    def turn(self, what: Text) -> Iterator[None]:
        """Wait until the next request may go; the block sends it.

        Raises:
            RateLimitedError: the wait would be longer than the run may wait; or the block's own.
        """
        with self._alone():
            pause = self._pause()
            if pause > 0:
                said = T("too frequent: {what}", what=what)
                self._patience().wait_out(pause, RateLimitedError(said, retry_after_seconds=pause))
            sent_at = self._clock()
            try:
                yield
            except RateLimitedError:
                self._was_refused = True
                raise
            self._let_through(sent_at)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two branches of a repository may be written to at once; their limit is one."""
        if not self._one.acquire(timeout=0):
            cancel = self._patience().cancel
            while not self._one.acquire(timeout=_POLL_SECONDS):
                cancel.check()
        try:
            yield
        finally:
            self._one.release()

    def _pause(self) -> float:
        """Seconds until the next one may go, here and in other processes."""
        pause = 0.0
        if self._passed and not self._was_refused:
            pause = self._last_at + self.gap_seconds - self._clock()
        if self._turns is not None:
            learned, pause = self._turns.book(self.gap_seconds, max(0.0, pause))
            self.gap_seconds = min(self._longest, max(self.gap_seconds, learned))
        return pause

    def _let_through(self, sent_at: float) -> None:
        if self._was_refused and self._passed:
            found = (self._clock() - self._first_at) / self._passed
            gap = min(self._longest, max(self.gap_seconds, found))
            if self._turns is not None and gap > self.gap_seconds:
                self._turns.book(gap, 0.0)  # so that others know at once
            self.gap_seconds = gap
        if self._was_refused or not self._passed:
            self._first_at, self._passed = sent_at, 0
        self._was_refused = False
        self._passed += 1
        self._last_at = sent_at
