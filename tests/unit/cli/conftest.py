"""A command line with an app that does nothing but remember."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hubferry.cli import main
from hubferry.errors import CopyError
from hubferry.events import Observer
from hubferry.history import FileStory, RepoStory, RunStory, files_of, story_of
from hubferry.i18n import use_language
from hubferry.model import Access, Address, Identity
from hubferry.outcome import (
    Advice,
    ErrorRecord,
    FileCounts,
    HubStatus,
    PlanReport,
    Preflight,
    RepoRef,
    RunReport,
)
from hubferry.plan import Action, Plan, PlanEntry, Policy
from hubferry.retrying import has_failed
from hubferry.text import T

PLAN = Plan(
    (
        PlanEntry("model.safetensors", Action.UPLOAD, T("not at the target"), 5_000_000),
        PlanEntry("old.bin", Action.DELETE, T("not at the source"), 10),
    )
)


@dataclass
class FakeApp:
    """Stands in for ``hubferry.app.App``; the class attributes are the test's script."""

    settings: Any
    observer: Observer
    cancel: Any

    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    raises: Exception | None = None
    errors: list[ErrorRecord] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    advice: tuple[Advice, ...] = ()
    deletions: Sequence[PlanEntry] = ()
    confirmed: bool | None = None
    on_copy: Callable[[FakeApp], None] | None = None
    is_closed = False

    def _note(self, name: str, *args: Any, **kw: Any) -> None:
        self.calls.append((name, args, kw))
        if self.raises is not None:
            raise self.raises

    def _report(self, command: str, source: Address, target: Address) -> RunReport:
        files = FileCounts(total=2, sent=2)
        report = RunReport(
            "run-1", command, RepoRef.of(source), RepoRef.of(target), files, commits=1
        )
        report.verified = not self.errors
        report.errors = list(self.errors)
        report.notes = [T("the target holds these bytes already")]
        report.seconds = 1.5
        return report

    def copy(self, source: Address, target: Address, policy: Policy) -> RunReport:
        self._note("copy", source, target, policy)
        if self.on_copy is not None:
            self.on_copy(self)
        return self._report("copy", source, target)

    def mirror(
        self, source: Address, target: Address, policy: Policy, *, confirm: Any
    ) -> RunReport:
        self._note("mirror", source, target, policy)
        self.confirmed = confirm(self.deletions)
        return self._report("mirror", source, target)

    def plan(self, source: Address, target: Address, policy: Policy) -> PlanReport:
        self._note("plan", source, target, policy)
        preflight = Preflight(self.advice, Access.UNKNOWN)
        return PlanReport(
            "run-1",
            RepoRef.of(source),
            RepoRef.of(target),
            source_head="main",
            target_exists=False,
            target_head=None,
            plan=PLAN,
            preflight=preflight,
            commits=1,
            send_bytes=5_000_000,
            held_bytes=0,
            blobs_unasked=1,
            seconds_estimate=2.5,
            speed_bytes_per_second=2e6,
            is_speed_measured=True,
            visibility="public",
            license=None,
        )

    def save_plan(self, *args: Any) -> None:
        self._note("save_plan", *args)

    def apply(self, path: Path, *, is_forced: bool, confirm: Any) -> RunReport:
        self._note("apply", path, is_forced=is_forced)
        from hubferry.app import parse_address
        from hubferry.errors import Side

        ends = parse_address("a/b", Side.SOURCE), parse_address("c/d", Side.TARGET)
        return self._report("apply", *ends)

    def verify(self, source: Address, target: Address, policy: Policy, **options: Any) -> RunReport:
        self._note("verify", source, target, policy, **options)
        return self._report("verify", source, target)

    def auth_status(self, namespace: str | None) -> list[HubStatus]:
        self._note("auth_status", namespace)
        who = Identity("ada", ("org",), "HF_TOKEN", "hf_…wxyz", "write")
        return [
            HubStatus("hf", "Hugging Face", "https://huggingface.co", who, None, namespace),
            HubStatus("ms", "ModelScope", "https://modelscope.cn", Identity(None)),
        ]

    def login(self, hub: str, token: str) -> HubStatus:
        self._note("login", hub, token)
        return HubStatus(hub, "ModelScope", "https://modelscope.cn", Identity("ada"))

    def runs(self, limit: int, **filters: Any) -> list[dict[str, Any]]:
        self._note("runs", limit, **filters)
        return self.rows

    def story(self, row: dict[str, Any]) -> RunStory:
        self._note("story", row["run_id"])
        return story_of(row, row.get("attempts") or ())

    def file_stories(self, story: RunStory, repos: Sequence[RepoStory]) -> Iterator[FileStory]:
        self._note("file_stories", [repo.number for repo in repos])
        for repo in repos:
            yield from files_of(repo, self.events)

    def attempt(self, attempt_id: str) -> tuple[dict[str, Any], RunStory, list[Any]] | None:
        self._note("attempt", attempt_id)
        for row in self.rows:
            own = [a for a in row.get("attempts") or () if a["attempt_id"] == attempt_id]
            if own:
                return row, story_of(row | {"report": None}, own), self.events
        return None

    def retry_copy(self, story: RunStory, *, confirm: Any) -> RunReport | None:
        self._note("retry_copy", story.run_id)
        if not has_failed(story):
            return None
        from hubferry.app import parse_address
        from hubferry.errors import Side

        return self._report(
            story.command,
            parse_address(story.source, Side.SOURCE),
            parse_address(story.target, Side.TARGET),
        )

    def run(self, run_id: str) -> dict[str, Any] | None:
        self._note("run", run_id)
        return next((row for row in self.rows if row["run_id"] == run_id), None)

    def control_run(self, run_id: str, want: str) -> dict[str, Any] | None:
        self._note("control_run", run_id, want)
        return next((row for row in self.rows if row["run_id"] == run_id), None)

    def close(self) -> None:
        self.is_closed = True


@dataclass
class Cli:
    """Runs command lines; ``app`` is the app of the last one, ``script`` its attributes."""

    capsys: pytest.CaptureFixture[str]
    script: dict[str, Any] = field(default_factory=dict)
    app: FakeApp | None = None
    out: str = ""
    err: str = ""

    def __call__(self, *args: str) -> int:
        code = main.run(args)
        self.out, self.err = self.capsys.readouterr()
        return code

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def call(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """The app's first call."""
        assert self.app is not None
        return self.app.calls[0]


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Cli]:
    import os

    for name in list(os.environ):
        if name.startswith(("HUBFERRY_", "LC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("hubferry.app.configure_logging", lambda level, file: None)
    found = Cli(capsys)

    def make(settings: Any, observer: Observer, cancel: Any) -> FakeApp:
        found.app = FakeApp(settings, observer, cancel, **found.script)
        return found.app

    monkeypatch.setattr("hubferry.app.App", make)
    monkeypatch.chdir(tmp_path)
    yield found
    use_language("en")


def record(error: CopyError) -> ErrorRecord:
    """An error as a report holds it."""
    return ErrorRecord.of(error)
