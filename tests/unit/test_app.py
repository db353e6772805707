"""The app: folders on this machine stand for hubs, so that everything is put together for real."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.memory_world import MODEL

from hubferry import runcontrol, transfer
from hubferry.app import App, Settings, configure_logging, new_run_id
from hubferry.control import CancelToken
from hubferry.errors import ConflictError, ExitCode, LedgerError, Side, UsageError
from hubferry.events import Event, Note, Paused, RunStarted, Waiting
from hubferry.guards import Confirm
from hubferry.ledger import Ledger
from hubferry.model import Address, RepoId, Sha256
from hubferry.outcome import RunReport
from hubferry.plan import Policy
from hubferry.runcontrol import Want
from hubferry.spool import Spool, SpoolMode, SpoolPolicy
from hubferry.survey import Tools
from hubferry.throttle import parse_bwlimit

PLAIN = Policy()


class Bench:
    """Two folders, and an app between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = self._address("source")
        self.target = self._address("target")
        self.events: list[Event] = []
        self.cancel = CancelToken()
        for path, data in MODEL.items():
            file = folder / "source" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)

    def _address(self, name: str) -> Address:
        return Address(RepoId("file", str(self.folder / name)))

    def app(self, **settings: float) -> App:
        made = Settings(state_dir=self.folder / "state", **settings)  # type: ignore[arg-type]
        return App(made, self.events.append, self.cancel)

    @property
    def target_files(self) -> dict[str, bytes]:
        root = self.folder / "target"
        return {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and ".hubferry" not in path.parts
        }


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def app(bench: Bench) -> Iterator[App]:
    with bench.app() as made:
        yield made


def test_a_copy_is_carried_out_and_recorded(bench: Bench, app: App) -> None:
    report = app.copy(bench.source, bench.target, PLAIN)
    assert (report.exit_code, report.verified) == (0, True), report.errors
    assert bench.target_files == MODEL
    (run,) = app.runs()
    assert (run["run_id"], run["command"], run["exit_code"]) == (report.run_id, "copy", 0)
    assert json.loads(run["report"])["verified"] is True
    told = app.run(report.run_id[:-2])
    assert told is not None
    assert {fact["kind"] for fact in told["facts"]} >= {"before", "committed"}
    assert [event for event in bench.events if isinstance(event, RunStarted)]


def test_a_copy_never_deletes_and_a_mirror_does(bench: Bench, app: App) -> None:
    policy = Policy(is_mirror=True)
    app.copy(bench.source, bench.target, PLAIN)
    extra = bench.folder / "target" / "extra.txt"
    extra.write_text("e")
    assert app.copy(bench.source, bench.target, policy).exit_code == 0
    assert extra.exists(), "whatever the policy says"
    report = app.mirror(bench.source, bench.target, PLAIN, confirm=lambda deletions: False)
    assert report.exit_code == ExitCode.CONFLICT
    assert extra.exists()
    report = app.mirror(bench.source, bench.target, PLAIN, confirm=lambda deletions: True)
    assert (report.exit_code, report.files.deleted) == (0, 1)
    assert bench.target_files == MODEL


def test_verify_reads_both_sides(bench: Bench, app: App) -> None:
    app.copy(bench.source, bench.target, PLAIN)
    assert app.verify(bench.source, bench.target, PLAIN, level="full", is_exact=True).verified
    (bench.folder / "target" / "weights-1.bin").write_bytes(b"rotten")
    report = app.verify(bench.source, bench.target, PLAIN, level="sample", is_exact=False)
    assert (report.exit_code, report.verified) == (ExitCode.INTEGRITY, False)
    assert [run["command"] for run in app.runs()] == ["verify", "verify", "copy"]


def test_a_saved_plan_is_applied_unless_an_end_moved(bench: Bench, app: App) -> None:
    path = bench.folder / "plan.json"
    report = app.plan(bench.source, bench.target, PLAIN)
    app.save_plan(report, bench.source, bench.target, PLAIN, path)
    assert bench.target_files == {}
    changed = bench.folder / "source" / "config.json"
    changed.write_text("{}")
    assert app.apply(path).exit_code == ExitCode.CONFLICT
    assert bench.target_files == {}
    changed.write_bytes(MODEL["config.json"])
    assert app.apply(path).exit_code == 0
    assert bench.target_files == MODEL
    assert app.apply(path).exit_code == ExitCode.CONFLICT, "the target moved: it was copied to"
    assert app.apply(path, is_forced=True).exit_code == 0


def test_onto_itself_is_refused(bench: Bench, app: App) -> None:
    with pytest.raises(ConflictError, match="same repository"):
        app.copy(bench.source, bench.source, PLAIN)


def test_a_second_writer_waits_and_then_finds_its_work_done(bench: Bench) -> None:
    first_holds, reports = threading.Event(), []
    others: list[Event] = []

    def slow(event: Event) -> None:
        if isinstance(event, RunStarted):
            return
        if not first_holds.is_set():
            first_holds.set()
            waiting.wait(10)

    waiting = threading.Event()

    def notice(event: Event) -> None:
        others.append(event)
        if isinstance(event, Waiting):
            waiting.set()

    def first() -> None:
        with App(Settings(state_dir=bench.folder / "state"), slow) as app:
            reports.append(app.copy(bench.source, bench.target, PLAIN))

    thread = threading.Thread(target=first)
    thread.start()
    assert first_holds.wait(10)
    with App(Settings(state_dir=bench.folder / "state"), notice) as app:
        second = app.copy(bench.source, bench.target, PLAIN)
    thread.join()
    assert (second.exit_code, second.commits) == (0, 0)
    assert reports[0].commits == 1
    assert [e.until_unix > 0 for e in others if isinstance(e, Waiting)] == [True, False]


def test_a_lock_that_is_not_waited_for_ends_with_4(bench: Bench) -> None:
    codes: list[int] = []

    def nested(event: Event) -> None:
        if not isinstance(event, RunStarted) and not codes:
            codes.append(-1)
            with bench.app(wait_lock_seconds=0) as other:
                codes.append(other.copy(bench.source, bench.target, PLAIN).exit_code)

    with App(Settings(state_dir=bench.folder / "state"), nested) as app:
        assert app.copy(bench.source, bench.target, PLAIN).exit_code == 0
    assert codes == [-1, ExitCode.CONFLICT]


def test_a_stop_is_recorded_with_130(bench: Bench) -> None:
    bench.cancel.cancel()
    with bench.app() as app:
        assert app.copy(bench.source, bench.target, PLAIN).exit_code == ExitCode.CANCELLED
        assert [run["exit_code"] for run in app.runs()] == [ExitCode.CANCELLED]


def test_a_surprise_is_recorded_and_raised(bench: Bench) -> None:
    def broken(event: Event) -> None:
        if not isinstance(event, RunStarted):
            raise ZeroDivisionError

    with App(Settings(state_dir=bench.folder / "state"), broken) as app:
        with pytest.raises(ZeroDivisionError):
            app.copy(bench.source, bench.target, PLAIN)
        (run,) = app.runs()
    assert run["ended_at"] is not None
    assert run["exit_code"] == ExitCode.UNEXPECTED


def test_a_ledger_that_cannot_be_used_is_told(bench: Bench) -> None:
    (bench.folder / "state").write_text("a file")
    with bench.app() as app, pytest.raises(LedgerError):
        app.copy(bench.source, bench.target, PLAIN)


def test_a_source_that_is_not_there_is_10(bench: Bench, app: App) -> None:
    missing = Address(RepoId("file", str(bench.folder / "missing")))
    report = app.copy(missing, bench.target, PLAIN)
    assert report.exit_code == ExitCode.NOT_FOUND
    assert report.errors[0].side == Side.SOURCE
    assert not (bench.folder / "target").exists()


def test_login_needs_a_hub_that_has_logins(app: App) -> None:
    for scheme in ("nowhere", "file"):
        with pytest.raises(UsageError):
            app.login(scheme, "token")


def test_an_app_may_be_closed_twice_and_used_again(bench: Bench) -> None:
    app = bench.app()
    app.copy(bench.source, bench.target, PLAIN)
    app.close()
    app.close()
    assert len(app.runs()) == 1
    app.close()


def test_run_ids_sort_by_time_and_differ() -> None:
    ids = [new_run_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert [run_id[:15] for run_id in ids] == sorted(run_id[:15] for run_id in ids)


def test_log_files_are_redacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # put back afterwards
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    path = tmp_path / "hubferry.log"
    try:
        configure_logging("DEBUG", path)
        logging.getLogger("anything").debug("Authorization: Bearer hf_abcdefghijklmnopqrstuvwx")
        for handler in root.handlers:
            handler.close()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert "DEBUG anything" in path.read_text()
    assert "hf_abcdef" not in path.read_text()


def test_only_what_writes_has_a_spool_and_only_where_it_may(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Spool | None] = []
    copy_repo = transfer.copy_repo

    def spy(job: transfer.Job, tools: Tools, confirm: Confirm) -> RunReport:
        seen.append(tools.spool)
        return copy_repo(job, tools, confirm)

    monkeypatch.setattr("hubferry.app.copy_repo", spy)
    folder = bench.folder / "spool"
    settings = Settings(state_dir=bench.folder / "state", spool_dir=folder, spool_limit_bytes=7)
    old = Spool(SpoolPolicy(SpoolMode.AUTO, folder))
    file = old.open(Sha256("a" * 64), 100)
    assert file is not None
    file.close()
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    with App(settings) as app:
        app.plan(bench.source, bench.target, PLAIN)
        assert old.has(Sha256("a" * 64)), "a plan touches nothing"
        app.copy(bench.source, bench.target, PLAIN)
        app.copy(bench.source, bench.target, PLAIN)
    assert not old.has(Sha256("a" * 64)), "swept before the first copy"
    with App(replace(settings, spool_mode=SpoolMode.OFF)) as app:
        app.copy(bench.source, bench.target, PLAIN)
    first, second, off = seen
    assert first is second
    assert first is not None
    assert first.policy == SpoolPolicy(SpoolMode.AUTO, folder, 7)
    assert off is None


class Held(Bench):
    """A bench whose mirror waits for an answer, until it may go on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_asking = threading.Event()
        self.may_go_on = threading.Event()
        self.report: RunReport | None = None
        (folder / "target").mkdir()
        (folder / "target" / "extra.txt").write_text("e")

    def mirror(self) -> RunReport:
        def confirm(deletions: object) -> bool:
            self.is_asking.set()
            return self.may_go_on.wait(30)

        with self.app() as app:
            return app.mirror(self.source, self.target, PLAIN, confirm=confirm)

    @contextmanager
    def mirroring(self) -> Iterator[str]:
        """The id of a run on its way; its report is there afterwards."""

        def run() -> None:
            self.report = self.mirror()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            assert self.is_asking.wait(30)
            (started,) = [event for event in self.events if isinstance(event, RunStarted)]
            yield started.run_id
        finally:
            self.may_go_on.set()
            thread.join(30)


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Held:
    monkeypatch.setattr(runcontrol, "POLL_SECONDS", 0.005)
    return Held(tmp_path)


def test_another_app_pauses_a_run_and_lets_it_go_on(held: Held) -> None:
    with held.app() as other:
        with held.mirroring() as run_id:
            assert other.runs()[0]["state"] == "running"
            for want, state in ((Want.PAUSE, "paused"), (Want.RESUME, "running")):
                row = other.control_run(run_id[:-2], want)
                assert row is not None
                assert (row["run_id"], row["state"]) == (run_id, state)
                assert other.runs()[0]["state"] == state
        assert held.report is not None
        assert (held.report.exit_code, held.report.verified) == (0, True)
        paused = [event for event in held.events if isinstance(event, Paused)]
        assert paused == [Paused(run_id), Paused(run_id, is_over=True)]
        assert other.runs()[0]["state"] == "finished"
        with pytest.raises(UsageError, match="has ended"):
            other.control_run(run_id, Want.PAUSE)
        assert other.control_run("none", Want.PAUSE) is None


@pytest.mark.parametrize("want", Want)
def test_a_blank_id_controls_no_run_not_even_the_only_one(held: Held, want: Want) -> None:
    with held.app() as other:
        with held.mirroring():
            with pytest.raises(UsageError, match="empty"):
                other.control_run("", want)
            assert other.runs()[0]["state"] == "running"
        assert held.report is not None
        assert held.report.exit_code == 0
        with pytest.raises(UsageError, match="empty"):
            other.run("")


def test_another_app_stops_a_run_which_the_same_command_completes(held: Held) -> None:
    with held.app() as other:
        with held.mirroring() as run_id:
            row = other.control_run(run_id, Want.CANCEL)
            assert row is not None
            assert row["state"] == "stopping"
        assert held.report is not None
        assert held.report.exit_code == ExitCode.CANCELLED
        row = other.run(run_id)
        assert row is not None
        assert (row["state"], row["exit_code"]) == ("finished", ExitCode.CANCELLED)
    held.cancel = CancelToken()
    assert held.mirror().verified
    assert held.target_files == MODEL


def test_a_run_that_was_killed_is_dead(bench: Bench, app: App) -> None:
    app.copy(bench.source, bench.target, PLAIN)
    Ledger(bench.folder / "state" / "ledger.sqlite3").start_run("r1", "copy", "a", "b")
    states = {row["run_id"]: row["state"] for row in app.runs()}
    assert states.pop("r1") == "dead"
    assert set(states.values()) == {"finished"}
    with pytest.raises(UsageError, match="its process is gone"):
        app.control_run("r1", Want.PAUSE)


def test_where_no_run_can_be_controlled_it_runs_and_says_so(bench: Bench) -> None:
    bench.folder.joinpath("state").mkdir()
    bench.folder.joinpath("state", "runs").write_text("in the way")
    with bench.app() as app:
        assert app.copy(bench.source, bench.target, PLAIN).verified
    (note,) = [event for event in bench.events if isinstance(event, Note)]
    assert str(note.text).startswith("other terminals cannot pause or stop this run")


def test_a_bandwidth_limit_reaches_the_side_it_is_for(bench: Bench) -> None:
    settings = Settings(state_dir=bench.folder / "state", bwlimit=parse_bwlimit("1k:2k"))
    with App(settings) as app:
        sent, read = app._sent_throttle, app._read_throttle
        assert sent.gate is read.gate, "a pause stops both sides"
        granted = [throttle.grant(1 << 20) for throttle in (sent, read)]
        assert granted[0] < granted[1] < 1 << 20
    with bench.app() as app:
        assert app._read_throttle.grant(1 << 20) == 1 << 20
