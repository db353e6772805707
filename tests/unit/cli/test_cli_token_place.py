"""Where a token comes from, in the words of whoever set it."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from hubferry.cli.commands.auth import _at, status
from hubferry.cli.settings import token_place
from hubferry.model import Identity
from hubferry.outcome import HubStatus


def context(*args: str, **defaults: object) -> click.Context:
    return status.make_context("status", list(args), default_map=defaults)


def test_our_own_settings_are_named_by_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBFERRY_CONFIG", str(tmp_path / "c.toml"))
    assert token_place("hf", context()) is None
    assert token_place("hf", context("--hf-token", "x")) == "--hf-token"
    assert token_place("ms", context(ms_token="x")) == str(tmp_path / "c.toml")
    monkeypatch.setenv("HUBFERRY_MS_TOKEN", "x")
    assert token_place("ms", context()) == "HUBFERRY_MS_TOKEN"


def test_a_hub_s_own_place_stays() -> None:
    found = HubStatus("hf", "Hugging Face", "", Identity("me", token_source="HF_TOKEN"))
    assert _at(found, None) is found
    renamed = _at(found, "--hf-token")
    assert renamed.identity is not None
    assert renamed.identity.token_source == "--hf-token"
