"""One writer per target branch: the second waits, or says who is in the way."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

import filelock
import pytest

from hubferry import locks
from hubferry.control import CancelToken
from hubferry.errors import CancelledError, ConflictError, LocalError
from hubferry.locks import writer_lock
from hubferry.model import Address, RepoId
from hubferry.text import Text

TARGET = Address(RepoId("ms", "org/name"))


class Wait:
    """What a wait told."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.reasons: set[str] = set()

    def __call__(self, reason: Text, until: float) -> None:
        self.reasons.add(str(reason))
        self.ends.append(until)


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_POLL_SECONDS", 0.005)


def hold(
    folder: Path,
    *,
    target: Address = TARGET,
    branch: str = "master",
    wait_seconds: float = 0.0,
    cancel: CancelToken | None = None,
    on_wait: Wait | None = None,
) -> AbstractContextManager[None]:
    return writer_lock(
        folder, target, branch, wait_seconds, cancel or CancelToken(), on_wait or Wait()
    )


def test_a_lock_is_free_again_after_use_and_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with hold(tmp_path / "new" / "locks"):
            pass
    with pytest.raises(ZeroDivisionError), hold(tmp_path):
        raise ZeroDivisionError
    with hold(tmp_path):
        pass


def test_a_second_writer_that_may_not_wait_is_refused(tmp_path: Path) -> None:
    wait = Wait()
    with hold(tmp_path), pytest.raises(ConflictError) as caught, hold(tmp_path, on_wait=wait):
        pytest.fail("two writers")
    assert (caught.value.exit_code, caught.value.step) == (4, "lock")
    assert "--wait-lock" in str(caught.value.hint)
    assert wait.ends == []


def test_a_second_writer_waits_for_its_turn(tmp_path: Path) -> None:
    wait, order = Wait(), list[str]()
    is_held = threading.Event()

    def first() -> None:
        with hold(tmp_path):
            is_held.set()
            while not wait.ends:
                time.sleep(0.001)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    is_held.wait(5)
    with hold(tmp_path, wait_seconds=10, on_wait=wait):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert wait.reasons == {"another process writes to ms://org/name"}
    assert wait.ends[0] == pytest.approx(time.time() + 10, abs=5)
    assert wait.ends[1:] == [0.0], "the end of the wait is told once"


def test_a_wait_that_ends_in_vain_is_over_too(tmp_path: Path) -> None:
    wait = Wait()
    with (
        hold(tmp_path),
        pytest.raises(ConflictError),
        hold(tmp_path, wait_seconds=0.02, on_wait=wait),
    ):
        pytest.fail("two writers")
    assert len(wait.ends) == 2
    assert wait.ends[-1] == 0.0


def test_a_waiting_writer_stops_when_asked_to(tmp_path: Path) -> None:
    cancel, wait = CancelToken(), Wait()
    timer = threading.Timer(0.02, cancel.cancel)
    with hold(tmp_path):
        timer.start()
        started = time.monotonic()
        with (
            pytest.raises(CancelledError),
            hold(tmp_path, wait_seconds=60, cancel=cancel, on_wait=wait),
        ):
            pytest.fail("two writers")
    assert time.monotonic() - started < 5
    assert wait.ends[-1] == 0.0


def test_other_branches_and_repositories_are_free(tmp_path: Path) -> None:
    other = Address(RepoId("ms", "org/other"))
    with hold(tmp_path), hold(tmp_path, branch="dev"), hold(tmp_path, target=other):
        pass


def test_the_revision_that_was_typed_does_not_make_another_lock(tmp_path: Path) -> None:
    typed = Address(TARGET.repo, "master")
    with hold(tmp_path), pytest.raises(ConflictError), hold(tmp_path, target=typed):
        pytest.fail("two writers")


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LocalError) as caught, hold(tmp_path / "file" / "locks"):
        pass
    assert "HUBFERRY_STATE_DIR" in str(caught.value.hint)


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(lock: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", no_locks)
    with pytest.raises(LocalError, match="flock"), hold(tmp_path):
        pass
