"""What every test gets: no folder of the person who runs the tests."""

from __future__ import annotations

import itertools

import pytest

_COUNT = itertools.count()


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A cache folder per test, made by whoever uses it: what one test spools no other finds."""
    folder = tmp_path_factory.getbasetemp() / f"cache-{next(_COUNT)}"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
