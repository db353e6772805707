"""The shapes of ``--json``: what is published in ``docs/schema`` and promised to scripts.

Fields may be added, never renamed or removed. Sizes are bytes, durations
seconds, ``message``, ``hint``, ``detail``, ``reason`` and ``notes`` sentences
in the user's language; everything else is language-free.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Place:
    """One end of a run."""

    hub: str
    repo: str
    repo_type: str
    revision: str | None
    commit: str | None


@dataclass(frozen=True)
class Files:
    """Files by what became of them."""

    total: int = 0
    sent: int = 0
    reused: int = 0
    skipped: int = 0
    deleted: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Bytes:
    """``total``: the selected source files; ``read`` and ``sent``: over the links."""

    total: int = 0
    read: int = 0
    sent: int = 0
    reused: int = 0


@dataclass(frozen=True)
class Failure:
    """One error; ``error`` is its stable name, ``headline`` its English first line."""

    error: str
    headline: str
    side: Literal["source", "target", "local"] | None
    step: str | None
    repo: str | None
    path: str | None
    message: str
    hint: str | None
    request_id: str | None
    exit_code: int


@dataclass(frozen=True)
class DifferenceItem:
    """One path that is not equal, or cannot be shown to be."""

    path: str
    kind: Literal["missing", "differs", "extra", "unchecked", "refused"]
    detail: str


@dataclass(frozen=True)
class Run:
    """What copy, mirror, apply and verify print, and every command that fails early.

    ``run_id``, ``source`` and ``target`` are null when the command failed before it knew them.
    """

    run_id: str | None
    command: str | None
    source: Place | None
    target: Place | None
    files: Files
    bytes: Bytes
    commits: int
    verified: bool | None
    seconds: float
    errors: list[Failure]
    exit_code: int
    differences: list[DifferenceItem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    target_url: str | None = None


@dataclass(frozen=True)
class AdviceItem:
    """One finding of the preflight."""

    level: str
    text: str
    path: str | None
    source: str | None


@dataclass(frozen=True)
class PlanItem:
    """What happens to one path, and why."""

    path: str
    action: str
    reason: str
    size_bytes: int
    digest: str | None


@dataclass(frozen=True)
class PlanShape:
    """What ``plan`` and ``--dry-run`` print. ``files`` counts the entries by action.

    A head is the commit, or a digest of the listing where the hub tells no commit.
    """

    run_id: str
    command: str
    source: Place
    target: Place
    target_exists: bool
    source_head: str
    target_head: str | None
    visibility: str
    license: str | None
    write_access: Literal["yes", "no", "unknown"]
    files: dict[str, int]
    send_bytes: int
    held_bytes: int
    blobs_unasked: int
    commits: int
    seconds_estimate: float
    speed_bytes_per_second: float
    is_speed_measured: bool
    advice: list[AdviceItem]
    entries: list[PlanItem]
    seconds: float
    errors: list[Failure]
    exit_code: int


@dataclass(frozen=True)
class HubItem:
    """``auth status`` of one hub; the token only masked, ``user`` null when anonymous."""

    hub: str
    title: str
    endpoint: str
    user: str | None
    organizations: list[str]
    token_source: str | None
    token_masked: str | None
    token_role: str | None
    namespace: str | None
    may_write: Literal["yes", "no", "unknown"]
    error: Failure | None


@dataclass(frozen=True)
class AuthShape:
    """What ``auth status`` and ``auth login`` print."""

    command: str
    hubs: list[HubItem]
    errors: list[Failure]
    exit_code: int


@dataclass(frozen=True)
class RepoItem:
    """One repository of a run: its last try, and what all of its tries moved.

    ``state`` as in a batch's report, or ``running``; ``tries`` 0: its turn never came.
    ``exit_code``, ``files``, ``verified`` and the commits are the last try's.
    """

    number: int
    attempt_id: str | None
    source: str
    target: str
    state: str
    tries: int
    exit_code: int | None
    started_at: str | None
    ended_at: str | None
    seconds: float
    files: Files
    size_bytes: int
    sent_bytes: int
    read_bytes: int
    commits: int
    verified: bool | None
    source_commit: str | None
    target_commit: str | None
    errors: list[Failure]


@dataclass(frozen=True)
class FileItem:
    """What became of one path of a run's repository ``number``."""

    number: int
    source: str
    target: str
    path: str
    event: Literal["committed", "failed"]
    at: str | None
    commit: str | None
    error: Failure | None


@dataclass(frozen=True)
class RunItem:
    """A row of the ledger; ``report`` is the run's own report.

    ``state`` is what the run is at now; ``dead``: its process went without a word. A batch has
    its manifest as ``source``, and ``counts`` its repositories by state. ``repos`` are told by
    ``runs show`` (a batch's that were unchanged are only counted), ``files`` with ``--files``.
    """

    run_id: str
    command: str
    source: str
    target: str
    started_at: str
    ended_at: str | None
    exit_code: int | None
    state: Literal["running", "paused", "stopping", "finished", "dead"]
    report: dict[str, Any] | None = None
    facts: list[dict[str, Any]] | None = None
    counts: dict[str, int] | None = None
    repos: list[RepoItem] | None = None
    files: list[FileItem] | None = None


@dataclass(frozen=True)
class RunsShape:
    """What the ``runs`` commands print; ``runs`` is newest first, or the one run that was named.

    ``file``: where ``runs report`` wrote. ``runs retry`` prints a ``batch`` or a ``report``, and
    this only if there was nothing to try again.
    """

    command: str
    runs: list[RunItem]
    errors: list[Failure]
    exit_code: int
    file: str | None = None


@dataclass(frozen=True)
class LedgerShape:
    """What ``ledger stats`` and ``ledger vacuum`` print: the ledger as it is now.

    ``rows`` by table; ``wal_bytes``: written and not yet carried over into the file;
    ``free_bytes``: inside the file, used again by later rows or given back by ``vacuum``;
    ``oldest_run``: when it began. Of ``vacuum`` alone: the bytes on the disk before and after.
    """

    command: str
    path: str | None
    schema_version: int
    rows: dict[str, int]
    file_bytes: int
    wal_bytes: int
    free_bytes: int
    oldest_run: str | None
    before_bytes: int | None
    after_bytes: int | None
    errors: list[Failure]
    exit_code: int


@dataclass(frozen=True)
class LabShape:
    """What ``lab up`` prints when both hubs answer. The tokens are worth nothing elsewhere."""

    command: str
    hf_endpoint: str
    ms_endpoint: str
    hf_token: str
    ms_token: str
    control: str


@dataclass(frozen=True)
class FamilyItem:
    """A recognised model family, and the signs of it, strongest first."""

    family: str
    evidence: list[dict[str, str]]


@dataclass(frozen=True)
class NeedItem:
    """What a complete repository of this kind holds; ``found`` null: none of ``looked_for``."""

    what: str
    looked_for: list[str]
    found: str | None


@dataclass(frozen=True)
class ProblemItem:
    """One finding. ``is_unchecked``: a check that could not be done."""

    severity: Literal["missing", "broken", "warning"]
    path: str | None
    message: str
    is_unchecked: bool


@dataclass(frozen=True)
class SecurityItem:
    """The hub's own scan: files by status, and every file it does not call safe."""

    counts: dict[str, int]
    flagged: list[dict[str, str]]


@dataclass(frozen=True)
class InspectShape:
    """What ``inspect`` prints. ``parameters`` is null where headers do not tell them."""

    command: str
    source: Place
    files: int
    size_bytes: int
    families: list[FamilyItem]
    needs: list[NeedItem]
    has_chat_template: bool | None
    parameters: int | None
    parameters_note: str | None
    dtypes: dict[str, int]
    license: str | None
    visibility: str
    is_gated: bool
    pipeline_tag: str | None
    library_name: str | None
    security: SecurityItem
    verdict: Literal["complete", "incomplete", "unknown"]
    problems: list[ProblemItem]
    traffic_bytes: int
    requests: int
    errors: list[Failure]
    exit_code: int


@dataclass(frozen=True)
class HookFailure:
    """A repository that is not done. ``state``: ``failed``, ``gone``, ``stopped``, ``waiting``."""

    source: str
    target: str
    state: str
    error: Failure | None


@dataclass(frozen=True)
class StallItem:
    """Why nothing moves. ``repos`` wait for it; ``seconds`` is how long nothing has moved."""

    cause: str
    message: str
    repos: int
    seconds: float


@dataclass(frozen=True)
class HookShape:
    """What a ``webhook`` hook is sent, and a ``command`` hook reads from standard input.

    ``repos`` counts repositories by state; ``failures`` are the first 100 that are not done,
    ``failures_left_out`` how many more there are. ``exit_code`` is null in a ``stall``.
    """

    version: Literal[1]
    event: Literal["end", "failure", "stall"]
    at: str
    run_id: str
    command: str
    source: str
    target: str | None
    title: str
    exit_code: int | None
    repos: dict[str, int]
    sent_bytes: int
    read_bytes: int
    seconds: float
    failures: list[HookFailure]
    failures_left_out: int
    errors: list[Failure]
    stall: StallItem | None
