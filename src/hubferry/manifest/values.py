"""What a manifest says: frozen values, the same whichever format it was written in.

Everything that can be known without asking a hub is settled here: defaults are
merged into the entries, sizes are bytes, times are Unix seconds, patterns are
split. Secrets are references (``env:NAME``), never values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hubferry.model import Address, RepoQuery
from hubferry.plan import Policy


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands, for error messages: ``models.txt:12``."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret is found: kind ``env``, ``file``, ``cmd`` or ``login``, and its name."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class HubAccess:
    """How a manifest wants one hub to be reached; None: as without a manifest."""

    token: SecretRef | None = None
    endpoint: str | None = None
    proxy: str | None = None


@dataclass(frozen=True, slots=True)
class OwnerPattern:
    """``hf://org/*``: repositories of one owner whose name fits a shell glob."""

    hub: str
    query: RepoQuery
    name_glob: str

    def __str__(self) -> str:
        return f"{self.hub}://{self.query.owner}/{self.name_glob}"


@dataclass(frozen=True, slots=True)
class Collection:
    """``hf://collections/owner/slug``: what a collection holds now."""

    hub: str
    slug: str

    def __str__(self) -> str:
        return f"{self.hub}://collections/{self.slug}"


@dataclass(frozen=True, slots=True)
class Search:
    """A search; ``query`` is for the hub, the rest is compared with each summary."""

    hub: str
    query: RepoQuery
    min_downloads: int | None = None
    updated_since: int | None = None
    """Unix seconds."""
    updated_within_seconds: float | None = None

    def __str__(self) -> str:
        q = self.query
        parts = [q.owner, q.search, q.task, q.library, *q.tags]
        return f"{self.hub}: search " + " ".join(part for part in parts if part)


Source = Address | OwnerPattern | Collection | Search


class GatedWish(StrEnum):
    """What to do with repositories behind a gate."""

    ALLOW = "allow"
    SKIP = "skip"
    ONLY = "only"


@dataclass(frozen=True, slots=True)
class Conditions:
    """Which of the listed repositories are wanted; empty and None mean any.

    Compared without regard to case. A repository that does not tell what a
    condition asks for is left out, with that reason.
    """

    min_size_bytes: int | None = None
    max_size_bytes: int | None = None
    license_allow: tuple[str, ...] = ()
    license_deny: tuple[str, ...] = ()
    gated: GatedWish = GatedWish.ALLOW
    tasks: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    updated_after: int | None = None
    """Unix seconds."""
    updated_within_seconds: float | None = None
    only_new: bool = False
    """Only repositories whose target does not exist."""
    only_changed: bool = False
    """Only repositories that were copied before and whose source has changed since."""


class CardPolicy(StrEnum):
    """What to do with the source's model card (``README.md`` at the root)."""

    KEEP = "keep"
    """It is copied unchanged."""
    SKIP = "skip"
    """It stays behind: the target keeps a card of its own."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a manifest.

    ``target`` is an address, or a template for sources that stand for several:
    ``{name}`` and ``{owner}`` of the source's id, ``{revision}``.
    ``revisions`` are names or shell globs of branches and tags; empty: the
    address's revision, else the default branch.
    """

    place: Place
    source: Source
    target: str
    policy: Policy = Policy()  # noqa: RUF009 - frozen
    conditions: Conditions = Conditions()
    revisions: tuple[str, ...] = ()
    card: CardPolicy = CardPolicy.KEEP


@dataclass(frozen=True, slots=True)
class Hook:
    """Whom to tell of what.

    ``kind``: ``command``, ``webhook`` (generic JSON), ``feishu``, ``dingtalk``,
    ``wecom`` or ``slack``. ``to`` is the command line or a URL, a reference
    where it is a secret. ``on``: some of ``end``, ``failure``, ``stall``.
    """

    kind: str
    to: str | SecretRef
    on: tuple[str, ...] = ("end", "failure", "stall")
    secret: SecretRef | None = None


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A daily span, minutes after midnight, local time, in which nothing new is started."""

    start_minute: int
    end_minute: int


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How ``hubferry watch`` goes about it."""

    every_seconds: float | None = None
    cron: str | None = None
    jitter_seconds: float = 0.0
    quiet_hours: tuple[QuietHours, ...] = ()
    bwlimit: str | None = None
    """As ``--bwlimit``."""
    listen: str | None = None
    """``host:port`` of webhooks and ``/healthz``."""
    webhook_secret: SecretRef | None = None


@dataclass(frozen=True)
class Manifest:
    """What a batch moves where."""

    file: str
    entries: tuple[Entry, ...]
    hubs: Mapping[str, HubAccess] = field(default_factory=dict)
    verify_days: float | None = None
    """The target's listing is looked at again at least this often; None: the default."""
    repos_at_once: int | None = None
    hooks: tuple[Hook, ...] = ()
    watch: WatchSettings = WatchSettings()
