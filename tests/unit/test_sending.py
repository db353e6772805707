"""One content to the target: what is read, asked and sent, and which side is blamed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.memory_world import SOURCE, TARGET, CountingHub, World, big

from hubferry.errors import (
    CancelledError,
    CopyError,
    CorruptReadError,
    HubError,
    NotFoundError,
    ProtocolError,
    Side,
    TooLargeError,
    UnavailableError,
)
from hubferry.events import Event, FileFinished, FileProgress, FileStarted, Note, Observer
from hubferry.governor.byte_locks import ByteLocks
from hubferry.governor.claims import ByteClaims
from hubferry.governor.slots import ByteSlots
from hubferry.hubs.memory import git_oid_of, sha256_of
from hubferry.model import FileEntry, Visibility
from hubferry.sending import Delivered, Sender, SendTask
from hubferry.survey import Survey, Tools

DATA = big(1)
SMALL = b"small\n"


class Desk:
    """A sender with one blob and one small file at the source and an empty target."""

    def __init__(self) -> None:
        self.world = World(target=CountingHub())
        self.world.seed({"w.bin": DATA, "s.txt": SMALL})
        self.world.target.create_repo(TARGET.repo, Visibility.PUBLIC, None)
        self.found: Survey = self.world.look()
        self.renew()
        self.world.source.requests.clear()
        self.world.target.requests.clear()

    def renew(self) -> None:
        """Tools and a sender for the world as it is now."""
        self.tools: Tools = self.world.tools
        self.sender = Sender(self.found, self.tools, lambda: self.found.target)

    def entry(self, path: str) -> FileEntry:
        return self.found.source_listing.by_path[path]

    def send(self, path: str = "w.bin", **change: object) -> Delivered:
        entry = replace(self.entry(path), **change)  # type: ignore[arg-type]
        return self.sender.deliver(SendTask(path, entry, is_inline=path == "s.txt"))

    def fail(self, side: Side, request: str, *errors: CopyError) -> None:
        """Fail the first requests of one name."""
        left = list(errors)

        def before(name: str) -> None:
            if name == request and left:
                raise left.pop(0)

        (self.world.source if side is Side.SOURCE else self.world.target).before = before

    def told(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.world.events if isinstance(event, kind)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_blob_is_asked_for_and_sent(desk: Desk) -> None:
    assert desk.send() == Delivered(sha256_of(DATA), None, None, was_sent=True)
    assert desk.world.target.blobs == {sha256_of(DATA): DATA}
    assert desk.world.target.requests == ["missing_blobs", "put_blob"]
    assert (desk.tools.traffic.read_bytes, desk.tools.traffic.sent_bytes) == (len(DATA), len(DATA))


def test_a_blob_that_is_there_is_not_read(desk: Desk) -> None:
    desk.world.target.blobs[sha256_of(DATA)] = DATA
    assert not desk.send().was_sent
    assert desk.world.source.requests == []
    assert desk.world.target.requests == ["missing_blobs"]
    assert desk.told(FileFinished) == [FileFinished("w.bin", len(DATA), is_reused=True)]


def test_a_small_file_brings_its_content_along(desk: Desk) -> None:
    done = desk.send("s.txt")
    assert done.content is not None
    assert (done.content.data, done.git_oid) == (SMALL, git_oid_of(SMALL))
    assert desk.world.target.requests == []


def test_content_that_was_kept_is_not_read_again(desk: Desk) -> None:
    kept = desk.send("s.txt").content
    assert kept is not None
    desk.world.source.requests.clear()
    desk.found.kept["s.txt"] = kept
    assert desk.send("s.txt").content is kept
    assert desk.world.source.requests == []
    assert desk.found.kept == {}, "and let go of"


def test_a_digest_nobody_told_is_found_before_the_bytes_are_sent(desk: Desk) -> None:
    done = desk.send(sha256=None, git_oid=git_oid_of(DATA))
    assert done == Delivered(sha256_of(DATA), git_oid_of(DATA), None, was_sent=True)
    assert desk.world.source.requests == ["open w.bin"], "read once, sent from memory"


def test_a_large_file_without_a_digest_is_read_twice_and_never_held(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubferry.sending.BUFFER_BYTES", len(DATA) - 1)
    done = desk.send(sha256=None, git_oid=git_oid_of(DATA))
    assert (done.sha256, done.was_sent, done.content) == (sha256_of(DATA), True, None)
    assert desk.world.source.requests == ["open w.bin"] * 2


def test_each_try_asks_for_a_fresh_leave(desk: Desk) -> None:
    desk.fail(Side.TARGET, "put_blob", UnavailableError("no"), UnavailableError("no"))
    assert desk.send().was_sent
    assert desk.world.target.requests == ["missing_blobs", "put_blob"] * 3


def test_an_upload_whose_answer_was_lost_is_found_stored(desk: Desk) -> None:
    assert isinstance(desk.world.target, CountingHub)
    left = [UnavailableError("no answer", ambiguous=True)]

    def after(request: str) -> None:
        if left:
            raise left.pop()

    desk.world.target.after = after
    desk.send()
    assert desk.world.target.requests == ["missing_blobs", "put_blob", "missing_blobs"]
    assert len(desk.world.target.stored) == 1


def test_a_dropped_read_does_not_disturb_the_upload(desk: Desk) -> None:
    desk.fail(Side.SOURCE, "open w.bin", UnavailableError("no"), UnavailableError("no"))
    assert desk.send().was_sent
    assert desk.world.target.requests == ["missing_blobs", "put_blob"]


@pytest.mark.parametrize(
    ("side", "request_name", "path", "step"),
    [
        (Side.SOURCE, "open w.bin", "w.bin", "read"),
        (Side.SOURCE, "open s.txt", "s.txt", "read"),
        (Side.TARGET, "put_blob", "w.bin", "blobs"),
        (Side.TARGET, "missing_blobs", "w.bin", "blobs"),
    ],
)
@pytest.mark.parametrize(
    "make", [lambda: UnavailableError("no"), lambda: HubError("no"), lambda: NotFoundError("no")]
)
def test_the_right_side_is_blamed(
    side: Side, request_name: str, path: str, step: str, make: Callable[[], CopyError]
) -> None:
    desk = Desk()
    desk.fail(side, request_name, *(make() for _ in range(100)))
    with pytest.raises(HubError) as caught:
        desk.send(path)
    repo = SOURCE.repo if side is Side.SOURCE else TARGET.repo
    error = caught.value
    assert (error.side, error.step, error.repo, error.path) == (side, step, str(repo), path)
    assert desk.told(FileFinished) == [FileFinished(path, desk.entry(path).size_bytes, error=error)]
    assert desk.world.target.blobs == {}


def test_tries_of_the_two_sides_do_not_multiply(desk: Desk) -> None:
    desk.fail(Side.SOURCE, "open w.bin", *(UnavailableError("no") for _ in range(100)))
    with pytest.raises(UnavailableError):
        desk.send()
    assert len(desk.world.source.requests) == 4, "one patience"


def test_wrong_bytes_are_read_afresh_a_few_times_only(desk: Desk) -> None:
    files = desk.world.source.repos[SOURCE.repo.name].files
    files["w.bin"] = big(2)
    with pytest.raises(CorruptReadError):
        desk.send()
    assert desk.world.source.requests == ["open w.bin"] * 3
    assert desk.world.target.blobs == {}


def test_a_refusal_for_size_is_final(desk: Desk) -> None:
    desk.fail(Side.TARGET, "put_blob", TooLargeError("413"))
    with pytest.raises(TooLargeError):
        desk.send()
    assert desk.world.target.requests.count("put_blob") == 1


def test_a_stop_is_no_failure_of_the_file(desk: Desk) -> None:
    desk.world.cancel.cancel()
    with pytest.raises(CancelledError):
        desk.send()
    assert desk.told(FileFinished) == []


def test_progress_runs_from_nothing_to_the_whole_file(desk: Desk) -> None:
    desk.send()
    assert desk.told(FileStarted) == [FileStarted("w.bin", len(DATA))]
    assert desk.told(FileProgress) == [FileProgress("w.bin", 0), FileProgress("w.bin", len(DATA))]
    assert desk.told(FileFinished) == [FileFinished("w.bin", len(DATA))]


def test_one_senseless_answer_to_an_upload_is_forgiven(desk: Desk) -> None:
    desk.fail(Side.TARGET, "put_blob", ProtocolError("garbled"))
    assert desk.send().was_sent
    desk.world.target.blobs.clear()
    desk.fail(Side.TARGET, "put_blob", ProtocolError("garbled"), ProtocolError("garbled"))
    with pytest.raises(ProtocolError):
        desk.send()


# --- the same content of several copies ---------------------------------------------


class Shared:
    """Two repositories with one blob in common that go to one target from one process."""

    def __init__(self, folder: Path) -> None:
        locks, places = ByteLocks(folder / "claims"), ByteLocks(folder / "slots")
        self.slots = slots = ByteSlots(lambda: places, lambda: 2, 2)
        self.desks = [Desk() for _ in range(2)]
        self.target = self.desks[0].world.target
        for desk in self.desks:
            desk.world.target = self.target
            desk.world.claims = ByteClaims(lambda: locks)
            desk.world.slots = slots
            desk.renew()
        self.target.requests.clear()

    def both(self) -> list[Delivered]:
        """Have both send the blob at the same time."""
        done: list[Delivered] = []
        threads = [threading.Thread(target=self._send, args=(desk, done)) for desk in self.desks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(done) == 2
        return done

    @staticmethod
    def _send(desk: Desk, done: list[Delivered]) -> None:
        done.append(desk.send())


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return Shared(tmp_path)


def test_a_blob_of_two_repositories_crosses_once(shared: Shared) -> None:
    both_ask = threading.Event()

    def before(request: str) -> None:
        if request == "put_blob":
            # Nobody is quicker than the other: the second is at the claim by now.
            assert both_ask.wait(10)

    shared.target.before = before
    for desk in shared.desks:
        observe = desk.tools.observe

        def hear(event: Event, observe: Observer = observe) -> None:
            observe(event)
            if isinstance(event, Note):
                both_ask.set()

        desk.tools.observe = hear
    done = shared.both()
    assert sorted(one.was_sent for one in done) == [False, True]
    assert shared.target.requests.count("put_blob") == 1
    read = [desk.world.source.requests.count("open w.bin") for desk in shared.desks]
    assert sorted(read) == [0, 1]
    notes = [note for desk in shared.desks for note in desk.told(Note)]
    assert len(notes) == 1


def test_whoever_waited_for_a_copy_that_failed_sends_the_blob_itself(shared: Shared) -> None:
    first, second = shared.desks
    waits = threading.Event()
    observe = second.tools.observe

    def hear(event: Event) -> None:
        observe(event)
        if isinstance(event, Note):
            waits.set()

    second.tools.observe = hear
    begun = threading.Event()

    def before(request: str) -> None:
        if request == "put_blob" and not begun.is_set():
            begun.set()
            assert waits.wait(10)
            raise TooLargeError("no")

    shared.target.before = before
    failed: list[CopyError] = []

    def fail() -> None:
        try:
            first.send()
        except CopyError as error:
            failed.append(error)

    thread = threading.Thread(target=fail)
    thread.start()
    assert begun.wait(10)
    assert second.send().was_sent
    thread.join(10)
    assert [error.code for error in failed] == ["too_large"]
    assert shared.target.requests.count("put_blob") == 2


def test_whoever_waits_for_a_claim_holds_no_slot(shared: Shared) -> None:
    first, second = shared.desks
    in_use: list[int] = []
    waits = threading.Event()

    def hear(event: Event) -> None:
        if isinstance(event, Note):
            in_use.append(shared.slots.in_use)
            waits.set()

    second.tools.observe = hear

    def before(request: str) -> None:
        if request == "put_blob":
            assert waits.wait(10)

    shared.target.before = before
    thread = threading.Thread(target=first.send)
    thread.start()
    while not shared.slots.in_use:
        pass
    second.send()
    thread.join(10)
    assert in_use == [1]


def test_a_lone_copy_asks_no_more_than_before(shared: Shared) -> None:
    shared.desks[0].send()
    assert shared.target.requests == ["missing_blobs", "put_blob"]
    shared.desks[1].send()
    assert shared.target.requests[2:] == ["missing_blobs"]
    assert not shared.desks[0].told(Note)
