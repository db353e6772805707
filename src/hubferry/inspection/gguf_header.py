"""The head of a GGUF file: metadata, tensors, and whether the file holds them all.

Source: ``docs/gguf.md`` in ggml-org/ggml (layout, value types, alignment);
``gguf-py/gguf/constants.py`` in ggml-org/llama.cpp (``GGML_QUANT_SIZES``);
``ggml/src/gguf.cpp`` there refuses tensors that do not follow each other.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from hubferry.inspection.faults import BrokenContentError, NotCheckedError
from hubferry.inspection.gguf_cursor import GgufCursor
from hubferry.inspection.reader import RangeReader
from hubferry.inspection.safetensors_header import count_elements
from hubferry.model import FileEntry
from hubferry.text import T

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q"}
_SCALARS[12] = "d"
_INTEGER_TYPES = frozenset({0, 1, 2, 3, 4, 5, 10, 11})
_MAX_DIMS = 8
_MAX_TENSORS = 200_000
_MIN_TENSOR_BYTES = 24
"""Of the tensor table: name length, dimension count, type and offset, all else empty."""
_MAX_NESTING = 4
_DEFAULT_ALIGNMENT = 32

# type id -> (name, elements in a block, bytes of a block). Q8_1 and Q8_K are left
# out: they live in memory only, and sources differ on their size.
GGML_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}


@dataclass(frozen=True, slots=True)
class GgufSummary:
    """What one GGUF file tells of itself."""

    architecture: str | None
    has_chat_template: bool
    elements: dict[str, int]
    """ggml type name -> number of elements."""
    trailing_bytes: int = 0


@dataclass
class ArrayHints:
    """How long the string arrays of an earlier file of the same repository were.

    A repository often holds twenty quantisations of one model, each with the
    same vocabulary of several MB. Where the array's count and first strings
    and the name that follows it agree with an earlier file, it is stepped over.
    """

    seen: dict[tuple[str, int, bytes], tuple[int, bytes]] = field(default_factory=dict)


@dataclass
class _Metadata:
    architecture: str | None = None
    alignment: int = _DEFAULT_ALIGNMENT
    has_chat_template: bool = False


def read_gguf(reader: RangeReader, entry: FileEntry, hints: ArrayHints) -> GgufSummary:
    """Read and check the head of ``entry``.

    Raises:
        BrokenContentError: not GGUF, malformed, or the file is shorter than its tensors.
        NotCheckedError: too long a head, an unknown version or type, or no budget.
    """
    cursor = GgufCursor(reader, entry)
    if entry.size_bytes < 24 or cursor.take(4) != b"GGUF":
        raise BrokenContentError(T("it is not a GGUF file"))
    _read_version(cursor)
    tensor_count, pair_count = cursor.number("Q"), cursor.number("Q")
    if tensor_count * _MIN_TENSOR_BYTES > entry.size_bytes:
        raise BrokenContentError(
            T("its header claims {count} tensors, which cannot be", count=tensor_count)
        )
    metadata = _read_metadata(cursor, pair_count, tensor_count, hints)
    if tensor_count > _MAX_TENSORS:
        raise NotCheckedError(T("its header claims {count} tensors", count=tensor_count))
    elements: dict[str, int] = {}
    end = _read_tensors(cursor, tensor_count, metadata.alignment, elements)
    data_start = _align(cursor.position, metadata.alignment)
    lacking = data_start + end - entry.size_bytes
    if tensor_count and lacking > 0:
        raise BrokenContentError(
            T("it is cut short: {lacking} bytes of its tensors lack", lacking=lacking)
        )
    trailing = max(0, entry.size_bytes - data_start - _align(end, metadata.alignment))
    return GgufSummary(metadata.architecture, metadata.has_chat_template, elements, trailing)


def _read_version(cursor: GgufCursor) -> None:
    version = cursor.number("I")
    if version & 0xFFFF == 0:
        # Big-endian files hold every number swapped, the version included.
        cursor.byte_order = ">"
        version = int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in (2, 3):
        raise NotCheckedError(T("its GGUF version {version} is unknown here", version=version))


def _read_metadata(
    cursor: GgufCursor, pair_count: int, tensor_count: int, hints: ArrayHints
) -> _Metadata:
    metadata = _Metadata()
    for index in range(pair_count):
        key, kind = cursor.string(), cursor.number("I")
        is_followed = index + 1 < pair_count or tensor_count > 0
        if key == "general.architecture" and kind == _STRING:
            metadata.architecture = cursor.string()
        elif key == "general.alignment" and kind in _INTEGER_TYPES:
            metadata.alignment = _checked_alignment(cursor.number(_SCALARS[kind]))
        elif key.startswith("tokenizer.chat_template") and kind == _STRING:
            metadata.has_chat_template |= cursor.skip_string() > 0
        else:
            _skip_value(cursor, key, kind, hints if is_followed else None)
    return metadata


def _checked_alignment(alignment: int) -> int:
    if alignment <= 0 or alignment & (alignment - 1) or alignment > 2**20:
        raise BrokenContentError(T("its alignment {value} is not valid", value=alignment))
    return alignment


def _skip_value(
    cursor: GgufCursor, key: str, kind: int, hints: ArrayHints | None, depth: int = 0
) -> None:
    if kind in _SCALARS:
        cursor.skip(struct.calcsize("<" + _SCALARS[kind]))
    elif kind == _STRING:
        cursor.skip_string()
    elif kind == _ARRAY and depth < _MAX_NESTING:
        _skip_array(cursor, key, hints, depth)
    else:
        raise BrokenContentError(T("its header holds a value of unknown kind {kind}", kind=kind))


def _skip_array(cursor: GgufCursor, key: str, hints: ArrayHints | None, depth: int) -> None:
    item_kind, count = cursor.number("I"), cursor.number("Q")
    if item_kind in _SCALARS:
        cursor.skip(struct.calcsize("<" + _SCALARS[item_kind]) * count)
    elif item_kind == _STRING:
        _skip_strings(cursor, key, count, hints)
    else:
        for _ in range(count):
            _skip_value(cursor, key, item_kind, None, depth + 1)


_HINT_FROM_COUNT = 4096
_HINT_SAMPLE_BYTES = 1024


def _skip_strings(cursor: GgufCursor, key: str, count: int, hints: ArrayHints | None) -> None:
    # count strings take 8 bytes each at least, so this many need the sample.
    if hints is None or count < _HINT_FROM_COUNT:
        cursor.skip_strings(count)
        return
    start = cursor.position
    known_as = (key, count, cursor.take(_HINT_SAMPLE_BYTES))
    if (hint := hints.seen.get(known_as)) is not None and _follow(cursor, start, *hint):
        return
    cursor.jump(start)
    cursor.skip_strings(count)
    if (name := _peek_name(cursor)) is not None:
        hints.seen[known_as] = (cursor.position - start, name)


def _follow(cursor: GgufCursor, start: int, length: int, following: bytes) -> bool:
    try:
        cursor.jump(start + length)
    except BrokenContentError:
        return False
    return _peek_name(cursor) == following


def _peek_name(cursor: GgufCursor) -> bytes | None:
    """The name at the cursor, which stays where it is; None if there is none."""
    start = cursor.position
    try:
        return cursor.string().encode()
    except BrokenContentError:
        return None
    finally:
        cursor.position = start


def _read_tensors(
    cursor: GgufCursor, tensor_count: int, alignment: int, elements: dict[str, int]
) -> int:
    """Walk the tensor table; fills ``elements``; returns where the last tensor ends."""
    names: set[str] = set()
    spans: list[tuple[int, int, str]] = []
    for _ in range(tensor_count):
        name = cursor.string()
        shape = _read_shape(cursor, name)
        kind, offset = cursor.number("I"), cursor.number("Q")
        if name in names:
            raise BrokenContentError(T("the tensor {name} is there twice", name=_short(name)))
        names.add(name)
        type_name, count, size = _tensor_size(name, shape, kind)
        elements[type_name] = elements.get(type_name, 0) + count
        spans.append((offset, offset + size, name))
    end = 0
    for start, stop, name in sorted(spans):
        if start != _align(end, alignment):
            raise BrokenContentError(
                T("the tensor {name} does not follow the one before it", name=_short(name))
            )
        end = stop
    return end


def _read_shape(cursor: GgufCursor, name: str) -> list[int]:
    dims = cursor.number("I")
    if dims > _MAX_DIMS:
        raise BrokenContentError(
            T("the tensor {name} claims {dims} dimensions", name=_short(name), dims=dims)
        )
    return [cursor.number("Q") for _ in range(dims)]


def _tensor_size(name: str, shape: list[int], kind: int) -> tuple[str, int, int]:
    """(type name, number of elements, bytes) of one tensor."""
    if kind not in GGML_TYPES:
        raise NotCheckedError(T("it uses the tensor type {kind}, unknown here", kind=kind))
    type_name, block, block_bytes = GGML_TYPES[kind]
    count = count_elements(shape)
    # Blocks run along the first dimension and never across rows.
    if count is None or (shape[0] if shape else 1) % block:
        raise BrokenContentError(T("the tensor {name} has an impossible shape", name=_short(name)))
    return type_name, count, count // block * block_bytes


def _align(position: int, alignment: int) -> int:
    return (position + alignment - 1) // alignment * alignment


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")
