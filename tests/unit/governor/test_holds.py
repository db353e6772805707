"""Holds: a refusal is met once, by whoever was on the way; then one goes first, then all."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.governed import Clocks, other_process

from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.errors import CancelledError, NotFoundError, RateLimitedError, UnavailableError
from hubferry.governor import Account, Governor
from hubferry.governor.byte_locks import ByteLocks
from hubferry.governor.holds import MOST_SECONDS, PROBE_SECONDS, Holds
from hubferry.net.secret import Secret
from hubferry.text import Text


class Desk:
    """Holds over one folder, with clocks of their own."""

    def __init__(self, folder: Path, clocks: Clocks | None = None) -> None:
        self.folder = folder
        self.clocks = clocks or Clocks()
        self.cancel = CancelToken()
        self.told: list[OSError] = []
        self.locks = ByteLocks(folder / "probes")
        self.holds = Holds(
            self._place,
            lambda: self.locks,
            self.told.append,
            clock=self.clocks.monotonic,
            now=self.clocks.unix,
        )

    def _place(self, to_keep: bool) -> Path:
        return self.folder

    def patience(self) -> Patience:
        return self.clocks.patience(self.cancel)

    def ask(self, kind: str = "api") -> None:
        """One request that is let through."""
        with self.holds.turn(kind, self.patience):
            pass

    def refuse(self, seconds: float | None, kind: str = "api") -> None:
        """One request that is refused."""
        with self.holds.turn(kind, self.patience) as refused:
            refused(seconds)

    def files(self) -> list[dict[str, float]]:
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("*.hold"))]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "account")


def later(desk: Desk, seconds: float = 0.3) -> None:
    """Time passes, so that files are looked at again."""
    desk.clocks.now += seconds


def test_without_a_refusal_nothing_waits_and_nothing_is_written(desk: Desk) -> None:
    for _ in range(100):
        desk.ask()
    assert desk.clocks.pauses == []
    assert not desk.folder.exists()


def test_after_a_refusal_the_hubs_own_time_is_waited_for(desk: Desk) -> None:
    desk.refuse(30)
    desk.ask()
    desk.ask()
    assert desk.clocks.pauses == [pytest.approx(30)]


def test_kinds_are_apart(desk: Desk) -> None:
    desk.refuse(600, "commit:org/name")
    for kind in ("api", "create", "commit:org/other"):
        desk.ask(kind)
    assert desk.clocks.pauses == []


def test_other_instances_and_processes_wait_too_and_go_on_when_one_was_let_through(
    desk: Desk,
) -> None:
    other = Desk(desk.folder, desk.clocks)
    other.ask()
    desk.refuse(30)
    later(desk)
    other.ask()
    assert desk.clocks.pauses == [pytest.approx(29.7)]
    assert desk.files() == []
    later(desk)
    desk.ask()
    assert len(desk.clocks.pauses) == 1


def test_those_that_were_on_their_way_together_count_as_one_refusal(desk: Desk) -> None:
    with ExitStack() as flying:
        turns = [flying.enter_context(desk.holds.turn("api", desk.patience)) for _ in range(16)]
        for refused in turns:
            desk.clocks.now += 0.01
            refused(None)
    (note,) = desk.files()
    assert note["refusals"] == 1
    assert note["until"] - note["noted"] == pytest.approx(5.0)


def test_the_longest_time_that_was_told_counts(desk: Desk) -> None:
    with ExitStack() as flying:
        turns = [flying.enter_context(desk.holds.turn("api", desk.patience)) for _ in range(3)]
        for refused, seconds in zip(turns, (10.0, 60.0, 20.0), strict=True):
            refused(seconds)
    desk.ask()
    assert desk.clocks.pauses == [pytest.approx(60)]


def test_without_a_word_on_the_end_the_pauses_double_up_to_five_minutes(desk: Desk) -> None:
    for _ in range(9):
        desk.refuse(None)
    assert desk.clocks.pauses == pytest.approx([5, 10, 20, 40, 80, 160, 300, 300])


def test_again_at_once_for_ever_is_no_tight_loop(desk: Desk) -> None:
    for _ in range(5):
        desk.refuse(0)
    assert desk.clocks.pauses == pytest.approx([0.5, 1, 2, 4])


def test_being_let_through_forgets_the_refusals_before(desk: Desk) -> None:
    desk.refuse(None)
    desk.refuse(None)
    desk.ask()
    desk.clocks.pauses.clear()
    desk.refuse(None)
    desk.ask()
    assert desk.clocks.pauses == pytest.approx([5])


@pytest.mark.parametrize("nonsense", [float("nan"), -5.0])
def test_a_senseless_time_is_taken_for_none(desk: Desk, nonsense: float) -> None:
    desk.refuse(nonsense)
    desk.ask()
    assert desk.clocks.pauses == pytest.approx([5])


def test_a_hold_is_never_longer_than_six_hours(desk: Desk) -> None:
    desk.refuse(1e12)
    desk.ask()
    assert desk.clocks.pauses == pytest.approx([MOST_SECONDS])


# --- the wait itself ----------------------------------------------------------------


def test_the_wait_is_paid_from_the_budget_and_told(desk: Desk) -> None:
    told: list[tuple[str, bool]] = []

    def hear(reason: Text, until: float) -> None:
        told.append((str(reason), until > 0))

    desk.refuse(0.5)
    with desk.holds.turn("api", lambda: Patience(desk.cancel, WaitBudget(1.0), on_wait=hear)):
        pass
    assert told == [("rate limit", True), ("rate limit", False)]


def test_a_wait_that_the_run_may_not_wait_is_an_error_that_says_so(desk: Desk) -> None:
    desk.refuse(30)
    with pytest.raises(RateLimitedError) as caught:
        desk.holds.turn("api", lambda: Patience(desk.cancel, WaitBudget(10.0))).__enter__()
    assert caught.value.is_final
    assert "--wait-on-limit" in str(caught.value.hint)
    assert caught.value.retry_after_seconds == pytest.approx(30)


def test_a_stopped_run_waits_for_nothing(desk: Desk) -> None:
    desk.refuse(30)
    desk.cancel.cancel()
    with pytest.raises(CancelledError):
        desk.ask()
    assert desk.clocks.pauses == []


def test_a_stop_wakes_whoever_waits_for_a_probe(desk: Desk) -> None:
    desk.refuse(1)
    ended: list[BaseException] = []

    def second() -> None:
        try:
            desk.ask()
        except CancelledError as error:
            ended.append(error)

    with desk.holds.turn("api", desk.patience):
        waiter = threading.Thread(target=second)
        waiter.start()
        desk.cancel.cancel()
        waiter.join(10)
        assert not waiter.is_alive()
    assert len(ended) == 1


# --- one first, then all ------------------------------------------------------------


class Crowd:
    """Threads that each send one request and stay in it until they are told to end."""

    def __init__(self, desk: Desk, count: int) -> None:
        self.desk = desk
        self.inside = 0
        self._changed = threading.Condition()
        self._may_end = 0
        self._threads = [threading.Thread(target=self._go, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _go(self) -> None:
        with self.desk.holds.turn("api", self.desk.patience):
            with self._changed:
                self.inside += 1
                self._changed.notify_all()
                assert self._changed.wait_for(lambda: self._may_end > 0, 20)
                self._may_end -= 1

    def await_inside(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.inside >= count, 20)

    def end(self, count: int) -> None:
        with self._changed:
            self._may_end += count
            self._changed.notify_all()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()


def test_one_goes_first_and_the_rest_follow_when_it_was_let_through(desk: Desk) -> None:
    desk.refuse(10)
    crowd = Crowd(desk, 16)
    crowd.await_inside(1)
    time.sleep(0.3)  # real: the others have every chance to be wrong
    assert crowd.inside == 1
    crowd.end(1)
    crowd.await_inside(16)
    crowd.end(15)
    crowd.join()
    assert desk.files() == []


def test_a_probe_that_fails_without_an_answer_is_followed_by_another(desk: Desk) -> None:
    desk.refuse(10)
    for _ in range(3):
        with (
            pytest.raises(UnavailableError),
            desk.holds.turn("api", desk.patience),
        ):
            raise UnavailableError("no connection")
    assert len(desk.files()) == 1
    desk.ask()
    assert desk.files() == []


def test_another_error_of_the_hub_shows_that_the_limit_is_over(desk: Desk) -> None:
    desk.refuse(10)
    with pytest.raises(NotFoundError), desk.holds.turn("api", desk.patience):
        raise NotFoundError("no such thing")
    assert desk.files() == []


def test_a_probe_that_takes_long_holds_up_nobody_for_ever(desk: Desk) -> None:
    desk.refuse(10)
    with desk.holds.turn("api", desk.patience):
        later(desk, PROBE_SECONDS)
        desk.ask()
        desk.ask()


def test_a_refusal_that_comes_while_a_probe_is_let_through_stays(desk: Desk) -> None:
    other = Desk(desk.folder, desk.clocks)
    with other.holds.turn("api", other.patience) as refused:
        desk.refuse(1)
        with desk.holds.turn("api", desk.patience):
            later(desk)
            refused(50)
    assert len(desk.files()) == 1
    later(desk)
    desk.clocks.pauses.clear()
    desk.ask()
    assert desk.clocks.pauses[0] > 45


# --- files that make no sense -------------------------------------------------------


def hold_file(desk: Desk) -> Path:
    """The file of a hold on ``api``."""
    desk.refuse(10)
    (path,) = desk.folder.glob("*.hold")
    return path


@pytest.mark.parametrize(
    "note",
    [
        {"until": 7 * 3600.0, "noted": 0.0},
        {"until": 100.0, "noted": 50.0},
        {"until": -1000.0, "noted": -2000.0},
        {"noted": 0.0},
        {"until": "soon", "noted": True},
    ],
    ids=["too far ahead", "the clock was set back", "long over", "no end", "no numbers"],
)
def test_a_senseless_hold_is_dropped(desk: Desk, note: dict[str, object]) -> None:
    path = hold_file(desk)
    unix = desk.clocks.unix()
    path.write_text(
        json.dumps({k: v + unix if isinstance(v, float) else v for k, v in note.items()})
    )
    other = Desk(desk.folder, desk.clocks)
    other.ask()
    assert desk.clocks.pauses == []
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "{", "[" * 3000, "\x00" * 100_000])
def test_a_broken_file_holds_up_nobody(desk: Desk, text: str) -> None:
    hold_file(desk).write_text(text)
    Desk(desk.folder, desk.clocks).ask()
    assert desk.clocks.pauses == []


def test_a_clock_that_is_set_during_a_wait_changes_nothing(desk: Desk) -> None:
    desk.refuse(30)
    desk.clocks.unix_offset -= 86_400
    later(desk)
    desk.ask()
    assert desk.clocks.pauses == [pytest.approx(29.7)]


def test_a_folder_that_cannot_be_written_leaves_the_holds_of_this_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    desk = Desk(tmp_path / "file" / "account")
    desk.refuse(30)
    later(desk)
    desk.ask()
    assert desk.clocks.pauses == [pytest.approx(29.7)]
    assert desk.told


def test_files_are_looked_at_four_times_a_second_at_most(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []

    def count(path: Path) -> None:
        looks.append(path)

    monkeypatch.setattr("hubferry.governor.holds.stamp_of", count)
    for _ in range(1000):
        desk.ask()
        desk.clocks.now += 0.001
    assert len(looks) <= 5


# --- two processes ------------------------------------------------------------------


def account(folder: Path) -> Account:
    """What ``governor_child`` uses, in this process."""
    made = Governor(folder, level=lambda: 2, most=2).account("hub")
    made.bind("https://hub.example", Secret("a-token-of-the-tests"))
    return made


def real_patience() -> Patience:
    return Patience(CancelToken(), WaitBudget(3600.0))


@pytest.fixture
def ask_here(tmp_path: Path) -> Callable[[], float]:
    shared = account(tmp_path)

    def ask() -> float:
        began = time.monotonic()
        with shared.turn("api", real_patience):
            return time.monotonic() - began

    return ask


def test_a_refusal_of_one_process_is_waited_for_by_another(
    tmp_path: Path, ask_here: Callable[[], float]
) -> None:
    with other_process() as other:
        assert float(other.ask("turn", tmp_path, "api").split()[1]) < 0.2
        other.ask("refuse", tmp_path, "api", 1.0)
        assert 0.6 < ask_here() < 3
        assert float(other.ask("turn", tmp_path, "api").split()[1]) < 0.5


def test_only_one_of_all_processes_goes_first(
    tmp_path: Path, ask_here: Callable[[], float]
) -> None:
    with other_process() as first, other_process() as second:
        first.ask("refuse", tmp_path, "api", 0.5)
        assert first.ask("probe", tmp_path, "api") == "probing"
        second.say("turn", tmp_path, "api")
        time.sleep(0.7)
        assert second.is_silent
        first.ask("answer")
        assert second.answer().startswith("passed")
        assert ask_here() < 0.5


def test_a_process_that_is_killed_while_it_goes_first_leaves_the_way_to_another(
    tmp_path: Path, ask_here: Callable[[], float]
) -> None:
    with other_process() as other:
        other.ask("refuse", tmp_path, "api", 0.5)
        other.ask("probe", tmp_path, "api")
        other.kill()
        assert ask_here() < 2
