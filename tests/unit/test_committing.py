"""Commits: exactly once, whatever the answer, and the ledger learns from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.support.memory_world import TARGET, CountingHub, World

from hubferry.committing import Committer, Tally
from hubferry.errors import (
    AccessError,
    ConflictError,
    CopyError,
    HubError,
    NotFoundError,
    QuotaError,
    TooLargeError,
    UnavailableError,
)
from hubferry.events import Committed
from hubferry.hubs.memory import git_oid_of, sha256_of
from hubferry.model import Visibility
from hubferry.plan import RANK_DELETE, RANK_UNBLOCK, Action, PlanEntry, commit_rank
from hubferry.sending import Delivered
from hubferry.stream import Content
from hubferry.text import Text

Answer = Callable[[], None]


def entry(path: str, data: bytes = b"x") -> PlanEntry:
    return PlanEntry(
        path, Action.INLINE, Text(""), len(data), is_inline=True, rank=commit_rank(path)
    )


def deletion(path: str, rank: int = RANK_DELETE) -> PlanEntry:
    return PlanEntry(path, Action.DELETE, Text(""), rank=rank)


def content(data: bytes) -> Delivered:
    sha256, git_oid = sha256_of(data), git_oid_of(data)
    return Delivered(sha256, git_oid, Content(data, sha256, git_oid))


class Desk:
    """A committer on an empty target, and what it was given."""

    def __init__(self, *, old: dict[str, bytes] | None = None) -> None:
        self.world = World(target=CountingHub())
        self.world.seed({})
        self.world.target.create_repo(TARGET.repo, Visibility.PUBLIC, None)
        if old:
            self.world.seed_target(old)
        self.tally = Tally()
        self.found = self.world.look()
        self.committer = Committer(
            self.found, self.world.tools, self.tally, lambda n: f"commit {n}", "run"
        )

    def commit(self, *entries: PlanEntry) -> None:
        done = {e.path: content(b"x") for e in entries if e.action is not Action.DELETE}
        self.committer.commit(entries, done)

    def refuse(self, path: str, error: CopyError | None = None) -> None:
        """Refuse every commit that names ``path``."""
        commit = self.world.target.commit

        def picky(info, changes, message):  # type: ignore[no-untyped-def]
            if any(change.path == path for change in changes):
                raise error or HubError("not this one")
            return commit(info, changes, message)

        self.world.target.commit = picky  # type: ignore[method-assign]

    @property
    def made(self) -> int:
        """How many commits the target has."""
        return len(self.world.target.repos[TARGET.repo.name].messages)

    def lose_answers(self, count: int) -> None:
        """Do the work and lose the answer, ``count`` times."""
        left = [count]

        def after(request: str) -> None:
            if request == "commit" and left[0]:
                left[0] -= 1
                raise UnavailableError("no answer", ambiguous=True)

        assert isinstance(self.world.target, CountingHub)
        self.world.target.after = after


def test_a_commit_moves_the_head_and_is_told() -> None:
    desk = Desk()
    before = desk.found.target.commit
    desk.commit(entry("a.txt"), entry("b.txt"))
    assert desk.found.target.commit not in (None, before)
    assert desk.tally.commits == 1
    assert desk.tally.sent_paths == {"a.txt", "b.txt"}
    assert [e for e in desk.world.events if isinstance(e, Committed)] == [
        Committed(1, 2, desk.found.target.commit)
    ]
    run = desk.world.ledger.sha256_of([git_oid_of(b"x")])
    assert run == {git_oid_of(b"x"): sha256_of(b"x")}


def test_a_lost_answer_is_not_a_second_commit() -> None:
    desk = Desk()
    desk.lose_answers(1)
    desk.commit(entry("a.txt"))
    assert desk.made == 1
    assert desk.tally.commits == 1
    assert desk.found.target.commit == "c1"


def test_an_answer_lost_before_the_work_is_asked_about_and_sent_again() -> None:
    desk = Desk()
    left = [1]

    def before(request: str) -> None:
        if request == "commit" and left[0]:
            left[0] -= 1
            raise UnavailableError("no answer", ambiguous=True)

    desk.world.target.before = before
    desk.commit(entry("a.txt"))
    assert desk.made == 1
    assert desk.world.target.requests[-4:] == ["commit", "resolve", "list", "commit"]


def test_a_lost_answer_to_a_deletion_is_understood() -> None:
    desk = Desk(old={"old.txt": b"o"})
    desk.lose_answers(1)
    desk.commit(deletion("old.txt"))
    assert desk.made == 1
    assert desk.tally.deleted_paths == {"old.txt"}


def test_a_commit_that_lands_late_is_no_conflict() -> None:
    """No answer, not in the listing yet, sent again: refused, because it landed meanwhile."""
    desk = Desk()
    commit = desk.world.target.commit
    waiting: list[Callable[[], object]] = []

    def late(info, changes, message):  # type: ignore[no-untyped-def]
        if not waiting:
            waiting.append(lambda: commit(info, changes, message))
            raise UnavailableError("no answer", ambiguous=True)
        waiting[0]()
        raise ConflictError("the branch moved")

    desk.world.target.commit = late  # type: ignore[method-assign]
    desk.commit(entry("a.txt"))
    assert desk.made == 1
    assert desk.tally.sent_paths == {"a.txt"}


def test_a_branch_moved_by_somebody_else_is_a_conflict() -> None:
    desk = Desk()
    desk.refuse("a.txt", ConflictError("the branch moved"))
    with pytest.raises(ConflictError):
        desk.commit(entry("a.txt"))
    assert desk.made == 0


def test_after_a_lost_answer_somebody_elses_commit_is_still_a_conflict() -> None:
    desk = Desk()
    answers = iter([UnavailableError("no answer", ambiguous=True), ConflictError("moved")])

    def before(request: str) -> None:
        if request == "commit":
            raise next(answers)

    desk.world.target.before = before
    with pytest.raises(ConflictError):
        desk.commit(entry("a.txt"))


def test_answers_lost_for_ever_end_the_run() -> None:
    desk = Desk()

    def before(request: str) -> None:
        if request == "commit":
            raise UnavailableError("no answer", ambiguous=True)

    desk.world.target.before = before
    with pytest.raises(UnavailableError) as caught:
        desk.commit(entry("a.txt"), entry("b.txt"))
    assert caught.value.step == "commit"
    assert desk.world.requests("commit") == 4, "as often as the patience allows, once"


def test_a_hidden_path_of_a_cut_listing_is_looked_at_one_by_one() -> None:
    desk = Desk()
    list_files = desk.world.target.list_files

    def cut(info):  # type: ignore[no-untyped-def]
        found = list_files(info)
        return replace(found, entries=(), doubtful_folders=("",))

    desk.world.target.list_files = cut  # type: ignore[method-assign]
    desk.lose_answers(1)
    desk.commit(entry("a.txt"))
    assert desk.made == 1
    assert "stat a.txt" in desk.world.target.requests


@pytest.mark.parametrize("error", [AccessError, QuotaError, NotFoundError, ConflictError])
def test_what_concerns_the_whole_repository_is_not_halved(error: type[CopyError]) -> None:
    desk = Desk()
    desk.refuse("a.txt", error("no"))
    with pytest.raises(error) as caught:
        desk.commit(entry("a.txt"), entry("b.txt"))
    assert desk.made == 0
    assert (caught.value.side, caught.value.step) == ("target", "commit")


def test_a_group_too_large_is_halved() -> None:
    desk = Desk()
    commit = desk.world.target.commit

    def small_only(info, changes, message):  # type: ignore[no-untyped-def]
        if len(changes) > 2:
            raise TooLargeError("too much at once")
        return commit(info, changes, message)

    desk.world.target.commit = small_only  # type: ignore[method-assign]
    desk.commit(*(entry(f"{n}.txt") for n in range(7)))
    assert desk.made == 4
    assert not desk.tally.failures


def test_a_refused_weight_holds_back_config_card_and_deletions_of_its_group() -> None:
    desk = Desk(old={"old.txt": b"o", "kept": b"k"})
    desk.refuse("w.bin")
    desk.commit(
        entry("v.bin"),
        entry("w.bin"),
        entry("config.json"),
        entry("README.md"),
        deletion("old.txt"),
    )
    assert set(desk.tally.failures) == {"w.bin", "config.json", "README.md"}
    assert desk.tally.failures["config.json"].code == "conflict"
    assert desk.tally.failures["config.json"].path == "config.json"
    assert not desk.tally.deleted_paths
    assert set(desk.world.target_files) == {"old.txt", "kept", "v.bin"}


def test_a_refused_config_holds_back_the_card_but_not_other_configs() -> None:
    desk = Desk()
    desk.refuse("a.json")
    desk.commit(entry("a.json"), entry("b.json"), entry("README.md"))
    assert set(desk.tally.failures) == {"a.json", "README.md"}
    assert set(desk.world.target_files) == {"b.json"}


def test_a_file_in_the_way_goes_even_after_a_failure_for_what_needs_its_place() -> None:
    desk = Desk(old={"folder": b"a file"})
    desk.tally.fail("elsewhere.bin", HubError("failed before"))
    desk.commit(deletion("folder", RANK_UNBLOCK), entry("folder/inside.txt"))
    assert set(desk.world.target_files) == {"folder/inside.txt"}


def test_nothing_left_to_commit_is_no_commit() -> None:
    desk = Desk(old={"old.txt": b"o"})
    desk.tally.fail("w.bin", HubError("failed before"))
    desk.commit(entry("README.md"), deletion("old.txt"))
    assert desk.world.requests("commit") == 0
