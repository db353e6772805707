"""The spool: bytes that came once stay, in any process, and never stand in a copy's way."""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import filelock
import pytest
from tests.support import spool_child
from tests.support.spool_child import content, put

from hubferry.errors import LocalError, Side, SpoolError
from hubferry.model import Sha256
from hubferry.spool import BLOCK_BYTES, Spool, SpoolFile, SpoolMode, SpoolPolicy, disk, room
from hubferry.text import Text

A, B, C = (Sha256(letter * 64) for letter in "abc")
SIZE = 3 * BLOCK_BYTES + 100
DAY = 24 * 3600.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "spool"


def make(
    folder: Path,
    limit_bytes: int | None = None,
    reserve_bytes: int | None = 0,
    clock: Callable[[], float] | None = None,
) -> Spool:
    policy = SpoolPolicy(SpoolMode.AUTO, folder, limit_bytes, reserve_bytes)
    return Spool(policy, clock=clock) if clock else Spool(policy)


def opened(spool: Spool, sha256: Sha256 = A, size_bytes: int = SIZE) -> SpoolFile:
    whys: list[Text] = []
    file = spool.open(sha256, size_bytes, whys.append)
    assert file is not None, whys
    return file


def refusal(spool: Spool, sha256: Sha256 = A, size_bytes: int = SIZE) -> str:
    whys: list[Text] = []
    assert spool.open(sha256, size_bytes, whys.append) is None
    (why,) = whys
    return str(why)


def get(file: SpoolFile, start: int, end: int) -> bytes:
    buffer = bytearray(end - start)
    return bytes(buffer[: file.read(start, memoryview(buffer))])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- one file ----------------------------------------------------------------


def test_what_is_missing_is_told_block_by_block(folder: Path) -> None:
    with opened(make(folder)) as file:
        assert file.missing() == (0, SIZE)
        put(file, 1)
        assert file.missing() == (0, BLOCK_BYTES)
        assert file.missing(BLOCK_BYTES) == (2 * BLOCK_BYTES, SIZE)
        assert file.missing(2 * BLOCK_BYTES + 5) == (2 * BLOCK_BYTES, SIZE)
        put(file, 0, 3)
        assert file.missing() == (2 * BLOCK_BYTES, 3 * BLOCK_BYTES)
        put(file, 2)
        assert file.missing() is None
        assert file.missing(SIZE) is None


def test_only_whole_blocks_are_marked(folder: Path) -> None:
    with opened(make(folder)) as file:
        file.mark(1, BLOCK_BYTES)
        file.mark(0, BLOCK_BYTES - 1)
        file.mark(3 * BLOCK_BYTES, SIZE - 1)
        assert file.present_bytes == 0
        file.mark(1, 2 * BLOCK_BYTES + 1)
        assert file.missing(BLOCK_BYTES) == (2 * BLOCK_BYTES, SIZE)
        assert file.present_bytes == BLOCK_BYTES
        file.mark(3 * BLOCK_BYTES, SIZE)
        assert file.present_bytes == BLOCK_BYTES + 100


def test_a_range_is_present_when_all_its_blocks_are(folder: Path) -> None:
    with opened(make(folder)) as file:
        put(file, 1, 2)
        assert file.is_present(BLOCK_BYTES, 3 * BLOCK_BYTES)
        assert file.is_present(BLOCK_BYTES + 7, BLOCK_BYTES + 8)
        assert file.is_present(5, 5)
        assert not file.is_present(BLOCK_BYTES - 1, BLOCK_BYTES + 1)
        assert not file.is_present(2 * BLOCK_BYTES, SIZE)


def test_reading_ends_where_the_present_bytes_end(folder: Path) -> None:
    with opened(make(folder)) as file:
        put(file, 0, 3)
        assert get(file, 0, SIZE) == content(0)
        assert get(file, 10, 20) == content(0)[10:20]
        assert get(file, BLOCK_BYTES, SIZE) == b""
        assert get(file, 3 * BLOCK_BYTES, SIZE + 50) == content(3, 100)
        assert get(file, SIZE, SIZE + 50) == b""


def test_writing_beyond_the_end_is_a_mistake(folder: Path) -> None:
    with opened(make(folder)) as file:
        for offset in (-1, SIZE - 1):
            with pytest.raises(ValueError, match="beyond"):
                file.write(offset, memoryview(b"ab"))


@pytest.mark.parametrize("has_offsets", [True, False])
def test_many_threads_write_in_any_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch, has_offsets: bool
) -> None:
    monkeypatch.setattr(disk, "HAS_OFFSETS", has_offsets and disk.HAS_OFFSETS)
    blocks = list(range(16))
    random.Random(3).shuffle(blocks)
    with opened(make(folder), size_bytes=16 * BLOCK_BYTES) as file:
        threads = [
            threading.Thread(target=put, args=(file, *blocks[at::4]), daemon=True)
            for at in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert file.missing() is None
        assert all(
            get(file, block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES) == content(block)
            for block in blocks
        )


# --- kept, taken up again, removed -------------------------------------------------


def test_closed_bytes_are_there_for_the_next_run(folder: Path) -> None:
    spool = make(folder)
    assert not spool.has(A)
    with opened(spool) as file:
        put(file, 0, 2)
    assert make(folder).has(A)
    with opened(make(folder)) as file:
        assert file.missing() == (BLOCK_BYTES, 2 * BLOCK_BYTES)
        assert get(file, 2 * BLOCK_BYTES, SIZE) == content(2)


def test_nothing_is_left_of_removed_bytes(folder: Path) -> None:
    spool = make(folder)
    file = opened(spool)
    put(file, 0)
    file.remove()
    assert names(folder) == {"spool.lock"}
    assert (folder / "spool.lock").stat().st_size == 0
    assert not spool.has(A)


def test_only_the_first_end_counts(folder: Path) -> None:
    spool = make(folder)
    file = opened(spool)
    file.close()
    with opened(spool):
        file.remove()
        assert spool.has(A), "they belong to somebody else now"
        assert refusal(spool)
    file.remove()
    assert spool.has(A)


def test_a_closed_file_says_so(folder: Path) -> None:
    file = opened(make(folder))
    put(file, 0)
    file.close()
    with pytest.raises(SpoolError, match="closed"):
        file.write(0, memoryview(b"x"))
    with pytest.raises(SpoolError, match="closed"):
        file.mark(BLOCK_BYTES, SIZE)
    with pytest.raises(SpoolError, match="closed"):
        get(file, 0, 1)


def test_closing_waits_for_a_write_under_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = opened(make(folder))
    is_writing, may_write = threading.Event(), threading.Event()
    write = disk.DiskFile._write_some

    def slow(self: disk.DiskFile, offset: int, data: memoryview) -> int:
        is_writing.set()
        assert may_write.wait(60)
        return write(self, offset, data)

    monkeypatch.setattr(disk.DiskFile, "_write_some", slow)
    writer = threading.Thread(target=file.write, args=(0, memoryview(b"abc")), daemon=True)
    closer = threading.Thread(target=file.close, daemon=True)
    writer.start()
    assert is_writing.wait(60)
    closer.start()
    assert refusal(make(folder)) == "another copy is spooling the same bytes"
    may_write.set()
    writer.join(60)
    closer.join(60)
    assert (folder / f"{A.hex}.data").read_bytes()[:3] == b"abc"
    opened(make(folder)).close()


def test_files_and_folder_are_for_their_owner_alone(folder: Path) -> None:
    with opened(make(folder)):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
        assert names(folder) == {"spool.lock", *(f"{A.hex}.{x}" for x in ("data", "map", "lock"))}


def test_looking_makes_nothing(folder: Path) -> None:
    spool = make(folder)
    spool.sweep()
    assert not spool.has(A)
    assert not folder.exists()


@contextmanager
def damaged(folder: Path, ending: str) -> Iterator[Path]:
    with opened(make(folder)) as file:
        put(file, 0, 1, 2, 3)
    yield folder / f"{A.hex}.{ending}"
    with opened(make(folder)) as file:
        assert file.missing() == (0, SIZE)
        put(file, 0)
    with opened(make(folder)) as file:
        assert file.present_bytes == BLOCK_BYTES


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:40],
        lambda data: data[:-1],
        lambda data: data + b"\x01",
        lambda data: b"x" + data[1:],
        lambda data: data[:-1] + b"\x02",
        lambda data: os.urandom(len(data)),
    ],
    ids=["empty", "cut", "short", "long", "magic", "mark", "foreign"],
)
def test_a_damaged_map_starts_over(folder: Path, spoil: Callable[[bytes], bytes]) -> None:
    with damaged(folder, "map") as path:
        path.write_bytes(spoil(path.read_bytes()))


@pytest.mark.parametrize("ending", ["map", "data"])
def test_a_lost_file_starts_over(folder: Path, ending: str) -> None:
    with damaged(folder, ending) as path:
        path.unlink()


def test_data_of_another_length_start_over(folder: Path) -> None:
    with damaged(folder, "data") as path:
        os.truncate(path, SIZE - 1)


@pytest.mark.parametrize("ending", ["map", "data"])
def test_links_laid_out_by_others_are_not_written_through(
    folder: Path, tmp_path: Path, ending: str
) -> None:
    precious = tmp_path / "precious"
    for link in (os.symlink, os.link):
        with damaged(folder, ending) as path:
            precious.write_bytes(path.read_bytes())
            path.unlink()
            link(precious, path)
        assert precious.stat().st_nlink == 1
        precious.unlink()


def test_another_size_of_the_same_digest_starts_over(folder: Path) -> None:
    with opened(make(folder)) as file:
        put(file, 0, 1)
    with opened(make(folder), size_bytes=2 * BLOCK_BYTES) as file:
        assert file.missing() == (0, 2 * BLOCK_BYTES)
        assert get(file, 0, 10) == b""


# --- room ----------------------------------------------------------------------------


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def set_free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    def set_it(free: int, total: int = 100 * 1000**3) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(total, total - free, free))

    return set_it


def test_all_blobs_together_stay_within_the_limit(folder: Path) -> None:
    spool = make(folder, limit_bytes=2 * SIZE + 5)
    first, second = opened(spool, A), opened(spool, B)
    assert refusal(spool, C).startswith("no room in the spool for 3.1 MB: 6.3 MB of its limit")
    assert names(folder) & {f"{C.hex}.data", f"{C.hex}.lock"} == set()
    first.remove()
    opened(spool, C).close()
    second.close()


def test_kept_bytes_count_with_what_they_take(folder: Path) -> None:
    spool = make(folder, limit_bytes=2 * SIZE)
    with opened(spool, A) as file:
        put(file, 0)
    with opened(spool, B):  # the other one holds a block, not its whole length
        assert refusal(spool, C, 2 * BLOCK_BYTES + 200)
        opened(spool, C, BLOCK_BYTES).remove()
        assert "limit" in refusal(make(folder, limit_bytes=2 * SIZE - 1), A)
        with opened(spool, A) as file:
            assert file.present_bytes == BLOCK_BYTES


def test_the_reserve_of_the_disk_stays_free(
    folder: Path, set_free: Callable[[int, int], None]
) -> None:
    spool = make(folder, reserve_bytes=1000)
    set_free(SIZE + 999, 10**9)
    assert "stay free" in refusal(spool)
    set_free(SIZE + 1000, 10**9)
    opened(spool).remove()


def test_room_promised_to_one_blob_is_not_promised_again(
    folder: Path, set_free: Callable[[int, int], None]
) -> None:
    spool = make(folder)
    set_free(2 * SIZE - 1, 10**9)
    with opened(spool, A) as file:
        assert refusal(spool, B)
        put(file, 0)
        set_free(2 * SIZE - 1 - BLOCK_BYTES, 10**9)  # as the disk would say now
        assert refusal(spool, B)
    opened(spool, B).remove()


def test_kept_bytes_need_room_for_their_rest_only(
    folder: Path, set_free: Callable[[int, int], None]
) -> None:
    spool = make(folder)
    with opened(spool) as file:
        put(file, 0, 1, 2)
    set_free(BLOCK_BYTES, 10**9)
    opened(spool).close()
    set_free(99, 10**9)
    assert refusal(spool)
    assert spool.has(A), "kept for a day with more room"


@pytest.mark.parametrize(("total", "reserve"), [(10**12, 5 * 10**9), (10**10, 10**9)])
def test_the_usual_reserve_is_a_tenth_but_no_more_than_5_gb(
    folder: Path, set_free: Callable[[int, int], None], total: int, reserve: int
) -> None:
    spool = make(folder, reserve_bytes=None)
    set_free(reserve + SIZE - 1, total)
    assert refusal(spool)
    set_free(reserve + SIZE, total)
    opened(spool).remove()


# --- a disk that fails ------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, getattr(errno, "EDQUOT", errno.EIO)])
def test_a_disk_that_fails_is_one_clear_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(*args: object) -> int:
        raise OSError(code, os.strerror(code))

    with opened(make(folder)) as file:
        put(file, 0)
        monkeypatch.setattr(disk.DiskFile, "_write_some", fail)
        with pytest.raises(SpoolError, match=os.strerror(code)) as caught:
            put(file, 1)
        assert isinstance(caught.value, LocalError)
        assert (caught.value.side, caught.value.retryable) == (Side.LOCAL, False)
        assert get(file, 0, SIZE) == content(0), "what is there stays of use"
        monkeypatch.setattr(disk.DiskFile, "_read_some", fail)
        with pytest.raises(SpoolError):
            get(file, 0, 1)
    monkeypatch.undo()
    with opened(make(folder)) as file:
        assert file.present_bytes == BLOCK_BYTES


def test_a_full_disk_at_the_start_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk.DiskFile, "_write_some", fail)
    assert "No space left" in refusal(make(folder))
    assert names(folder) == {"spool.lock"}


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    spool = make(tmp_path / "file" / "spool")
    assert "cannot be used" in refusal(spool)
    assert not spool.has(A)
    spool.sweep()


def test_a_file_system_without_locks_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*args: object, **kw: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", no_locks)
    assert "flock" in refusal(make(folder))


def test_books_that_stay_locked_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_BOOKS_SECONDS", 0.02)
    spool = make(folder)
    file = opened(spool)
    with filelock.FileLock(folder / "spool.lock"):
        assert "locked" in refusal(spool, B)
        file.remove()  # gives up its right all the same
    spool.sweep()
    assert names(folder) == {"spool.lock"}


# --- sweeping ---------------------------------------------------------------------------


def test_the_sweep_takes_what_nobody_comes_back_for(folder: Path) -> None:
    now = folder.parent.parent.stat().st_mtime
    with opened(make(folder), A) as file:
        put(file, 0)
    with opened(make(folder), B) as held:
        make(folder, clock=lambda: now + 6 * DAY).sweep()
        assert make(folder).has(A)
        make(folder, clock=lambda: now + 8 * DAY).sweep()
        assert not make(folder).has(A)
        assert make(folder).has(B), "in use, however old"
        put(held, 0)
    make(folder, clock=lambda: now + 8 * DAY).sweep()
    assert names(folder) == {"spool.lock"}


def test_the_sweep_takes_halves_and_leaves_foreign_files(folder: Path) -> None:
    opened(make(folder), A).close()
    opened(make(folder), B).close()
    (folder / f"{A.hex}.map").unlink()
    (folder / f"{B.hex}.data").unlink()
    (folder / f"{C.hex}.lock").touch()
    foreign = {"notes.txt", "model.data", f"{A.hex}.data.bak"}
    for name in foreign:
        (folder / name).write_text("mine")
    make(folder).sweep()
    assert names(folder) == {"spool.lock", *foreign}


# --- other processes ----------------------------------------------------------------------

PROGRAM = Path(spool_child.__file__)


class Child:
    """Another process that opens a blob when told to, and keeps it until its end."""

    def __init__(self, folder: Path, sha256: Sha256, *options: str, size_bytes: int = SIZE) -> None:
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, folder, sha256.hex, str(size_bytes), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Child:
        assert self.line() == "ready"
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_a_blob_in_use_by_another_process_is_left_to_it(folder: Path) -> None:
    spool = make(folder)
    with Child(folder, A) as child:
        child.go()
        assert child.line() == "held"
        assert refusal(spool) == "another copy is spooling the same bytes"
        spool.sweep()
        assert spool.has(A)
        opened(spool, B).remove()
    opened(spool).remove()
    assert names(folder) == {"spool.lock"}


def test_processes_never_promise_the_same_room_twice(folder: Path) -> None:
    blobs = [Sha256(letter * 64) for letter in "abcdef"]
    with ExitStack() as stack:
        children = [
            stack.enter_context(Child(folder, blob, f"--limit={2 * SIZE}")) for blob in blobs
        ]
        for child in children:  # all wait for this line: now they race
            child.go()
        answers = [child.line() for child in children]
    assert sorted(answers) == ["held"] * 2 + ["refused"] * 4


def test_a_process_killed_at_any_moment_leaves_what_can_be_used(folder: Path) -> None:
    size, moments = 24 * BLOCK_BYTES, random.Random(7)
    for seed in range(10):
        said: set[int] = set()
        with Child(folder, A, f"--seed={seed}", size_bytes=size) as child:
            child.go()
            assert child.line() == "held"
            for _ in range(moments.randrange(24)):
                said.add(int(child.line()))
            child.kill()
        with opened(make(folder), size_bytes=size) as file:
            for block in range(24):
                start, end = block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES
                assert get(file, start, end) in (b"", content(block))
                assert block not in said or file.is_present(start, end)
            if seed % 3 == 2:
                file.remove()
                assert names(folder) == {"spool.lock"}


def test_a_process_killed_at_any_step_leaves_what_can_be_used(folder: Path) -> None:
    whole = b"".join(map(content, range(3))) + content(3, 100)
    states = set[bytes]()
    with Child(folder, A, "--die-everywhere") as child:
        for steps in range(40):
            child.go()
            if child.line() == "ended":
                break
            with opened(make(folder)) as file:
                found = get(file, 0, SIZE)
                assert found in (b"", whole)
                states.add(found)
                if steps % 2:
                    file.remove()
    assert states == {b"", whole}
    assert 10 < steps < 39, "each step of opening and removing was one to die at"
    assert names(folder) == {"spool.lock"}
