"""Whether a repository has to be looked at, and in which order. Pure.

A repository is unchanged if the ledger remembers that its target was verified,
for the same wish, with the marks that both ends show now, and not too long ago.
That is memory, so it can only spare a look: it never makes anything true.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from hubferry.batch.records import EQUAL, FAILED, GONE, PARTIAL, SIZED
from hubferry.ledger import RepoRecord
from hubferry.manifest.values import CardPolicy, Entry
from hubferry.plan import Policy

CARD = "README.md"


class Rank(IntEnum):
    """What is taken up first."""

    HALF_DONE = 0
    CHANGED = 1
    NEW = 2


@dataclass(frozen=True, slots=True)
class Marks:
    """What both ends show now; None: not told, or not asked yet."""

    source: str | None = None
    target: str | None = None


def policy_of(entry: Entry) -> Policy:
    """The policy of an entry's copies, its card policy included."""
    policy = entry.policy
    if entry.card is CardPolicy.KEEP:
        return policy
    return replace(policy, exclude=(*policy.exclude, CARD))


def rank_of(record: RepoRecord | None) -> Rank:
    """Half-done work first: it may hold blobs that a target does not keep for ever."""
    if record is None or record.state in (SIZED, GONE):
        return Rank.NEW
    return Rank.CHANGED if record.state == EQUAL else Rank.HALF_DONE


def is_half_done(record: RepoRecord | None) -> bool:
    """Whether something was written to the target, or may have been, that is not all."""
    return record is not None and record.state == PARTIAL


def was_copied(record: RepoRecord | None) -> bool:
    """Whether the target was equal once, so that a source that cannot be found is news."""
    return record is not None and (record.verified_at is not None or record.state == GONE)


def may_be_unchanged(
    record: RepoRecord | None, wish: str, now: float, verify_seconds: float
) -> bool:
    """Whether equal marks would spare a look; no mark has to be known to ask this."""
    return (
        record is not None
        and record.state == EQUAL
        and record.wish == wish
        and record.verified_at is not None
        # A clock that was set back must not make a verification last for ever.
        and 0 <= now - record.verified_at < verify_seconds
        and record.source_mark is not None
        and record.target_mark is not None
    )


def is_unchanged(record: RepoRecord, marks: Marks) -> bool:
    """Whether both ends show what was remembered, given ``may_be_unchanged``."""
    return (
        record.source_mark == marks.source is not None
        and record.target_mark == marks.target is not None
    )


LONGEST_RETRY_SECONDS = 86_400.0


def next_try_at(now: float, retry_seconds: float, failures: int) -> float:
    """When a pair that failed ``failures`` times in a row is tried again, in Unix seconds."""
    pause = retry_seconds * 2.0 ** min(failures - 1, 30)
    return now + min(LONGEST_RETRY_SECONDS, pause)


def is_not_due(record: RepoRecord | None, wish: str, source_mark: str | None, now: float) -> bool:
    """Whether a pair that failed can wait: nothing was asked anew and its source is the same."""
    return (
        record is not None
        and record.state in (PARTIAL, FAILED, GONE)
        and record.wish == wish
        and record.next_try_at is not None
        # A clock that was set back must not put it off for longer than any pause lasts.
        and 0 < record.next_try_at - now <= LONGEST_RETRY_SECONDS
        and (source_mark is None or source_mark == record.source_mark)
    )
