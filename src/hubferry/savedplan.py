"""Plans in files: made by ``hubferry plan --out``, carried out by ``hubferry apply``.

A saved plan holds what was asked for and what it was made from (the source's
head, the target's head), besides the entries a person reads. Applying it
runs the ordinary copy with both ends pinned to those, so there is one way of
copying, not two.
"""

from __future__ import annotations

import errno
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from hubferry.errors import LocalError, NoSpaceError, Side, UsageError
from hubferry.model import Address
from hubferry.outcome import PlanReport
from hubferry.plan import Policy
from hubferry.text import T

FORMAT = "hubferry-plan/1"


@dataclass(frozen=True, slots=True)
class SavedEntry:
    """One line of the plan, for the reader."""

    path: str
    action: str
    reason: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What the file holds."""

    format: str
    command: str
    source: Address
    target: Address
    source_head: str
    target_head: str | None
    policy: Policy
    send_bytes: int
    commits: int
    entries: tuple[SavedEntry, ...]


_ADAPTER = TypeAdapter(SavedPlan)


def save_plan(
    report: PlanReport, policy: Policy, source: Address, target: Address, path: Path
) -> None:
    """Write a plan to ``path``, whole or not at all.

    Raises:
        LocalError: the file cannot be written.
    """
    saved = SavedPlan(
        FORMAT,
        "mirror" if policy.is_mirror else "copy",
        source,
        target,
        report.source_head,
        report.target_head,
        policy,
        report.send_bytes,
        report.commits,
        tuple(
            SavedEntry(
                # A refused path may hold what no UTF-8 can say; the reader still wants to see it.
                entry.path.encode("utf-8", "backslashreplace").decode(),
                entry.action.value,
                str(entry.reason),
                entry.size_bytes,
                entry.sha256.hex if entry.sha256 else None,
            )
            for entry in report.plan.entries
        ),
    )
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(_ADAPTER.dump_json(saved, indent=2) + b"\n")
        partial.replace(path)
    except OSError as exc:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        kind = NoSpaceError if exc.errno == errno.ENOSPC else LocalError
        raise kind(
            T("the plan cannot be written to {path}: {cause}", path=path, cause=exc.strerror),
            side=Side.LOCAL,
        ) from exc


def load_plan(path: Path) -> SavedPlan:
    """Read a plan.

    Raises:
        UsageError: there is no such file, or it is no plan of this version.
    """
    try:
        raw = json.loads(path.read_bytes())
        if isinstance(raw, dict) and raw.get("format") not in (None, FORMAT):
            raise UsageError(
                T("{path} is a plan of another version: {format}", path=path, format=raw["format"]),
                hint=T("make the plan again with this version"),
            )
        return _ADAPTER.validate_python(raw)
    except OSError as exc:
        raise UsageError(
            T("the plan {path} cannot be read: {cause}", path=path, cause=exc.strerror)
        ) from exc
    except (ValueError, ValidationError, RecursionError) as exc:
        raise UsageError(
            T("{path} is not a plan", path=path),
            hint=T("make one with `hubferry plan SOURCE TARGET --out FILE`"),
        ) from exc
