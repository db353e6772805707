"""Parameters and dtypes of a repository, each model counted once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hubferry.inspection.documents import Documents, Json
from hubferry.inspection.names import (
    GGUF,
    SAFETENSORS,
    folder_of,
    is_weight,
    main_weight_set,
    weight_set,
)
from hubferry.model import FileEntry, Listing
from hubferry.text import T, Text

_PACKED_DTYPES = frozenset({"U8", "I32", "U32"})


@dataclass(frozen=True)
class Count:
    """The sum over the counted sets; ``parameters`` None with the reason in ``note``."""

    parameters: int | None
    dtypes: Mapping[str, int] = field(default_factory=dict)
    note: Text | None = None


def count_parameters(
    listing: Listing, documents: Documents, elements: Mapping[str, Mapping[str, int]]
) -> Count:
    """Add up the sets of weights that make the model.

    Args:
        elements: path -> dtype -> number of elements, of every file whose header was good.
    """
    # A description may name any number of folders: each is looked up, not searched for.
    weights: dict[str, list[FileEntry]] = {}
    for entry in listing.entries:
        if is_weight(entry.path):
            weights.setdefault(folder_of(entry.path), []).append(entry)
    sets: list[list[FileEntry]] = []
    for folder in _model_folders(listing, documents):
        if chosen := _main_set(weights.get(folder, [])):
            sets.append(chosen)
    if not sets:
        return Count(None, {}, T("no weights to count"))
    files = [entry for chosen in sets for entry in chosen]
    dtypes: dict[str, int] = {}
    for entry in files:
        for dtype, count in elements.get(entry.path, {}).items():
            dtypes[dtype] = dtypes.get(dtype, 0) + count
    ordered = dict(sorted(dtypes.items(), key=lambda item: (-item[1], item[0])))
    if silent := [entry.path for entry in files if entry.path not in elements]:
        return Count(None, ordered, T("{path} does not tell its parameters", path=silent[0]))
    if is_packed(documents.get("config.json"), ordered):
        note = T("quantised weights are packed: the dtypes count stored elements")
        return Count(None, ordered, note)
    return Count(sum(ordered.values()), ordered)


def is_packed(config: Json, dtypes: Iterable[str]) -> bool:
    """True if several parameters share one stored element (GPTQ, AWQ, 4-bit and MLX formats)."""
    is_quantised = any(
        isinstance(config.get(key), dict) for key in ("quantization_config", "quantization")
    )
    return is_quantised and not _PACKED_DTYPES.isdisjoint(dtypes)


def _model_folders(listing: Listing, documents: Documents) -> Sequence[str]:
    """The folders whose weights add up to the model."""
    index = documents.get("model_index.json")
    if index:
        return [name for name, value in index.items() if isinstance(value, list)]
    if documents.modules is not None:
        paths = [m.get("path") for m in documents.modules if isinstance(m, dict)]
        return sorted({path.rstrip("/") for path in paths if isinstance(path, str)})
    weights = [entry for entry in listing.entries if is_weight(entry.path)]
    if not weights or any(folder_of(entry.path) == "" for entry in weights):
        return [""]
    largest = max(weights, key=lambda entry: entry.size_bytes)
    return [folder_of(largest.path)]


def _main_set(here: Sequence[FileEntry]) -> list[FileEntry]:
    """Of the weights of one folder, the files of the one set that is the model."""
    for suffix in (SAFETENSORS, GGUF, ""):
        files = [entry for entry in here if entry.path.endswith(suffix)]
        if not files:
            continue
        sizes: dict[str, int] = {}
        for entry in files:
            name = weight_set(entry.path)
            sizes[name] = sizes.get(name, 0) + entry.size_bytes
        main = main_weight_set(sizes, sizes)
        return [entry for entry in files if weight_set(entry.path) == main]
    return []
