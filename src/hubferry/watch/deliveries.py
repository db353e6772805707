"""Webhook deliveries seen before: repeated by the hub, or replayed by somebody."""

from __future__ import annotations

import threading
from collections.abc import Mapping

REMEMBERED_SECONDS = 24 * 3600.0
MAX_REMEMBERED = 10_000


class Deliveries:
    """The latest deliveries by a digest of their body, with when they came; thread-safe.

    A hub's delivery carries no time and no number of its own, so an older one
    than this passes for new; it leads to one look.
    """

    def __init__(self, seen: Mapping[str, float] | None = None) -> None:
        self._seen = dict(seen or {})
        self._lock = threading.Lock()

    def take(self, digest: str, now: float) -> bool:
        """Remember it; whether it is new."""
        with self._lock:
            before = self._seen.get(digest)
            # From the future: the clock was set back.
            if before is not None and 0 <= now - before < REMEMBERED_SECONDS:
                return False
            self._seen.pop(digest, None)
            self._seen[digest] = now
            self._forget(now)
            return True

    def snapshot(self) -> dict[str, float]:
        """A copy, to be kept over a restart."""
        with self._lock:
            return dict(self._seen)

    def _forget(self, now: float) -> None:
        # In order of arrival, so that what is too old stands first.
        while self._seen:
            oldest = next(iter(self._seen))
            is_old = now - self._seen[oldest] >= REMEMBERED_SECONDS
            if not is_old and len(self._seen) <= MAX_REMEMBERED:
                return
            del self._seen[oldest]
