"""Which of the listed repositories a manifest wants. Pure: summary and record in, reason out.

Each check gives the name of the condition that left a repository out and the
reason, or None. What a hub does not tell leaves a repository out too, and the
reason says so: a condition is never taken for met because nobody knows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from hubferry.manifest.values import Conditions, GatedWish
from hubferry.model import RepoSummary, Visibility
from hubferry.text import T, Text

Refusal = tuple[str, Text]
"""The condition's name as manifests write it, and why it left the repository out."""


def refused_by_summary(
    conditions: Conditions, summary: RepoSummary | None, now: float
) -> Refusal | None:
    """What a list call can answer: licence, gate, task, family, time of the last change."""
    if not _asks_summary(conditions):
        return None
    if summary is None:
        return "conditions", T("the hub tells nothing of this repository")
    return (
        _license(conditions, summary)
        or _gate(conditions, summary)
        or _one_of("task", conditions.tasks, summary.task)
        or _family(conditions, summary)
        or _age(conditions, summary, now)
    )


def needs_summary(conditions: Conditions) -> bool:
    """Whether a summary of the source has to be known to answer."""
    return _asks_summary(conditions) or conditions.only_changed


def needs_size(conditions: Conditions) -> bool:
    """Whether the size of the source has to be known."""
    return conditions.min_size_bytes is not None or conditions.max_size_bytes is not None


def refused_by_size(conditions: Conditions, size_bytes: int) -> Refusal | None:
    """What only a listing can answer: the size of all files of the source together."""
    low, high = conditions.min_size_bytes, conditions.max_size_bytes
    if low is not None and size_bytes < low:
        return "min-size", T("it is smaller: {size} MB", size=f"{size_bytes / 1e6:,.1f}")
    if high is not None and size_bytes > high:
        return "max-size", T("it is larger: {size} MB", size=f"{size_bytes / 1e6:,.1f}")
    return None


def refused_by_past(
    conditions: Conditions, *, is_taken: bool, was_equal: bool, is_changed: bool
) -> Refusal | None:
    """``only-new`` and ``only-changed``.

    ``is_taken``: the target exists, and not because an earlier run has begun
    it. ``was_equal``: the target was verified once; ``is_changed``: and the
    source has another mark since, or tells none, or its copy failed.
    """
    if conditions.only_new and is_taken:
        return "only-new", T("the target exists")
    if conditions.only_changed and not was_equal:
        return "only-changed", T("it was not copied before")
    if conditions.only_changed and not is_changed:
        return "only-changed", T("the source has not changed since it was copied")
    return None


def _asks_summary(c: Conditions) -> bool:
    asks_texts = bool(c.license_allow or c.license_deny or c.tasks or c.families)
    asks_time = c.updated_after is not None or c.updated_within_seconds is not None
    return asks_texts or asks_time or c.gated is not GatedWish.ALLOW


def _license(c: Conditions, summary: RepoSummary) -> Refusal | None:
    name = summary.license
    if name is not None and _holds(c.license_deny, name):
        return "license-deny", T("its licence is {license}", license=name)
    if not c.license_allow:
        return None
    if name is None:
        return "license-allow", T("it tells no licence")
    if not _holds(c.license_allow, name):
        return "license-allow", T("its licence is {license}", license=name)
    return None


def _gate(c: Conditions, summary: RepoSummary) -> Refusal | None:
    is_gated = summary.visibility is Visibility.GATED
    if c.gated is GatedWish.SKIP and is_gated:
        return "gated", T("it is gated")
    if c.gated is GatedWish.ONLY and not is_gated:
        return "gated", T("it is not gated")
    return None


def _one_of(name: str, wanted: Iterable[str], told: str | None) -> Refusal | None:
    if not wanted or (told is not None and _holds(wanted, told)):
        return None
    if told is None:
        return name, T("it tells no {what}", what=name)
    return name, T("its {what} is {value}", what=name, value=told)


def _family(c: Conditions, summary: RepoSummary) -> Refusal | None:
    # Hubs that do not name the architecture often have it among the tags.
    if c.families and any(_holds(c.families, tag) for tag in summary.tags):
        return None
    return _one_of("family", c.families, summary.family)


def _age(c: Conditions, summary: RepoSummary, now: float) -> Refusal | None:
    marks = [] if c.updated_after is None else [("updated-after", float(c.updated_after))]
    if c.updated_within_seconds is not None:
        marks.append(("updated-after", now - c.updated_within_seconds))
    for name, since in marks:
        if summary.modified_at is None:
            return name, T("it does not tell when it was changed")
        if summary.modified_at < since:
            day = dt.datetime.fromtimestamp(summary.modified_at, dt.UTC).date().isoformat()
            return name, T("it was changed on {day}", day=day)
    return None


def _holds(wanted: Iterable[str], value: str) -> bool:
    folded = value.casefold()
    return any(item.casefold() == folded for item in wanted)
