"""The head of a safetensors file: what it says, and whether the file agrees.

Layout: 8 bytes little-endian header length, that many bytes of JSON, then the
tensors' bytes, without gaps. Checked as the reference reader checks it.

Source: ``safetensors/src/tensor.rs`` in huggingface/safetensors
(``read_metadata``, ``Metadata::validate``, ``Dtype::bitsize``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hubferry.inspection.bounded_json import load_object
from hubferry.inspection.faults import BrokenContentError, NotCheckedError
from hubferry.inspection.reader import RangeReader
from hubferry.model import FileEntry
from hubferry.text import T

FORMAT_CAP_BYTES = 100_000_000
"""Longer headers are refused by the reference reader."""
READ_CAP_BYTES = 25_000_000
"""Longer headers are legal but not read here; real ones stay under 3 MB."""
_FIRST_READ_BYTES = 64 * 1024
_LENGTH_BYTES = 8

DTYPE_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}

_MAX_ELEMENTS = 2**63


@dataclass(frozen=True, slots=True)
class TensorSummary:
    """What the headers tell of one file's tensors."""

    names: frozenset[str]
    elements: dict[str, int]
    """dtype name -> number of stored elements."""
    tensor_bytes: int


def read_safetensors(reader: RangeReader, entry: FileEntry) -> TensorSummary:
    """Read and check the header of ``entry``; one or two requests.

    Raises:
        BrokenContentError: the header is not one, or the file does not match it.
        NotCheckedError: header over our cap, a dtype we do not know, or no budget.
    """
    if entry.size_bytes < _LENGTH_BYTES + 2:
        raise BrokenContentError(T("it is too short for a safetensors file"))
    head = reader.read(entry, 0, min(entry.size_bytes, _FIRST_READ_BYTES))
    header_bytes = int.from_bytes(head[:_LENGTH_BYTES], "little")
    data_start = _LENGTH_BYTES + header_bytes
    if header_bytes > FORMAT_CAP_BYTES or data_start > entry.size_bytes:
        raise BrokenContentError(
            T("its header claims {length} bytes, which cannot be", length=header_bytes)
        )
    if header_bytes > READ_CAP_BYTES:
        raise NotCheckedError(T("its header is {length} bytes long", length=header_bytes))
    if data_start > len(head):
        head += reader.read(entry, len(head), data_start)
    return parse_header(bytes(head[_LENGTH_BYTES:data_start]), entry.size_bytes - data_start)


def parse_header(header: bytes, data_bytes: int) -> TensorSummary:
    """Check a header against the size of the data behind it.

    Raises:
        BrokenContentError, NotCheckedError: as :func:`read_safetensors`.
    """
    content = load_object(header, is_strict=True)
    _check_metadata(content.pop("__metadata__", None))
    spans: list[tuple[int, int, str]] = []
    elements: dict[str, int] = {}
    for name, tensor in content.items():
        dtype, count, start, end = _tensor(name, tensor)
        spans.append((start, end, name))
        elements[dtype] = elements.get(dtype, 0) + count
    _check_cover(spans, data_bytes)
    return TensorSummary(frozenset(content), elements, data_bytes)


def _check_metadata(metadata: object) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise BrokenContentError(T("its __metadata__ is not a map of strings"))


def _tensor(name: str, tensor: object) -> tuple[str, int, int, int]:
    """(dtype, number of elements, start, end) of one header entry."""
    if not isinstance(tensor, dict):
        raise _bad_tensor(name, "entry")
    dtype, shape, offsets = (tensor.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str):
        raise _bad_tensor(name, "dtype")
    if not isinstance(shape, list) or not all(_is_size(dim) for dim in shape):
        raise _bad_tensor(name, "shape")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
        raise _bad_tensor(name, "data_offsets")
    if dtype not in DTYPE_BITS:
        raise NotCheckedError(T("it uses the dtype {dtype}, unknown here", dtype=repr(dtype[:40])))
    count = count_elements(shape)
    start, end = offsets
    if count is None or count * DTYPE_BITS[dtype] != (end - start) * 8:
        raise BrokenContentError(
            T("the tensor {name} does not fill the place its header gives it", name=_short(name))
        )
    return dtype, count, start, end


def count_elements(shape: list[int]) -> int | None:
    """The product of ``shape`` (1 for a scalar), or None if it cannot be real.

    Stops early: a shape with thousands of huge dimensions would otherwise
    cost seconds of long multiplication.
    """
    if 0 in shape:
        return 0
    if sum(dim > 1 for dim in shape) > 63:
        return None
    count = math.prod(shape)
    return count if count < _MAX_ELEMENTS else None


def _check_cover(spans: list[tuple[int, int, str]], data_bytes: int) -> None:
    position = 0
    for start, end, name in sorted(spans):
        if start > position:
            raise BrokenContentError(
                T(
                    "{gap} bytes before the tensor {name} belong to no tensor",
                    gap=start - position,
                    name=_short(name),
                )
            )
        if start < position:
            raise BrokenContentError(T("the tensor {name} overlaps another", name=_short(name)))
        position = end
    if position > data_bytes:
        raise BrokenContentError(
            T("it is cut short: {lacking} bytes of its tensors lack", lacking=position - data_bytes)
        )
    if position < data_bytes:
        raise BrokenContentError(
            T("{extra} bytes at its end belong to no tensor", extra=data_bytes - position)
        )


def _is_size(value: object) -> bool:
    # bool is an int to Python, and a number above 2^63 is no size.
    return type(value) is int and 0 <= value < _MAX_ELEMENTS


def _bad_tensor(name: str, what: str) -> BrokenContentError:
    return BrokenContentError(
        T("the tensor {name} has no valid {what}", name=_short(name), what=what)
    )


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")
