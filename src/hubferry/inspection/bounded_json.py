"""JSON from strangers: bounded in memory and depth, never a crash.

``json.loads`` turns 3 bytes (``[],``) into some 70 bytes of objects, so a cap
on the bytes alone would let 25 MB of header become gigabytes. Every value
costs one of ``, [ {`` somewhere, so counting these three first bounds the
objects that can come out (at most about 200 bytes each) before any is made.
"""

from __future__ import annotations

import json
from typing import NoReturn

from hubferry.inspection.faults import BrokenContentError, NotCheckedError
from hubferry.text import T

MAX_MARKS = 600_000
"""Our guess. Enough for an index of 600,000 tensors (the largest today name about 90,000) or a
header of 60,000; the worst that fits took under 150 MB when measured."""


def load_object(data: bytes, *, is_strict: bool) -> dict[str, object]:
    """Parse a JSON object.

    ``is_strict`` also refuses duplicate keys and NaN or Infinity, which the
    tensor formats do not allow. Configurations do hold them: ``json.dump``
    writes ``Infinity`` and every loader reads it back.

    Raises:
        BrokenContentError: not UTF-8, not JSON, or not an object.
        NotCheckedError: more values than we are ready to hold.
    """
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > MAX_MARKS:
        raise NotCheckedError(T("it holds more than {count} JSON values", count=MAX_MARKS))
    try:
        # utf-8-sig: a byte order mark in a configuration is harmless to the loaders.
        text = data.decode("utf-8" if is_strict else "utf-8-sig")
    except UnicodeDecodeError as exc:
        raise BrokenContentError(T("it is not valid UTF-8")) from exc
    try:
        value = _STRICT.decode(text) if is_strict else json.loads(text)
    except RecursionError as exc:
        raise BrokenContentError(T("its JSON is nested too deeply")) from exc
    except ValueError as exc:
        raise BrokenContentError(
            T("it is not valid JSON: {reason}", reason=str(exc)[:200])
        ) from exc
    if not isinstance(value, dict):
        raise BrokenContentError(T("it is not a JSON object"))
    return value


def load_list(data: bytes) -> list[object]:
    """Parse a JSON list (``modules.json``), otherwise as :func:`load_object`."""
    wrapped = load_object(b'{"list":' + data + b"}", is_strict=True)
    value = wrapped.get("list")
    if len(wrapped) != 1 or not isinstance(value, list):
        raise BrokenContentError(T("it is not a JSON list"))
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} is there twice")
    return result


_STRICT = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
