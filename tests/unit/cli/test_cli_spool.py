"""The spool's options: sizes as people write them, and where they end up."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.cli.conftest import Cli

from hubferry.app import Settings
from hubferry.cli.values import parse_size
from hubferry.spool import SpoolMode


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("1234", 1234),
        ("512B", 512),
        ("1k", 1024),
        ("512M", 512 * 1024**2),
        ("50G", 50 * 1024**3),
        ("1.5T", 3 * 1024**4 // 2),
        ("1P", 1024**5),
        ("2GiB", 2 * 1024**3),
        ("2 gib", 2 * 1024**3),
        ("2GB", 2 * 1000**3),
        (" 0.5 kb ", 500),
        ("0.1K", 102),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "G", "fifty", "-1G", "1e9", "5X", "1.G", ".5G", "1,5G", "1G1M", "9" * 5000]
)
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no size|limit"):
        parse_size(text)


def settings(cli: Cli, *args: str) -> Settings:
    assert cli(*args) == 0
    assert cli.app is not None
    found: Settings = cli.app.settings
    return found


@pytest.mark.parametrize("command", [("copy", "a/b", "c/d"), ("mirror", "a/b", "c/d", "--yes")])
def test_the_spools_options_reach_the_settings(
    cli: Cli, command: tuple[str, ...], tmp_path: Path
) -> None:
    usual = settings(cli, *command)
    assert usual.spool_mode is SpoolMode.AUTO
    assert (usual.spool_dir, usual.spool_limit_bytes) == (None, None)
    given = ("--spool", "always", "--spool-dir", str(tmp_path / "fast"), "--spool-limit", "1.5G")
    found = settings(cli, *command, *given)
    assert found.spool_mode is SpoolMode.ALWAYS
    assert found.spool_folder == tmp_path / "fast"
    assert found.spool_limit_bytes == 3 * 1024**3 // 2
    assert settings(cli, *command, "--spool", "off").spool_mode is SpoolMode.OFF


def test_a_plan_is_applied_with_a_spool_too(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    assert settings(cli, "apply", "plan.json", "--spool", "off").spool_mode is SpoolMode.OFF


@pytest.mark.parametrize("command", ["plan", "verify"])
def test_commands_that_send_nothing_have_no_spool(cli: Cli, command: str) -> None:
    assert cli(command, "a/b", "c/d", "--spool", "off") == 2


def test_a_wrong_size_says_what_one_looks_like(cli: Cli) -> None:
    assert cli("copy", "a/b", "c/d", "--spool-limit", "lots") == 2
    assert "lots is no size such as 512M, 50G, 1.5T" in cli.err


def test_file_and_environment_set_the_spool(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "config" / "hubferry"
    folder.mkdir(parents=True)
    file = folder / "config.toml"
    file.write_text('spool = "always"\nspool-limit = 4096\n', encoding="utf-8")
    monkeypatch.setenv("HUBFERRY_SPOOL_DIR", str(tmp_path))
    found = settings(cli, "copy", "a/b", "c/d")
    assert (found.spool_mode, found.spool_limit_bytes) == (SpoolMode.ALWAYS, 4096)
    assert found.spool_dir == tmp_path
    for wrong in ("true", "-5", "[1]"):
        file.write_text(f"spool-limit = {wrong}\n", encoding="utf-8")
        assert cli("copy", "a/b", "c/d") == 2, wrong


def test_the_usual_folder_is_a_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, **options: tmp_path / name)
    assert Settings().spool_folder == tmp_path / "hubferry" / "spool"
