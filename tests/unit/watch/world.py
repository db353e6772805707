"""A watch on a fast clock, with a batch that does what the test wants."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path

from tests.support.fast_clock import FastClock

from hubferry.batch.values import BatchReport, ItemOutcome, ItemState
from hubferry.control import CancelToken
from hubferry.errors import CopyError
from hubferry.events import Event, Note
from hubferry.manifest.values import Entry, Manifest, Place, WatchSettings
from hubferry.model import Address, RepoId
from hubferry.watch.loop import CycleDone, Watch
from hubferry.watch.state import StateFile

# Midnight UTC, so that hours in tests can be read.
START = 1_800_057_600.0
PERIOD = 900.0


def manifest_of(*names: str, **watch: object) -> Manifest:
    """A manifest of repositories ``memory://<name>``."""
    entries = tuple(
        Entry(Place("m.yaml", n), Address(RepoId("hub", name)), f"target://my/{name}")
        for n, name in enumerate(names, 1)
    )
    return Manifest("m.yaml", entries, watch=WatchSettings(**watch))  # type: ignore[arg-type]


def report_of(**states: ItemState) -> BatchReport:
    """A report of repositories by name."""
    items = [
        ItemOutcome(n, f"hub://org/{name}", f"target://my/{name}", state)
        for n, (name, state) in enumerate(states.items(), 1)
    ]
    return BatchReport("run", "watch", "m.yaml", items)


GOOD = report_of(a=ItemState.UNCHANGED)


@dataclass
class World:
    """``looks``: when each cycle began, and what it was asked to look at."""

    folder: Path
    clock: FastClock = field(default_factory=lambda: FastClock(START))
    manifest: Manifest | CopyError = field(default_factory=lambda: manifest_of("org/a", "org/b"))
    act: Callable[[int], BatchReport | None] = lambda number: None
    seconds: float = 10.0
    cancel: CancelToken = field(default_factory=CancelToken)
    looks: list[tuple[float, Collection[str] | None]] = field(default_factory=list)
    may_start: Callable[[], bool] | None = None
    told: list[CycleDone] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    loads: int = 0
    seed: int = 1

    def load(self) -> Manifest:
        self.loads += 1
        if isinstance(self.manifest, CopyError):
            raise self.manifest
        return self.manifest

    def cycle(
        self,
        manifest: Manifest,
        *,
        only: Collection[str] | None,
        cancel: CancelToken,
        may_start: Callable[[], bool],
    ) -> BatchReport:
        self.looks.append((self.clock.now() - START, only and sorted(only)))
        self.may_start = may_start
        self.clock.pass_time(self.seconds)
        found = self.act(len(self.looks))
        cancel.check()
        return found or GOOD

    @property
    def file(self) -> StateFile:
        return StateFile(self.folder / "watch", Path("/manifests/m.yaml"))

    def make(self) -> Watch:
        self.cancel = CancelToken()
        return Watch(
            self.load,
            self.cycle,
            self.file,
            cancel=self.cancel,
            clock=self.clock,
            observe=self.events.append,
            told=self.told.append,
            rng=random.Random(self.seed),
            zone=UTC,
        )

    def run(self, seconds: float, watch: Watch | None = None) -> Watch:
        """Watch until so many seconds after the start."""
        watch = watch or self.make()
        # Not in the middle of a moment in which something is due.
        self.clock.at(START + seconds + 0.5, lambda: self.cancel.cancel())
        watch.run()
        return watch

    @property
    def times(self) -> list[float]:
        """When cycles began, in seconds after the start."""
        return [at for at, _ in self.looks]

    @property
    def warnings(self) -> list[str]:
        return [
            str(event.text)
            for event in self.events
            if isinstance(event, Note) and event.level == "warning"
        ]
