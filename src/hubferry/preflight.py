"""What the target will or may refuse, said before any byte moves.

Proven limits refuse; everything else is advice with its figure and source.
The figures are data of the hubs (``traits.limits``); the rules are here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from hubferry.hubs.base import HubTraits, Limit
from hubferry.model import Access, FileEntry, RepoInfo, Storage, Visibility
from hubferry.outcome import Advice, Preflight
from hubferry.plan import Action, Plan, Policy
from hubferry.survey import Survey
from hubferry.text import T, Text

_Rule = Callable[[Limit, Sequence[FileEntry]], list[tuple[Text, str | None]]]


def preflight(
    found: Survey, plan: Plan, policy: Policy, traits: HubTraits, write_access: Access
) -> Preflight:
    """Everything that can be known before any byte moves; pure."""
    chosen = [entry for entry in found.source_listing.entries if policy.selects(entry.path)]
    advice = [
        Advice("refused" if limit.is_proven else "warning", text, path, limit.source)
        for limit in traits.limits
        for text, path in _RULES[limit.kind](limit, chosen)
    ]
    advice += [Advice("warning", entry.reason, entry.path) for entry in plan.of(Action.REFUSED)]
    advice += _about_repo(found, policy)
    if write_access is Access.NO:
        text = T("the token may not write to {repo}", repo=found.target.repo)
        advice.append(Advice("refused", text))
    return Preflight(tuple(advice), write_access)


def _about_repo(found: Survey, policy: Policy) -> list[Advice]:
    said: list[Advice] = []
    if found.source.is_disabled:
        said.append(Advice("refused", T("the source repository is disabled by its hub")))
    if widens_audience(found, policy):
        text = T("the target is public, the source is not; --public says you mean it")
        said.append(Advice("refused", text))
    if found.source.license is None and policy.license is None:
        text = T("the source names no licence; the target gets none either")
        said.append(Advice("info", text))
    if found.target_exists and policy.visibility not in (None, found.target.visibility):
        text = T("the target exists; its visibility stays {now}", now=found.target.visibility)
        said.append(Advice("warning", text))
    return said


def widens_audience(found: Survey, policy: Policy) -> bool:
    """True if a copy would show to everyone what the source does not."""
    return (
        found.target_exists
        and found.target.visibility is Visibility.PUBLIC
        and found.source.visibility is not Visibility.PUBLIC
        and policy.visibility is not Visibility.PUBLIC
    )


def visibility_for(source: RepoInfo, policy: Policy) -> Visibility:
    """What a new target repository gets: the user's word, else never wider than the source."""
    if policy.visibility is not None:
        return policy.visibility
    is_public = source.visibility is Visibility.PUBLIC
    return Visibility.PUBLIC if is_public else Visibility.PRIVATE


def _file_bytes(limit: Limit, files: Sequence[FileEntry]) -> list[tuple[Text, str | None]]:
    return [
        (
            T(
                "{size} bytes in one file; the limit is {limit}",
                size=entry.size_bytes,
                limit=limit.value,
            ),
            entry.path,
        )
        for entry in files
        if entry.size_bytes > limit.value
    ]


def _files(limit: Limit, files: Sequence[FileEntry]) -> list[tuple[Text, str | None]]:
    if len(files) <= limit.value:
        return []
    return [(T("{count} files; the limit is {limit}", count=len(files), limit=limit.value), None)]


def _children(files: Sequence[FileEntry]) -> Mapping[str, int]:
    """Direct children (files and folders) of each folder; the root is ''."""
    seen = {entry.path for entry in files}
    for entry in files:
        parent = entry.path.rpartition("/")[0]
        while parent and parent not in seen:
            seen.add(parent)
            parent = parent.rpartition("/")[0]
    return Counter(path.rpartition("/")[0] for path in seen)


def _folder_files(limit: Limit, files: Sequence[FileEntry]) -> list[tuple[Text, str | None]]:
    return [
        (
            T(
                "{count} entries in one folder; the limit is {limit}",
                count=count,
                limit=limit.value,
            ),
            folder or "/",
        )
        for folder, count in sorted(_children(files).items())
        if count > limit.value
    ]


def _folder_listing(limit: Limit, files: Sequence[FileEntry]) -> list[tuple[Text, str | None]]:
    return [
        (
            T(
                "{count} entries in one folder; the target lists less than {limit} of a folder, "
                "so these files are checked one by one where the hub lets us",
                count=count,
                limit=limit.value,
            ),
            folder or "/",
        )
        for folder, count in sorted(_children(files).items())
        if count >= limit.value
    ]


def _regular_bytes(limit: Limit, files: Sequence[FileEntry]) -> list[tuple[Text, str | None]]:
    total = sum(entry.size_bytes for entry in files if entry.storage is Storage.REGULAR)
    if total <= limit.value:
        return []
    return [
        (
            T("{size} bytes outside LFS; the limit is {limit}", size=total, limit=limit.value),
            None,
        )
    ]


_RULES: Mapping[str, _Rule] = {
    "file_bytes": _file_bytes,
    "files": _files,
    "folder_files": _folder_files,
    "folder_listing": _folder_listing,
    "regular_bytes": _regular_bytes,
}
