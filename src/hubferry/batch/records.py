"""What the ledger keeps of a pair, and under which name of what was asked for. Pure.

Single copies use it too, so it needs nothing else of a batch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection

from hubferry.ledger import RepoRecord
from hubferry.outcome import RunReport
from hubferry.plan import Policy

EQUAL, PARTIAL, FAILED, GONE, SIZED = "equal", "partial", "failed", "gone", "sized"
"""States of a record. ``sized``: nothing was copied, a condition on the size left it out."""


def wish_of(policy: Policy, tags: Collection[str] = ()) -> str:
    """Names what was asked for, as far as the content and the tags of the target depend on it."""
    told: list[object] = [
        sorted(policy.include),
        sorted(policy.exclude),
        policy.on_conflict.value,
        policy.is_mirror,
        policy.delete_hub_files,
    ]
    if tags:
        told.append(sorted(tags))
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def verified_record(
    source: str,
    target: str,
    wish: str,
    report: RunReport,
    now: float,
    *,
    listed_mark: str | None = None,
) -> RepoRecord:
    """A record of a copy without errors; ``partial`` where something was left alone on purpose."""
    target_mark = report.target_mark if report.commits else listed_mark or report.target_mark
    return RepoRecord(
        source,
        target,
        wish,
        EQUAL if report.verified else PARTIAL,
        source_mark=report.source_mark,
        target_mark=target_mark,
        source_commit=report.source.commit,
        verified_at=now if report.verified else None,
        files=report.files.total,
        size_bytes=report.bytes.total,
        visibility=report.visibility.value,
        last_run_id=report.run_id,
    )
