"""A watch on the lab: a simulated week with the real batch, and the daemon as a process.

The clock is a fast one: time passes between cycles only, so that a week takes
as long as its cycles do. A cycle counts as taking ten seconds.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from tests.support.compare import differences
from tests.support.fast_clock import FastClock

from hubferry.app import App, HubSettings, Settings
from hubferry.batch.values import BatchReport
from hubferry.batching import BatchOptions
from hubferry.control import CancelToken
from hubferry.events import Event, Note
from hubferry.lab.config import LabConfig
from hubferry.lab.faults import Fault
from hubferry.lab.server import Lab
from hubferry.manifest import load_manifest
from hubferry.manifest.values import Manifest
from hubferry.model import RepoId
from hubferry.watch.loop import Answer, CycleDone, Watch
from hubferry.watch.state import StateFile
from hubferry.watching import app_cycle

pytestmark = pytest.mark.alone

PERIOD = 900.0
DAY = 86_400.0
START = 1_800_057_600.0
CYCLE_SECONDS = 10.0
OWNER = "source-org"
NAMED = ["watched/model-0", "watched/model-1"]
REPOS = [*NAMED, f"{OWNER}/a", f"{OWNER}/b"]
LIMITED = ("hf.list", "hf.info", "hf.tree", "ms.open_list", "ms.commit", "ms.batch")
LIMITS_A_DAY = 6
RESTARTS_A_DAY = 4
CHANGES_A_DAY = 24
WARM_UP_CYCLES = 48
MAX_GROWTH_BYTES = 15 * 10**6

UNLIMITED = LabConfig(commits_per_minute=None, api_quota=10**9, resolvers_quota=10**9)
"""The lab's own windows go by the real clock; limits are faults here."""

DAYS = [
    pytest.param(1, id="day"),
    pytest.param(7, id="week", marks=pytest.mark.long),
]


@dataclass
class Change:
    """Something that happened to a source; ``seen_at`` is when the target had it."""

    repo: str
    commit: str
    at: float
    has_webhook: bool
    seen_at: float | None = None


@dataclass
class World:
    """The lab's sources change, its targets are watched."""

    lab: Lab
    folder: Path
    days: int = 1
    clock: FastClock = field(default_factory=lambda: FastClock(START))
    cancel: CancelToken = field(default_factory=CancelToken)
    rng: random.Random = field(default_factory=lambda: random.Random(20))
    changes: list[Change] = field(default_factory=list)
    cycles: list[tuple[float, Collection[str] | None]] = field(default_factory=list)
    done: list[CycleDone] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rss: list[int] = field(default_factory=list)
    watch: Watch | None = None
    restarts: int = 0
    refusals: int = 0

    def __post_init__(self) -> None:
        self.manifest = self.folder / "manifest.yaml"
        entries = [f"{{source: 'hf://{name}', target: 'ms://your-org/'}}" for name in NAMED]
        entries.append(f"{{source: 'hf://{OWNER}/*', target: 'ms://your-org/all-{{name}}'}}")
        lines = ["version: 1", "entries:", *(f"- {entry}" for entry in entries)]
        self.manifest.write_text("\n".join(lines) + "\n")
        for name in REPOS:
            repo = self.lab.hf.repos.create("model", name, created_by=name.partition("/")[0])
            repo.license = "mit"
            repo.commit({"README.md": b"# " + name.encode(), "w.bin": self.rng.randbytes(70_000)})

    @property
    def end(self) -> float:
        return START + self.days * DAY

    # --- the watch -------------------------------------------------------------

    def make(self) -> Watch:
        """A fresh loop on the state that the last one left."""
        self.cancel = CancelToken()
        return Watch(
            lambda: load_manifest(self.manifest),
            self._cycle,
            StateFile(self.folder / "state" / "watch", self.manifest),
            cancel=self.cancel,
            clock=self.clock,
            observe=self._observe,
            told=self._told,
            rng=random.Random(3),
            zone=UTC,
        )

    def run(self) -> None:
        """Watch to the end, with every restart on the way."""
        while self.clock.now() < self.end:
            self.watch = self.make()
            self.watch.run()
            self.restarts += 1

    def _cycle(
        self,
        manifest: Manifest,
        *,
        only: Collection[str] | None,
        cancel: CancelToken,
        may_start: Callable[[], bool],
    ) -> BatchReport:
        self.cycles.append((self.clock.now(), only))
        report = self._real(manifest, only=only, cancel=cancel, may_start=may_start)
        self._count_refusals()
        self._look()
        self.clock.pass_time(CYCLE_SECONDS)
        gc.collect()
        self.rss.append(psutil.Process().memory_info().rss)
        return report

    @property
    def _real(self) -> Callable[..., BatchReport]:
        return app_cycle(self._make_app, BatchOptions, self.clock)

    def _make_app(self, manifest: Manifest) -> App:
        hubs = {
            "hf": HubSettings(self.lab.hf.endpoint, self.lab.hf.token),
            "ms": HubSettings(self.lab.ms.endpoint, self.lab.ms.token),
        }
        settings = Settings(hubs=hubs, state_dir=self.folder / "state")
        return App(settings, observer=self._observe, cancel=self.cancel)

    def _observe(self, event: Event) -> None:
        assert self.watch is not None
        self.watch.take(event)
        if isinstance(event, Note) and event.level == "warning":
            self.warnings.append(str(event.text))

    def _told(self, done: CycleDone) -> None:
        self.done.append(done)

    # --- what happens meanwhile ------------------------------------------------

    def fill_calendar(self) -> None:
        """Changes, webhooks, limits and restarts at random moments; quiet in the last period."""
        clock, span = self.clock, self.days * DAY - 2 * PERIOD
        for number in range(CHANGES_A_DAY * self.days):
            clock.at(START + 60 + self.rng.random() * (span - 60), partial(self._change, number))
        for _ in range(LIMITS_A_DAY * self.days):
            clock.at(START + 60 + self.rng.random() * (span - 60), self._limit)
        for _ in range(RESTARTS_A_DAY * self.days):
            clock.at(START + 60 + self.rng.random() * (span - 60), self._stop)
        clock.at(self.end, self._stop)

    def _stop(self) -> None:
        self.cancel.cancel()

    def _change(self, number: int) -> None:
        name = self.rng.choice(REPOS)
        repo = self.lab.hf.repos.get("model", name)
        assert repo is not None
        commit = repo.commit({f"file-{number % 5}.bin": self.rng.randbytes(200)})
        has_webhook = self.rng.random() < 0.5
        self.changes.append(Change(name, commit, self.clock.now(), has_webhook))
        if has_webhook and self.watch is not None:
            for copy in range(3):  # the hub is sure to say it more than once
                answer = self.watch.deliver(RepoId("hf", name), f"delivery-{number}")
                assert answer is (Answer.SEEN if copy else Answer.QUEUED)

    def _limit(self) -> None:
        for endpoint in LIMITED:
            fault = Fault(endpoint, "status", status=429, retry_after=1, times=2)
            self.lab.faults.add(fault)

    def _count_refusals(self) -> None:
        self.refusals += sum(fault["struck"] for fault in self.lab.faults.snapshot())
        for endpoint in LIMITED:
            self.lab.faults.clear(endpoint)

    def _look(self) -> None:
        """Which changes the targets show now, byte for byte."""
        for name in {change.repo for change in self.changes if change.seen_at is None}:
            source = self.lab.hf.repos.get("model", name)
            owner, _, short = name.partition("/")
            target_name = f"your-org/all-{short}" if owner == OWNER else f"your-org/{short}"
            assert source is not None
            if differences(source, self.lab.ms.repos.get("model", target_name)):
                continue
            for change in self.changes:
                if change.repo == name and change.seen_at is None:
                    change.seen_at = self.clock.now()


@pytest.fixture
def world(lab: Lab, tmp_path: Path) -> World:
    return World(lab, tmp_path)


@pytest.mark.parametrize("lab", [UNLIMITED], indirect=True)
@pytest.mark.parametrize("days", DAYS)
def test_every_change_of_a_week_is_mirrored_within_one_period(
    world: World, quick_waits: list[float], days: int
) -> None:
    world.days = days
    world.fill_calendar()
    world.run()

    whole = [at for at, only in world.cycles if only is None]
    late = [change for change in world.changes if change.seen_at is None]
    waits = [c.seen_at - c.at for c in world.changes if c.seen_at is not None]
    hooked = [c.seen_at - c.at for c in world.changes if c.seen_at is not None and c.has_webhook]
    growth = max(world.rss[WARM_UP_CYCLES:]) - world.rss[WARM_UP_CYCLES]
    print(f"{len(world.cycles)} cycles, {len(whole)} of everything, {len(world.changes)} changes")
    print(f"{world.restarts} restarts, {world.refusals} refusals (429)")
    print(f"longest wait {max(waits):.0f} s, with a webhook {max(hooked):.0f} s")
    print(f"memory {world.rss[WARM_UP_CYCLES]:,} and then at most {growth:,} more")
    assert not late
    assert len(world.changes) == CHANGES_A_DAY * days
    assert world.refusals >= LIMITS_A_DAY * days
    assert world.restarts >= RESTARTS_A_DAY * days
    assert max(waits) <= PERIOD + CYCLE_SECONDS
    assert growth < MAX_GROWTH_BYTES
    # No slot was left out, none was taken twice, and none has moved.
    slots = sorted({round((at - START) // PERIOD) for at in whole})
    assert slots == list(range(96 * world.days))
