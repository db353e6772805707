"""What each kind of hook is sent."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from pydantic import TypeAdapter
from tests.unit.hooks.conftest import news, record

from hubferry.batch.values import BatchReport, ItemOutcome, ItemState
from hubferry.hooks import KINDS, Stall, Trouble, news_of, news_of_stall, payload
from hubferry.i18n import use_language
from hubferry.outcome import RepoRef, RunReport
from hubferry.report import shapes
from hubferry.text import T

NOW = 1_767_322_800.0
CHATS = ("feishu", "dingtalk", "wecom", "slack")


def text_of(kind: str, body: bytes) -> str:
    """What a person reads of a message."""
    found: Any = json.loads(body)
    if kind == "feishu":
        post = found["content"]["post"]["zh_cn"]
        return "\n".join([post["title"], *(row[0]["text"] for row in post["content"])])
    if kind == "dingtalk":
        return str(found["markdown"]["text"])
    if kind == "wecom":
        return str(found["markdown"]["content"])
    return str(found["blocks"][0]["text"]["text"])


@pytest.mark.parametrize("kind", CHATS)
def test_people_read_what_failed_why_and_what_to_do(kind: str) -> None:
    text = text_of(kind, payload(kind, "failure", news(), now=NOW).body)
    assert "partly done (exit code 3): models.yaml" in text
    assert "7 copied, 1 failed" in text
    assert "hf://org/model-0: failed" in text
    assert "refused" in text
    assert "fix: make a new token" in text
    assert "20260102-030405-abcdef" in text


@pytest.mark.parametrize("kind", CHATS)
def test_a_message_stays_within_what_its_service_takes(kind: str) -> None:
    long = news(100, name="hf://组织/" + "模型" * 2_000, message='"详细"\\' * 3_000)
    for event in ("failure", "end", "stall"):
        body = payload(kind, event, long, secret="s3cret-of-the-bot", now=NOW).body
        text = text_of(kind, body)
        if kind == "wecom":
            assert len(text.encode()) <= 4096
        elif kind == "slack":
            assert len(text) <= 3000
        else:
            assert len(body) <= 20_000
        assert "models.yaml" in text


@pytest.mark.parametrize("kind", CHATS)
def test_foreign_names_mention_nobody_and_link_nowhere(kind: str) -> None:
    evil = 'hf://x/<at user_id="all">[go](http://evil) <!channel> <@all> @all **b** \x1b[2J\n# h'
    text = text_of(kind, payload(kind, "failure", news(1, name=evil), now=NOW).body)
    assert "\x1b" not in text
    assert "\n# h" not in text
    if kind == "slack":
        assert "<" not in text
        assert "&lt;!channel&gt;" in text
    elif kind != "feishu":  # whose plain text elements are taken literally
        assert "<" not in text
        assert "](" not in text
        assert "@" not in text


def test_feishu_is_sent_plain_text_elements_alone() -> None:
    body = json.loads(payload("feishu", "failure", news(1, name="<at>"), now=NOW).body)
    rows = body["content"]["post"]["zh_cn"]["content"]
    assert {element["tag"] for row in rows for element in row} == {"text"}


def test_the_generic_form_is_the_published_one() -> None:
    body = json.loads(payload("webhook", "failure", news(3), now=NOW).body)
    TypeAdapter(shapes.HookShape).validate_python(body, strict=False)
    assert (body["version"], body["event"], body["exit_code"]) == (1, "failure", 3)
    assert body["at"] == "2026-01-02T03:00:00+00:00"
    assert body["repos"] == {"copied": 7, "failed": 3}
    assert body["failures"][0]["error"]["hint"] == "make a new token"


def test_a_generic_message_is_signed_over_its_body() -> None:
    message = payload("webhook", "end", news(), secret="s3cret-of-ours", now=NOW)
    wanted = hmac.new(b"s3cret-of-ours", message.body, hashlib.sha256).hexdigest()
    assert message.headers["x-hubferry-signature-256"] == f"sha256={wanted}"
    assert "x-hubferry-signature-256" not in payload("webhook", "end", news(), now=NOW).headers


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_are_no_unicode_are_told_all_the_same(kind: str) -> None:
    json.loads(payload(kind, "failure", news(1, name="hf://x/\udc80"), now=NOW).body)


@pytest.mark.parametrize("kind", CHATS)
def test_a_stall_says_what_is_waited_for(kind: str) -> None:
    stall = Stall("outage target", T("the target is down"), 12, 700.0)
    told = news_of_stall("r1", "watch", "models.yaml", stall)
    text = text_of(kind, payload(kind, "stall", told, now=NOW).body)
    assert "stands still: models.yaml" in text
    assert "the target is down" in text
    assert "12 repositories wait" in text


def test_what_failed_comes_before_what_was_only_stopped() -> None:
    report = BatchReport("r1", "batch", "m.yaml")
    for number in range(300):
        state = ItemState.FAILED if number == 299 else ItemState.STOPPED
        error = record() if number == 299 else None
        report.items.append(ItemOutcome(number, f"hf://a/{number}", "ms://b", state, error=error))
    found = news_of(report)
    assert found.troubles[0].source == "hf://a/299"
    assert (len(found.troubles), found.more_troubles) == (100, 200)
    assert found.counts == {"stopped": 299, "failed": 1}


def test_a_single_copy_tells_its_files() -> None:
    report = RunReport("r1", "copy", RepoRef("hf", "a/b", "model"), RepoRef("ms", "c/d", "model"))
    report.errors = [record("too big", "w.bin")]
    found = news_of(report)
    assert found.subject == "hf://a/b"
    assert found.troubles == (Trouble("hf://a/b", "ms://c/d", "failed", report.errors[0]),)
    assert "w.bin: too big" in text_of("slack", payload("slack", "failure", found, now=NOW).body)


def test_the_language_of_the_process_is_spoken() -> None:
    use_language("zh_CN")
    body = json.loads(payload("webhook", "failure", news(), now=NOW).body)
    assert body["event"] == "failure"  # what programs read has no language
