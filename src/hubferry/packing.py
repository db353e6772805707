"""Which files go into the next commit: as soon as they are here, in an order that never
looks whole too early. Pure.

Weights and data come first, then what describes them, the card, and deletions
last (see ``plan.commit_rank``). Within a rank the order in which files arrive
decides, so a small file does not wait for a large one.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable

from hubferry.plan import PlanEntry, base64_bytes


class Packer:
    """Forms commits within a target's limits; each entry is in exactly one, or dropped."""

    def __init__(
        self, entries: Iterable[PlanEntry], max_changes: int, max_inline_bytes: int
    ) -> None:
        """``entries``: everything that will be settled or dropped, each once."""
        self._awaited = Counter(entry.rank for entry in entries)
        self._ready: dict[int, list[tuple[str, PlanEntry]]] = {
            rank: [] for rank in sorted(self._awaited)
        }
        self._inline_bytes = Counter[int]()
        self._max_changes = max_changes
        self._max_inline = max_inline_bytes

    def settle(self, entry: PlanEntry) -> None:
        """What the entry needs is here: it may be committed."""
        self._awaited[entry.rank] -= 1
        self._inline_bytes[entry.rank] += _weight(entry)
        heapq.heappush(self._ready[entry.rank], (entry.path, entry))

    def drop(self, entry: PlanEntry) -> None:
        """The entry will not be committed."""
        self._awaited[entry.rank] -= 1

    def next_group(self) -> tuple[PlanEntry, ...]:
        """The next commit, in order; empty while a fuller one may still come.

        A commit is due when it is full, or when nothing more is awaited. A
        single inline file above the limit goes alone.
        """
        if not self._is_due():
            return ()
        group: list[PlanEntry] = []
        inline_bytes = 0
        for rank, ready in self._ready.items():
            while ready:
                entry = ready[0][1]
                is_too_heavy = group and inline_bytes + _weight(entry) > self._max_inline
                if len(group) >= self._max_changes or is_too_heavy:
                    return tuple(group)
                heapq.heappop(ready)
                group.append(entry)
                inline_bytes += _weight(entry)
                self._inline_bytes[rank] -= _weight(entry)
            if self._awaited[rank]:
                break
        return tuple(group)

    def check_empty(self) -> None:
        """Raise AssertionError if anything is left: nothing may be forgotten in silence."""
        left = self._awaited.total() + sum(map(len, self._ready.values()))
        if left:
            raise AssertionError(f"{left} files were neither committed nor reported")

    def _is_due(self) -> bool:
        changes = inline_bytes = 0
        for rank, ready in self._ready.items():
            changes += len(ready)
            inline_bytes += self._inline_bytes[rank]
            if changes >= self._max_changes or inline_bytes > self._max_inline:
                return True
            if self._awaited[rank]:
                return False
        return changes > 0


def _weight(entry: PlanEntry) -> int:
    """Bytes in the commit's own body, as they travel."""
    return base64_bytes(entry.size_bytes) if entry.is_inline else 0
