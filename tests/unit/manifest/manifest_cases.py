"""Manifests for the tests: what came of a text, and what was wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubferry.manifest import ManifestError, load_manifest
from hubferry.manifest.values import Manifest

TEXT, CSV, YAML = Path("models.txt"), Path("models.csv"), Path("models.yaml")

FULL = """\
version: 1
x-shared: &weights
  include: ["*.json", "*.safetensors"]
  card: skip
x-notes: [anything, {goes: here}]
hubs:
  hf: {token: env:HF_TOKEN, endpoint: https://hf-mirror.com, proxy: direct}
  ms:
    token: login
defaults:
  <<: *weights
  target: ms://my-org/{name}
  conditions: {min-size: 512M, license-deny: [cc-by-nc-4.0]}
verify-days: 3
repos-at-once: 8
hooks:
  - {slack: env:SLACK_URL, on: [failure, stall]}
  - command: notify-send "it is over"
    on: end
  - feishu: file:~/feishu
    secret: cmd:pass show feishu
  - webhook: https://ops.example.org/hubferry
watch:
  every: 15m
  jitter: 30s
  quiet-hours: [22:00-06:00, "12:30-13:00"]
  bwlimit: off
  listen: 127.0.0.1:8080
  webhook-secret: env:WEBHOOK_SECRET
entries:
  - source: hf://org/name
  - source: org2/bert-*
    target: my-org/
    conditions: {max-size: 1.5T, updated-after: 30d, gated: skip}
  - source: hf://collections/TheBloke/recent-64f9a55bb3115b4f513ec026
    target: ms://my-org/x-{name}
    delete: true
    max-delete: 5
  - source:
      search: {author: Qwen, tags: [gguf], updated-since: 2026-01-31, min-downloads: 100}
    target: ms://my-org/q-{name}
    visibility: private
    license: apache-2.0
    commit-message: Mirrored
    on-conflict: fail
  - source: https://huggingface.co/collections/org/title-0123456789abcdef01234567
    target: ms://my-org/{owner}-{name}
    revisions: [main, "v*"]
"""


def loaded(text: str, name: Path = YAML, **more: Any) -> Manifest:
    """What a text says."""
    return load_manifest(name, text=text, **more)


def mistakes(text: str, name: Path = YAML, **more: Any) -> list[str]:
    """Every mistake of a text, as ``line: what; how``."""
    with pytest.raises(ManifestError) as caught:
        load_manifest(name, text=text, **more)
    assert caught.value.exit_code == 2
    told = [str(problem.text) for problem in caught.value.problems]
    assert all(line.startswith(f"{name}:") for line in told), told
    assert all(problem.how is not None for problem in caught.value.problems), told
    return [line.removeprefix(f"{name}:") for line in told]


def mistake(text: str, name: Path = YAML, **more: Any) -> str:
    """The only mistake of a text."""
    found = mistakes(text, name, **more)
    assert len(found) == 1, found
    return found[0]


def entry(*lines: str) -> str:
    """A YAML manifest with one entry, its first key in line 3."""
    return "version: 1\nentries:\n- " + "\n  ".join(lines) + "\n"
