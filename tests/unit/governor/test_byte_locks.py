"""Locks on bytes: one holder among all threads and processes, and none outlives its process."""

from __future__ import annotations

import errno
import sys
import threading
from pathlib import Path

import pytest
from tests.support.governed import other_process

from hubferry.governor.byte_locks import ByteLocks

FAR = 2**62 - 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some" / "locks"


def test_a_byte_is_held_once_and_its_neighbours_are_free(path: Path) -> None:
    locks = ByteLocks(path)
    assert locks.try_acquire(7)
    assert not locks.try_acquire(7)
    assert locks.try_acquire(8)
    locks.release(7)
    assert locks.try_acquire(7)
    assert not locks.try_acquire(8)


def test_no_byte_is_written_however_far_it_is(path: Path) -> None:
    locks = ByteLocks(path)
    assert locks.try_acquire(FAR)
    assert path.stat().st_size == 0


def test_no_file_is_made_before_a_lock_is_asked_for(path: Path) -> None:
    ByteLocks(path).release(3)
    ByteLocks(path).close()
    assert not path.parent.exists()


def test_of_many_threads_one_gets_a_byte(path: Path) -> None:
    locks, had = ByteLocks(path), []
    start = threading.Barrier(8)

    def try_it() -> None:
        start.wait(10)
        if locks.try_acquire(1):
            had.append(1)

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert had == [1]


def test_two_instances_of_a_file_are_one_set_of_locks(path: Path) -> None:
    first, second = ByteLocks(path), ByteLocks(path.parent / "." / "locks")
    assert first.try_acquire(1)
    assert not second.try_acquire(1)


@pytest.mark.parametrize("offset", [0, 5, FAR])
def test_another_process_sees_what_is_held_and_what_was_given_back(path: Path, offset: int) -> None:
    locks = ByteLocks(path)
    assert locks.try_acquire(offset)
    with other_process() as other:
        assert other.ask("lock", path, offset) == "refused"
        locks.release(offset)
        assert other.ask("lock", path, offset) == "had"
        assert not locks.try_acquire(offset)
        other.ask("release", path, offset)
        assert locks.try_acquire(offset)


def test_one_instance_that_is_closed_frees_nothing_of_another(path: Path) -> None:
    """Closing any descriptor of a file would free all its locks."""
    first, second = ByteLocks(path), ByteLocks(path)
    assert first.try_acquire(1)
    assert second.try_acquire(2)
    second.release(2)
    second.close()
    with other_process() as other:
        assert other.ask("lock", path, 1) == "refused"
        assert other.ask("lock", path, 2) == "had"


def test_what_is_held_when_it_is_closed_stays_held_until_it_is_given_back(path: Path) -> None:
    locks = ByteLocks(path)
    assert locks.try_acquire(1)
    locks.close()
    with other_process() as other:
        assert other.ask("lock", path, 1) == "refused"
        locks.release(1)
        assert other.ask("lock", path, 1) == "had"


def test_a_closed_one_can_be_used_again(path: Path) -> None:
    locks = ByteLocks(path)
    assert locks.try_acquire(1)
    locks.release(1)
    locks.close()
    locks.close()
    assert locks.try_acquire(1)
    with other_process() as other:
        assert other.ask("lock", path, 1) == "refused"


def test_a_killed_process_holds_nothing(path: Path) -> None:
    locks = ByteLocks(path)
    with other_process() as other:
        assert other.ask("lock", path, 9) == "had"
        assert not locks.try_acquire(9)
        other.kill()
        assert locks.try_acquire(9)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed")
def test_a_removed_file_is_made_anew_when_nothing_of_it_is_held(path: Path) -> None:
    locks = ByteLocks(path)
    assert locks.try_acquire(1)
    locks.release(1)
    path.unlink()
    assert locks.try_acquire(1)
    with other_process() as other:
        assert other.ask("lock", path, 1) == "refused"


@pytest.mark.skipif(sys.platform == "win32", reason="fcntl")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_leaves_those_of_this_process_and_is_told_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_locks(*args: object) -> None:
        raise OSError(code, "no locks here")

    monkeypatch.setattr("hubferry.governor.byte_locks.fcntl.lockf", no_locks)
    told: list[OSError] = []
    locks = ByteLocks(path, tell=told.append)
    assert locks.try_acquire(1)
    assert not ByteLocks(path).try_acquire(1)
    assert locks.try_acquire(2)
    locks.release(1)
    assert locks.try_acquire(1)
    assert [error.errno for error in told] == [code]


def test_a_folder_that_cannot_be_made_leaves_the_locks_of_this_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    told: list[OSError] = []
    locks = ByteLocks(tmp_path / "file" / "locks", tell=told.append)
    assert locks.try_acquire(1)
    assert not locks.try_acquire(1)
    assert len(told) == 1
