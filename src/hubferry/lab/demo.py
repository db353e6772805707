"""The repositories a lab starts with under ``--seed demo``: a small family of realistic models."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

from hubferry.lab.content import BytesContent, SyntheticContent

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

_SHARD_VALUES = 4_000_000
_CARD = """---
license: mit
language: en
library_name: transformers
pipeline_tag: text-generation
tags:
- conversational
---
# DialoGPT (demo)

A stand-in of the right shape: real names, computed weights.
"""
_CONFIG = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 1024,
    "n_head": 16,
    "n_layer": 24,
    "vocab_size": 50257,
}


def seed_demo(lab: Lab) -> None:
    """Make ``microsoft/DialoGPT-medium`` on the Hugging Face side: two shards, index, tokenizer."""
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = {
        "metadata": {"total_size": 4 * _SHARD_VALUES * len(shards)},
        "weight_map": {f"transformer.h.{n}.weight": shard for n, shard in enumerate(shards)},
    }
    tokens = {f"token{number}": number for number in range(2000)}
    repo = lab.hf.repos.create("model", "microsoft/DialoGPT-medium", created_by="microsoft")
    repo.license = "mit"
    repo.card = {
        "license": "mit",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["conversational"],
    }
    repo.commit(
        {
            ".gitattributes": "*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
            "README.md": _CARD,
            "config.json": json.dumps(_CONFIG, indent=2),
            "generation_config.json": json.dumps({"max_length": 1000}),
            "vocab.json": json.dumps(tokens),
            "merges.txt": "#version: 0.2\n" + "\n".join(f"t {n}" for n in range(2000)),
            "tokenizer_config.json": json.dumps({"model_max_length": 1024}),
            "model.safetensors.index.json": json.dumps(index, indent=2),
            **{shard: _shard(number) for number, shard in enumerate(shards)},
        },
        message="Add the model",
    )


def _shard(number: int) -> BytesContent:
    """Return a readable safetensors file with one tensor of computed bytes.

    Source: the safetensors format: header length (8 bytes, little-endian), JSON header, data.
    """
    size = 4 * _SHARD_VALUES
    tensor = {"dtype": "F32", "shape": [_SHARD_VALUES], "data_offsets": [0, size]}
    header = json.dumps({f"transformer.h.{number}.weight": tensor}).encode()
    header += b" " * (-len(header) % 8)
    data = SyntheticContent(size, f"demo {number}").read(0, size)
    return BytesContent(struct.pack("<Q", len(header)) + header + bytes(data))
