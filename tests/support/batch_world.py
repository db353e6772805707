"""Batches between memory hubs: what decides is real, nothing is on a network or a disk."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from tests.support.memory_world import no_pauses

from hubferry.batch.catalogue import Catalogue
from hubferry.batch.expanding import Expanded, Expander, listing_notices
from hubferry.batch.running import Batch, Limits
from hubferry.batch.turns import Turn, Turns
from hubferry.batch.values import BatchReport, ItemState
from hubferry.control import CancelToken, Patience
from hubferry.engines import make_engine
from hubferry.errors import CopyError, Side
from hubferry.events import Event
from hubferry.hubs.base import Hub
from hubferry.hubs.memory import MemoryHub
from hubferry.ledger import Ledger
from hubferry.manifest.values import Entry, Manifest, OwnerPattern, Place, Source
from hubferry.model import Address, RepoId, RepoQuery
from hubferry.outcome import ErrorRecord, RepoRef, RunReport
from hubferry.survey import Tools, resolve_and_list
from hubferry.transfer import Job, copy_repo

SOURCE, TARGET = "from", "to"


class FakeClock:
    """Seconds that pass only when somebody waits."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class WaitingToken(CancelToken):
    """A token whose sleep moves the clock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock

    def sleep(self, seconds: float) -> None:
        """No real time passes."""
        self.check()
        self.clock.now += seconds


def pattern(glob: str = "*", owner: str = "org") -> OwnerPattern:
    """``from://org/<glob>``."""
    return OwnerPattern(SOURCE, RepoQuery(owner=owner), glob)


def source(name: str, revision: str | None = None) -> Address:
    """``from://org/<name>``."""
    return Address(RepoId(SOURCE, f"org/{name}"), revision)


def entry(what: Source | str, target: str = "mirror/{name}", **more: object) -> Entry:
    """One entry; a text is an explicit source."""
    given = source(what) if isinstance(what, str) else what
    return Entry(Place("list.txt", 1), given, target, **more)  # type: ignore[arg-type]


def manifest(*entries: Entry) -> Manifest:
    """A manifest; the entries' lines are their numbers."""
    placed = [replace(e, place=Place("list.txt", n)) for n, e in enumerate(entries, 1)]
    return Manifest("list.txt", tuple(placed))


@dataclass
class BatchWorld:
    """Two hubs, a ledger and a clock."""

    source: MemoryHub = field(default_factory=lambda: MemoryHub(SOURCE, lists_sha256=False))
    target: MemoryHub = field(default_factory=lambda: MemoryHub(TARGET))
    ledger: Ledger = field(default_factory=lambda: Ledger(None))
    clock: FakeClock = field(default_factory=FakeClock)
    events: list[Event] = field(default_factory=list)
    limits: Limits = field(default_factory=lambda: Limits(trouble_seconds=3600.0))
    repos: int = 1
    verify_seconds: float = 7 * 86_400.0
    retry_seconds: float | None = None
    copies: list[str] = field(default_factory=list)
    """The sources that came to a copy, in order."""

    def __post_init__(self) -> None:
        self.cancel = WaitingToken(self.clock)

    def seed(self, *names: str, files: Mapping[str, bytes] | None = None) -> None:
        """Make or change source repositories."""
        for name in names:
            self.source.seed(f"org/{name}", files or {"README.md": f"# {name}".encode()})

    def _hub(self, scheme: str) -> Hub:
        return self.source if scheme == SOURCE else self.target

    def patience(self, side: Side) -> Patience:
        """Tries at once."""
        return no_pauses(self.cancel)

    def expand(self, what: Manifest, only: Collection[str] | None = None) -> Expanded:
        """What the manifest means now."""
        self._sources = Catalogue(self._hub, Side.SOURCE, self.patience)
        self._targets = Catalogue(self._hub, Side.TARGET, self.patience)
        expander = Expander(self._sources, self._targets, self.ledger, self._fill, self.clock())
        return expander.expand(what, only)

    @staticmethod
    def _fill(template: str, found: Address, revision: str | None) -> Address:
        owner, _, name = found.repo.name.rpartition("/")
        return Address(RepoId(TARGET, template.format(name=name, owner=owner)))

    def run(
        self, what: Manifest, only: Collection[str] | None = None, **more: object
    ) -> BatchReport:
        """One batch."""
        self.events.clear()
        self.copies.clear()
        expanded = self.expand(what, only)
        report = BatchReport("run", "batch", what.file)
        report.left_out.extend(expanded.left_out)
        report.notices.extend(expanded.notices)
        report.errors.extend(ErrorRecord.of(error) for error in expanded.errors)
        batch = Batch(
            expanded.items,
            report,
            self.turns(is_named=only is not None),
            make_engine(self.repos),
            self.cancel,
            self.events.append,
            self.limits,
            clock=self.clock,
            **more,  # type: ignore[arg-type]
        )
        batch.run()
        report.notices.extend(listing_notices((self._sources, self._targets)))
        return report

    def turns(self, *, is_named: bool = False) -> Turns:
        """What a batch's turns work with, after ``expand``."""
        return Turns(
            self._sources,
            self._targets,
            self.ledger,
            self._copy,
            self._size_of,
            self.verify_seconds,
            self.clock,
            self.retry_seconds,
            is_named,
        )

    def _tools(self) -> Tools:
        return Tools(
            self.source,
            self.target,
            make_engine(1),
            self.ledger,
            self.cancel,
            self.patience,
            lambda event: None,
        )

    def _copy(self, turn: Turn) -> RunReport:
        item = turn.item
        self.copies.append(item.source.repo.name)
        job = Job("run", "copy", item.source, item.target, turn.policy)
        try:
            return copy_repo(job, self._tools(), lambda deletions: True)
        except CopyError as error:
            report = RunReport("run", "copy", RepoRef.of(item.source), RepoRef.of(item.target))
            report.errors.append(ErrorRecord.of(error))
            return report

    def _size_of(self, turn: Turn) -> int:
        tools = self._tools()
        listing = resolve_and_list(tools.source, turn.item.source, Side.SOURCE, tools)[1]
        return listing.total_bytes

    def requests(self, hub: MemoryHub) -> list[str]:
        """What a hub was asked since the last time."""
        asked = list(hub.requests)
        hub.requests.clear()
        return asked


def states(report: BatchReport) -> dict[str, ItemState]:
    """What became of each source, by its short name."""
    return {item.source.rpartition("/")[2]: item.state for item in report.items}
