"""What file names tell: formats, shards, indexes, text or weights."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

SAFETENSORS = ".safetensors"
GGUF = ".gguf"

# Files that hold a model's numbers, in any format that is met on the hubs.
WEIGHT_SUFFIXES = (
    SAFETENSORS,
    GGUF,
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".h5",
    ".keras",
    ".msgpack",
    ".ot",
    ".onnx",
    ".tflite",
    ".task",
    ".litertlm",
    ".mlmodel",
    ".weights",
    ".npz",
    ".npy",
    ".pkl",
    ".pickle",
    ".joblib",
    ".nemo",
    ".pdparams",
    ".pdiparams",
    ".engine",
    ".llamafile",
    ".ggml",
    ".zip",
    ".tar",
    ".tar.gz",
)

# Names with a weight suffix that hold something else.
_NOT_WEIGHTS = re.compile(
    r"(^|/)(training_args\.bin|optimizer\.(pt|bin)|scheduler\.pt|scaler\.pt"
    r"|rng_state[^/]*\.pth|random_states[^/]*\.pkl)$"
)

_SHARD = re.compile(r"^(?P<stem>.*[-_.])(?P<number>\d{5})-of-(?P<total>\d{5})(?P<rest>[^/]*)$")
_INDEX = re.compile(r"^(?P<stem>.*\.(safetensors|bin|h5|msgpack))\.index(\.[\w-]+)?\.json$")
_VARIANT = re.compile(
    r"(?:^|[._-])(fp16|fp32|bf16|fp8[\w]*|non_ema|ema_only|ema|bnb[\w-]*|int8|int4|q\d[\w]*)(?=[._-])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ShardSet:
    """All shards of one set, as far as one name tells: ``model-00001-of-00003.safetensors``."""

    stem: str
    total: int
    rest: str

    def path(self, number: int) -> str:
        """The path of shard ``number``, from 1 (from 0 in some sets)."""
        return f"{self.stem}{number:05d}-of-{self.total:05d}{self.rest}"


def is_weight(path: str) -> bool:
    """True if the name is that of a file of weights."""
    return path.lower().endswith(WEIGHT_SUFFIXES) and not _NOT_WEIGHTS.search(path)


def is_index(path: str) -> bool:
    """True for an index that names the shard of each tensor."""
    return _INDEX.match(path) is not None


def index_of_shards(path: str) -> str:
    """The set an index speaks for: ``unet/model.safetensors`` of ``….index.fp16.json``."""
    match = _INDEX.match(path)
    return match["stem"] if match else path


def folder_of(path: str) -> str:
    """The folder of a path, "" for the root."""
    return path.rpartition("/")[0]


def join(folder: str, name: str) -> str:
    """``folder/name``; ``folder`` may be ""."""
    return f"{folder}/{name}" if folder else name


def shard_set(path: str) -> tuple[ShardSet, int] | None:
    """The set a shard belongs to and its number there, or None."""
    match = _SHARD.match(path)
    if match is None:
        return None
    return ShardSet(match["stem"], int(match["total"]), match["rest"]), int(match["number"])


def weight_set(path: str) -> str:
    """A name shared by all shards of one set of weights; the path itself without shards."""
    found = shard_set(path)
    return path if found is None else f"{found[0].stem}*{found[0].rest}"


def has_variant(path: str) -> bool:
    """True if the name says it is another precision of a set (``….fp16.safetensors``)."""
    return _VARIANT.search(path.rpartition("/")[2]) is not None


# What transformers, diffusers and peft look for first in a folder.
_PREFERRED = (
    "model",
    "diffusion_pytorch_model",
    "pytorch_model",
    "adapter_model",
    "open_clip_model",
    "pytorch_lora_weights",
)


def main_weight_set(sets: Iterable[str], sizes: dict[str, int]) -> str | None:
    """Which one of several sets in a folder is the model: plain name first, then the largest."""

    def rank(name: str) -> tuple[bool, bool, int]:
        base = re.split(r"[-_.]?\*|\.", name.rpartition("/")[2])[0]
        return base not in _PREFERRED, has_variant(name), -sizes[name]

    return min(sorted(sets), key=rank, default=None)
