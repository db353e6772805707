"""Webhooks and health over HTTP: a real server on loopback."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.support.fast_clock import FastClock

from hubferry.errors import LocalError, UsageError
from hubferry.hubs.huggingface.webhook import repo_of_webhook
from hubferry.model import RepoId, RepoType
from hubferry.watch.clock import Clock
from hubferry.watch.health import Health
from hubferry.watch.loop import Answer
from hubferry.watch.server import (
    BAD_SECRETS_A_MINUTE,
    MAX_BODY_BYTES,
    MAX_CONNECTIONS,
    WatchServer,
    make_app,
    parse_listen,
)

SECRET = "correct horse battery staple"
PATH = "/webhooks/huggingface"
PARSERS = {"huggingface": repo_of_webhook}


def delivery(name: str = "org/a", kind: str = "model", **more: object) -> dict[str, Any]:
    """A body as the hub sends it."""
    return {
        "event": {"action": "update", "scope": "repo.content"},
        "repo": {"type": kind, "name": name, "id": "1", "private": False, "headSha": "f" * 40},
        "webhook": {"id": "w", "version": 3},
        **more,
    }


@dataclass
class Desk:
    """Remembers what was delivered."""

    answer: Answer = Answer.QUEUED
    got: list[tuple[RepoId, str]] = field(default_factory=list)
    state: Health = field(default_factory=lambda: Health(time.time(), 900.0))

    def deliver(self, repo: RepoId, digest: str) -> Answer:
        self.got.append((repo, digest))
        return self.answer

    def health(self) -> Health:
        return self.state


@pytest.fixture
def desk() -> Desk:
    return Desk()


def client(
    desk: Desk,
    secret: str | None = SECRET,
    *,
    is_loopback: bool = False,
    clock: Clock | None = None,
) -> TestClient:
    return TestClient(
        make_app(desk, PARSERS, secret, is_loopback=is_loopback, clock=clock),
        headers={"X-Webhook-Secret": SECRET},
    )


def test_a_delivery_names_a_repository_and_nothing_else_counts(desk: Desk) -> None:
    answer = client(desk).post(PATH, json=delivery())

    assert answer.status_code == 202
    assert answer.json() == {"status": "queued"}
    [(repo, digest)] = desk.got
    assert repo == RepoId("hf", "org/a")
    assert len(digest) == 64


def test_the_same_body_has_the_same_digest_and_another_one_another(desk: Desk) -> None:
    with client(desk) as http:
        http.post(PATH, json=delivery())
        http.post(PATH, json=delivery())
        http.post(PATH, json=delivery(updatedRefs=[{"newSha": "1"}]))

    assert len({digest for _, digest in desk.got}) == 2


@pytest.mark.parametrize(
    ("answer", "status"), [(Answer.QUEUED, 202), (Answer.IGNORED, 202), (Answer.SEEN, 200)]
)
def test_what_becomes_of_a_delivery_is_answered(desk: Desk, answer: Answer, status: int) -> None:
    desk.answer = answer

    assert client(desk).post(PATH, json=delivery()).status_code == status


def test_datasets_are_datasets_and_spaces_are_ignored(desk: Desk) -> None:
    http = client(desk)
    assert http.post(PATH, json=delivery(kind="space")).json() == {"status": "ignored"}
    assert http.post(PATH, json=delivery(kind="dataset")).status_code == 202

    assert [repo for repo, _ in desk.got] == [RepoId("hf", "org/a", RepoType.DATASET)]


@pytest.mark.parametrize("given", ["", "wrong", SECRET + "x", SECRET[:-1], "sécret"])
def test_a_wrong_or_missing_secret_is_refused_and_nothing_revealed(desk: Desk, given: str) -> None:
    http = TestClient(make_app(desk, PARSERS, SECRET, is_loopback=True))
    headers = {"X-Webhook-Secret": given.encode()} if given else {}
    answer = http.post(PATH, json=delivery(), headers=headers)  # type: ignore[arg-type]

    assert answer.status_code == 401
    assert answer.json() == {"status": "unauthorized"}
    assert not desk.got


def test_the_secret_is_asked_for_before_the_body_is_looked_at(desk: Desk) -> None:
    http = TestClient(make_app(desk, PARSERS, SECRET, is_loopback=False))

    assert http.post(PATH, content=b"x" * (MAX_BODY_BYTES + 1)).status_code == 401
    assert http.post("/webhooks/nobody", content=b"x").status_code == 401


def test_without_a_secret_webhooks_are_off_but_for_loopback(desk: Desk) -> None:
    assert client(desk, None).post(PATH, json=delivery()).status_code == 403
    assert not desk.got
    assert client(desk, None, is_loopback=True).post(PATH, json=delivery()).status_code == 202


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"{}", "", 415),
        (b"{}", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 200_000, "application/json", 400),
        (b'{"repo": []}', "application/json", 400),
        (json.dumps(delivery("../../etc")).encode(), "application/json", 400),
        (json.dumps(delivery("a/b/c")).encode(), "application/json", 400),
        (json.dumps(delivery("a/b\n")).encode(), "application/json", 400),
        (json.dumps(delivery(kind="thing")).encode(), "application/json", 400),
        (b"x" * (MAX_BODY_BYTES + 1), "application/json", 413),
        (json.dumps(delivery()).encode(), "application/json; charset=utf-8", 202),
    ],
)
def test_what_is_no_delivery_is_refused(desk: Desk, body: bytes, kind: str, status: int) -> None:
    answer = client(desk).post(PATH, content=body, headers={"Content-Type": kind})

    assert answer.status_code == status
    assert len(desk.got) == (status == 202)


def test_a_large_body_without_a_length_is_refused_too(desk: Desk) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * (MAX_BODY_BYTES // 10)

    headers = {"Content-Type": "application/json"}
    assert client(desk).post(PATH, content=pieces(), headers=headers).status_code == 413


def test_other_methods_and_paths_are_refused(desk: Desk) -> None:
    http = client(desk)

    assert http.get(PATH).status_code == 405
    assert http.post("/healthz").status_code == 405
    assert http.get("/docs").status_code == 404
    other = http.post("/webhooks/other", json=delivery())
    assert other.status_code == 404


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_no_body_breaks_the_parser(body: bytes) -> None:
    try:
        repo_of_webhook(body)
    except ValueError:
        pass


def test_too_many_wrong_secrets_are_not_heard_for_a_minute(desk: Desk) -> None:
    clock = FastClock()
    http = client(desk, clock=clock)
    wrong = {"X-Webhook-Secret": "wrong"}
    found = [
        http.post(PATH, json=delivery(), headers=wrong).status_code
        for _ in range(BAD_SECRETS_A_MINUTE + 3)
    ]

    assert found == [401] * BAD_SECRETS_A_MINUTE + [429] * 3
    # Else a guess that is right would tell itself apart.
    assert http.post(PATH, json=delivery()).status_code == 429
    clock.pass_time(61)
    assert http.post(PATH, json=delivery()).status_code == 202


def test_health_is_told_without_names(desk: Desk) -> None:
    now = time.time()
    desk.state = Health(
        now - 10,
        900.0,
        cycles=3,
        failing_repos=2,
        held_causes=("outage target hf://secret-org/x",),
        manifest_error="m.yaml: secret-org/x",
    )
    answer = client(desk).get("/healthz")

    assert answer.status_code == 200
    told = answer.json()
    assert (told["status"], told["cycles"], told["failing_repos"]) == ("ok", 3, 2)
    assert (told["held_causes"], told["is_manifest_wrong"]) == (1, True)
    assert "secret-org" not in answer.text


def test_what_is_not_healthy_answers_503(desk: Desk) -> None:
    desk.state = Health(time.time() - 10_000, 900.0)

    answer = client(desk).get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (503, "failing")
    assert "hubferry_watch_healthy 0\n" in client(desk).get("/metrics").text


def test_metrics_are_prometheus_text(desk: Desk) -> None:
    answer = client(desk).get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert "# TYPE hubferry_watch_cycles_total counter" in lines
    assert "hubferry_watch_period_seconds 900.0" in lines
    assert "hubferry_watch_healthy 1" in lines


# --- the real server -------------------------------------------------------------


@contextmanager
def serving(desk: Desk, secret: str | None = SECRET) -> Iterator[WatchServer]:
    with WatchServer("127.0.0.1:0", desk, PARSERS, secret) as server:
        yield server


def ask(server: WatchServer, method: str, path: str, body: bytes = b"", **headers: str) -> int:
    connection = HTTPConnection(server.address.removeprefix("http://"), timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_server_serves_and_stops_at_once(desk: Desk) -> None:
    with serving(desk) as server:
        assert ask(server, "GET", "/healthz") == 200
        body = json.dumps(delivery()).encode()
        kind = {"Content_Type": "application/json", "X_Webhook_Secret": SECRET}
        assert ask(server, "POST", PATH, body, **kind) == 202
        # One that says nothing must not hold up the end.
        host, port = server.address.removeprefix("http://").split(":")
        silent = socket.create_connection((host, int(port)))
        started = time.monotonic()
    assert time.monotonic() - started < 1.5
    silent.close()
    assert desk.got


def test_a_taken_port_is_a_clear_error_before_anything_begins(desk: Desk) -> None:
    with serving(desk) as server:
        listen = server.address.removeprefix("http://")
        with pytest.raises(LocalError, match="cannot listen on") as caught:
            WatchServer(listen, desk, PARSERS, SECRET)
    assert "--listen" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:8080", ("::1", 8080)),
        ("localhost:0", ("localhost", 0)),
        ("8080", None),
        (":8080", None),
        ("::1:8080", None),
        ("host:", None),
        ("host:x", None),
        ("host:65536", None),
        ("host:²", None),
    ],
)
def test_where_to_listen(text: str, found: tuple[str, int] | None) -> None:
    if found is None:
        with pytest.raises(UsageError):
            parse_listen(text)
    else:
        assert parse_listen(text) == found


@pytest.mark.parametrize("module", ["starlette.applications", "uvicorn"])
def test_a_missing_extra_says_how_to_install_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(UsageError) as caught:
        WatchServer("127.0.0.1:0", desk, PARSERS, SECRET)
    assert str(caught.value.hint) == "pip install 'hubferry[watch]'"


def test_a_body_that_does_not_come_is_not_waited_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubferry.watch.server.BODY_SECONDS", 0.05)
    with serving(desk) as server:
        host, port = server.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as slow:
            lines = [f"POST {PATH} HTTP/1.1", "Host: x", "Content-Length: 10"]
            lines += ["Content-Type: application/json", f"X-Webhook-Secret: {SECRET}", "", "{"]
            slow.sendall("\r\n".join(lines).encode())
            assert slow.recv(100).startswith(b"HTTP/1.1 408")
    assert not desk.got


@pytest.mark.parametrize("said", ["", "GET /healthz HTTP/1.1\r\nHost: x\r\n"])
@pytest.mark.parametrize("is_second", [False, True])
def test_connections_without_a_whole_request_do_not_keep_their_places(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, said: str, is_second: bool
) -> None:
    monkeypatch.setattr("hubferry.watch.server.CONNECTION_SECONDS", 0.3)
    with serving(desk) as server:
        host, port = server.address.removeprefix("http://").split(":")
        idle = [socket.create_connection((host, int(port))) for _ in range(MAX_CONNECTIONS)]
        for each in idle:
            each.settimeout(10)
            first = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" if is_second else ""
            each.sendall((first + said).encode())
        for each in idle:
            while each.recv(4096):
                pass
            each.close()
        assert ask(server, "GET", "/healthz") == 200
