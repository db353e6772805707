"""A batch between memory hubs: what is asked, what is sent, what happens when things fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace

import pytest
from tests.support.batch_world import TARGET, BatchWorld, entry, manifest, pattern, source, states
from tests.support.memory_world import big

from hubferry.batch.running import Limits
from hubferry.batch.turns import Turn
from hubferry.batch.values import ItemState
from hubferry.errors import (
    AccessError,
    ConflictError,
    CopyError,
    InvalidTokenError,
    LedgerError,
    NotFoundError,
    QuotaError,
    Side,
    UnavailableError,
)
from hubferry.events import BatchStarted, HeldUp, RepoFinished, RepoStarted
from hubferry.hubs.memory import MemoryHub
from hubferry.ledger import RepoRecord
from hubferry.manifest.values import CardPolicy, Conditions
from hubferry.model import Address, Visibility

ALL = manifest(entry(pattern()))
Pair = tuple[str, str]


@pytest.fixture
def world() -> BatchWorld:
    world = BatchWorld()
    world.seed(*(f"m{n}" for n in range(6)))
    return world


def test_everything_an_owner_has_is_copied_and_verified(world: BatchWorld) -> None:
    report = world.run(ALL)
    assert set(states(report).values()) == {ItemState.COPIED}
    assert report.exit_code == 0
    for number in range(6):
        assert (
            world.target.repos[f"mirror/m{number}"].files
            == world.source.repos[f"org/m{number}"].files
        )


def test_a_second_run_asks_for_lists_alone(world: BatchWorld) -> None:
    world.run(ALL)
    world.requests(world.source), world.requests(world.target)
    report = world.run(ALL)
    assert set(states(report).values()) == {ItemState.UNCHANGED}
    assert world.requests(world.source) == ["list_repos"]
    assert world.requests(world.target) == ["list_repos"]


def test_only_what_changed_is_looked_at(world: BatchWorld) -> None:
    world.run(ALL)
    world.seed("m2", files={"README.md": b"# other"})
    report = world.run(ALL)
    assert states(report)["m2"] is ItemState.COPIED
    assert world.copies == ["org/m2"]
    assert Counter(states(report).values())[ItemState.UNCHANGED] == 5


def test_a_target_that_somebody_changed_is_looked_at_and_mended(world: BatchWorld) -> None:
    world.run(ALL)
    world.target.seed("mirror/m1", {"README.md": b"# not ours"})
    report = world.run(ALL)
    assert states(report)["m1"] is ItemState.COPIED
    assert world.target.repos["mirror/m1"].files["README.md"] == b"# m1"


def test_a_target_that_was_deleted_is_made_again(world: BatchWorld) -> None:
    world.run(ALL)
    del world.target.repos["mirror/m3"]
    assert states(world.run(ALL))["m3"] is ItemState.COPIED


def test_a_target_is_looked_at_again_when_its_verification_is_old(world: BatchWorld) -> None:
    world.run(ALL)
    world.clock.now += 8 * 86_400
    report = world.run(ALL)
    assert set(states(report).values()) == {ItemState.EQUAL}
    assert set(states(world.run(ALL)).values()) == {ItemState.UNCHANGED}


def test_a_branch_that_lists_do_not_tell_of_is_never_taken_for_unchanged(
    world: BatchWorld,
) -> None:
    world.run(ALL)
    item = world.expand(ALL).items[0]
    pair = str(item.source), str(item.target)
    record, turns = world.ledger.recall([pair])[pair], world.turns()

    def settled(**ends: Address) -> ItemState | None:
        found = turns.settled_by_lists(Turn(replace(item, **ends), 1, record))  # type: ignore[arg-type]
        return found.state if found else None

    default = world.target.traits.default_branch
    assert settled() is ItemState.UNCHANGED
    assert settled(target=replace(item.target, revision=default)) is ItemState.UNCHANGED
    assert settled(target=replace(item.target, revision="dev")) is None
    assert settled(source=replace(item.source, revision="dev")) is None


def test_a_clock_that_was_set_back_does_not_make_a_verification_last(world: BatchWorld) -> None:
    world.run(ALL)
    world.clock.now -= 86_400
    assert set(states(world.run(ALL)).values()) == {ItemState.EQUAL}


def test_another_wish_means_another_look(world: BatchWorld) -> None:
    world.run(ALL)
    without_card = manifest(entry(pattern(), card=CardPolicy.SKIP))
    world.seed("m0", files={"README.md": b"# m0", "config.json": b"{}"})
    for number in range(1, 6):
        world.seed(f"m{number}", files={"README.md": b"changed", "config.json": b"{}"})
    report = world.run(without_card)
    assert set(states(report).values()) == {ItemState.COPIED}
    # The card stays what it was: the target keeps one of its own.
    assert world.target.repos["mirror/m1"].files["README.md"] == b"# m1"


def test_one_failing_repository_does_not_stop_the_others(world: BatchWorld) -> None:
    fail(world, "list", NotFoundError("gone"), times=1)
    report = world.run(ALL)
    assert Counter(states(report).values()) == {ItemState.COPIED: 5, ItemState.FAILED: 1}
    assert report.exit_code == 3
    bad = report.of(ItemState.FAILED)[0]
    assert bad.error is not None
    assert bad.error.error == "not_found"


def test_what_may_be_over_later_is_tried_again(world: BatchWorld) -> None:
    # The patience of a copy is 4 tries; the first two copies fail.
    fail(world, "list", UnavailableError("down"), times=8)
    report = world.run(ALL)
    assert set(states(report).values()) == {ItemState.COPIED}
    assert any(item.attempts == 2 for item in report.items)
    tried = [e for e in world.events if isinstance(e, RepoFinished) and e.will_retry]
    assert len(tried) == 2


def test_a_ledger_that_fails_between_two_tries_does_not_end_the_batch(
    world: BatchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    recall, asked = world.ledger.recall, []

    def fail_later(pairs: Collection[Pair]) -> dict[Pair, RepoRecord]:
        asked.append(pairs)
        if len(asked) == 1:
            return recall(pairs)
        raise LedgerError("locked")

    monkeypatch.setattr(world.ledger, "recall", fail_later)
    fail(world, "list", UnavailableError("down"), times=8)
    report = world.run(ALL)
    assert set(states(report).values()) == {ItemState.COPIED}
    assert len(asked) > 1


def test_a_surprise_in_a_worker_is_that_repository_s_failure(world: BatchWorld) -> None:
    def stumble(request: str) -> None:
        if request == "list" and not stumbled:
            stumbled.append(request)
            raise RuntimeError("a bug of ours")

    stumbled: list[str] = []
    world.source.before = stumble
    report = world.run(ALL)
    assert Counter(states(report).values()) == {ItemState.COPIED: 5, ItemState.FAILED: 1}


def fail(
    world: BatchWorld,
    request: str,
    error: CopyError,
    *,
    times: int | None = None,
    until: Callable[[], bool] = lambda: False,
    side: Side = Side.SOURCE,
) -> list[str]:
    """Let a hub refuse a kind of request; what it refused."""
    refused: list[str] = []

    def before(asked: str) -> None:
        if asked == request and not until() and (times is None or len(refused) < times):
            refused.append(asked)
            raise type(error)(error.message)

    (world.source if side is Side.SOURCE else world.target).before = before
    return refused


def test_a_hub_that_is_down_holds_up_everything_and_is_told_once(world: BatchWorld) -> None:
    back_at = world.clock.now + 1000
    refused = fail(
        world, "resolve", UnavailableError("no route"), until=lambda: world.clock.now >= back_at
    )
    report = world.run(ALL)
    assert set(states(report).values()) == {ItemState.COPIED}
    told = [e for e in world.events if isinstance(e, HeldUp)]
    assert [e.is_over for e in told] == [False, True]
    assert "no route" in str(told[0].text)
    # Three repositories until it counts as an outage, then a probe now and then: 4 tries each.
    assert len(refused) <= 4 * (3 + 6)


def test_an_outage_of_the_source_is_waited_for_only_so_long(world: BatchWorld) -> None:
    world.limits = Limits(trouble_seconds=600.0)
    fail(world, "resolve", UnavailableError("no route"))
    began = world.clock.now
    report = world.run(ALL)
    assert set(states(report).values()) == {ItemState.FAILED}
    assert 600 <= world.clock.now - began < 3600
    assert {item.error.error for item in report.items if item.error} == {"unavailable"}


def test_a_full_quota_is_met_once_and_waited_for(world: BatchWorld) -> None:
    room_at = world.clock.now + 500
    refused = fail(
        world,
        "commit",
        QuotaError("full"),
        until=lambda: world.clock.now >= room_at,
        side=Side.TARGET,
    )
    report = world.run(ALL)
    assert set(states(report).values()) == {ItemState.COPIED}
    assert len(refused) <= 6, "one to find out, then a probe now and then"
    assert sum(isinstance(e, HeldUp) and not e.is_over for e in world.events) == 1


def test_what_needs_nothing_written_does_not_end_a_full_quota(world: BatchWorld) -> None:
    for name in ("m3", "m4", "m5"):
        world.target.seed(f"mirror/{name}", dict(world.source.repos[f"org/{name}"].files))
    room_at = world.clock.now + 500
    fail(
        world,
        "commit",
        QuotaError("full"),
        until=lambda: world.clock.now >= room_at,
        side=Side.TARGET,
    )
    report = world.run(ALL)
    assert Counter(states(report).values()) == {ItemState.COPIED: 3, ItemState.EQUAL: 3}
    assert [e.is_over for e in world.events if isinstance(e, HeldUp)] == [False, True]


def test_a_new_tag_of_what_is_unchanged_means_another_look(world: BatchWorld) -> None:
    tagged = manifest(entry("m0", revisions=("main", "v*")))
    world.source.repos["org/m0"].tags["v0"] = 0
    world.run(tagged)
    assert states(world.run(tagged)) == {"m0": ItemState.UNCHANGED}
    world.source.repos["org/m0"].tags["v1"] = 0
    assert states(world.run(tagged)) == {"m0": ItemState.EQUAL}


def test_a_refused_token_holds_up_its_hub_and_is_found_anew_before_each_probe(
    world: BatchWorld,
) -> None:
    logged_in: list[str] = []
    fail(world, "resolve", InvalidTokenError("who?"), until=lambda: len(logged_in) >= 2)
    report = world.run(ALL, on_probe=lambda cause: logged_in.append(cause.kind))
    assert set(states(report).values()) == {ItemState.COPIED}
    assert logged_in == ["token", "token"]


def test_a_cause_of_one_owner_leaves_others_alone(world: BatchWorld) -> None:
    world.limits = Limits(trouble_seconds=100.0)
    both = manifest(
        entry(pattern("m[0-2]"), "full/{name}"), entry(pattern("m[3-5]"), "mirror/{name}")
    )

    def before(asked: str) -> None:
        if asked == "commit" and any(
            world.target.repos[name].files == {} and name.startswith("full/")
            for name in list(world.target.repos)
        ):
            newest = list(world.target.repos)[-1]
            if newest.startswith("full/"):
                raise QuotaError("full")

    world.target.before = before
    report = world.run(both)
    assert {n: s for n, s in states(report).items() if n in ("m3", "m4", "m5")} == dict.fromkeys(
        ("m3", "m4", "m5"), ItemState.COPIED
    )
    assert states(report)["m0"] is ItemState.FAILED


def test_a_gated_repository_is_no_common_cause(world: BatchWorld) -> None:
    fail(world, "list", AccessError("gated"))
    report = world.run(ALL)
    assert set(states(report).values()) == {ItemState.FAILED}
    assert not [e for e in world.events if isinstance(e, HeldUp)]


def test_another_process_at_the_same_target_is_waited_for(world: BatchWorld) -> None:
    turns: list[str] = []

    def before(asked: str) -> None:
        if asked == "resolve" and len(turns) < 3:
            turns.append(asked)
            raise ConflictError("another process writes", step="lock")

    world.source.before = before
    report = world.run(manifest(entry("m0")))
    assert states(report) == {"m0": ItemState.COPIED}
    assert report.items[0].attempts == 4


def test_half_done_repositories_come_first_then_changed_ones(world: BatchWorld) -> None:
    fail(world, "commit", NotFoundError("no"), times=1, side=Side.TARGET)
    world.run(manifest(entry("m4")))
    world.target.before = lambda asked: None
    world.run(manifest(entry("m2")))
    world.seed("m2", files={"README.md": b"more"})
    world.run(ALL)
    assert world.copies[:2] == ["org/m4", "org/m2"]


def test_what_a_batch_did_not_come_to_is_told(world: BatchWorld) -> None:
    started: list[str] = []

    def may_start() -> bool:
        return len(started) < 2

    def note(asked: str) -> None:
        if asked == "list":
            started.append(asked)

    world.source.before = note
    report = world.run(ALL, may_start=may_start)
    assert Counter(states(report).values()) == {ItemState.COPIED: 2, ItemState.STOPPED: 4}
    assert report.exit_code == 3
    assert not report.was_cancelled


def test_a_stopped_batch_says_so_and_the_next_one_finishes(world: BatchWorld) -> None:
    def stop(asked: str) -> None:
        if asked == "commit" and len(world.target.repos) == 3:
            world.cancel.cancel()

    world.target.before = stop
    report = world.run(ALL)
    assert report.exit_code == 130
    assert states(report)["m0"] is ItemState.COPIED
    world.target.before = lambda asked: None
    world.cancel = type(world.cancel)(world.clock)
    again = world.run(ALL)
    assert again.exit_code == 0
    assert states(again)["m0"] is ItemState.UNCHANGED


def test_a_failed_repository_waits_for_its_next_try_unless_its_source_changes(
    world: BatchWorld,
) -> None:
    world.retry_seconds = 900.0
    fail(world, "list", NotFoundError("no such file"))
    one = manifest(entry(pattern("m0")))
    assert states(world.run(one)) == {"m0": ItemState.FAILED}
    assert world.copies == ["org/m0"]
    waiting = world.run(one)
    assert states(waiting) == {"m0": ItemState.WAITING}
    assert world.copies == []
    assert waiting.items[0].error is not None
    assert "no such file" in str(waiting.items[0].error.message)
    world.clock.now += 901
    assert states(world.run(one)) == {"m0": ItemState.FAILED}
    world.clock.now += 901
    assert states(world.run(one)) == {"m0": ItemState.WAITING}, "the second wait is twice as long"
    world.seed("m0", files={"README.md": b"mended"})
    world.source.before = lambda asked: None
    assert states(world.run(one)) == {"m0": ItemState.COPIED}


def test_a_clock_that_is_set_back_puts_no_next_try_off(world: BatchWorld) -> None:
    world.retry_seconds = 900.0
    fail(world, "list", NotFoundError("no such file"))
    one = manifest(entry(pattern("m0")))
    assert states(world.run(one)) == {"m0": ItemState.FAILED}
    world.clock.now -= 30 * 86_400
    assert states(world.run(one)) == {"m0": ItemState.FAILED}


def test_what_failed_is_tried_at_once_when_somebody_says_that_it_changed(world: BatchWorld) -> None:
    world.retry_seconds = 900.0
    fail(world, "list", NotFoundError("no such file"), times=1)
    one = manifest(entry("m0"))
    assert states(world.run(one)) == {"m0": ItemState.FAILED}
    assert states(world.run(one)) == {"m0": ItemState.WAITING}
    assert states(world.run(one, only=["from://org/m0"])) == {"m0": ItemState.COPIED}


@pytest.mark.parametrize("kind", ["renamed", "gone", "gated", "private"])
def test_a_source_that_is_not_what_it_was_is_told_of(world: BatchWorld, kind: str) -> None:
    world.run(ALL)
    repos = world.source.repos
    if kind == "renamed":
        world.source.rename("org/m1", "other/m1")
    elif kind == "gone":
        del repos["org/m1"]
    else:
        repos["org/m1"].visibility = Visibility(kind)
    report = world.run(ALL)
    assert [(n.kind, n.repo) for n in report.notices] == [(kind, "from://org/m1")]
    assert world.target.repos["mirror/m1"].files, "its target is left alone"
    if kind in ("renamed", "gone"):
        world.requests(world.source)
        again = world.run(ALL)
        assert [n.kind for n in again.notices] == ["gone"], "told again, and not asked again"
        assert "summary" not in world.requests(world.source)


def test_a_disabled_source_is_left_out_and_told_of(world: BatchWorld) -> None:
    world.source.repos["org/m1"].is_disabled = True
    report = world.run(ALL)
    assert "m1" not in states(report)
    assert [n.kind for n in report.notices] == ["disabled"]
    assert [left.condition for left in report.left_out] == ["disabled"]


def test_an_explicit_source_that_is_gone_is_a_failure(world: BatchWorld) -> None:
    one = manifest(entry("m1"), entry("m2"))
    world.run(one)
    del world.source.repos["org/m1"]
    report = world.run(one)
    assert states(report) == {"m1": ItemState.GONE, "m2": ItemState.UNCHANGED}
    assert report.exit_code == 3


def test_conditions_leave_out_with_a_reason(world: BatchWorld) -> None:
    world.seed("large", files={"w.bin": big(1), "README.md": b"#"})
    conditions = Conditions(min_size_bytes=1000)
    report = world.run(manifest(entry(pattern(), conditions=conditions)))
    assert [n for n, s in states(report).items() if s is ItemState.COPIED] == ["large"]
    assert {left.condition for left in report.left_out} == {"min-size"}
    world.requests(world.source)
    again = world.run(manifest(entry(pattern(), conditions=conditions)))
    assert states(again)["large"] is ItemState.UNCHANGED
    assert world.requests(world.source) == ["list_repos"], "sizes are remembered"


def test_the_size_of_what_failed_is_not_taken_for_known(world: BatchWorld) -> None:
    world.seed("large", files={"w.bin": big(1), "README.md": b"#"})
    large = manifest(entry(pattern("large"), conditions=Conditions(min_size_bytes=1000)))
    fail(world, "commit", NotFoundError("no"), times=1, side=Side.TARGET)
    assert states(world.run(large)) == {"large": ItemState.FAILED}
    assert states(world.run(large)) == {"large": ItemState.COPIED}


def test_what_a_question_before_the_copy_failed_of_waits_for_its_next_try(
    world: BatchWorld,
) -> None:
    world.retry_seconds = 900.0
    unheard = manifest(entry("nobody", conditions=Conditions(license_allow=("mit",))))
    assert states(world.run(unheard)) == {"nobody": ItemState.FAILED}
    world.requests(world.source)
    assert states(world.run(unheard)) == {"nobody": ItemState.WAITING}
    assert world.requests(world.source) == []
    world.clock.now += 901
    assert states(world.run(unheard)) == {"nobody": ItemState.FAILED}
    assert world.requests(world.source) == ["summary"]


def test_a_look_notes_no_failure(world: BatchWorld) -> None:
    one = manifest(entry("m1"))
    world.run(one)
    del world.source.repos["org/m1"]
    [item] = world.expand(one).items
    pair = str(item.source), str(item.target)
    before = world.ledger.recall([pair])
    look = world.turns().look(Turn(item, 1, before[pair]))
    assert look.early is not None
    assert look.early.state is ItemState.GONE
    assert world.ledger.recall([pair]) == before


def test_only_new_leaves_out_what_exists(world: BatchWorld) -> None:
    world.target.seed("mirror/m0", {"README.md": b"theirs"})
    report = world.run(manifest(entry(pattern(), conditions=Conditions(only_new=True))))
    assert states(report)["m0"] is ItemState.LEFT_OUT
    assert world.target.repos["mirror/m0"].files == {"README.md": b"theirs"}
    assert states(report)["m1"] is ItemState.COPIED


def test_only_changed_leaves_out_what_was_never_copied_and_what_is_the_same(
    world: BatchWorld,
) -> None:
    world.run(manifest(entry("m0"), entry("m1")))
    world.seed("m1", files={"README.md": b"new"})
    report = world.run(manifest(entry(pattern(), conditions=Conditions(only_changed=True))))
    assert states(report)["m1"] is ItemState.COPIED
    assert states(report)["m2"] is ItemState.LEFT_OUT
    assert states(report)["m0"] in (ItemState.LEFT_OUT, ItemState.UNCHANGED)


def test_only_changed_takes_up_again_what_failed_since_it_was_copied(world: BatchWorld) -> None:
    world.run(manifest(entry("m1")))
    world.seed("m1", files={"README.md": b"new"})
    changed = manifest(entry(pattern("m1"), conditions=Conditions(only_changed=True)))
    fail(world, "commit", NotFoundError("no"), times=1, side=Side.TARGET)
    assert states(world.run(changed)) == {"m1": ItemState.FAILED}
    assert states(world.run(changed)) == {"m1": ItemState.COPIED}
    assert states(world.run(changed)) == {"m1": ItemState.LEFT_OUT}, "and not for ever"


def test_a_source_that_was_only_too_large_is_not_missed(world: BatchWorld) -> None:
    small = manifest(entry(pattern(), conditions=Conditions(max_size_bytes=1)))
    world.run(small)
    del world.source.repos["org/m1"]
    assert world.run(small).notices == []


@pytest.mark.parametrize("end", ["failed", "killed"])
def test_only_new_finishes_what_it_has_begun_itself(world: BatchWorld, end: str) -> None:
    new = manifest(entry(pattern("m1"), conditions=Conditions(only_new=True)))

    def before(asked: str) -> None:
        if asked == "commit":
            raise KeyboardInterrupt if end == "killed" else NotFoundError("no")

    world.target.before = before
    with suppress(KeyboardInterrupt):
        world.run(new)
    assert "mirror/m1" in world.target.repos, "the target was made, and nothing is in it"
    world.target.before = lambda asked: None
    assert states(world.run(new)) == {"m1": ItemState.COPIED}
    world.seed("m1", files={"README.md": b"new"})
    assert states(world.run(new)) == {"m1": ItemState.LEFT_OUT}


def test_a_batch_of_one_source_asks_only_for_it(world: BatchWorld) -> None:
    world.run(ALL)
    world.requests(world.source)
    world.seed("m4", files={"README.md": b"new"})
    report = world.run(ALL, only=["from://org/m4"])
    assert states(report) == {"m4": ItemState.COPIED}
    assert "list_repos" not in world.requests(world.source)


def test_blobs_that_repositories_share_are_sent_once(world: BatchWorld) -> None:
    for number in range(4):
        world.seed(f"w{number}", files={"base.bin": big(7), "README.md": f"{number}".encode()})
    world.requests(world.target)
    world.run(manifest(entry(pattern("w*"))))
    assert world.requests(world.target).count("put_blob") == 1


def test_events_name_the_repository_they_are_about(world: BatchWorld) -> None:
    world.run(manifest(entry("m1")))
    kinds = [type(e) for e in world.events]
    assert kinds == [BatchStarted, RepoStarted, RepoFinished]
    done = world.events[-1]
    assert isinstance(done, RepoFinished)
    assert (done.number, str(done.source), done.state) == (1, "from://org/m1", "copied")


def test_several_at_a_time_do_the_same(world: BatchWorld) -> None:
    world.repos = 4
    for number in range(30):
        world.seed(f"x{number}", files={"b.bin": big(number % 5), "README.md": b"x"})
    report = world.run(ALL)
    assert Counter(states(report).values()) == {ItemState.COPIED: 36}
    assert set(states(world.run(ALL)).values()) == {ItemState.UNCHANGED}


def test_a_list_that_cannot_show_private_repositories_costs_a_question_each(
    world: BatchWorld,
) -> None:
    world.target.traits = replace(world.target.traits, lists_private=False)
    for number in range(6):
        world.source.repos[f"org/m{number}"].visibility = Visibility.PRIVATE
    world.run(ALL)
    world.requests(world.target)
    report = world.run(ALL)
    assert set(states(report).values()) == {ItemState.UNCHANGED}
    assert world.requests(world.target) == ["list_repos", *["summary"] * 6]
    assert [n.kind for n in report.notices] == ["listing"]


def test_an_explicit_revision_is_always_looked_at(world: BatchWorld) -> None:
    one = manifest(entry(source("m0", "c0")))
    world.run(one)
    assert states(world.run(one)) == {"m0@c0": ItemState.EQUAL}


def test_what_need_not_be_tried_fails_alone(world: BatchWorld) -> None:
    refusal = AccessError("not there")
    report = world.run(ALL, before_first=lambda items: {items[1].number: refusal})
    assert Counter(states(report).values()) == {ItemState.COPIED: 5, ItemState.FAILED: 1}
    assert "org/m1" not in world.copies
    failed = report.of(ItemState.FAILED)[0]
    assert failed.error is not None
    assert failed.error.error == "access"
    assert report.exit_code == 3


def test_lists_that_disagree_with_single_answers_cost_one_look_more(world: BatchWorld) -> None:
    world.target = MemoryHub(TARGET, lists_commits=False)
    world.run(ALL)
    assert set(states(world.run(ALL)).values()) == {ItemState.EQUAL}
    assert set(states(world.run(ALL)).values()) == {ItemState.UNCHANGED}


def test_a_list_older_than_another_process_s_work_is_not_kept(world: BatchWorld) -> None:
    one = manifest(entry(pattern("m0")))
    world.target.seed("mirror/m0", {"README.md": b"being made"})

    def finish_elsewhere(asked: str) -> None:
        # Between our list and our look another process brings it over.
        if asked == "list" and len(world.target.repos["mirror/m0"].commits) == 1:
            world.target.seed("mirror/m0", dict(world.source.repos["org/m0"].files))

    world.source.before = finish_elsewhere
    assert states(world.run(one)) == {"m0": ItemState.EQUAL}
    assert states(world.run(one)) == {"m0": ItemState.UNCHANGED}
