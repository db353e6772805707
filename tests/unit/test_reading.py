"""Which way a blob is read, and what the spool keeps, gives back and lets go of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.memory_world import SOURCE, TARGET, CountingHub, World

from hubferry.delivery import Delivery
from hubferry.errors import CopyError, SpoolError, TooLargeError, UnavailableError
from hubferry.events import Note
from hubferry.hubs.base import BlobBody, UploadTicket
from hubferry.hubs.memory import sha256_of
from hubferry.model import RepoInfo, Visibility
from hubferry.reading import SMALL_BYTES, Shelter
from hubferry.spool import Spool, SpoolFile, SpoolMode, SpoolPolicy
from hubferry.stream import BLOCK_BYTES
from hubferry.survey import Tools

LARGE = bytes(range(256)) * (SMALL_BYTES // 256 + 4096)


class Desk:
    """One large blob on its way through the spool; ``breaks`` are told by the target mid-way."""

    def __init__(
        self, folder: Path, mode: SpoolMode, files: dict[str, bytes] | None = None
    ) -> None:
        self.folder = folder
        self.world = World(target=CountingHub())
        self.world.seed(files or {"w.bin": LARGE})
        self.world.target.create_repo(TARGET.repo, Visibility.PUBLIC, None)
        self.spool = Spool(SpoolPolicy(mode, folder, reserve_bytes=0))
        self.breaks: list[tuple[int, CopyError]] = []
        self.kept_when: list[int] = []
        self._inner = self.world.target.put_blob
        self.world.target.put_blob = self._put_blob  # type: ignore[method-assign]

    def _put_blob(self, info: RepoInfo, ticket: UploadTicket, body: BlobBody) -> None:
        if not self.breaks:
            self._inner(info, ticket, body)
            return
        blocks, error = self.breaks.pop(0)
        with body.chunks() as chunks:
            for _ in zip(range(blocks), chunks, strict=False):
                pass
            self.kept_when.append(self.kept)
            raise error

    @property
    def kept(self) -> int:
        """How many blobs lie in the spool."""
        return len(list(self.folder.glob("*.data")))

    @property
    def read_bytes(self) -> int:
        return self.tools.traffic.read_bytes

    def run(self) -> Delivery:
        found, plan = self.world.draw()
        self.tools: Tools = replace(self.world.tools, spool=self.spool)
        made = Delivery(plan.writes, found, self.tools, lambda n, total: "", "run")
        made.run()
        return made

    def notes(self) -> list[str]:
        return [str(event.text) for event in self.world.events if isinstance(event, Note)]


def down() -> CopyError:
    return UnavailableError("the upload broke")


@pytest.fixture
def desk(tmp_path: Path) -> Callable[[SpoolMode], Desk]:
    return lambda mode: Desk(tmp_path / "spool", mode)


def test_auto_keeps_nothing_of_a_first_try_that_works(desk: Callable[[SpoolMode], Desk]) -> None:
    made = desk(SpoolMode.AUTO)
    made.run()
    assert not made.folder.exists()
    assert made.world.target_files["w.bin"] == LARGE


def test_auto_keeps_bytes_from_the_second_try_on(desk: Callable[[SpoolMode], Desk]) -> None:
    made = desk(SpoolMode.AUTO)
    made.breaks = [(3, down()), (3, down())]
    made.run()
    assert made.kept_when == [0, 1]
    assert made.world.target_files["w.bin"] == LARGE
    # The first try's blocks are lost; the second and third read each byte once together.
    assert made.read_bytes <= len(LARGE) + 4 * BLOCK_BYTES
    assert made.kept == 0


def test_always_reads_each_byte_once_whatever_breaks(desk: Callable[[SpoolMode], Desk]) -> None:
    made = desk(SpoolMode.ALWAYS)
    made.breaks = [(2, down()), (4, down()), (1, down())]
    made.run()
    assert made.kept_when == [1, 1, 1]
    assert made.read_bytes == len(LARGE)
    assert made.kept == 0


def test_what_a_run_that_ended_badly_kept_serves_the_next(
    desk: Callable[[SpoolMode], Desk],
) -> None:
    made = desk(SpoolMode.ALWAYS)
    made.breaks = [(6, TooLargeError("no"))]
    assert set(made.run().tally.failures) == {"w.bin"}
    assert made.kept == 1
    made.spool = Spool(replace(made.spool.policy, mode=SpoolMode.AUTO))
    made.run()
    assert made.world.target_files["w.bin"] == LARGE
    assert made.read_bytes < len(LARGE), "auto uses what is there, on the first try too"
    assert made.kept == 0


def test_rotten_bytes_of_an_earlier_run_cost_no_try(desk: Callable[[SpoolMode], Desk]) -> None:
    made = desk(SpoolMode.ALWAYS)
    made.breaks = [(6, TooLargeError("no"))]
    made.run()
    (data,) = made.folder.glob("*.data")
    data.write_bytes(b"\xff" + data.read_bytes()[1:])
    tally = made.run().tally
    assert not tally.failures
    assert made.world.target_files["w.bin"] == LARGE
    assert made.kept == 0


def test_small_blobs_are_not_worth_a_place(tmp_path: Path) -> None:
    small = bytes(100_000)
    made = Desk(tmp_path / "spool", SpoolMode.ALWAYS, {"s.bin": small})
    made.breaks = [(1, down())]
    made.run()
    assert not made.folder.exists()
    assert made.world.target_files["s.bin"] == small


def test_a_disk_that_breaks_midway_does_not_stop_the_copy(
    desk: Callable[[SpoolMode], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = desk(SpoolMode.ALWAYS)
    written = 0
    inner = SpoolFile.write

    def full(self: SpoolFile, offset: int, data: memoryview) -> None:
        nonlocal written
        written += 1
        if written > 2:
            raise SpoolError("no space left on the disk")
        inner(self, offset, data)

    monkeypatch.setattr(SpoolFile, "write", full)
    tally = made.run().tally
    assert not tally.failures
    assert made.world.target_files["w.bin"] == LARGE
    assert [note for note in made.notes() if "no space left on the disk" in note]
    assert made.kept == 0


def test_the_same_complaint_is_made_once(tmp_path: Path) -> None:
    files = {f"{n}.bin": bytes([n]) + LARGE for n in range(4)}
    made = Desk(tmp_path / "spool", SpoolMode.ALWAYS, files)
    made.spool = Spool(replace(made.spool.policy, limit_bytes=BLOCK_BYTES))
    made.run()
    assert len(made.world.target_files) == 4
    assert len([note for note in made.notes() if "no room in the spool" in note]) == 1


def test_what_was_sent_gives_its_room_to_what_comes(tmp_path: Path) -> None:
    files = {f"{n}.bin": bytes([n]) + LARGE for n in range(4)}
    made = Desk(tmp_path / "spool", SpoolMode.ALWAYS, files)
    made.spool = Spool(replace(made.spool.policy, limit_bytes=len(LARGE) + BLOCK_BYTES))
    made.run()
    assert made.notes() == [], "there is room for one at a time"
    assert made.kept == 0


def test_a_blob_is_kept_until_the_commit_that_names_it(desk: Callable[[SpoolMode], Desk]) -> None:
    """A store that takes a blob and then does not hold it gets it again, from the spool."""
    made = desk(SpoolMode.ALWAYS)
    has_lost = False

    def lose(request: str) -> None:
        nonlocal has_lost
        if request == "put_blob" and not has_lost:
            has_lost = True
            made.world.target.blobs.pop(sha256_of(LARGE), None)

    made.world.target.after = lose  # type: ignore[attr-defined]
    made.run()
    assert has_lost
    assert made.world.target_files["w.bin"] == LARGE
    assert made.read_bytes == len(LARGE)
    assert made.kept == 0


def test_without_a_spool_nothing_is_kept(tmp_path: Path) -> None:
    world = World()
    world.seed({"w.bin": LARGE})
    assert Shelter(world.tools).open(sha256_of(LARGE), len(LARGE), has_failed=True) is None
    assert SOURCE.repo.name in world.source.repos
