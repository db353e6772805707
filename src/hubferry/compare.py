"""Where two listings are not equal; pure.

The plan asks what to do; this asks whether it is done. Both use ``is_same``.
"""

from __future__ import annotations

from dataclasses import dataclass

from hubferry.model import FileEntry, Listing
from hubferry.plan import KnownDigests, Policy, is_same
from hubferry.text import T, Text


@dataclass(frozen=True, slots=True)
class Difference:
    """One path where source and target are not (or cannot be shown to be) equal.

    ``kind``: missing, differs, extra, unchecked, refused.
    """

    path: str
    kind: str
    detail: Text


def compare_listings(
    source: Listing, target: Listing, known: KnownDigests, selects: Policy
) -> list[Difference]:
    """Every way in which the target's listing is not the source's, sorted by path.

    ``unchecked`` where no digest can be compared or the target cannot list the
    folder; the caller may look closer there.
    """
    found: list[Difference] = []
    for raw in source.entries:
        if not selects.selects(raw.path):
            continue
        entry = known.enrich(raw, is_source=True)
        present = target.by_path.get(entry.path)
        if present is None:
            found.append(_absent(entry.path, target))
            continue
        same = is_same(entry, known.enrich(present, is_source=False))
        if same is None:
            detail = T("same size; no digest to compare")
            found.append(Difference(entry.path, "unchecked", detail))
        elif not same:
            found.append(_differs(entry, present))
    found += [
        Difference(item.path, "refused", item.reason)
        for item in source.refused
        if selects.selects(item.path)
    ]
    found += [
        Difference(entry.path, "extra", T("only at the target"))
        for entry in target.entries
        if entry.path not in source.by_path and selects.selects(entry.path)
    ]
    return sorted(found, key=lambda difference: difference.path)


def _absent(path: str, target: Listing) -> Difference:
    if target.is_doubtful(path):
        return Difference(path, "unchecked", T("its folder has too many entries to be listed"))
    return Difference(path, "missing", T("not at the target"))


def _differs(source: FileEntry, target: FileEntry) -> Difference:
    if source.size_bytes != target.size_bytes:
        detail = T(
            "{source} bytes at the source, {target} at the target",
            source=source.size_bytes,
            target=target.size_bytes,
        )
    else:
        detail = T("same size, other content")
    return Difference(source.path, "differs", detail)
