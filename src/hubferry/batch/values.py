"""What a batch is made of and what became of it: frozen values and counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from hubferry.errors import ExitCode
from hubferry.manifest.values import Entry
from hubferry.model import Address, RepoSummary
from hubferry.outcome import ErrorRecord, RunReport
from hubferry.text import Text


class ItemState(StrEnum):
    """What became of one repository of a batch."""

    UNCHANGED = "unchanged"
    """Neither end changed since the target was last verified; nothing was asked."""
    COPIED = "copied"
    """Something was sent or committed, and the target was verified equal."""
    EQUAL = "equal"
    """It was looked at, nothing was missing, and the target was verified equal."""
    LEFT_OUT = "left_out"
    """A condition of the manifest left it out."""
    FAILED = "failed"
    """It could not be finished; the error says why."""
    GONE = "gone"
    """The source was copied before and is not there any more, or cannot be read any more."""
    STOPPED = "stopped"
    """The batch was stopped before its turn was over."""
    WAITING = "waiting"
    """It failed in an earlier run, its source has not changed since, and it is not due yet."""


UNFINISHED = (ItemState.FAILED, ItemState.GONE, ItemState.STOPPED, ItemState.WAITING)


@dataclass(frozen=True, slots=True)
class Item:
    """One repository to bring over, as it came out of the manifest; ``number`` counts from 1.

    ``source_summary`` and ``target_summary`` are what lists told; None where
    nobody told (a target that does not exist, a hub without lists).
    ``is_target_known`` False: no list could say whether the target exists.
    """

    number: int
    entry: Entry
    source: Address
    target: Address
    source_summary: RepoSummary | None = None
    target_summary: RepoSummary | None = None
    is_target_known: bool = False
    tags: tuple[str, ...] = ()
    """Tags to give the target once it is equal."""


@dataclass(frozen=True, slots=True)
class ItemPlan:
    """What a batch would do with one item.

    ``state``: ``unchanged``, ``left_out``, ``copy`` or ``failed``. Sizes in bytes: of the
    selected files of the source, of what the target holds already, of what would be sent.
    """

    number: int
    source: str
    target: str
    state: str
    files: int = 0
    total_bytes: int = 0
    held_bytes: int = 0
    send_bytes: int = 0
    commits: int = 0
    target_exists: bool | None = None
    error: ErrorRecord | None = None


@dataclass(slots=True)
class BatchPlan:
    """A dry run of a batch: the expanded list, and what it comes to."""

    run_id: str
    manifest: str
    items: list[ItemPlan] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    errors: list[ErrorRecord] = field(default_factory=list)
    speed_bytes_per_second: float = 0.0
    is_speed_measured: bool = False
    seconds_estimate: float = 0.0
    seconds: float = 0.0

    @property
    def send_bytes(self) -> int:
        """What would be sent in all; a blob that several items want is counted for each."""
        return sum(item.send_bytes for item in self.items)

    @property
    def exit_code(self) -> int:
        """0, or 3 if some items could not be planned."""
        has_failed = any(item.state == "failed" for item in self.items)
        return ExitCode.PARTIAL if has_failed or self.errors else ExitCode.OK


@dataclass(frozen=True)
class BatchCheck:
    """What a look at a manifest and its hubs found: ``repos`` it means, the hubs' titles."""

    manifest: str
    repos: int
    hubs: list[str]
    notices: list[Notice] = field(default_factory=list)
    errors: list[ErrorRecord] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, or the first error's own."""
        return self.errors[0].exit_code if self.errors else ExitCode.OK


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A repository that a condition left out, and why."""

    source: str
    target: str
    condition: str
    reason: Text


@dataclass(frozen=True, slots=True)
class Notice:
    """Something about a repository that is to be seen, though nothing failed.

    ``kind``: ``renamed``, ``gone``, ``gated``, ``disabled``, ``private``,
    ``listing``, ``tag``...
    """

    kind: str
    repo: str
    text: Text


@dataclass(slots=True)
class ItemOutcome:
    """What became of one item. ``report`` is its last attempt's, None if there was none."""

    number: int
    source: str
    target: str
    state: ItemState
    attempts: int = 0
    report: RunReport | None = None
    error: ErrorRecord | None = None
    seconds: float = 0.0
    sent_bytes: int = 0
    """Of all attempts."""
    read_bytes: int = 0
    commits: int = 0


@dataclass(slots=True)
class BatchReport:
    """What one batch did. ``exit_code`` 3 if some repositories are done and some are not."""

    run_id: str
    command: str
    manifest: str
    items: list[ItemOutcome] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    errors: list[ErrorRecord] = field(default_factory=list)
    """What concerns the batch as a whole."""
    seconds: float = 0.0
    was_cancelled: bool = False

    def of(self, *states: ItemState) -> list[ItemOutcome]:
        """The items with one of these states, in order."""
        return [item for item in self.items if item.state in states]

    @property
    def exit_code(self) -> int:
        """The process exit code that tells this outcome."""
        if self.was_cancelled:
            return ExitCode.CANCELLED
        bad = self.of(*UNFINISHED)
        errors = [*self.errors, *(item.error for item in bad if item.error)]
        if not bad and not errors:
            return ExitCode.OK
        if self.of(ItemState.COPIED, ItemState.EQUAL, ItemState.UNCHANGED):
            return ExitCode.PARTIAL
        did_something = any(item.commits for item in bad)
        if did_something or not errors:
            return ExitCode.PARTIAL
        codes = {record.exit_code for record in errors}
        return codes.pop() if len(codes) == 1 else ExitCode.PARTIAL
