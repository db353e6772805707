"""Which paths a seeded repository keeps by LFS pointer, as the hubs' own clients would choose.

Over the wire the choice is the client's (ModelScope) or the preupload answer's (Hugging Face).
Sources: the ``.gitattributes`` a new Hugging Face repository gets; modelscope_hub 0.5.1,
``constants.py``.
"""

from __future__ import annotations

from pathlib import PurePosixPath

# A new Hugging Face repository's attributes and the ModelScope client's table for models agree.
_LFS_SUFFIXES = (
    *("7z", "arrow", "bin", "bz2", "ckpt", "ftz", "gz", "h5", "joblib", "mlmodel", "model"),
    *("msgpack", "npy", "npz", "onnx", "ot", "parquet", "pb", "pickle", "pkl", "pt", "pth", "rar"),
    *("safetensors", "tar", "tflite", "tgz", "wasm", "xz", "zip", "zst"),
)
_HF_REGULAR_LIMIT_BYTES = 10_000_000
_MS_REGULAR_LIMIT_BYTES = 64 * 1024
_MS_INLINE_NAMES = (
    *("readme.md", ".gitattributes", ".gitignore", ".msc", ".mdl", "config.json"),
    *("configuration.json", "configuration.yaml", "configuration.yml", "dataset_infos.json"),
)

GITATTRIBUTES = "".join(
    f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in _LFS_SUFFIXES
)
"""The file both hubs put into a new repository."""


def hf_keeps_by_pointer(path: str, size_bytes: int) -> bool:
    """Tell whether Hugging Face would have this file in LFS: by suffix, or above 10 MB."""
    return _suffix(path) in _LFS_SUFFIXES or size_bytes > _HF_REGULAR_LIMIT_BYTES


def ms_keeps_by_pointer(path: str, size_bytes: int) -> bool:
    """Tell whether the ModelScope client would: by suffix, or above 64 KiB; never cards."""
    if PurePosixPath(path).name.lower() in _MS_INLINE_NAMES or size_bytes == 0:
        return False
    return _suffix(path) in _LFS_SUFFIXES or size_bytes > _MS_REGULAR_LIMIT_BYTES


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower().removeprefix(".")
