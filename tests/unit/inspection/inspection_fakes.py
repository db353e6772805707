"""A repository in memory behind the source port, and makers of weight files."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.errors import UnavailableError
from hubferry.hubs.base import ByteStream, HubTraits
from hubferry.inspection import InspectReport, inspect_repo
from hubferry.model import (
    FileEntry,
    Identity,
    Listing,
    Refs,
    RepoId,
    RepoInfo,
    RepoList,
    RepoQuery,
    RepoSummary,
    Visibility,
    make_listing,
)

Content = bytes | tuple[bytes, int]
"""All bytes of a file, or its first bytes and its size (the rest reads as zeros)."""

REPO = RepoId("hf", "org/name")


class FakeStream:
    """One open read; ends early after ``cut`` bytes where told to."""

    def __init__(self, content: bytes, cut: int | None) -> None:
        self._content = content if cut is None else content[:cut]
        self._position = 0

    def readinto(self, buffer: memoryview, /) -> int:
        piece = self._content[self._position : self._position + min(len(buffer), 65_536)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        pass


class FakeHub:
    """A source of files held in memory; records every read."""

    def __init__(self, files: Mapping[str, Content]) -> None:
        self.files = files
        self.reads: list[tuple[str, int, int]] = []
        self.cuts: list[int] = []
        """Each read takes one from the front and ends after so many bytes."""
        self.on_open: Callable[[str], None] | None = None
        self.hidden: dict[str, FileEntry | None] = {}

    @property
    def traits(self) -> HubTraits:
        return HubTraits("fake", "Fake", "main", pins_commits=True, tells_head=True)

    def open(
        self, info: RepoInfo, entry: FileEntry, start: int = 0, end: int | None = None
    ) -> ByteStream:
        if self.on_open is not None:
            self.on_open(entry.path)
        stop = entry.size_bytes if end is None else end
        assert 0 <= start < stop <= entry.size_bytes
        self.reads.append((entry.path, start, stop))
        content = self.files[entry.path]
        head = content if isinstance(content, bytes) else content[0]
        data = head[start:stop].ljust(stop - start, b"\0")
        return FakeStream(data, self.cuts.pop(0) if self.cuts else None)

    def reads_ranges(self, entry: FileEntry) -> bool:
        return False

    def read_many(
        self, info: RepoInfo, entries: Sequence[FileEntry]
    ) -> Iterator[tuple[FileEntry, bytes]]:
        return iter(())

    def stat_files(self, info: RepoInfo, paths: Sequence[str]) -> Mapping[str, FileEntry | None]:
        return {path: self.hidden[path] for path in paths if path in self.hidden}

    def resolve(self, repo: RepoId, revision: str | None) -> RepoInfo:
        raise UnavailableError("not part of an inspection")

    def list_files(self, info: RepoInfo) -> Listing:
        raise UnavailableError("not part of an inspection")

    def list_repos(self, query: RepoQuery) -> RepoList:
        raise UnavailableError("not part of an inspection")

    def list_collection(self, slug: str) -> RepoList:
        raise UnavailableError("not part of an inspection")

    def summary(self, repo: RepoId) -> RepoSummary:
        raise UnavailableError("not part of an inspection")

    def list_refs(self, repo: RepoId) -> Refs:
        raise UnavailableError("not part of an inspection")

    def identity(self) -> Identity:
        return Identity(None)

    def token_place(self) -> Identity:
        return Identity(None)

    def close(self) -> None:
        pass


def listing_of(
    files: Mapping[str, Content],
    *,
    doubtful: Sequence[str] = (),
    security: Mapping[str, str] | None = None,
) -> Listing:
    entries = [
        FileEntry(
            path,
            len(content) if isinstance(content, bytes) else content[1],
            security_status=(security or {}).get(path),
        )
        for path, content in files.items()
    ]
    return make_listing(REPO, "c" * 40, entries, doubtful_folders=doubtful)


def quick_patience() -> Patience:
    return Patience(CancelToken(), WaitBudget(0.0), attempts=4, base_seconds=0.0)


def inspect_files(
    files: Mapping[str, Content],
    *,
    name: str = "org/name",
    hub: FakeHub | None = None,
    listing: Listing | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
    **info: Any,
) -> InspectReport:
    """Inspect a repository made of ``files``; ``info`` goes into its RepoInfo."""
    info.setdefault("visibility", Visibility.PUBLIC)
    return inspect_repo(
        hub or FakeHub(files),
        RepoInfo(RepoId("hf", name), "main", "c" * 40, **info),
        listing or listing_of(files),
        cancel=CancelToken(),
        patience_factory=quick_patience,
        on_progress=on_progress,
    )


def told(report: InspectReport) -> list[tuple[str, str | None]]:
    """(severity, path) of every problem."""
    return [(problem.severity.value, problem.path) for problem in report.problems]


_WIDTHS = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U8": 1, "I32": 4}


def safetensors(
    tensors: Mapping[str, tuple[str, Sequence[int]]], *, metadata: object = None
) -> Content:
    """A good file; ``tensors`` is name -> (dtype, shape)."""
    header: dict[str, object] = {} if metadata is None else {"__metadata__": metadata}
    position = 0
    for name, (dtype, shape) in tensors.items():
        size = _WIDTHS[dtype]
        for dim in shape:
            size *= dim
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [position, position + size],
        }
        position += size
    return raw_safetensors(json.dumps(header).encode(), position)


def raw_safetensors(header: bytes, data_bytes: int) -> Content:
    head = struct.pack("<Q", len(header)) + header
    return head, len(head) + data_bytes


def weights(count: int = 1024) -> Content:
    """Some good safetensors weights."""
    return safetensors({"weight": ("F32", [count])})


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def gguf_string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf_pair(key: str, value: object) -> bytes:
    """A metadata pair: str, int (u32), list of str or list of float."""
    head = gguf_string(key)
    if isinstance(value, str):
        return head + struct.pack("<I", 8) + gguf_string(value)
    if isinstance(value, int):
        return head + struct.pack("<II", 4, value)
    assert isinstance(value, list)
    if value and isinstance(value[0], str):
        body = b"".join(map(gguf_string, value))
        return head + struct.pack("<IIQ", 9, 8, len(value)) + body
    return head + struct.pack("<IIQ", 9, 6, len(value)) + struct.pack(f"<{len(value)}f", *value)


def gguf(
    tensors: Sequence[tuple[str, Sequence[int], int, int]],
    pairs: Mapping[str, object] | None = None,
    *,
    short_by: int = 0,
) -> Content:
    """A GGUF v3 file; a tensor is (name, shape, type id, size in bytes)."""
    pairs = {"general.architecture": "llama"} if pairs is None else pairs
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    head += b"".join(gguf_pair(key, value) for key, value in pairs.items())
    offset = 0
    for name, shape, kind, size in tensors:
        head += gguf_string(name) + struct.pack("<I", len(shape))
        head += struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", kind, offset)
        offset += -(-size // 32) * 32
    data_start = -(-len(head) // 32) * 32
    return head, data_start + offset - short_by
