"""The ``*.index.json`` files: which tensor is in which shard, and do the shards agree."""

from __future__ import annotations

from dataclasses import dataclass, field

from hubferry.inspection.bounded_json import load_object
from hubferry.inspection.documents import refuse_pointer
from hubferry.inspection.faults import BrokenContentError
from hubferry.inspection.names import (
    SAFETENSORS,
    ShardSet,
    folder_of,
    index_of_shards,
    is_index,
    join,
    shard_set,
)
from hubferry.inspection.reader import RangeReader
from hubferry.inspection.repo import Findings, Repo
from hubferry.inspection.report import Severity
from hubferry.inspection.safetensors_header import TensorSummary
from hubferry.model import FileEntry, path_problem
from hubferry.text import T

_CAP_BYTES = 25_000_000
_NAMED_AT_MOST = 20
"""Problems of one kind told one by one; the rest as a number."""


@dataclass(frozen=True)
class ShardIndex:
    """One index: shard path -> the tensors it must hold."""

    path: str
    tensors: dict[str, set[str]] = field(repr=False)
    total_bytes: int | None


def read_index(reader: RangeReader, entry: FileEntry) -> ShardIndex:
    """Read and check one index.

    Raises:
        BrokenContentError, NotCheckedError: as for any file.
    """
    content = reader.read_whole(entry, _CAP_BYTES)
    refuse_pointer(content)
    return parse_index(entry.path, content)


def parse_index(path: str, content: bytes) -> ShardIndex:
    """Parse an index.

    Raises:
        BrokenContentError: not an index, or it names a path no one may use.
        NotCheckedError: more entries than we are ready to hold.
    """
    index = load_object(content, is_strict=True)
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise BrokenContentError(T("it has no weight_map"))
    folder = folder_of(path)
    tensors: dict[str, set[str]] = {}
    for tensor, shard in weight_map.items():
        if not isinstance(shard, str):
            raise BrokenContentError(T("its weight_map does not name files"))
        tensors.setdefault(shard, set()).add(tensor)
    for shard in tensors:
        if path_problem(shard) is not None:
            raise BrokenContentError(
                T("it names {shard}, which is no path in a repository", shard=repr(shard[:120]))
            )
    placed = {join(folder, shard): names for shard, names in tensors.items()}
    return ShardIndex(path, placed, _total_size(index.get("metadata")))


def _total_size(metadata: object) -> int | None:
    value = metadata.get("total_size") if isinstance(metadata, dict) else None
    # Some tools wrote it as a float.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def check_tensors(
    path: str, summary: TensorSummary, indexes: list[ShardIndex], findings: Findings
) -> None:
    """The tensors an index places in a shard must be in it."""
    for index in indexes:
        expected = index.tensors.get(path)
        if expected is None:
            continue
        if lacking := expected - summary.names:
            findings.add(
                Severity.BROKEN,
                path,
                T(
                    "{count} tensors that {index} places here are not in it, {name} for one",
                    count=len(lacking),
                    index=index.path,
                    name=repr(min(lacking)[:80]),
                ),
            )
        if extra := len(summary.names - expected):
            findings.add(
                Severity.WARNING,
                path,
                T("{count} of its tensors are not in {index}", count=extra, index=index.path),
            )


def check_total(index: ShardIndex, tensor_bytes: dict[str, int], findings: Findings) -> None:
    """``total_size`` must be the bytes of all tensors; told only when every shard was read.

    A warning, not a fault: no loader reads the figure, and merge tools are
    known to write it wrong beside whole weights.
    """
    if index.total_bytes is None or not index.tensors.keys() <= tensor_bytes.keys():
        return
    total = sum(tensor_bytes[path] for path in index.tensors)
    if total != index.total_bytes:
        findings.add(
            Severity.WARNING,
            index.path,
            T(
                "its total_size is {stated}, the shards hold {total} bytes of tensors",
                stated=index.total_bytes,
                total=total,
            ),
        )


def check_shards_present(repo: Repo, indexes: list[ShardIndex], findings: Findings) -> None:
    """Every shard an index names, and every number of a numbered set, must be there."""
    for index in indexes:
        _require_all(repo, sorted(index.tensors), index.path, findings)
    indexed = {path for index in indexes for path in index.tensors}
    sets: dict[ShardSet, set[int]] = {}
    for path in repo.listing.by_path:
        if path not in indexed and (found := shard_set(path)) is not None:
            sets.setdefault(found[0], set()).add(found[1])
    for shards, numbers in sets.items():
        first = 0 if 0 in numbers else 1
        wanted = (shards.path(n) for n in range(first, first + shards.total) if n not in numbers)
        _require_all(repo, list(wanted), shards.path(min(numbers)), findings)
        _require_index(repo, shards, findings)


def _require_all(repo: Repo, paths: list[str], named_by: str, findings: Findings) -> None:
    absent = 0
    for path in paths:
        if path in repo.listing.by_path:
            continue
        absent += 1
        if absent <= _NAMED_AT_MOST:
            repo.require(path, findings, T("{named_by} says that it exists", named_by=named_by))
    if absent > _NAMED_AT_MOST:
        findings.add(
            Severity.WARNING if repo.listing.doubtful_folders else Severity.MISSING,
            named_by,
            T("{count} more files it calls for are not there", count=absent - _NAMED_AT_MOST),
            is_unchecked=bool(repo.listing.doubtful_folders),
        )


# Sets that transformers and diffusers load by their index only.
_LOADED_BY_INDEX = ("model-", "pytorch_model-", "diffusion_pytorch_model-", "adapter_model-")


def _require_index(repo: Repo, shards: ShardSet, findings: Findings) -> None:
    folder, _, stem = shards.stem.rpartition("/")
    if stem not in _LOADED_BY_INDEX or shards.total < 2:
        return
    if shards.rest not in (SAFETENSORS, ".bin"):
        return
    names = repo.names_in.get(folder, ())
    if not any(index_of_shards(name).endswith(shards.rest) for name in names if is_index(name)):
        path = join(folder, f"{stem[:-1]}{shards.rest}.index.json")
        repo.require(path, findings, T("its shards cannot be loaded without this index"))
