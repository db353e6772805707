"""A lab and hubferry in one process: the quick way to run a copy and look at both ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.compare import differences

from hubferry.app import App, HubSettings, Settings, parse_address, resolve_target
from hubferry.control import CancelToken
from hubferry.errors import Side
from hubferry.events import Event
from hubferry.lab.repos import Repo, Seed
from hubferry.lab.server import Lab
from hubferry.outcome import PlanReport, RunReport
from hubferry.plan import Policy

SOURCE = "source-org/model"
TARGET = "your-org/model"
PLAIN = Policy()


class Bench:
    """One source, one target, one state folder."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.events: list[Event] = []
        self.tokens: dict[str, str | None] = {"hf": lab.hf.token, "ms": lab.ms.token}
        self.cancel = CancelToken()
        self.on_event: Callable[[Event], None] = lambda event: None

    @property
    def source(self) -> Repo:
        """The source repository."""
        repo = self.lab.hf.repos.get("model", SOURCE)
        assert repo is not None
        return repo

    @property
    def target(self) -> Repo:
        """The target repository, which must be there."""
        repo = self.lab.ms.repos.get("model", TARGET)
        assert repo is not None, "the target was not created"
        return repo

    @property
    def has_target(self) -> bool:
        """True once the target repository exists."""
        return self.lab.ms.repos.get("model", TARGET) is not None

    def seed(self, files: Mapping[str, Seed], *, lfs: list[str] | None = None, **card: Any) -> Repo:
        """Make the source repository with these files."""
        repo = self.lab.hf.repos.create("model", SOURCE, created_by="source-org")
        repo.license = "mit"
        for name, value in card.items():
            setattr(repo, name, value)
        if files:
            repo.commit(files, lfs=lfs)
        return repo

    def seed_target(self, files: Mapping[str, Seed], **card: Any) -> Repo:
        """Make the target repository, as someone did before us."""
        repo = self.lab.ms.repos.create("model", TARGET)
        for name, value in card.items():
            setattr(repo, name, value)
        if files:
            repo.commit(files)
        return repo

    @contextmanager
    def app(self, **settings: Any) -> Iterator[App]:
        """An app over the lab, its events kept in ``events``."""
        hubs = {
            "hf": HubSettings(self.lab.hf.endpoint, self.tokens["hf"]),
            "ms": HubSettings(self.lab.ms.endpoint, self.tokens["ms"]),
        }
        made = Settings(hubs=hubs, state_dir=self.folder / "state", **settings)
        with App(made, observer=self._observe, cancel=self.cancel) as app:
            yield app

    def copy(
        self,
        policy: Policy = PLAIN,
        *,
        source: str = SOURCE,
        target: str = TARGET,
        **settings: Any,
    ) -> RunReport:
        """One ``hubferry copy``."""
        with self.app(**settings) as app:
            address = parse_address(source, Side.SOURCE)
            return app.copy(address, resolve_target(target, address), policy)

    def mirror(
        self, policy: Policy = PLAIN, *, says_yes: bool = True, source: str = SOURCE
    ) -> RunReport:
        """One ``hubferry mirror``, with the answer to its question."""
        with self.app() as app:
            address = parse_address(source, Side.SOURCE)
            target = resolve_target(TARGET, address)
            return app.mirror(address, target, policy, confirm=lambda deletions: says_yes)

    def plan(self, policy: Policy = PLAIN, *, keep_in: Path | None = None) -> PlanReport:
        """One ``hubferry plan``."""
        with self.app() as app:
            source = parse_address(SOURCE, Side.SOURCE)
            target = resolve_target(TARGET, source)
            report = app.plan(source, target, policy)
            if keep_in is not None:
                app.save_plan(report, source, target, policy, keep_in)
            return report

    def forget(self) -> None:
        """Delete the ledger, as a fresh machine has none."""
        for path in (self.folder / "state").glob("ledger*"):
            path.unlink()

    def differences(self) -> list[str]:
        """What the target does not hold as the source does."""
        return differences(self.source, self.lab.ms.repos.get("model", TARGET))

    def _observe(self, event: Event) -> None:
        self.events.append(event)
        self.on_event(event)


def summary(report: RunReport) -> str:
    """What a failed assertion should show of a report."""
    errors = [(e.error, e.side, e.step, e.path, str(e.message)) for e in report.errors]
    return f"exit {report.exit_code}, verified {report.verified}, {errors}, {report.differences}"


def check_copied(bench: Bench, report: RunReport) -> None:
    """Assert that a copy ended well and that the bytes are there."""
    assert report.exit_code == 0, summary(report)
    assert report.verified is True, summary(report)
    assert bench.differences() == []
