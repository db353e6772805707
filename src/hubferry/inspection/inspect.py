"""Inspect: what is in a repository and is it whole, from headers and indexes alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from hubferry.control import CancelToken, Patience, call
from hubferry.errors import AccessError, NotFoundError
from hubferry.hubs.base import SourceHub
from hubferry.inspection.counting import count_parameters
from hubferry.inspection.documents import (
    DOCUMENTS,
    POINTER_MAX_BYTES,
    Documents,
    chat_template_of,
    guarded,
    read_documents,
    refuse_pointer,
)
from hubferry.inspection.families import Facts, recognise
from hubferry.inspection.faults import BrokenContentError
from hubferry.inspection.heads import Heads, has_head, head_order, read_heads
from hubferry.inspection.indexes import (
    ShardIndex,
    check_shards_present,
    check_total,
    read_index,
)
from hubferry.inspection.names import is_index, is_weight
from hubferry.inspection.reader import RangeReader, budget_for
from hubferry.inspection.repo import Findings, Look, Repo
from hubferry.inspection.report import InspectReport, SecuritySummary, Severity
from hubferry.inspection.wholeness import check_needs
from hubferry.model import FileEntry, Listing, RepoInfo
from hubferry.text import T

InspectObserver = Callable[[int, int, str], None]
"""Told the files looked at so far, how many there are to look at, and the next one's path."""

_LARGE_SUFFIXES = (".spm", ".model", ".png", ".jpg", ".mp4", ".wav", ".npz", ".parquet")
_CALM_STATUSES = frozenset({"safe", "unscanned", "queued", "pending"})


class _Steps:
    """Counts the files looked at, for the observer."""

    def __init__(self, total: int, observer: InspectObserver | None) -> None:
        self._done = 0
        self._total = total
        self._observer = observer

    def __call__(self, path: str) -> None:
        if self._observer is not None:
            self._observer(self._done, self._total, path)
        self._done += 1


SCANS_ASKED = 1000
"""Weight files whose security verdict is asked for; 500 a request at Hugging Face."""


def inspect_repo(
    hub: SourceHub,
    info: RepoInfo,
    listing: Listing,
    *,
    cancel: CancelToken,
    patience_factory: Callable[[], Patience],
    on_progress: InspectObserver | None = None,
) -> InspectReport:
    """Look at a repository without downloading its weights.

    Reads at most 50 MB, or 0.01 % of the repository where that is more. What
    the budget, a cap or the hub kept from being checked is a warning in the
    report. Memory: one header at a time, under about 200 MB for a hostile one.

    Raises:
        CopyError: the hub is down or limits us, after all tries.
        CancelledError: someone asked to stop.
    """
    budget_bytes = budget_for(listing.total_bytes)
    reader = RangeReader(
        hub, info, budget_bytes=budget_bytes, cancel=cancel, patience_factory=patience_factory
    )
    repo = Repo(listing, _looker(hub, info, patience_factory))
    findings = Findings()
    index_files = [entry for entry in listing.entries if is_index(entry.path)]
    weights = sorted(filter(has_head, listing.entries), key=head_order)
    suspects = [entry for entry in listing.entries if _may_be_pointer(entry)]
    documents_there = sum(path in listing.by_path for path in DOCUMENTS)
    steps = _Steps(documents_there + len(index_files) + len(weights) + len(suspects), on_progress)

    documents = read_documents(repo, reader, findings, steps)
    indexes = _read_indexes(reader, index_files, findings, steps)
    heads = read_heads(reader, weights, indexes, findings, steps)
    _check_suspects(reader, suspects, findings, steps)
    check_shards_present(repo, indexes, findings)
    for index in indexes:
        check_total(index, heads.tensor_bytes, findings)
    _check_listing(info, listing, findings)

    has_chat_template = heads.has_chat_template or chat_template_of(repo, documents)
    if has_chat_template is False and heads.has_unread_gguf:
        has_chat_template = None
    facts = _facts(info, listing, documents, heads, has_chat_template is True)
    families = recognise(facts)
    needs = check_needs(repo, documents, facts, families, findings)
    count = count_parameters(listing, documents, heads.elements)
    return InspectReport(
        info=info,
        files=len(listing.entries),
        size_bytes=listing.total_bytes,
        families=families,
        needs=needs,
        has_chat_template=has_chat_template,
        parameters=count.parameters,
        parameters_note=count.note,
        dtypes=count.dtypes,
        security=_security(_scanned(hub, info, listing, patience_factory), findings),
        problems=findings.problems,
        traffic_bytes=reader.traffic_bytes,
        budget_bytes=budget_bytes,
        requests=reader.requests,
    )


def _looker(hub: SourceHub, info: RepoInfo, patience_factory: Callable[[], Patience]) -> Look:
    def look(path: str) -> FileEntry | None:
        try:
            return call(patience_factory(), lambda: hub.stat_files(info, [path]))[path]
        except (AccessError, NotFoundError) as error:
            raise KeyError(path) from error

    return look


def _may_be_pointer(entry: FileEntry) -> bool:
    """True for a file that is too small for what its name promises and has no head to check."""
    is_large_kind = is_weight(entry.path) or entry.path.endswith(
        (*_LARGE_SUFFIXES, "tokenizer.json")
    )
    return is_large_kind and entry.size_bytes < POINTER_MAX_BYTES and not has_head(entry)


def _read_indexes(
    reader: RangeReader, entries: list[FileEntry], findings: Findings, steps: _Steps
) -> list[ShardIndex]:
    indexes = []
    for entry in entries:
        steps(entry.path)
        if (index := guarded(findings, entry, partial(read_index, reader))) is not None:
            indexes.append(index)
    return indexes


def _check_suspects(
    reader: RangeReader, entries: list[FileEntry], findings: Findings, steps: _Steps
) -> None:
    def check(entry: FileEntry) -> None:
        if entry.size_bytes == 0:
            raise BrokenContentError(T("it is empty"))
        refuse_pointer(reader.read_whole(entry, POINTER_MAX_BYTES))

    for entry in entries:
        steps(entry.path)
        guarded(findings, entry, check)


def _check_listing(info: RepoInfo, listing: Listing, findings: Findings) -> None:
    for folder in listing.doubtful_folders:
        findings.unchecked(folder or None, T("the hub does not list this folder in full"))
    for refused in listing.refused:
        findings.add(
            Severity.WARNING,
            repr(refused.path),
            T("no one can write this path: {reason}", reason=refused.reason),
        )
    if info.is_disabled:
        findings.add(Severity.WARNING, None, T("the hub has disabled this repository"))


def _facts(
    info: RepoInfo, listing: Listing, documents: Documents, heads: Heads, has_template: bool
) -> Facts:
    # ModelScope's own description of a model; its task is what elsewhere is the pipeline tag.
    task = documents.get("configuration.json").get("task")
    class_name = documents.get("model_index.json").get("_class_name")
    if isinstance(class_name, list) and class_name:
        class_name = class_name[-1]
    return Facts(
        name=info.repo.name,
        paths=frozenset(listing.by_path),
        pipeline_tag=info.pipeline_tag or (task if isinstance(task, str) else None),
        library_name=info.library_name,
        tags=info.tags,
        config=documents.get("config.json"),
        pipeline_class=class_name if isinstance(class_name, str) else None,
        gguf_architectures=tuple(sorted(heads.architectures)),
        has_chat_template=has_template,
    )


def _scanned(
    hub: SourceHub,
    info: RepoInfo,
    listing: Listing,
    patience_factory: Callable[[], Patience],
) -> Sequence[FileEntry]:
    """The listing's files, with the hub's scan of those that can carry code or weights."""
    wanted = [entry.path for entry in listing.entries if is_weight(entry.path)][:SCANS_ASKED]
    if not hub.traits.tells_scans or not wanted:
        return listing.entries
    try:
        found = call(patience_factory(), lambda: hub.stat_files(info, wanted))
    except (AccessError, NotFoundError):
        return listing.entries
    return [found.get(entry.path) or entry for entry in listing.entries]


def _security(entries: Sequence[FileEntry], findings: Findings) -> SecuritySummary:
    told = [(e.path, e.security_status) for e in entries if e.security_status]
    flagged = tuple((path, status) for path, status in told if status.lower() not in _CALM_STATUSES)
    for path, status in flagged:
        findings.add(Severity.WARNING, path, T("the hub's scan says: {status}", status=status))
    return SecuritySummary(dict(Counter(status for _, status in told)), flagged)
