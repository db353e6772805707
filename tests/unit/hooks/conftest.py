"""Services on loopback that check what they get, as their documentation says they do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hubferry.errors import AccessError, Side
from hubferry.hooks import News, Trouble
from hubferry.i18n import use_language
from hubferry.outcome import ErrorRecord
from hubferry.text import T

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    use_language("en")
    yield
    use_language("en")


@dataclass
class Heard:
    """One request that came in."""

    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Service:
    """A loopback server; ``answers`` come one after the other, then "fine" for ever."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    judge: Callable[[Heard], Answer] = lambda heard: (200, {}, b"ok")


@pytest.fixture
def service() -> Iterator[Service]:
    found = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            heard = Heard(parts.path, parse_qs(parts.query), headers, body)
            found.heard.append(heard)
            status, more, text = found.answers.pop(0) if found.answers else found.judge(heard)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def feishu_checks(secret: str, now: Callable[[], float]) -> Callable[[Heard], Answer]:
    """Feishu: HMAC-SHA256 of nothing, keyed by time, line end and secret; within an hour."""

    def judge(heard: Heard) -> Answer:
        key = f"{heard.json.get('timestamp')}\n{secret}".encode()
        wanted = base64.b64encode(hmac.new(key, digestmod=hashlib.sha256).digest()).decode()
        is_fresh = abs(now() - float(heard.json.get("timestamp", 0))) < 3600
        if heard.json.get("sign") != wanted or not is_fresh:
            return 200, {}, b'{"code":19021,"msg":"sign match fail or timestamp is not within"}'
        return 200, {}, b'{"StatusCode":0,"StatusMessage":"success","code":0,"msg":"success"}'

    return judge


def dingtalk_checks(secret: str, now: Callable[[], float]) -> Callable[[Heard], Answer]:
    """DingTalk: milliseconds and signature in the query, beside the access token."""

    def judge(heard: Heard) -> Answer:
        moment = heard.query.get("timestamp", ["0"])[0]
        signed = f"{moment}\n{secret}".encode()
        wanted = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest())
        is_fresh = abs(now() * 1000 - float(moment)) < 3_600_000
        if heard.query.get("sign") != [wanted.decode()] or not is_fresh:
            return 200, {}, b'{"errcode":310000,"errmsg":"sign not match"}'
        if heard.query.get("access_token") != ["token-of-the-robot-123"]:
            return 200, {}, b'{"errcode":300001,"errmsg":"token is not exist"}'
        return 200, {}, b'{"errcode":0,"errmsg":"ok"}'

    return judge


def record(message: str = "the token was refused", path: str | None = None) -> ErrorRecord:
    """An error as a report holds it."""
    error = AccessError(
        T(message),
        side=Side.TARGET,
        step="commit",
        repo="ms://c/d",
        path=path,
        hint=T("make a new token"),
    )
    return ErrorRecord.of(error)


def news(troubles: int = 1, name: str = "hf://org/model", message: str = "refused") -> News:
    """A batch that is partly done."""
    return News(
        "20260102-030405-abcdef",
        "batch",
        "models.yaml",
        exit_code=3,
        is_failure=True,
        counts={"copied": 7, "failed": troubles},
        sent_bytes=5_000_000,
        seconds=61.0,
        troubles=tuple(
            Trouble(f"{name}-{number}", "ms://org/m", "failed", record(message))
            for number in range(troubles)
        ),
    )
