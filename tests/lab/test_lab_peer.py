"""An independent third: hfms-bridge 0.5.1, unmodified, from each hub to the other.

Runs where the package is installed, or where ``HUBFERRY_TEST_PEER`` names its command.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hubferry.lab.config import LabConfig
from hubferry.lab.content import SyntheticContent
from hubferry.lab.repos import Repo
from hubferry.lab.server import Lab

_NAMED = os.environ.get("HUBFERRY_TEST_PEER")
_INSTALLED = importlib.util.find_spec("hfms_bridge") is not None
PEER = [_NAMED] if _NAMED else [sys.executable, "-m", "hfms_bridge"]
REPO = "your-org/model"
FILES = {
    "README.md": b"---\nlicense: mit\n---\n# hi",
    "config.json": b'{"a": 1}',
    "sub/deep/vocab.txt": b"word\n" * 5000,
    "sub/empty.txt": b"",
    "model.safetensors": bytes(SyntheticContent(3 << 20).read(0, 3 << 20)),
}

pytestmark = pytest.mark.skipif(not (_NAMED or _INSTALLED), reason="hfms-bridge is not installed")


@pytest.mark.parametrize("lab", [LabConfig(make_first_files=False)], indirect=True)
@pytest.mark.parametrize("direction", ["hf2ms", "ms2hf"])
def test_the_peer_copies_and_then_finds_nothing_to_do(lab: Lab, home: Path, direction: str) -> None:
    source, target = (lab.hf, lab.ms) if direction == "hf2ms" else (lab.ms, lab.hf)
    source.repos.create("model", REPO).commit(FILES)
    run_peer(lab, home, direction)
    made = target.repos.get("model", REPO)
    assert made is not None
    assert contents(made).items() >= FILES.items()
    before = len(made.commits)
    run_peer(lab, home, direction)
    assert len(made.commits) == before
    assert lab.counters.snapshot()["unknown"] == {}


def contents(repo: Repo) -> dict[str, bytes]:
    """Return every file of a repository."""
    return {path: repo.read(path) for path in repo.tree()}


def run_peer(lab: Lab, home: Path, direction: str) -> None:
    """Run the peer's command to its end."""
    ran = subprocess.run(
        [
            *(*PEER, direction, REPO, REPO, "--visibility", "private"),
            *("--hf-endpoint", lab.hf.endpoint, "--hf-token", lab.hf.token),
            *("--ms-endpoint", lab.ms.endpoint, "--ms-token", lab.ms.token),
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
