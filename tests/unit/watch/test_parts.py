"""The small parts: what a name can mean, what is remembered, what systemd hears."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.support.fast_clock import FastClock
from tests.unit.watch.world import World

from hubferry.batch.values import BatchReport
from hubferry.batching import BatchOptions
from hubferry.control import CancelToken
from hubferry.errors import LocalError, Side
from hubferry.events import HeldUp, InRepo, Waiting
from hubferry.manifest.values import (
    Collection,
    Entry,
    Manifest,
    OwnerPattern,
    Place,
    Search,
    Source,
    WatchSettings,
)
from hubferry.model import Address, RepoId, RepoQuery, RepoType
from hubferry.text import T
from hubferry.watch.clock import RealClock
from hubferry.watch.deliveries import MAX_REMEMBERED, Deliveries
from hubferry.watch.health import Board, Health
from hubferry.watch.looks import ALL, NOTHING, Looks, Wanted
from hubferry.watch.meaning import Meaning
from hubferry.watch.notify import Notifier
from hubferry.watch.state import StateFile, WatchState
from hubferry.watching import app_cycle, on_hangup, signs_of_life

# --- meaning ---------------------------------------------------------------------


def meaning_of(*sources: Source) -> Meaning:
    entries = tuple(Entry(Place("m", n), source, "x/{name}") for n, source in enumerate(sources))
    return Meaning(Manifest("m", entries))


@pytest.mark.parametrize(
    ("source", "name", "found"),
    [
        (Address(RepoId("h", "Org/Model"), "v1"), "org/model", "h://Org/Model"),
        (Address(RepoId("h", "gpt2")), "gpt2", "h://gpt2"),
        (Address(RepoId("h", "org/model")), "org/model2", None),
        (Address(RepoId("other", "org/model")), "org/model", None),
        (OwnerPattern("h", RepoQuery(owner="Org"), "*"), "org/x", "h://org/x"),
        (OwnerPattern("h", RepoQuery(owner="org"), "lla*"), "org/Llama", "h://org/Llama"),
        (OwnerPattern("h", RepoQuery(owner="org"), "lla*"), "org/bert", None),
        (OwnerPattern("h", RepoQuery(owner="org"), "*"), "organ/x", None),
        (
            OwnerPattern("h", RepoQuery(owner="org", repo_type=RepoType.DATASET), "*"),
            "org/x",
            None,
        ),
        (Search("h", RepoQuery(owner="org", search="x")), "org/whatever", "h://org/whatever"),
        (Search("h", RepoQuery(task="t")), "any/thing", "h://any/thing"),
        (Search("h", RepoQuery(owner="org")), "other/x", None),
        (Search("other", RepoQuery()), "org/x", None),
        (Collection("h", "o/s-1"), "any/thing", "h://any/thing"),
        (Collection("other", "o/s-1"), "any/thing", None),
    ],
)
def test_what_a_name_can_mean(source: Source, name: str, found: str | None) -> None:
    assert meaning_of(source).repo_of(RepoId("h", name)) == found


# --- looks and deliveries --------------------------------------------------------


def test_only_the_first_wish_wakes_the_loop() -> None:
    wakes: list[int] = []
    looks = Looks(lambda: wakes.append(1))
    for _ in range(100):
        looks.offer("a", 0.0)
        looks.offer("b", 0.0)

    assert len(wakes) == 1
    assert looks.take() == Wanted(frozenset("ab"))
    assert looks.take() == NOTHING
    assert looks.due_at() is None


def test_everything_swallows_single_ones() -> None:
    looks = Looks(lambda: None)
    looks.put_back(ALL)
    looks.offer("a", 0.0)

    assert looks.peek() == ALL == Wanted(frozenset("x")) | ALL
    assert looks.take().only is None


def test_deliveries_are_bounded() -> None:
    seen = Deliveries()
    for number in range(MAX_REMEMBERED + 10):
        assert seen.take(str(number), float(number))

    assert len(seen.snapshot()) == MAX_REMEMBERED
    assert not seen.take(str(MAX_REMEMBERED + 9), 2e4)
    assert seen.take("0", 2e4)


# --- state -----------------------------------------------------------------------


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    file = StateFile(tmp_path, Path("m.yaml"))
    state = WatchState(1.5, 2.5, None, 7, ["a"], True, {"d": 3.0})
    file.save(state)

    assert file.load() == state
    assert StateFile(tmp_path, Path("other.yaml")).load() == WatchState()


def test_the_same_manifest_by_another_way_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").touch()
    (tmp_path / "link.yaml").symlink_to("m.yaml")

    assert StateFile(tmp_path, tmp_path / "link.yaml").path == (
        StateFile(tmp_path, tmp_path / "x" / ".." / "m.yaml").path
    )


STATE = '{"version": 1, "cycles": 0, "pending": [], "is_all_pending": false, "seen": {}'


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "null", "{}", '{"version": 2}', '{"version": 1, "seen": []}', "\x00"),
        "[" * 99999,
        STATE + ', "last_cycle_at": null, "last_ok_at": null, "last_slot": NaN}',
        STATE + ', "last_cycle_at": null, "last_ok_at": null, "last_slot": 1e300}',
    ],
)
def test_any_damage_is_a_first_start(tmp_path: Path, text: str) -> None:
    file = StateFile(tmp_path, Path("m.yaml"))
    file.path.write_text(text)

    assert file.load() == WatchState()


def test_a_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = StateFile(tmp_path / "file" / "watch", Path("m.yaml"))

    with pytest.raises(LocalError, match="cannot be used"):
        file.save(WatchState())
    with pytest.raises(LocalError, match="cannot be used"), file.held():
        pass


# --- health ----------------------------------------------------------------------


def test_a_cycle_that_waits_for_a_limit_is_healthy() -> None:
    board = Board(Health(0.0, 10.0))
    board.write(is_in_cycle=True, last_sign_at=0.0)
    board.take(InRepo(1, Waiting(Side.SOURCE, T("rate limit"), 1000.0)), 20.0)

    assert board.read().is_healthy(1029.0)
    assert not board.read().is_healthy(1031.0)


def test_what_holds_up_is_known_until_it_is_over() -> None:
    board = Board(Health(0.0, 10.0))
    board.take(HeldUp("b", T("x"), 1), 0.0)
    board.take(HeldUp("a", T("x"), 1), 0.0)
    assert board.read().held_causes == ("a", "b")
    board.take(HeldUp("a", T("x"), 1, is_over=True), 0.0)
    assert board.read().held_causes == ("b",)


# --- systemd and signals ---------------------------------------------------------

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")


@posix
@pytest.mark.parametrize("is_abstract", [False, True])
def test_systemd_hears_what_it_is_told(tmp_path: Path, is_abstract: bool) -> None:
    if is_abstract and sys.platform != "linux":
        pytest.skip("Linux alone")
    name = f"@hubferry-{os.getpid()}" if is_abstract else str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name[1:] if is_abstract else name)
        notifier = Notifier.of({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000"})
        notifier.ready()
        notifier.status("two\nlines")
        notifier.alive()
        notifier.stopping()
        heard = [systemd.recv(100).decode() for _ in range(4)]

    assert heard == ["READY=1", "STATUS=two lines", "WATCHDOG=1", "STOPPING=1"]
    assert notifier.watchdog_seconds == 3.0


@posix
def test_a_systemd_that_does_not_listen_is_no_trouble(tmp_path: Path) -> None:
    Notifier.of({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()
    Notifier.of({}).ready()
    Notifier.of({"NOTIFY_SOCKET": "vsock:1:2"}).ready()
    other = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "5", "WATCHDOG_PID": str(os.getpid() + 1)}
    assert Notifier.of(other).watchdog_seconds is None


def test_a_loop_that_hangs_sends_no_sign_of_life(tmp_path: Path) -> None:
    world = World(tmp_path)
    watch = world.make()
    sent = threading.Semaphore(0)

    class Hearing(Notifier):
        def alive(self) -> None:
            sent.release()

    with signs_of_life(watch, Hearing("/x", 0.002), RealClock()):
        assert sent.acquire(timeout=10)
        world.clock.pass_time(1000)
        time.sleep(0.02)
        while sent.acquire(blocking=False):
            pass
        assert not sent.acquire(timeout=0.05)


@posix
def test_a_hangup_is_taken_and_then_left_alone() -> None:
    before = signal.getsignal(signal.SIGHUP)
    done = threading.Event()
    with on_hangup(done.set):
        os.kill(os.getpid(), signal.SIGHUP)
        assert done.wait(10)
    assert signal.getsignal(signal.SIGHUP) == before


def test_the_state_file_is_plain_json(tmp_path: Path) -> None:
    file = StateFile(tmp_path, Path("m.yaml"))
    file.save(WatchState(last_slot=1.0))

    assert json.loads(file.path.read_text())["version"] == 1


# --- the real batch's part -------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "pause"),
    [
        (WatchSettings(), 810.0),
        (WatchSettings(every_seconds=100.0), 90.0),
        (WatchSettings(cron="*/10 * * * *"), 540.0),
    ],
)
def test_what_failed_waits_for_a_period_and_not_when_asked_for_once(
    settings: WatchSettings, pause: float
) -> None:
    asked: list[BatchOptions] = []

    class BatchApp:
        def __enter__(self) -> BatchApp:
            return self

        def __exit__(self, *exc: object) -> None:
            pass

        def batch(self, manifest: Manifest, options: BatchOptions) -> BatchReport:
            asked.append(options)
            return BatchReport("r", options.command, "m")

    clock = FastClock(1_800_000_123.0)
    for tries_all in (False, True):
        cycle = app_cycle(lambda m: BatchApp(), BatchOptions, clock, tries_all=tries_all)  # type: ignore[arg-type,return-value]
        cycle(
            Manifest("m", (), watch=settings),
            only=["hub://org/a"],
            cancel=CancelToken(),
            may_start=lambda: False,
        )

    assert [options.retry_seconds for options in asked] == [pytest.approx(pause), None]
    assert asked[0].now() == clock.now()
    assert (asked[0].only, asked[0].may_start(), asked[0].command) == (
        ["hub://org/a"],
        False,
        "watch",
    )
