"""Fixtures of the acceptance and fault tests; their conftest files take them from here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.bench import Bench

from hubferry.control import CancelToken
from hubferry.hubs.modelscope import official
from hubferry.lab.config import LabConfig
from hubferry.lab.server import Lab
from hubferry.net.config import HttpConfig
from hubferry.net.http import HttpAnswer, HttpClient

__all__ = ["bench", "clean_environment", "lab", "quick_waits", "short_timeouts"]

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


@pytest.fixture
def quick_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses last a moment only; the list tells how long each was meant to be, in seconds."""
    waits: list[float] = []

    def sleep(token: CancelToken, seconds: float) -> None:
        waits.append(seconds)
        if token._event.wait(min(max(0.0, seconds), 0.02)):
            token.check()

    monkeypatch.setattr(CancelToken, "sleep", sleep)
    return waits


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> float:
    """A silent hub is given up after this many seconds instead of half a minute and more."""
    seconds = 1.5
    for hub in ("huggingface", "modelscope"):
        config = partial(HttpConfig, read_timeout_seconds=seconds)
        monkeypatch.setattr(f"hubferry.hubs.{hub}.hub.HttpConfig", config)
    put = HttpClient.put

    def impatient_put(*args: Any, **named: Any) -> HttpAnswer:
        return put(*args, **{**named, "answer_timeout_seconds": seconds})

    monkeypatch.setattr(HttpClient, "put", impatient_put)
    make_client = official.make_client

    def make_impatient(*args: Any) -> Any:
        client = make_client(*args)
        client._timeout = (seconds, seconds)
        return client

    monkeypatch.setattr(official, "make_client", make_impatient)
    return seconds
