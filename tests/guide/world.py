"""What the tests of the guide put on the hubs and look for there."""

from __future__ import annotations

import json
import subprocess
from typing import Protocol

from hubferry.lab.content import SyntheticContent
from hubferry.lab.repos import Repo
from hubferry.lab.server import Lab


def add_model(lab: Lab, name: str, weight_bytes: int) -> Repo:
    """A small language model on the Hugging Face side; its weight may be of any size."""
    config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_layer": 2}
    repo = lab.hf.repos.create("model", name, created_by="microsoft")
    repo.license = "mit"
    repo.card = {"license": "mit", "pipeline_tag": "text-generation"}
    repo.commit(
        {
            "README.md": "---\nlicense: mit\npipeline_tag: text-generation\n---\n# A model\n",
            "config.json": json.dumps(config),
            "vocab.json": json.dumps({"a": 0, "b": 1}),
            "merges.txt": "#version: 0.2\na b\n",
            "tokenizer_config.json": json.dumps({"model_max_length": 8}),
            "pytorch_model.bin": SyntheticContent(weight_bytes, name),
        },
        message="Add the model",
    )
    return repo


def copied(lab: Lab, source: str, target: str) -> bool:
    """Whether ModelScope's side holds, byte for byte, what Hugging Face's side holds."""
    there, here = lab.ms.repos.get("model", target), lab.hf.repos.get("model", source)
    if there is None or here is None:
        return False
    digests = {path: file.sha256 for path, file in there.tree().items()}
    return all(
        digests.get(path) == file.sha256 and file.sha256 in there.store.blobs
        for path, file in here.tree().items()
    )


class Bash(Protocol):
    """Runs a bash script in the guide's world, and returns it when it has ended."""

    def __call__(
        self, script: str, *, timeout_seconds: float = 120, **variables: str
    ) -> subprocess.CompletedProcess[str]: ...
