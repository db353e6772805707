"""Small ranged reads from a source hub, within one budget of traffic."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from hubferry.control import CancelToken, Patience, call
from hubferry.errors import AccessError, UnavailableError
from hubferry.hubs.base import SourceHub
from hubferry.inspection.faults import NotCheckedError
from hubferry.model import FileEntry, RepoInfo
from hubferry.text import T, Text

MIN_BUDGET_BYTES = 50_000_000
BUDGET_DIVISOR = 10_000

_PIECE_BYTES = 1024 * 1024


def budget_for(total_bytes: int) -> int:
    """Bytes an inspection may read: 50 MB, or 0.01 % of the repository where that is more."""
    return max(MIN_BUDGET_BYTES, total_bytes // BUDGET_DIVISOR)


class RangeReader:
    """Reads ranges, tries again where that helps, and counts what it cost.

    Memory: the range asked for, so callers cap it. One thread at a time.
    """

    def __init__(
        self,
        hub: SourceHub,
        info: RepoInfo,
        *,
        budget_bytes: int,
        cancel: CancelToken,
        patience_factory: Callable[[], Patience],
    ) -> None:
        self.traffic_bytes = 0
        self.requests = 0
        self.budget_bytes = budget_bytes
        self._hub = hub
        self._info = info
        self._cancel = cancel
        self._patience_factory = patience_factory
        self._closed_because: Text | None = None

    def read(self, entry: FileEntry, start: int, end: int) -> bytearray:
        """Bytes ``start`` to ``end`` of a file, all of them.

        Raises:
            NotCheckedError: over the budget, or the hub does not let us read.
            CopyError: the hub failed, after all tries.
        """
        self._cancel.check()
        buffer = bytearray(end - start)
        if not buffer:
            return buffer
        patience = self._patience_factory()
        filled = 0

        def attempt() -> None:
            nonlocal filled
            self._ask_budget(end - start - filled)
            self.requests += 1
            with closing(self._hub.open(self._info, entry, start + filled, end)) as stream:
                view = memoryview(buffer)
                while filled < len(buffer):
                    self._cancel.check()
                    got = stream.readinto(view[filled : filled + _PIECE_BYTES])
                    if got <= 0:
                        raise UnavailableError(
                            T("the hub ended {path} early", path=entry.path), path=entry.path
                        )
                    filled += got
                    self.traffic_bytes += got
                    patience.progressed()

        try:
            call(patience, attempt)
        except AccessError as error:
            # A gated repository lists its files to everyone and refuses the
            # bytes of each: one refusal tells for all.
            self._closed_because = T("the hub does not let us read files: {reason}", reason=error)
            raise NotCheckedError(self._closed_because) from error
        return buffer

    def read_whole(self, entry: FileEntry, cap_bytes: int) -> bytes:
        """All of a small file.

        Raises:
            NotCheckedError: also if it is larger than ``cap_bytes``.
        """
        if entry.size_bytes > cap_bytes:
            raise NotCheckedError(
                T("it is larger than the {cap} bytes we read of such a file", cap=cap_bytes)
            )
        return bytes(self.read(entry, 0, entry.size_bytes))

    def _ask_budget(self, wanted_bytes: int) -> None:
        if self._closed_because is not None:
            raise NotCheckedError(self._closed_because)
        if self.traffic_bytes + wanted_bytes > self.budget_bytes:
            raise NotCheckedError(
                T("the {budget} bytes an inspection may read are used up", budget=self.budget_bytes)
            )
