"""What the ledger remembers of a pair of repositories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STATES = frozenset({"equal", "partial", "failed", "gone", "sized"})


@dataclass(frozen=True, slots=True)
class RepoRecord:
    """How a source and a target stood to each other when they were last looked at.

    Args:
        source, target: addresses as text, with their revision; together the key.
        wish: digest of what was asked for; another wish means another look.
        state: ``equal`` (verified), ``partial`` (begun and not finished), ``failed``, ``gone``
            (the source cannot be read any more) or ``sized`` (nothing was copied: a condition on
            the size left it out).
        source_mark, target_mark: what lists told of both when ``state`` came to be.
        verified_at, next_try_at: Unix seconds.
        size_bytes: of ``files`` files.
        failures: tries in a row that failed.
        error: of the last try; JSON-able, without secrets.
        source_id: the hub's own id of the source, which a renamed repository keeps.

    Raises:
        ValueError: no such state.
    """

    source: str
    target: str
    wish: str
    state: str
    source_mark: str | None = None
    target_mark: str | None = None
    source_commit: str | None = None
    verified_at: float | None = None
    files: int = 0
    size_bytes: int = 0
    visibility: str | None = None
    failures: int = 0
    next_try_at: float | None = None
    last_run_id: str | None = None
    error: Mapping[str, Any] | None = None
    source_id: str | None = None

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"no state of a pair is called {self.state!r}")
