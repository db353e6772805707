"""``--transport`` reaches the app from the command line, the environment and nowhere else."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from hubferry.cli.commands.copy import copy
from hubferry.cli.settings import settings_of


@pytest.mark.parametrize("transport", ["auto", "http", "xet"])
def test_the_transport_becomes_a_setting(transport: str) -> None:
    assert settings_of({"transport": transport}).transport == transport


def test_http_and_xet_are_chosen_by_the_run() -> None:
    assert settings_of({}).transport == "auto"


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [(["--transport", "ftp"], {}), ([], {"HUBFERRY_TRANSPORT": "ftp"})],
)
def test_another_transport_is_a_usage_error(
    arguments: list[str], variables: dict[str, str]
) -> None:
    ended = CliRunner().invoke(copy, ["a/b", "c/", *arguments], env=variables)
    assert ended.exit_code == 2
    assert "transport" in ended.output.lower()
