"""Hooks as a command line says them."""

from __future__ import annotations

import pytest

from hubferry.errors import UsageError
from hubferry.hooks import EVENTS, parse_hook
from hubferry.manifest.values import Hook, SecretRef


@pytest.mark.parametrize(
    ("text", "hook"),
    [
        ("slack=env:SLACK_URL", Hook("slack", SecretRef("env", "SLACK_URL"))),
        ("wecom:failure=file:/run/u", Hook("wecom", SecretRef("file", "/run/u"), ("failure",))),
        (
            "feishu:failure, stall=env:A;secret=cmd:pass show bot",
            Hook(
                "feishu",
                SecretRef("env", "A"),
                ("failure", "stall"),
                SecretRef("cmd", "pass show bot"),
            ),
        ),
        ("webhook=https://ci.example/hook", Hook("webhook", "https://ci.example/hook")),
        ("command=notify --to='a b' x=1", Hook("command", "notify --to='a b' x=1")),
    ],
)
def test_hooks_of_a_command_line(text: str, hook: Hook) -> None:
    assert parse_hook(text) == hook
    assert hook.on == EVENTS or ":" in text.partition("=")[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "slack",
        "slack=",
        "pigeon=env:URL",
        "slack:lunch=env:URL",
        "slack=https://hooks.slack.com/services/T0/B0/verysecret",
        "webhook=https://ci.example/hook?token=verysecret",
        "webhook=https://me:verysecret@ci.example/hook",
        "webhook=ftp://verysecret",
        "feishu=env:URL;secret=verysecret",
    ],
)
def test_what_is_no_hook_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_hook(text)
    assert "verysecret" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.hint
