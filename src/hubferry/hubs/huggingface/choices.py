"""Which files ride inside a commit and which go to the LFS store; pure functions."""

from __future__ import annotations

from fnmatch import fnmatchcase

# The patterns of the .gitattributes that Hugging Face puts into a new repository.
_LFS_NAMES = (
    "*.7z", "*.arrow", "*.avro", "*.bin", "*.bz2", "*.ckpt", "*.ftz", "*.gguf", "*.gz", "*.h5",
    "*.joblib", "*.lfs.*", "*.mlmodel", "*.model", "*.msgpack", "*.npy", "*.npz", "*.onnx",
    "*.ot", "*.parquet", "*.pb", "*.pickle", "*.pkl", "*.pt", "*.pth", "*.rar", "*.safetensors",
    "*.tar", "*.tar.*", "*.tflite", "*.tgz", "*.wasm", "*.xz", "*.zip", "*.zst", "*tfevents*",
)  # fmt: skip
_TEXT_NAMES = ("*.json", "*.jsonl", "*.md", "*.txt", "*.py", "*.yaml", "*.yml", "*.csv", "*.tsv")
# Regular files are expected to stay at or under 5 MB; binaries over about 1 MB
# must not be regular. Source: hub-docs, huggingface_hub#657.
_TEXT_BYTES = 5 * 10**6
_OTHER_BYTES = 10**6


def must_inline(path: str) -> bool:
    """True for what the hub itself parses: the card, and the attributes that steer LFS."""
    return path in ("README.md", ".gitattributes")


def wants_inline(path: str, size_bytes: int) -> bool:
    """True if the file should be regular. Empty files always are: the store refuses them."""
    if size_bytes == 0 or must_inline(path):
        return True
    name = path.rpartition("/")[2]
    if _matches(name, _LFS_NAMES) or path.startswith("saved_model/"):
        return False
    return size_bytes <= (_TEXT_BYTES if _matches(name, _TEXT_NAMES) else _OTHER_BYTES)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
