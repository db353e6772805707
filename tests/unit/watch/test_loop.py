"""The loop on a fast clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.unit.watch.world import GOOD, PERIOD, START, World, manifest_of, report_of

from hubferry.batch.values import BatchReport, ItemState
from hubferry.errors import CancelledError, ConflictError, UnavailableError, UsageError
from hubferry.events import HeldUp, Note
from hubferry.manifest.values import QuietHours, SecretRef
from hubferry.model import RepoId
from hubferry.text import T, Text
from hubferry.watch.health import Health
from hubferry.watch.looks import MAX_REPOS
from hubferry.watch.loop import Answer, Watch

A, B = RepoId("hub", "org/a"), RepoId("hub", "org/b")
HOUR = 3600.0
DOWN = UnavailableError(T("the hub is down"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def deliver(world: World, watch: Watch, at: float, *repos: RepoId, name: str = "") -> None:
    """Have webhooks come ``at`` seconds after the start."""
    for number, repo in enumerate(repos):
        digest = name or f"{at}-{number}"
        world.clock.at(START + at, partial(_deliver, watch, repo, digest))


def _deliver(watch: Watch, repo: RepoId, digest: str) -> None:
    watch.deliver(repo, digest)


def raising(error: Exception, *numbers: int) -> Callable[[int], BatchReport | None]:
    def act(number: int) -> BatchReport | None:
        if number in numbers:
            raise error
        return None

    return act


# --- the schedule ----------------------------------------------------------------


def test_cycles_follow_the_grid_and_not_the_length_of_cycles(world: World) -> None:
    world.seconds = 333.0
    world.run(4 * PERIOD)

    assert world.times == [0, PERIOD, 2 * PERIOD, 3 * PERIOD, 4 * PERIOD]
    assert all(only is None for _, only in world.looks)


def test_a_cycle_that_overran_is_followed_by_one(world: World) -> None:
    world.act = lambda number: world.clock.pass_time(3.5 * PERIOD) if number == 1 else None
    world.run(6 * PERIOD)

    assert world.times == [0, 3.5 * PERIOD + 10, 4 * PERIOD, 5 * PERIOD, 6 * PERIOD]


def test_jitter_moves_a_cycle_and_never_the_grid(world: World) -> None:
    world.manifest = manifest_of("org/a", jitter_seconds=100.0)
    world.run(50 * PERIOD + 200)

    late = [at - n * PERIOD for n, at in enumerate(world.times)]
    assert len(late) == 51
    assert all(0 <= seconds <= 100 for seconds in late)
    assert max(late) > 50


def test_a_clock_that_is_set_back_holds_nothing_up(world: World) -> None:
    watch = world.make()

    def set_back() -> None:
        world.clock.set_to(START + 5 * PERIOD + 7)
        watch._wake.set()  # the real clock waits a minute at most

    world.clock.at(START + 10 * PERIOD + 30, set_back)
    world.run(12 * PERIOD, watch)

    gaps = {b - a for a, b in zip(world.times, world.times[1:], strict=False) if b > a}
    assert world.times.count(6 * PERIOD) == 2  # the wall clock said so twice
    assert gaps == {PERIOD}


# --- restarts --------------------------------------------------------------------


def test_a_restart_neither_doubles_nor_skips_a_cycle(world: World) -> None:
    world.run(1.5 * PERIOD)
    world.run(3.5 * PERIOD)

    assert world.times == [0, PERIOD, 2 * PERIOD, 3 * PERIOD]


def test_a_cycle_that_was_missed_while_down_is_done_at_once(world: World) -> None:
    world.run(0.5 * PERIOD)
    world.clock.pass_time(3.2 * PERIOD)
    back = world.clock.now() - START
    world.run(5 * PERIOD)

    assert world.times == [0, back, 4 * PERIOD, 5 * PERIOD]


def test_a_cycle_that_was_broken_off_is_done_at_once_after_a_restart(world: World) -> None:
    world.act = lambda number: world.cancel.cancel() if number == 2 else None
    world.run(10 * PERIOD)
    assert world.times == [0, PERIOD]
    world.run(2 * PERIOD)

    assert world.times == [0, PERIOD, PERIOD + 10, 2 * PERIOD]


def test_a_killed_cycle_is_done_at_once_after_a_restart(world: World) -> None:
    class Killed(BaseException):
        pass

    def die(number: int) -> BatchReport | None:
        if number == 2:
            raise Killed
        return None

    world.act = die
    with pytest.raises(Killed):
        world.run(10 * PERIOD)
    kept = json.loads(world.file.path.read_text())
    assert (kept["last_slot"], kept["is_all_pending"]) == (START, False)
    world.run(2 * PERIOD)

    assert world.times == [0, PERIOD, PERIOD + 10, 2 * PERIOD]


def test_a_damaged_state_is_a_first_start(world: World) -> None:
    world.run(1.5 * PERIOD)
    world.file.path.write_text('{"version": 1, "last_slot": "x"')
    world.run(2 * PERIOD)

    assert world.times[2] == pytest.approx(1.5 * PERIOD, abs=1)


def test_looks_that_were_asked_for_survive_a_restart(world: World) -> None:
    world.manifest = manifest_of("org/a", quiet_hours=(QuietHours(1, 60),))
    watch = world.make()
    deliver(world, watch, 120, A)
    world.run(300, watch)
    world.manifest = manifest_of("org/a", every_seconds=24 * HOUR)
    world.run(400)

    assert world.looks[1:] == [(300.5, ["hub://org/a"])]


def test_two_watches_of_one_manifest_are_refused(world: World) -> None:
    other = World(world.folder).file
    with world.file.held():
        with pytest.raises(ConflictError, match="already"), other.held():
            pass
    with other.held():
        pass


# --- webhooks --------------------------------------------------------------------


def test_a_webhook_leads_to_one_look_at_that_repository_soon(world: World) -> None:
    watch = world.make()
    deliver(world, watch, 100, A)
    world.run(500, watch)

    assert world.looks == [(0, None), (102, ["hub://org/a"])]


def test_a_burst_of_a_thousand_deliveries_is_one_look_a_repository(world: World) -> None:
    watch = world.make()
    for number in range(1000):
        deliver(world, watch, 100 + number / 200, (A, B)[number % 2])
    world.run(500, watch)

    assert [only for _, only in world.looks] == [None, ["hub://org/a", "hub://org/b"]]


def test_a_burst_without_end_does_not_put_the_look_off_for_ever(world: World) -> None:
    watch = world.make()
    for number in range(1000):
        deliver(world, watch, 100 + number * 0.5, A)
    world.run(500, watch)

    assert world.times[1] == 115


def test_a_webhook_for_a_repository_being_looked_at_leads_to_one_more_look(world: World) -> None:
    watch = world.make()
    deliver(world, watch, 5, A, A, A)  # the first cycle takes ten seconds
    world.run(500, watch)

    assert world.looks == [(0, None), (10, ["hub://org/a"])]


def test_a_due_cycle_takes_the_webhooks_wishes_with_it(world: World) -> None:
    watch = world.make()
    deliver(world, watch, PERIOD - 1, A)
    world.run(PERIOD + 500, watch)

    assert world.looks == [(0, None), (PERIOD, None)]


def test_a_delivery_that_came_before_is_ignored_even_after_a_restart(world: World) -> None:
    watch = world.make()
    assert watch.deliver(A, "x") is Answer.QUEUED
    assert watch.deliver(A, "x") is Answer.SEEN
    world.run(10, watch)
    again = world.make()
    assert again.deliver(A, "x") is Answer.SEEN
    world.clock.pass_time(24 * HOUR)
    assert again.deliver(A, "x") is Answer.QUEUED


def test_what_the_manifest_cannot_mean_is_ignored(world: World) -> None:
    watch = world.make()

    assert watch.deliver(RepoId("hub", "org/other"), "x") is Answer.IGNORED
    assert watch.deliver(RepoId("other", "org/a"), "y") is Answer.IGNORED
    assert watch.deliver(RepoId("hub", "ORG/A"), "z") is Answer.QUEUED


def test_too_many_repositories_become_a_look_at_everything(world: World) -> None:
    names = [f"org/{n}" for n in range(MAX_REPOS + 1)]
    world.manifest = manifest_of(*names)
    watch = world.make()
    deliver(world, watch, 100, *(RepoId("hub", name) for name in names))
    world.run(500, watch)

    assert world.looks == [(0, None), (102, None)]


# --- quiet hours -----------------------------------------------------------------


def test_in_quiet_hours_nothing_is_started_and_afterwards_one_cycle(world: World) -> None:
    world.manifest = manifest_of("org/a", "org/b", quiet_hours=(QuietHours(60, 245),))
    watch = world.make()
    deliver(world, watch, 2 * HOUR, A, B)
    world.run(5 * HOUR, watch)

    assert world.times == [
        *(n * PERIOD for n in range(4)),
        245 * 60,
        *(n * PERIOD for n in range(17, 21)),
    ]
    assert all(only is None for _, only in world.looks)


def test_what_quiet_hours_left_over_is_taken_up_when_they_end(world: World) -> None:
    world.manifest = manifest_of("org/a", quiet_hours=(QuietHours(5, 60),), every_seconds=HOUR * 8)

    def run_into_quiet(number: int) -> BatchReport | None:
        if number > 1:
            return None
        assert world.may_start is not None
        assert world.may_start()
        world.clock.pass_time(600)
        assert not world.may_start()
        return report_of(a=ItemState.COPIED, b=ItemState.STOPPED)

    world.act = run_into_quiet
    world.run(8 * HOUR)

    assert world.looks == [(0, None), (HOUR, None), (8 * HOUR, None)]
    assert world.told[0].next_at == START + HOUR
    assert not world.warnings


def test_a_batch_that_stops_for_no_reason_is_not_run_in_a_circle(world: World) -> None:
    world.act = lambda number: report_of(a=ItemState.STOPPED)
    world.run(200)

    assert len(world.looks) <= 4


# --- failures --------------------------------------------------------------------


def test_a_cycle_that_raises_is_told_and_tried_again_later_and_later(world: World) -> None:
    world.seconds = 0.0
    world.act = raising(DOWN, *range(1, 10))
    world.run(6 * HOUR)

    gaps = [b - a for a, b in zip(world.times, world.times[1:], strict=False)]
    minutes = [gap / 60 for gap in gaps[:9]]
    assert minutes == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert len(world.warnings) == 9
    assert "the hub is down" in world.warnings[0]
    assert world.told[0].error is DOWN


def test_after_a_failure_the_grid_is_what_it_was(world: World) -> None:
    world.act = raising(DOWN, 2)
    world.run(3 * PERIOD)

    assert world.times == [0, PERIOD, PERIOD + 70, 2 * PERIOD, 3 * PERIOD]


def test_any_exception_of_a_cycle_is_survived(world: World) -> None:
    world.act = raising(ZeroDivisionError("oops"), 1)
    world.run(PERIOD)

    assert world.times == [0, 70, PERIOD]
    assert "ZeroDivisionError" in world.warnings[0]


def test_a_failed_look_at_one_repository_stays_a_look_at_one(world: World) -> None:
    world.act = raising(DOWN, 2)
    watch = world.make()
    deliver(world, watch, 100, A)
    world.run(300, watch)

    assert world.looks == [(0, None), (102, ["hub://org/a"]), (172, ["hub://org/a"])]


def test_only_a_wish_to_stop_ends_the_loop(world: World) -> None:
    world.act = raising(CancelledError(T("stopped")), 3)
    world.make().run()

    assert len(world.looks) == 3
    assert len(world.told) == 2


def test_a_full_disk_is_told_once_and_survived(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    world.run(5 * PERIOD)

    assert len(world.looks) == 6
    assert len(world.warnings) == 1
    assert "No space left" in world.warnings[0]
    assert not list(world.file.path.parent.glob("*.new"))


# --- the manifest ----------------------------------------------------------------


def test_a_changed_manifest_is_used_from_the_next_cycle_on(world: World) -> None:
    def change(number: int) -> None:
        if number == 2:
            world.manifest = manifest_of("org/new", every_seconds=2 * PERIOD)

    world.act = change
    watch = world.run(8 * PERIOD)

    assert world.times == [n * PERIOD for n in (0, 1, 3, 5, 7)]
    assert [str(event.text) for event in world.events if isinstance(event, Note)] == [
        "the manifest has changed: 1 entries"
    ]
    assert watch.deliver(RepoId("hub", "org/new"), "1") is Answer.QUEUED
    assert watch.deliver(A, "2") is Answer.IGNORED


@pytest.mark.parametrize(
    "change", [{"listen": "127.0.0.1:1"}, {"webhook_secret": SecretRef("env", "NEW")}]
)
def test_a_changed_port_or_secret_is_told_to_need_a_restart(
    world: World, change: dict[str, object]
) -> None:
    def act(number: int) -> None:
        if number == 2:
            world.manifest = manifest_of("org/a", every_seconds=PERIOD, **change)

    world.act = act
    world.run(4 * PERIOD)

    assert world.warnings == [
        "'listen' and 'webhook-secret' stay as they were until the watch is restarted"
    ]


def test_while_the_manifest_is_wrong_the_last_good_one_is_used_and_the_error_told_once(
    world: World,
) -> None:
    good = world.manifest

    def break_and_mend(number: int) -> None:
        if number == 2:
            world.manifest = UsageError(T("m.yaml:3: no"))
        if number == 5:
            world.manifest = UsageError(Text("{a}\n{b}", {"a": T("bad"), "b": "m.yaml:4: no"}))
        if number == 7:
            world.manifest = good

    world.act = break_and_mend
    watch = world.make()
    world.clock.at(START + 3.5 * PERIOD, lambda: wrong.append(watch.health().manifest_error))
    wrong: list[str | None] = []
    world.run(10 * PERIOD, watch)

    assert len(world.looks) == 11
    assert [text.partition("is used: ")[2] for text in world.warnings] == [
        "m.yaml:3: no",
        "bad; m.yaml:4: no",
    ]
    assert wrong == ["usage: m.yaml:3: no"]
    assert watch.health().manifest_error is None


def test_a_schedule_that_became_wrong_is_a_wrong_manifest(world: World) -> None:
    world.act = lambda number: setattr(world, "manifest", manifest_of("org/a", cron="no"))
    world.run(3 * PERIOD)

    assert len(world.looks) == 4
    assert len(world.warnings) == 1


def test_a_manifest_that_is_wrong_at_the_start_is_an_error(world: World) -> None:
    world.manifest = UsageError(T("m.yaml:3: no"))

    with pytest.raises(UsageError):
        world.make()


def test_a_hangup_reads_the_manifest_again_and_looks_now(world: World) -> None:
    watch = world.make()

    def hang_up() -> None:
        world.manifest = manifest_of("org/a", every_seconds=2 * PERIOD)
        watch.reread()

    world.clock.at(START + 100, hang_up)
    world.run(4 * PERIOD, watch)

    assert world.times == [0, 100, 2 * PERIOD, 4 * PERIOD]


# --- health ----------------------------------------------------------------------


def test_health_is_lost_after_three_periods_without_success_and_comes_back(world: World) -> None:
    world.seconds = 0.0
    world.act = raising(DOWN, *range(2, 7))
    watch = world.make()
    found: dict[int, bool] = {}

    def note(minute: int) -> None:
        found[minute] = watch.is_healthy()

    for minute in range(0, 120, 5):
        world.clock.at(START + minute * 60 + 30, partial(note, minute))
    world.run(2 * HOUR, watch)

    # Failures at 15, 16, 18, 22, 30 min; the next try, at 46 min, goes well.
    assert all(found.values())
    world.act = raising(DOWN, *range(len(world.looks) + 1, 99))
    watch = world.make()
    world.run(2 * HOUR + 3.9 * PERIOD, watch)
    world.clock.pass_time(PERIOD)
    assert not watch.is_healthy()


def test_health_in_detail(world: World) -> None:
    seen: list[Health] = []

    def act(number: int) -> BatchReport | None:
        watch.take(HeldUp("outage target", T("down"), 2))
        seen.append(watch.health())
        return report_of(a=ItemState.FAILED, b=ItemState.COPIED, c=ItemState.GONE)

    world.act = act
    watch = world.make()
    world.run(100, watch)
    health = watch.health()

    assert (seen[0].is_in_cycle, seen[0].held_causes) == (True, ("outage target",))
    assert not health.is_alive  # the loop has ended
    assert (health.cycles, health.failing_repos, health.period_seconds) == (1, 2, PERIOD)
    assert health.last_ok_at == health.last_cycle_at == START + 10
    assert health.next_due_at == START + PERIOD
    assert health.started_at == START


def test_a_cycle_in_which_everything_failed_did_not_go_well(world: World) -> None:
    world.act = lambda number: report_of(a=ItemState.FAILED)
    watch = world.run(100)

    assert watch.health().last_ok_at is None


def test_a_look_at_one_repository_changes_only_its_own_failure(world: World) -> None:
    def act(number: int) -> BatchReport:
        if number == 1:
            return report_of(a=ItemState.FAILED, b=ItemState.FAILED, c=ItemState.COPIED)
        return report_of(a=ItemState.COPIED)

    world.act = act
    watch = world.make()
    deliver(world, watch, 100, A)
    world.run(300, watch)

    assert watch.health().failing_repos == 1


def test_quiet_hours_and_a_long_cycle_that_gets_on_are_healthy(world: World) -> None:
    world.manifest = manifest_of("org/a", quiet_hours=(QuietHours(60, 600),))
    watch = world.make()
    found: list[bool] = []
    for hour in (2, 9, 10.2):
        world.clock.at(START + hour * HOUR, lambda: found.append(watch.is_healthy()))

    def long(number: int) -> None:
        if world.clock.now() >= START + 11 * HOUR and not world.seconds > 100:
            for _ in range(20):
                watch.take(HeldUp("x", T("x"), 1))
                world.clock.pass_time(1800)
                found.append(watch.is_healthy())

    world.act = long
    world.run(12 * HOUR, watch)

    assert all(found)
    assert len(found) > 20


# --- once ------------------------------------------------------------------------


def test_once_looks_at_everything_now_and_leaves_the_grid_alone(world: World) -> None:
    world.run(0.5 * PERIOD)
    done = world.make().run_once()
    world.run(2 * PERIOD)

    assert done.report is GOOD
    assert [round(at) for at in world.times] == [0, 450, PERIOD, 2 * PERIOD]


def test_once_is_now_also_in_quiet_hours(world: World) -> None:
    world.manifest = manifest_of("org/a", quiet_hours=(QuietHours(0, 60),))
    may: list[bool] = []

    def act(number: int) -> None:
        assert world.may_start is not None
        may.append(world.may_start())

    world.act = act
    world.make().run_once()

    assert may == [True]


def test_once_does_not_hide_a_wish_to_stop(world: World) -> None:
    world.act = lambda number: world.cancel.cancel()

    with pytest.raises(CancelledError):
        world.make().run_once()
