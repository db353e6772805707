"""Packs: made by Git itself, made by hand, and made to do harm."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import tracemalloc
import zlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubferry.errors import UnavailableError
from hubferry.hubs.huggingface.gitpack import apply_delta, read_pack
from hubferry.hubs.huggingface.gitwire import GarbledError

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

BASE = bytes(range(256)) * 4
OTHER = BASE[:500] + b"something else" + BASE[500:]


def oid_of(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def sizes_of(*contents: bytes) -> dict[str, int]:
    return {oid_of(data): len(data) for data in contents}


def head(kind: int, size: int) -> bytes:
    """An object's type and size."""
    byte, size = kind << 4 | size & 15, size >> 4
    found = bytearray()
    while size:
        found.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    return bytes([*found, byte])


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def blob(data: bytes) -> bytes:
    return head(3, len(data)) + zlib.compress(data)


def ref_delta(base: bytes, delta: bytes) -> bytes:
    return head(7, len(delta)) + bytes.fromhex(oid_of(base)) + zlib.compress(delta)


def pack(*objects: bytes, count: int | None = None) -> bytes:
    number = len(objects) if count is None else count
    body = b"PACK" + (2).to_bytes(4, "big") + number.to_bytes(4, "big") + b"".join(objects)
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def read(data: bytes, sizes: dict[str, int], piece: int = 65515) -> dict[str, bytes]:
    return dict(read_pack((data[i : i + piece] for i in range(0, len(data), piece)), sizes))


def copy(offset: int, size: int) -> bytes:
    """A delta instruction with all its bytes."""
    return b"\xff" + offset.to_bytes(4, "little") + size.to_bytes(3, "little")


OTHER_OF_BASE = (
    varint(len(BASE))
    + varint(len(OTHER))
    + copy(0, 500)
    + b"\x0esomething else"
    + copy(500, len(BASE) - 500)
)


def made_by_git(folder: Path, contents: list[bytes], *options: str) -> bytes:
    def git(*arguments: str, data: bytes) -> bytes:
        command = ["git", f"--git-dir={folder}", *arguments]
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout

    subprocess.run(["git", "init", "--quiet", "--bare", str(folder)], check=True)
    for data in contents:
        git("hash-object", "-w", "--stdin", data=data)
    wanted = "".join(f"{oid}\n" for oid in sizes_of(*contents)).encode()
    return git("pack-objects", "--stdout", "-q", *options, data=wanted)


def versions(count: int, seed: int) -> list[bytes]:
    """Long texts that differ a little, as the versions of a file do."""
    source = random.Random(seed)
    text = bytearray(source.randbytes(70_000))
    found = []
    for _ in range(count):
        text[source.randrange(len(text))] ^= 0xFF
        text += source.randbytes(source.randrange(40))
        found.append(bytes(text))
    return found


@needs_git
@pytest.mark.parametrize("options", [(), ("--delta-base-offset",)])
@pytest.mark.parametrize("piece", [1, 13, 65515])
def test_packs_of_git_with_deltas_of_deltas_are_read(
    tmp_path: Path, options: tuple[str, ...], piece: int
) -> None:
    contents = [b"", b"x", b"\0" * 100_000, *versions(12, seed=1)]
    data = made_by_git(tmp_path / "repo", contents, *options)
    assert len(data) < 3 * 70_000, "no deltas in it"
    assert read(data, sizes_of(*contents), piece) == {oid_of(c): c for c in contents}


@needs_git
def test_a_pack_cut_anywhere_is_a_drop_whatever_came_before(tmp_path: Path) -> None:
    contents = [b"", b"x", *versions(3, seed=2)]
    data = made_by_git(tmp_path / "repo", contents, "--delta-base-offset")
    sizes = sizes_of(*contents)
    for end in [*range(0, 100), *range(100, len(data) - 20, 1009)]:
        found: list[str] = []
        with pytest.raises(UnavailableError):
            found.extend(oid for oid, _ in read_pack([data[:end]], sizes))
        assert set(found) < sizes.keys()


@needs_git
def test_a_flipped_bit_never_passes_for_a_content(tmp_path: Path) -> None:
    contents = [b"x" * 30, *versions(2, seed=3)]
    data = made_by_git(tmp_path / "repo", contents, "--delta-base-offset")
    for at in [*range(0, 60), *range(60, len(data) - 20, 997)]:
        wrong = bytearray(data)
        wrong[at] ^= 0x10
        try:
            found = read(bytes(wrong), sizes_of(*contents))
        except (GarbledError, UnavailableError):
            continue
        assert all(oid_of(content) == oid for oid, content in found.items())


def test_a_delta_may_name_its_base_by_id() -> None:
    data = pack(blob(BASE), ref_delta(BASE, OTHER_OF_BASE))
    assert read(data, sizes_of(BASE, OTHER)) == {oid_of(c): c for c in (BASE, OTHER)}


def test_a_copy_of_size_nothing_is_one_of_64_kib() -> None:
    base = bytes(70_000)
    delta = varint(len(base)) + varint(0x10000) + b"\x80"
    assert apply_delta(base, delta, Counter({0x10000: 1})) == bytes(0x10000)


@settings(deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=60))
def test_a_delta_of_any_bytes_gives_an_error_or_the_size_it_says(base: bytes, tail: bytes) -> None:
    delta = varint(len(base)) + varint(64) + tail
    try:
        assert len(apply_delta(base, delta, Counter({64: 1}))) == 64
    except GarbledError:
        pass


@pytest.mark.parametrize(
    "delta",
    [
        b"",
        b"\xff" * 200_000,
        varint(len(BASE) + 1) + varint(len(OTHER)) + copy(0, 500),
        varint(len(BASE)) + varint(len(OTHER) + 1) + OTHER_OF_BASE[4:],
        varint(len(BASE)) + varint(len(OTHER)) + copy(len(BASE) - 1, 2),
        varint(len(BASE)) + varint(len(OTHER)) + b"\x00",
        varint(len(BASE)) + varint(len(OTHER)) + b"\x0eshort",
        OTHER_OF_BASE[:-1],
        OTHER_OF_BASE + copy(0, 1),
    ],
)
def test_a_delta_that_does_not_fit_is_garbled(delta: bytes) -> None:
    with pytest.raises(GarbledError):
        apply_delta(BASE, delta, Counter({len(OTHER): 1}))


@pytest.mark.parametrize(
    "data",
    [
        b"JUNK" + pack(blob(BASE))[4:],
        pack(blob(BASE)).replace(b"PACK\0\0\0\2", b"PACK\0\0\0\4"),
        pack(blob(BASE), blob(OTHER), blob(b"")),
        pack(blob(BASE), blob(BASE)),
        pack(blob(BASE[::-1])),
        pack(head(1, len(BASE)) + zlib.compress(BASE)),
        pack(head(3, len(BASE)) + zlib.compress(BASE + b"!")),
        pack(head(3, len(BASE)) + zlib.compress(BASE[:-1])),
        pack(head(3, len(BASE)) + b"not deflated at all"),
        pack(ref_delta(BASE, OTHER_OF_BASE), blob(BASE)),
        pack(blob(BASE), head(6, len(OTHER_OF_BASE)) + b"\x7f" + zlib.compress(OTHER_OF_BASE)),
        pack(b"\xb0" + b"\xff" * 20),
        pack(blob(BASE), b"\xe0" + b"\x01" + b"\xff" * 20),
    ],
)
def test_a_pack_that_is_not_what_was_asked_for_is_garbled(data: bytes) -> None:
    with pytest.raises(GarbledError):
        read(data, sizes_of(BASE, OTHER))


@pytest.mark.parametrize(
    "bomb",
    [
        head(3, 1 << 26) + zlib.compress(bytes(1 << 26), 9),
        head(3, len(BASE)) + zlib.compress(bytes(1 << 26), 9),
        blob(BASE) + head(7, 1 << 26) + bytes.fromhex(oid_of(BASE)) + zlib.compress(bytes(1 << 26)),
        blob(BASE) + ref_delta(BASE, varint(len(BASE)) + varint(1 << 40) + copy(0, 1000) * 9),
    ],
    ids=["declared", "undeclared", "delta", "delta result"],
)
def test_a_bomb_is_refused_before_it_fills_the_memory(bomb: bytes) -> None:
    data = pack(bomb, count=2)
    tracemalloc.start()
    try:
        with pytest.raises(GarbledError):
            read(data, sizes_of(BASE, OTHER))
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_a_pack_may_hold_less_than_was_asked_for() -> None:
    assert read(pack(blob(OTHER)), sizes_of(BASE, OTHER)) == {oid_of(OTHER): OTHER}
