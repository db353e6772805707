"""A lab per test, and the means to run unmodified clients against it.

The official clients read the environment when they are imported, so each run is a process of its
own with its own HOME.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from hubferry.lab.config import LabConfig
from hubferry.lab.server import Lab

_KEPT_VARIABLES = ("PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP", "LANG")


class RunPython(Protocol):
    """Runs Python code in a fresh process and returns it when it has ended."""

    def __call__(
        self, code: str, *arguments: str, timeout_seconds: float = 60, **variables: str
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A running lab; ``parametrize("lab", [LabConfig(...)], indirect=True)`` shapes it."""
    config = getattr(request, "param", None)
    assert config is None or isinstance(config, LabConfig)
    with Lab(config) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The HOME of client processes."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def run_python(home: Path) -> RunPython:
    """Run code with no credentials, caches or settings but those given."""

    def run(
        code: str, *arguments: str, timeout_seconds: float = 60, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**kept, "HOME": str(home), "USERPROFILE": str(home), **variables},
            cwd=home,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )

    return run
