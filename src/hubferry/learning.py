"""Digests that nobody told, learned by reading: once, and remembered.

Where one hub tells only a Git oid and the other only a SHA-256, equal size says
nothing. The file is read once, both digests are taken in the same pass, and
the pair goes to the ledger.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from hubferry.control import call
from hubferry.engines.base import Outcome
from hubferry.errors import (
    CancelledError,
    CopyError,
    LedgerError,
    RateLimitedError,
    Side,
)
from hubferry.events import StepStarted
from hubferry.model import FileEntry, GitOid, Sha256
from hubferry.plan import Action, Plan
from hubferry.reading import BulkLimits, bulk_limits, read_bulk, take_batch
from hubferry.stream import Content, digest_stream, read_content
from hubferry.survey import BUFFER_BYTES, Survey, Tools, expect, opener, remember

KEPT_CONTENT_BYTES = 32 * 1024 * 1024
"""Content read to compare is kept up to this much in all, so that it is not read twice."""

BULK_AT_ONCE = 2

Paths = tuple[str, ...]
"""Paths whose bytes are known to be the same."""
Read = tuple[Sha256, GitOid, Content | None]


def learn_digests(found: Survey, plan: Plan, tools: Tools) -> dict[str, CopyError]:
    """Read, once, each source file the plan cannot compare; fills ``found.known``.

    Small content is kept for sending, up to ``KEPT_CONTENT_BYTES``. Returns
    why some files could not be read, by path.
    """
    unknown = plan.of(Action.READ)
    if not unknown:
        return {}
    tools.observe(StepStarted("read"))
    learning = _Learning(found, tools)
    learning.run(_by_content(found, [entry.path for entry in unknown]))
    remember(found, learning.learned, tools.ledger)
    return learning.failures


class _Learning:
    def __init__(self, found: Survey, tools: Tools) -> None:
        self.failures: dict[str, CopyError] = {}
        self.learned: dict[str, tuple[Sha256, GitOid]] = {}
        self._found = found
        self._tools = tools
        self._kept_bytes = 0

    def run(self, groups: Iterable[Paths]) -> None:
        limits = bulk_limits(self._tools)
        alone = groups if limits is None else self._in_bulk(deque(groups), limits)
        for outcome in self._tools.engine.run(iter(alone), self._read_one, self._tools.cancel):
            if outcome.error is None:
                assert outcome.result is not None
                self._note(outcome.task, outcome.result)
            else:
                self._fail(outcome.task, outcome.error)
        self._tools.cancel.check()

    def _in_bulk(self, todo: deque[Paths], limits: BulkLimits) -> list[Paths]:
        """Read what comes many at a time; what is left has to be read alone."""
        alone: list[Paths] = []
        in_flight = 0

        def batches() -> Iterator[tuple[Paths, ...] | None]:
            nonlocal in_flight
            while todo:
                if in_flight >= BULK_AT_ONCE:
                    yield None
                    continue
                in_flight += 1
                yield tuple(take_batch(todo, lambda group: self._entry(group).size_bytes, limits))

        def read(batch: tuple[Paths, ...]) -> dict[str, Content | CopyError]:
            return read_bulk(self._tools, self._found.source, [self._entry(g) for g in batch])

        engine, cancel = self._tools.engine, self._tools.cancel
        outcomes: Iterator[Outcome[tuple[Paths, ...], dict[str, Content | CopyError]]] = engine.run(
            batches(), read, cancel
        )
        for outcome in outcomes:
            in_flight -= 1
            if outcome.error is not None:
                _raise_if_end(outcome.error)
            came = outcome.result or {}
            if not came:
                alone += todo  # the hub has no such way, or not now
                todo.clear()
            for group in outcome.task:
                self._sort(group, came.get(group[0]), alone)
        self._tools.cancel.check()
        return alone

    def _sort(self, group: Paths, content: Content | CopyError | None, alone: list[Paths]) -> None:
        if content is None:
            alone.append(group)
        elif isinstance(content, CopyError):
            self._fail(group, content)
        else:
            self._note(group, (content.sha256, content.git_oid, content))

    def _entry(self, group: Paths) -> FileEntry:
        return self._found.source_listing.by_path[group[0]]

    def _note(self, group: Paths, read: Read) -> None:
        sha256, git_oid, content = read
        self.learned.update(dict.fromkeys(group, (sha256, git_oid)))
        if content is not None and self._kept_bytes + len(content.data) <= KEPT_CONTENT_BYTES:
            self._kept_bytes += len(content.data)
            self._found.kept.update(dict.fromkeys(group, content))

    def _fail(self, group: Paths, error: Exception) -> None:
        """Note why these paths could not be read; raise what ends the run."""
        error = _raise_if_end(error)
        error.at(side=Side.SOURCE, step="read", repo=str(self._found.source.repo))
        self.failures.update({path: error.of(path) for path in group})

    def _read_one(self, group: Paths) -> Read:
        entry, tools = self._entry(group), self._tools
        open_at = opener(tools.source, self._found.source, entry)
        how = (tools.traffic.read, tools.read_throttle)

        def whole() -> Read:
            patience = tools.patience(Side.SOURCE)
            content = read_content(expect(entry), open_at, patience, *how)
            return content.sha256, content.git_oid, content

        def streamed() -> Read:
            patience = tools.patience(Side.SOURCE)
            return *digest_stream(expect(entry), open_at, patience, *how), None

        way = whole if entry.size_bytes <= BUFFER_BYTES else streamed
        return call(tools.patience(Side.SOURCE), way)


def _raise_if_end(error: Exception) -> CopyError:
    """Raise what ends the run; else the error of one file."""
    is_end = isinstance(error, CancelledError | LedgerError | RateLimitedError)
    if is_end or not isinstance(error, CopyError):
        raise error
    return error


def _by_content(found: Survey, paths: Iterable[str]) -> list[Paths]:
    """Group paths whose bytes are known to be the same, so that they are read once."""
    groups: dict[object, list[str]] = {}
    for path in paths:
        entry = found.source_listing.by_path[path]
        groups.setdefault(entry.sha256 or entry.git_oid or path, []).append(path)
    return [tuple(group) for group in groups.values()]
