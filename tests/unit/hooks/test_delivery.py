"""Hooks on their way: signatures, refusals, tries, and what is never shown."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.hooks.conftest import (
    Answer,
    Heard,
    Service,
    dingtalk_checks,
    feishu_checks,
    news,
    record,
)

from hubferry.batch.values import BatchReport, ItemOutcome, ItemState
from hubferry.control import CancelToken
from hubferry.errors import LedgerError, UsageError
from hubferry.events import Event, HeldUp, Note
from hubferry.hooks import Hooks
from hubferry.hooks.commands import run_command, without_tokens
from hubferry.manifest.values import Hook, SecretRef
from hubferry.net.redact import redact
from hubferry.text import T

SECRET = "SEC-of-the-robot-0123456789"


class Rig:
    """Hooks with everything they tell kept, and pauses that take no time."""

    def __init__(self, *hooks: Hook, **values: str) -> None:
        self.events: list[Event] = []
        self.kept: list[dict[str, object]] = []
        self.pauses: list[float] = []
        self.hooks = self.make(hooks, values)

    def make(self, hooks: tuple[Hook, ...], values: dict[str, str], **more: Any) -> Hooks:
        return Hooks(
            hooks,
            resolve=lambda ref: values.get(ref.name),
            observe=self.events.append,
            keep=lambda run_id, detail: self.kept.append({"run": run_id, **detail}),
            proxy="direct",
            pause=self.pauses.append,
            **more,
        )

    @property
    def warnings(self) -> str:
        return "\n".join(str(event.text) for event in self.events if isinstance(event, Note))


def hook(kind: str, *on: str, secret: str | None = None) -> Hook:
    """A hook to the address ``URL``."""
    where = SecretRef("env", secret) if secret else None
    return Hook(kind, SecretRef("env", "URL"), on or ("end", "failure", "stall"), where)


def test_feishu_takes_our_signature(service: Service) -> None:
    service.judge = feishu_checks(SECRET, time.time)
    rig = Rig(hook("feishu", secret="KEY"), URL=f"{service.url}/bot/v2/hook/x", KEY=SECRET)
    rig.hooks.tell("end", news())
    assert (len(service.heard), rig.warnings) == (1, "")
    assert rig.kept[0]["is_told"] is True


def test_dingtalk_takes_our_signature(service: Service) -> None:
    service.judge = dingtalk_checks(SECRET, time.time)
    url = f"{service.url}/robot/send?access_token=token-of-the-robot-123"
    rig = Rig(hook("dingtalk", secret="KEY"), URL=url, KEY=SECRET)
    rig.hooks.tell("end", news())
    assert (len(service.heard), rig.warnings) == (1, "")


@pytest.mark.parametrize("kind", ["feishu", "dingtalk"])
def test_a_wrong_secret_is_a_failure_although_http_says_200(kind: str, service: Service) -> None:
    checks = {"feishu": feishu_checks, "dingtalk": dingtalk_checks}[kind]
    service.judge = checks(SECRET, time.time)
    rig = Rig(hook(kind, secret="KEY"), URL=f"{service.url}/x", KEY="another-secret-entirely")
    rig.hooks.tell("end", news())
    assert len(service.heard) == 1, "the answer will not change"
    assert "sign" in rig.warnings
    assert rig.kept[0]["is_told"] is False
    assert rig.kept[0]["error"] == "hub"


def test_wecom_says_no_inside_a_success(service: Service) -> None:
    service.answers = [(200, {}, b'{"errcode":93000,"errmsg":"invalid webhook url"}')]
    rig = Rig(hook("wecom"), URL=f"{service.url}/cgi-bin/webhook/send?key=0123456789abcdef0")
    rig.hooks.tell("end", news())
    assert "93000" in rig.warnings


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}"])
def test_an_answer_that_no_service_gives_is_a_failure(body: bytes, service: Service) -> None:
    service.answers = [(200, {}, body)]
    rig = Rig(hook("wecom"), URL=f"{service.url}/x")
    rig.hooks.tell("end", news())
    assert "did not answer as wecom does" in rig.warnings


def test_what_may_pass_is_tried_three_times_with_pauses(service: Service) -> None:
    service.answers = [(503, {}, b""), (429, {"retry-after": "7"}, b""), (200, {}, b"ok")]
    rig = Rig(hook("slack"), URL=f"{service.url}/services/T/B/x")
    rig.hooks.tell("end", news())
    assert (len(service.heard), rig.warnings) == (3, "")
    assert rig.pauses == [1.0, 7.0]
    assert rig.kept[0]["tries"] == 3


def test_a_service_that_is_down_is_given_up(service: Service) -> None:
    service.answers = [(503, {}, b"")] * 9
    rig = Rig(hook("slack"), URL=f"{service.url}/x")
    rig.hooks.tell("end", news())
    assert len(service.heard) == 3
    assert "HTTP 503" in rig.warnings


def test_too_fast_in_a_services_own_numbers_is_tried_again(service: Service) -> None:
    service.answers = [
        (200, {}, b'{"errcode":45009,"errmsg":"api freq out of limit"}'),
        (200, {}, b'{"errcode":0,"errmsg":"ok"}'),
    ]
    rig = Rig(hook("wecom"), URL=f"{service.url}/x")
    rig.hooks.tell("end", news())
    assert (len(service.heard), rig.warnings) == (2, "")


def test_what_is_refused_for_good_is_asked_once(service: Service) -> None:
    service.answers = [(404, {}, b"no_service")]
    rig = Rig(hook("slack"), URL=f"{service.url}/x")
    rig.hooks.tell("end", news())
    assert len(service.heard) == 1


def test_no_other_host_is_followed_to(service: Service) -> None:
    elsewhere = service.url.replace("127.0.0.1", "localhost")
    service.answers = [(307, {"location": f"{elsewhere}/stolen"}, b"")]
    rig = Rig(hook("webhook"), URL=f"{service.url}/x")
    rig.hooks.tell("end", news())
    assert [heard.path for heard in service.heard] == ["/x"]
    assert "redirects" in rig.warnings


def test_a_stopped_run_tries_once(service: Service) -> None:
    service.answers = [(503, {}, b"")] * 9
    rig, cancel = Rig(), CancelToken()
    cancel.cancel()
    rig.make((hook("slack"),), {"URL": service.url}, cancel=cancel).tell("end", news())
    assert len(service.heard) == 1


@pytest.mark.skipif(os.name != "posix", reason="sh")
def test_a_stop_does_not_wait_for_a_command_that_hangs() -> None:
    rig, cancel = Rig(), CancelToken()
    hooks = rig.make((Hook("command", "sleep 60"),), {}, cancel=cancel)
    threading.Timer(0.1, cancel.cancel).start()
    started = time.monotonic()
    hooks.tell("end", news())
    assert time.monotonic() - started < 1.4, "1.5 s after Ctrl-C nothing can be said any more"
    assert "hook command sleep failed: the command sleep: it did not end within 0." in rig.warnings
    assert rig.kept[0]["is_told"] is False


def test_a_stop_does_not_wait_for_a_service_that_hangs(service: Service) -> None:
    rig, cancel, is_over = Rig(), CancelToken(), threading.Event()

    def hang(heard: Heard) -> Answer:
        cancel.cancel()
        is_over.wait(10)
        return 200, {}, b"ok"

    service.judge = hang
    hooks = rig.make((hook("webhook"), hook("slack")), {"URL": service.url}, cancel=cancel)
    started = time.monotonic()
    hooks.tell("end", news())
    assert time.monotonic() - started < 1.4
    is_over.set()
    assert rig.warnings.count("it did not end within 1 s") == 2


def test_the_address_is_nowhere_to_be_seen(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    path = "/services/T0123456/B0123456/verysecretverysecret"
    caplog.set_level(logging.DEBUG)
    service.answers = [(403, {}, f"no: {service.url}{path}".encode())]
    rig = Rig(hook("slack"), URL=service.url + path)
    rig.hooks.tell("end", news())
    shown = rig.warnings + json.dumps(rig.kept) + repr(rig.hooks.__dict__)
    assert "verysecretverysecret" not in shown
    assert service.url.removeprefix("http://") in rig.warnings, "the host is told"
    logged = "\n".join(redact(record.getMessage()) for record in caplog.records)
    assert "verysecretverysecret" not in logged


def test_an_unreachable_host_is_a_warning_and_shows_no_address() -> None:
    rig = Rig(hook("webhook"), URL="http://127.0.0.1:9/verysecretverysecret")
    rig.hooks.tell("end", news())
    assert "no connection to 127.0.0.1:9" in rig.warnings
    assert "verysecret" not in rig.warnings


def test_a_mistake_in_a_reference_is_told_before_the_run() -> None:
    with pytest.raises(UsageError, match="env:URL holds nothing"):
        Rig(hook("slack")).hooks.check()
    with pytest.raises(UsageError) as caught:
        Rig(hook("slack"), URL="verysecret").hooks.check()
    assert "verysecret" not in str(caught.value)
    with pytest.raises(UsageError):
        Rig(Hook("command", "echo 'open")).hooks.check()


def test_a_mistake_nobody_looked_for_is_a_warning_at_the_end() -> None:
    rig = Rig(hook("slack"))
    rig.hooks.tell("end", news())
    assert "env:URL holds nothing" in rig.warnings


def ended(*states: ItemState) -> BatchReport:
    report = BatchReport("r1", "batch", "m.yaml")
    for number, state in enumerate(states, 1):
        error = record() if state is ItemState.FAILED else None
        report.items.append(ItemOutcome(number, f"hf://a/{number}", "ms://b/c", state, error=error))
    return report


@pytest.mark.parametrize(
    ("on", "state", "heard"),
    [
        (("end",), ItemState.COPIED, ["end"]),
        (("end",), ItemState.FAILED, ["end"]),
        (("failure",), ItemState.COPIED, []),
        (("failure",), ItemState.FAILED, ["failure"]),
        (("end", "failure"), ItemState.FAILED, ["failure"]),
        (("stall",), ItemState.FAILED, []),
    ],
)
def test_who_hears_of_what(
    on: tuple[str, ...], state: ItemState, heard: list[str], service: Service
) -> None:
    rig = Rig(hook("webhook", *on), URL=service.url)
    rig.hooks.ended(ended(state))
    assert [item.json["event"] for item in service.heard] == heard
    assert [item.headers["x-hubferry-event"] for item in service.heard] == heard


@pytest.mark.parametrize(
    ("states", "heard"),
    [
        ([ItemState.UNCHANGED, ItemState.EQUAL], []),
        ([ItemState.UNCHANGED, ItemState.WAITING], []),
        ([ItemState.UNCHANGED, ItemState.STOPPED], []),
        ([ItemState.COPIED, ItemState.STOPPED], ["end"]),
        ([ItemState.COPIED, ItemState.FAILED], ["failure"]),
        ([ItemState.GONE], ["failure"]),
    ],
)
def test_a_cycle_of_a_watch_is_told_only_if_there_is_news(
    states: list[ItemState], heard: list[str], service: Service
) -> None:
    rig, report = Rig(hook("webhook"), URL=service.url), ended(*states)
    report.command = "watch"
    rig.hooks.ended(report)
    assert [item.json["event"] for item in service.heard] == heard


def test_one_hook_that_fails_stops_no_other(service: Service) -> None:
    rig = Rig(Hook("command", "/nowhere/at/all"), hook("webhook"), URL=service.url)
    rig.hooks.tell("end", news())
    assert len(service.heard) == 1
    assert "hook command /nowhere/at/all failed" in rig.warnings


def test_a_ledger_that_fails_is_a_warning(service: Service) -> None:
    rig = Rig()

    def keep(run_id: str, detail: object) -> None:
        raise LedgerError(T("locked"))

    hooks = Hooks(
        [Hook("webhook", service.url)], observe=rig.events.append, keep=keep, proxy="direct"
    )
    hooks.tell("end", news())
    assert "is not kept: locked" in rig.warnings


def test_a_stall_is_told_while_the_run_is_on_its_way(service: Service) -> None:
    came = threading.Event()

    def judge(heard: object) -> tuple[int, dict[str, str], bytes]:
        came.set()
        return 200, {}, b"ok"

    service.judge = judge
    rig = Rig(hook("webhook"), URL=service.url)
    with rig.hooks.watching("r1", "batch", "m.yaml") as observe:
        observe(HeldUp("outage target", T("the target is down"), 3))
        assert came.wait(10)
    (heard,) = service.heard
    assert heard.json["event"] == "stall"
    assert heard.json["stall"]["message"] == "the target is down"


def test_without_hooks_no_thread_is_started() -> None:
    before = threading.active_count()
    with Rig().hooks.watching("r1", "batch", "m.yaml"):
        assert threading.active_count() == before


# --- commands --------------------------------------------------------------------

TELL = """
import json, os, sys
told = json.load(sys.stdin)
names = sorted(name for name in os.environ if 'TOKEN' in name)
names += [name for name in ('HUBFERRY_EVENT', 'HUBFERRY_RUN_ID', 'HUBFERRY_EXIT_CODE')]
rest = {name: os.environ[name] for name in names}
open(sys.argv[1], 'w').write(json.dumps({'told': told, 'env': rest}))
"""


def test_a_command_reads_the_news_and_gets_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN", "HUBFERRY_MS_TOKEN"):
        monkeypatch.setenv(name, "hf_verysecretverysecret")
    monkeypatch.setenv("MY_OWN_TOKEN", "x")
    monkeypatch.setenv("ORG_TOKEN", "y")
    monkeypatch.setenv("ROBOT_TOKEN", "z")
    script, out = tmp_path / "tell me.py", tmp_path / "out.json"
    script.write_text(TELL)
    rig = Rig()
    command = Hook("command", f"{sys.executable} '{script}' {out}")
    robot = Hook("slack", SecretRef("env", "ROBOT_TOKEN"), ("stall",))
    rig.make((command, robot), {}, withheld=["ORG_TOKEN"]).tell("end", news())
    assert rig.warnings == ""
    found = json.loads(out.read_text())
    assert found["told"]["event"] == "failure"
    assert found["env"] == {
        "MY_OWN_TOKEN": "x",
        "HUBFERRY_EVENT": "failure",
        "HUBFERRY_RUN_ID": "20260102-030405-abcdef",
        "HUBFERRY_EXIT_CODE": "3",
    }


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    rig = Rig(Hook("command", f"true; touch {tmp_path / 'made'} $(touch {tmp_path / 'too'})"))
    rig.hooks.tell("end", news())
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_fails_is_told_with_its_last_words() -> None:
    rig = Rig(Hook("command", "sh -c 'echo token=hf_abcdefghijklmnopqrstuvwxyz12 >&2; exit 7'"))
    rig.hooks.tell("end", news())
    assert "it ended with 7: token=***" in rig.warnings
    assert rig.kept[0]["tries"] == 1


@pytest.mark.skipif(os.name != "posix", reason="process groups")
def test_a_command_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {mark}; wait"
    with pytest.raises(Exception, match="did not end within"):
        run_command(["sh", "-c", script], b"x" * 1_000_000, os.environ, timeout_seconds=0.5)
    child = int(mark.read_text())
    for _ in range(200):
        try:
            state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        threading.Event().wait(0.01)
    raise AssertionError("the child lives on")


def test_tokens_are_known_by_any_spelling_of_the_name() -> None:
    environ = {"hf_token": "x", "HUBFERRY_HF_TOKEN": "x", "HUBFERRY_LANG": "zh", "PATH": "/bin"}
    assert without_tokens(environ) == {"HUBFERRY_LANG": "zh", "PATH": "/bin"}
