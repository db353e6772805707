"""The guide's world: a lab, a HOME, a folder with ``scripts/`` in it, and a real bash."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.guide.world import Bash

from hubferry.lab.config import LabConfig
from hubferry.lab.server import Lab

ROOT = Path(__file__).parent.parent.parent
_KEPT_VARIABLES = ("TMPDIR", "TEMP", "TMP")


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Both hubs, without the limits that the guide's loops do not need."""
    with Lab(LabConfig(commits_per_minute=None)) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """The folder in which the guide's reader types: it has the checkout's ``scripts``."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "scripts").symlink_to(ROOT / "scripts")
    return folder


@pytest.fixture
def environment(lab: Lab, tmp_path: Path) -> dict[str, str]:
    """Nothing of the developer's own: hubs, tokens, HOME and ``python`` are the test's."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "LANG": "C.UTF-8",
        "HF_ENDPOINT": lab.hf.endpoint,
        "HF_TOKEN": lab.hf.token,
        "MODELSCOPE_ENDPOINT": lab.ms.endpoint,
        "MODELSCOPE_API_TOKEN": lab.ms.token,
        "HUBFERRY_PYTHON": sys.executable,
    }


@pytest.fixture
def bash(world: Path, environment: dict[str, str]) -> Bash:
    """Run a script as the guide's reader would."""

    def run(
        script: str, *, timeout_seconds: float = 120, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", script],
            env={**environment, **variables},
            cwd=world,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )

    return run
