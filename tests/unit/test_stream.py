"""Any chunking and any drops give the same digest; wrong bytes never complete."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.memory_world import no_pauses

from hubferry.control import CancelToken
from hubferry.errors import (
    CancelledError,
    CopyError,
    CorruptReadError,
    IntegrityError,
    NotFoundError,
    RateLimitedError,
    Side,
    UnavailableError,
)
from hubferry.hubs.memory import git_oid_of, sha256_of
from hubferry.stream import (
    BLOCK_BYTES,
    LFS_POINTER_START,
    CheckedBody,
    Content,
    Digester,
    Expected,
    MemoryBody,
    OpenStream,
    ResumingReader,
    SerialBlocks,
    digest_stream,
    is_lfs_pointer,
    read_content,
)

POINTER = LFS_POINTER_START + b"oid sha256:" + b"0" * 64 + b"\nsize 12345\n"
DROP = "drop"
END = "end"


class Stream:
    """Gives pieces of the sizes it is told, then drops or ends."""

    def __init__(self, data: bytes, steps: Iterator[object], log: list[int]) -> None:
        self._data = memoryview(data)
        self._steps = steps
        self._log = log
        self.is_closed = False

    def readinto(self, buffer: memoryview, /) -> int:
        step = next(self._steps, None)
        if step is DROP:
            raise UnavailableError("the connection dropped")
        if step is END:
            return 0
        size = step if isinstance(step, int) else len(buffer)
        count = min(size, len(buffer), len(self._data))
        buffer[:count] = self._data[:count]
        self._data = self._data[count:]
        return count

    def close(self) -> None:
        self.is_closed = True


class Source:
    """A file's bytes as a server would send them."""

    def __init__(self, data: bytes, steps: Sequence[object] = ()) -> None:
        self.data = data
        self.steps = iter(steps)
        self.offsets: list[int] = []
        self.streams: list[Stream] = []
        self.fail_open: Callable[[int], CopyError | None] = lambda opened: None

    def open(self, offset: int) -> OpenStream:
        self.offsets.append(offset)
        error = self.fail_open(len(self.offsets))
        if error is not None:
            raise error
        stream = Stream(self.data[offset:], self.steps, self.offsets)
        self.streams.append(stream)
        return stream


def promise(data: bytes, path: str = "f.bin") -> Expected:
    return Expected(path, len(data), sha256_of(data), git_oid_of(data))


def body_of(
    source: Source,
    expected: Expected,
    attempts: int = 1000,
    on_progress: Callable[[int], None] = lambda done: None,
    cancel: CancelToken | None = None,
) -> CheckedBody:
    def blocks() -> SerialBlocks:
        patience = no_pauses(cancel, attempts=attempts)
        return SerialBlocks(
            ResumingReader(source.open, expected.size_bytes, patience), expected.size_bytes
        )

    return CheckedBody(expected, blocks, on_progress)


def take(body: CheckedBody | MemoryBody) -> bytes:
    with body.chunks() as chunks:
        return b"".join(bytes(chunk) for chunk in chunks)


def drain(body: CheckedBody, given_on: list[int]) -> None:
    """Note the size of each block that is handed on."""
    with body.chunks() as chunks:
        for chunk in chunks:
            given_on.append(len(chunk))


DATA = bytes(range(256)) * 40
STEPS = st.lists(st.one_of(st.integers(1, 3000), st.sampled_from([DROP, END])), max_size=60)


@given(data=st.binary(max_size=5000), steps=STEPS)
@settings(max_examples=80, deadline=None)
def test_any_chunking_and_any_drops_give_the_same_bytes_and_digests(
    data: bytes, steps: list[object]
) -> None:
    assume(not is_lfs_pointer(data))
    source = Source(data, steps)
    assert take(body_of(source, promise(data))) == data
    assert all(stream.is_closed for stream in source.streams)

    content = read_content(promise(data), Source(data, steps).open, no_pauses(attempts=1000))
    assert content == Content(data, sha256_of(data), git_oid_of(data))

    digests = digest_stream(promise(data), Source(data, steps).open, no_pauses(attempts=1000))
    assert digests == (sha256_of(data), git_oid_of(data))


@given(
    data=st.binary(min_size=1, max_size=3000),
    steps=STEPS,
    flip=st.integers(0),
    bit=st.integers(0, 7),
)
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_never_completes(
    data: bytes, steps: list[object], flip: int, bit: int
) -> None:
    assume(not is_lfs_pointer(data))
    wrong = bytearray(data)
    wrong[flip % len(data)] ^= 1 << bit
    for read in (
        lambda: take(body_of(Source(bytes(wrong), steps), promise(data))),
        lambda: read_content(
            promise(data), Source(bytes(wrong), steps).open, no_pauses(attempts=99)
        ),
        lambda: digest_stream(
            promise(data), Source(bytes(wrong), steps).open, no_pauses(attempts=99)
        ),
    ):
        with pytest.raises(CorruptReadError):
            read()


def test_a_source_that_sends_more_than_listed_never_completes() -> None:
    longer = DATA + b"more"
    with pytest.raises(CorruptReadError, match="more bytes"):
        take(body_of(Source(longer), promise(DATA)))
    with pytest.raises(CorruptReadError, match="more bytes"):
        read_content(promise(DATA), Source(longer).open, no_pauses())
    with pytest.raises(CorruptReadError, match="more bytes"):
        digest_stream(promise(DATA), Source(longer).open, no_pauses())


def test_a_source_that_ends_early_for_ever_never_completes() -> None:
    source = Source(DATA[:-1])
    body = body_of(source, promise(DATA), attempts=4)
    given_on: list[int] = []
    with pytest.raises(UnavailableError, match="ended the transfer early") as caught:
        drain(body, given_on)
    assert caught.value.side is Side.SOURCE
    assert caught.value.path == "f.bin"
    assert caught.value.is_final
    assert source.offsets == [0] + [len(DATA) - 1] * 3
    assert not given_on


def test_the_last_block_is_held_back_until_the_digest_agrees() -> None:
    data = b"a" * (2 * BLOCK_BYTES + 10)
    given_on: list[int] = []
    with pytest.raises(CorruptReadError):
        drain(body_of(Source(b"b" + data[1:]), promise(data)), given_on)
    assert given_on == [BLOCK_BYTES] * 2


def test_a_block_is_handed_on_before_the_next_is_read() -> None:
    data = bytes(1) * (3 * BLOCK_BYTES)
    source = Source(data)
    with body_of(source, promise(data)).chunks() as chunks:
        assert len(next(iter(chunks))) == BLOCK_BYTES
        assert source.streams[0]._data.nbytes == 2 * BLOCK_BYTES


def test_progress_never_shows_the_end_before_the_check() -> None:
    data = b"a" * (2 * BLOCK_BYTES)
    seen: list[int] = []
    body = body_of(Source(data), promise(data), on_progress=seen.append)
    take(body)
    assert seen == [0, BLOCK_BYTES, 2 * BLOCK_BYTES]
    seen.clear()
    bad = body_of(Source(b"b" + data[1:]), promise(data), on_progress=seen.append)
    with pytest.raises(CorruptReadError):
        take(bad)
    assert max(seen) < len(data)


def test_a_body_starts_over_when_asked_again() -> None:
    body = body_of(Source(DATA), promise(DATA))
    with body.chunks() as chunks:
        next(iter(chunks), None)
    assert take(body) == DATA


def test_a_drop_after_the_last_byte_is_not_a_reason_to_read_again() -> None:
    source = Source(DATA, [len(DATA), DROP])
    assert take(body_of(source, promise(DATA), attempts=1)) == DATA
    assert source.offsets == [0]


def test_a_drop_reopens_at_its_offset() -> None:
    source = Source(DATA, [1000, DROP, 500, END, 24, DROP])
    assert take(body_of(source, promise(DATA))) == DATA
    assert source.offsets == [0, 1000, 1500, 1524]


def test_a_limit_while_reading_is_waited_out() -> None:
    source = Source(DATA)
    source.fail_open = lambda opened: (
        RateLimitedError("slow down", retry_after_seconds=0.0) if opened < 3 else None
    )
    assert take(body_of(source, promise(DATA), attempts=1)) == DATA


def test_a_refusal_is_final_and_blamed_on_the_source() -> None:
    source = Source(DATA)
    source.fail_open = lambda opened: NotFoundError("gone", what="path")
    with pytest.raises(NotFoundError) as caught:
        take(body_of(source, promise(DATA)))
    assert (caught.value.side, caught.value.path) == (Side.SOURCE, "f.bin")
    assert source.offsets == [0]


def test_a_long_file_outlives_more_drops_than_there_are_tries() -> None:
    data = bytes(8 * BLOCK_BYTES)
    source = Source(data, [BLOCK_BYTES, DROP] * 8)
    assert take(body_of(source, promise(data), attempts=2)) == data


def test_a_source_that_drips_a_byte_before_each_drop_gets_no_patience_for_it() -> None:
    source = Source(DATA, [1, DROP] * 100)
    with pytest.raises(UnavailableError):
        take(body_of(source, promise(DATA), attempts=5))
    assert len(source.offsets) == 5


def test_a_read_stops_when_asked_to() -> None:
    cancel = CancelToken()
    body = body_of(Source(DATA), promise(DATA), cancel=cancel)
    with body.chunks() as chunks:
        cancel.cancel()
        with pytest.raises(CancelledError):
            next(iter(chunks))


def test_a_range_is_read_from_its_start_to_its_end() -> None:
    source = Source(DATA)
    reader = ResumingReader(source.open, 300, no_pauses(), start=100)
    buffer = memoryview(bytearray(1000))
    assert reader.readinto(buffer) == 200
    assert bytes(buffer[:200]) == DATA[100:300]
    assert reader.readinto(buffer) == 0


def test_an_empty_file_is_checked_too() -> None:
    assert take(body_of(Source(b""), promise(b""))) == b""
    wrong = Expected("f.bin", 0, sha256_of(b"not empty"))
    with pytest.raises(CorruptReadError):
        take(body_of(Source(b""), wrong))
    with pytest.raises(CorruptReadError):
        read_content(wrong, Source(b"").open, no_pauses())


def test_without_any_promise_size_alone_is_checked() -> None:
    free = Expected("f.bin", len(DATA))
    assert take(body_of(Source(DATA), free)) == DATA
    assert read_content(free, Source(DATA).open, no_pauses()).git_oid == git_oid_of(DATA)
    with pytest.raises(CorruptReadError):
        take(body_of(Source(DATA + b"x"), free))


@pytest.mark.parametrize("field", ["sha256", "git_oid"])
def test_either_digest_is_enough_to_refuse(field: str) -> None:
    digest = sha256_of(b"") if field == "sha256" else git_oid_of(b"")
    wrong = Expected("f.bin", len(DATA), **{field: digest})  # type: ignore[arg-type]
    with pytest.raises(CorruptReadError):
        take(body_of(Source(DATA), wrong))


# --- LFS pointers -----------------------------------------------------------


def test_the_text_of_an_lfs_pointer_is_refused_for_good() -> None:
    with pytest.raises(IntegrityError, match="pointer") as caught:
        take(body_of(Source(POINTER), promise(POINTER)))
    assert not caught.value.retryable
    assert caught.value.hint is not None
    with pytest.raises(IntegrityError, match="pointer"):
        read_content(promise(POINTER), Source(POINTER).open, no_pauses())


@pytest.mark.parametrize(
    ("content", "is_pointer"),
    [
        (POINTER, True),
        (LFS_POINTER_START, True),
        (LFS_POINTER_START[:-1], False),
        (b"", False),
        (b" " + POINTER, False),
        (POINTER + b" " * 1024, False),
        (POINTER.replace(b"\n", b"\r\n"), False),
    ],
)
def test_only_a_short_file_that_starts_like_one_is_a_pointer(
    content: bytes, is_pointer: bool
) -> None:
    assert is_lfs_pointer(content) is is_pointer
    assert is_lfs_pointer(memoryview(content)) is is_pointer


def test_a_long_text_about_pointers_is_copied() -> None:
    text = POINTER + b"as the specification says. " * 50
    assert take(body_of(Source(text), promise(text))) == text


# --- digests and memory bodies ------------------------------------------------


@given(st.lists(st.binary(max_size=300), max_size=20))
@settings(max_examples=50, deadline=None)
def test_a_digester_does_not_care_how_bytes_are_cut(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    digester = Digester(len(data), with_git=True)
    for piece in pieces:
        digester.update(piece)
    assert digester.sha256.hex == hashlib.sha256(data).hexdigest()
    assert digester.git_oid == git_oid_of(data)


def test_a_digester_that_was_not_asked_for_git_tells_none() -> None:
    assert Digester(0, with_git=False).git_oid is None


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES])
def test_a_memory_body_gives_its_content_in_blocks(size: int) -> None:
    data = bytes(size)
    seen: list[int] = []
    body = MemoryBody(Content(data, sha256_of(data), git_oid_of(data)), seen.append)
    assert body.size_bytes == size
    assert take(body) == data
    assert take(body) == data, "it may be sent again"
    with body.chunks() as chunks:
        assert all(len(chunk) <= BLOCK_BYTES for chunk in chunks)
    assert seen[-1] == size
