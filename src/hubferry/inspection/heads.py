"""The heads of all files of weights that have one: safetensors and GGUF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hubferry.inspection.documents import POINTER_MAX_BYTES, guarded, refuse_pointer
from hubferry.inspection.gguf_header import ArrayHints, GgufSummary, read_gguf
from hubferry.inspection.indexes import ShardIndex, check_tensors
from hubferry.inspection.names import GGUF, SAFETENSORS, folder_of, has_variant
from hubferry.inspection.reader import RangeReader
from hubferry.inspection.repo import Findings
from hubferry.inspection.report import Severity
from hubferry.inspection.safetensors_header import TensorSummary, read_safetensors
from hubferry.model import FileEntry
from hubferry.text import T


@dataclass
class Heads:
    """What the heads told, by path; a file whose head was not good is not in it."""

    elements: dict[str, dict[str, int]] = field(default_factory=dict)
    tensor_bytes: dict[str, int] = field(default_factory=dict)
    architectures: set[str] = field(default_factory=set)
    has_chat_template: bool = False
    has_unread_gguf: bool = False


def has_head(entry: FileEntry) -> bool:
    """True for a file whose head tells what is in it."""
    return entry.path.endswith((SAFETENSORS, GGUF))


def head_order(entry: FileEntry) -> tuple[bool, bool, str]:
    """The model itself first, so that a short budget is spent on what counts."""
    return has_variant(entry.path), folder_of(entry.path) != "", entry.path


def read_heads(
    reader: RangeReader,
    entries: list[FileEntry],
    indexes: list[ShardIndex],
    findings: Findings,
    on_file: Callable[[str], None],
) -> Heads:
    """Read every head, one at a time; tensor names are compared and let go at once."""
    heads, hints = Heads(), ArrayHints()

    def read(entry: FileEntry) -> TensorSummary | GgufSummary:
        if entry.size_bytes < POINTER_MAX_BYTES:
            refuse_pointer(reader.read_whole(entry, POINTER_MAX_BYTES))
        if entry.path.endswith(GGUF):
            return read_gguf(reader, entry, hints)
        return read_safetensors(reader, entry)

    for entry in entries:
        on_file(entry.path)
        summary = guarded(findings, entry, read)
        if isinstance(summary, TensorSummary):
            check_tensors(entry.path, summary, indexes, findings)
            heads.elements[entry.path] = summary.elements
            heads.tensor_bytes[entry.path] = summary.tensor_bytes
        elif summary is not None:
            _note_gguf(heads, entry.path, summary, findings)
        else:
            heads.has_unread_gguf |= entry.path.endswith(GGUF)
    return heads


def _note_gguf(heads: Heads, path: str, summary: GgufSummary, findings: Findings) -> None:
    heads.elements[path] = summary.elements
    heads.has_chat_template |= summary.has_chat_template
    if summary.architecture:
        heads.architectures.add(summary.architecture[:80])
    if summary.trailing_bytes:
        findings.add(
            Severity.WARNING,
            path,
            T("{extra} bytes at its end belong to no tensor", extra=summary.trailing_bytes),
        )
