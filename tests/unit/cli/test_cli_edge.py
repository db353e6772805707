"""Parsing, configuration, language and what happens before a command runs."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import click
import pytest
from tests.unit.cli.conftest import Cli

from hubferry.cli import root
from hubferry.cli.layout import wrap
from hubferry.cli.localized import Option
from hubferry.cli.values import DURATION, Number, parse_duration
from hubferry.i18n import decide_language


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6h", 21600), ("10m", 600), ("90s", 90), ("1h30m", 5400), ("45", 45), ("1.5h", 5400)],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "ten", "5w", "-3s", "1m1h"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1])
def test_a_number_of_the_configuration_is_a_time_that_passes(value: float) -> None:
    with pytest.raises(click.BadParameter, match="no duration"):
        DURATION.convert(value, None, None)
    assert DURATION.convert(90, None, None) == 90.0


@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_what_nothing_can_be_compared_with_is_no_number(value: str) -> None:
    with pytest.raises(click.BadParameter):
        Number(min=0).convert(value, None, None)
    assert Number(min=0).convert("1.5", None, None) == 1.5


def config(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "config" / "hubferry"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(text, encoding="utf-8")


def test_flag_beats_environment_beats_file_beats_default(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def workers(*args: str) -> int:
        assert cli("copy", "a/b", "c/d", *args) == 0
        assert cli.app is not None
        return int(cli.app.settings.workers)

    assert workers() == 16
    config(tmp_path, "workers = 5\n[copy]\nworkers = 6\n")
    assert workers() == 6
    config(tmp_path, "workers = 5\n[mirror]\nworkers = 6\n")
    assert workers() == 5
    monkeypatch.setenv("HUBFERRY_WORKERS", "7")
    assert workers() == 7
    assert workers("--workers", "8") == 8


def test_lists_and_durations_come_from_file_and_environment(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config(tmp_path, 'wait-on-limit = "2m"\ninclude = ["*.json", "*.md"]\n')
    monkeypatch.setenv("HUBFERRY_EXCLUDE", "a* b*")
    assert cli("copy", "a/b", "c/d") == 0
    policy = cli.call[1][2]
    assert policy.include == ("*.json", "*.md")
    assert policy.exclude == ("a*", "b*")
    assert cli.app is not None
    assert cli.app.settings.wait_on_limit_seconds == 120


@pytest.mark.parametrize(
    ("text", "key"),
    [("wokers = 5", "wokers"), ("[copy]\nlevel = 'full'", "copy.level"), ("x.y = 1", "x")],
)
def test_an_unknown_key_is_named(cli: Cli, tmp_path: Path, text: str, key: str) -> None:
    config(tmp_path, text)
    assert cli("copy", "a/b", "c/d") == 2
    assert f"config.toml: {key}" in cli.err


def test_a_named_but_missing_configuration_is_an_error(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBFERRY_CONFIG", str(tmp_path / "absent.toml"))
    assert cli("runs", "list") == 2
    assert "absent.toml" in cli.err


def test_stronger_sources_decide_between_private_and_public(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBFERRY_PRIVATE", "1")
    assert cli("copy", "a/b", "c/d", "--public") == 0
    assert cli.call[1][2].visibility == "public"
    assert cli("copy", "a/b", "c/d", "--public", "--private") == 2


def test_every_option_has_one_variable() -> None:
    for words, command in root.leaves():
        for param in command.params:
            if isinstance(param, click.Option):
                assert isinstance(param, Option), (words, param)
                assert param.envvar == f"HUBFERRY_{(param.name or '').upper()}"


def test_a_token_in_the_command_line_is_warned_of_and_not_shown(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("copy", "a/b", "c/d", "--hf-token", "hf_CanaryCanaryCanaryCanary") == 0
    assert "warning: the value of --hf-token" in cli.err
    assert "Canary" not in cli.out + cli.err
    monkeypatch.setenv("HUBFERRY_HF_TOKEN", "hf_CanaryCanaryCanaryCanary")
    assert cli("copy", "a/b", "c/d") == 0
    assert "warning" not in cli.err


def test_two_tokens_come_from_two_lines_of_standard_input(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("first\nsecond\n"))
    assert cli("copy", "a/b", "c/d", "--hf-token", "-", "--ms-token", "-") == 0
    assert cli.app is not None
    hubs = cli.app.settings.hubs
    assert (hubs["hf"].token, hubs["ms"].token) == ("first", "second")


def test_standard_input_is_left_alone_otherwise(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    # The guide runs us inside `while read`: whoever reads, eats the list.
    lines = io.StringIO("next/model\n")
    monkeypatch.setattr(sys, "stdin", lines)
    assert cli("copy", "a/b", "c/d") == 0
    assert lines.read() == "next/model\n"


@pytest.mark.parametrize(
    "args", [("copy",), ("copy", "a/b", "c/d", "--nope"), ("nope",), ("copy", "spaces/a/b", "c/d")]
)
def test_usage_errors_are_json_too(cli: Cli, args: tuple[str, ...]) -> None:
    assert cli(*args, "--json") == 2
    assert cli.json["exit_code"] == 2
    assert cli.json["errors"][0]["error"] == "usage"
    assert cli.err.startswith("Error: Wrong usage\n")


def test_usage_errors_speak_chinese(cli: Cli) -> None:
    assert cli("copy", "--lang", "zh") == 2
    assert cli.err.startswith("Error: Wrong usage\n  原因：缺少参数")


def test_help_speaks_the_users_language(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("copy", "--help") == 0
    assert "never deletes" in cli.out
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert cli("copy", "--help") == 0
    assert "从不删除" in cli.out
    assert "目标仓库：" in cli.out


def test_the_version_is_told(cli: Cli) -> None:
    assert cli("--version") == 0
    assert cli.out == "hubferry, version 0.1.0\n"


@pytest.mark.parametrize(
    ("flag", "environ", "configured", "language"),
    [
        ("zh", {"HUBFERRY_LANG": "en"}, "en", "zh_CN"),
        (None, {"HUBFERRY_LANG": "en", "LANG": "zh_CN.UTF-8"}, "zh", "en"),
        (None, {"LANG": "zh_CN.UTF-8"}, "en", "en"),
        (None, {"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, None, "en"),
        (None, {"LC_MESSAGES": "zh_TW.UTF-8", "LANG": "en_US.UTF-8"}, None, "zh_CN"),
        (None, {"LANG": "de_DE.UTF-8"}, None, "en"),
        (None, {}, None, "en"),
    ],
)
def test_language_order(
    flag: str | None, environ: dict[str, str], configured: str | None, language: str
) -> None:
    assert decide_language(flag, environ, configured) == language


def test_chinese_is_wrapped_by_columns() -> None:
    assert wrap("复制仓库并校验，从不删除文件。", 10) == ["复制仓库并", "校验，从不", "删除文件。"]
    assert wrap("one two three", 7) == ["one two", "three"]
    assert wrap("", 7) == [""]
