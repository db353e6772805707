"""What a command found and did: the values that reports are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hubferry.compare import Difference
from hubferry.errors import CopyError, ExitCode
from hubferry.model import Access, Address, Identity, RepoInfo, Visibility
from hubferry.plan import Plan
from hubferry.text import Text


@dataclass(frozen=True, slots=True)
class RepoRef:
    """One end of a run, as reports name it."""

    hub: str
    repo: str
    repo_type: str
    revision: str | None = None
    commit: str | None = None

    @classmethod
    def of(cls, address: Address, info: RepoInfo | None = None) -> RepoRef:
        """The reference of an address, with what resolving it told."""
        repo = address.repo
        revision = info.revision if info else address.revision
        commit = info.commit if info else None
        return cls(repo.hub, repo.name, repo.repo_type.value, revision, commit)


@dataclass(slots=True)
class FileCounts:
    """Files by what became of them. ``total`` counts what the run had to bring about."""

    total: int = 0
    sent: int = 0
    reused: int = 0
    skipped: int = 0
    deleted: int = 0
    failed: int = 0


@dataclass(slots=True)
class ByteCounts:
    """``total``: the selected source files; ``read``/``sent``: over the links, repeats included."""

    total: int = 0
    read: int = 0
    sent: int = 0
    reused: int = 0


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """An error as reports and the ledger keep it: no exception, no secret."""

    error: str
    headline: str
    side: str | None
    step: str | None
    repo: str | None
    path: str | None
    message: Text
    hint: Text | None
    request_id: str | None
    exit_code: int

    @classmethod
    def of(cls, error: CopyError) -> ErrorRecord:
        """Keep what matters of an exception."""
        return cls(
            error.code,
            error.headline,
            error.side.value if error.side else None,
            error.step,
            error.repo,
            error.path,
            error.message,
            error.hint,
            error.request_id,
            error.exit_code,
        )


@dataclass(slots=True)
class RunReport:
    """What one copy, mirror, apply or verify did. ``verified`` None: not checked."""

    run_id: str
    command: str
    source: RepoRef
    target: RepoRef | None
    files: FileCounts = field(default_factory=FileCounts)
    bytes: ByteCounts = field(default_factory=ByteCounts)
    commits: int = 0
    verified: bool | None = None
    seconds: float = 0.0
    errors: list[ErrorRecord] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    notes: list[Text] = field(default_factory=list)
    target_url: str | None = None
    was_cancelled: bool = False
    source_mark: str | None = None
    """Names the source's state that was copied (``RepoInfo.mark``)."""
    target_mark: str | None = None
    """Names the target's state from before it was verified: what came later shows."""
    visibility: Visibility = Visibility.UNKNOWN
    """The source's."""

    @property
    def did_something(self) -> bool:
        """True if the target is different because of this run."""
        return self.commits > 0

    @property
    def exit_code(self) -> int:
        """The process exit code that tells this outcome."""
        if self.was_cancelled:
            return ExitCode.CANCELLED
        return exit_code_for(self.errors, self.did_something)


def exit_code_for(errors: Sequence[ErrorRecord], did_something: bool) -> int:
    """3 if anything was done although something failed, else the first cause's own code.

    A difference found after the last commit is 12 whatever was done: the
    target is known to be wrong, which is more than "not finished".
    """
    if not errors:
        return ExitCode.OK
    if any(record.step == "verify" and record.error == "integrity" for record in errors):
        return ExitCode.INTEGRITY
    if did_something:
        return ExitCode.PARTIAL
    return errors[0].exit_code


@dataclass(frozen=True, slots=True)
class Advice:
    """One finding of the preflight.

    ``level``: ``refused`` (the target will not take it), ``warning`` (may be
    refused or is unusual), ``info``. ``source`` says who states the figure.
    """

    level: str
    text: Text
    path: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Preflight:
    """What can be known before any byte moves."""

    advice: tuple[Advice, ...]
    write_access: Access

    @property
    def is_refused(self) -> bool:
        """True if the target is known to refuse the copy, or part of it."""
        return any(item.level == "refused" for item in self.advice)


@dataclass(frozen=True)
class PlanReport:
    """A plan with everything a person wants to know before saying yes.

    ``blobs_unasked`` counts blobs nobody could ask the target about (its
    repository does not exist yet). ``seconds_estimate`` goes by
    ``speed_bytes_per_second``, which earlier runs measured, or which is only
    an assumption (``is_speed_measured``).
    """

    run_id: str
    source: RepoRef
    target: RepoRef
    target_exists: bool
    source_head: str
    target_head: str | None
    plan: Plan
    preflight: Preflight
    commits: int
    send_bytes: int
    held_bytes: int
    blobs_unasked: int
    seconds_estimate: float
    speed_bytes_per_second: float
    is_speed_measured: bool
    visibility: str
    license: str | None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class HubStatus:
    """``auth status`` of one hub."""

    hub: str
    title: str
    endpoint: str
    identity: Identity | None
    error: ErrorRecord | None = None
    namespace: str | None = None
    may_write: Access = Access.UNKNOWN
