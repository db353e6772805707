"""Fixtures of the acceptance and fault tests; their conftest files take them from here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.bench import Bench

from hubferry.lab.config import LabConfig
from hubferry.lab.server import Lab

__all__ = ["bench", "clean_environment", "lab"]

_TELLING = ("HF_", "HUGGING", "MODELSCOPE_", "HUBFERRY_", "HTTP_", "HTTPS_", "ALL_PROXY")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A HOME of its own, and no login, endpoint or proxy of whoever runs the tests."""
    for name in list(os.environ):
        if name.upper().startswith(_TELLING):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("LANG", "C.UTF-8")
    return home


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A running lab; ``parametrize("lab", [LabConfig(...)], indirect=True)`` shapes it."""
    config = getattr(request, "param", None)
    assert config is None or isinstance(config, LabConfig)
    with Lab(config) as running:
        yield running


@pytest.fixture
def bench(lab: Lab, tmp_path: Path) -> Bench:
    """A source, a target, and an app between them in this process."""
    return Bench(lab, tmp_path)
