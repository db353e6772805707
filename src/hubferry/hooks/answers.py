"""What services say inside an answer that is a success to HTTP; pure."""

from __future__ import annotations

import json
from typing import Any

from hubferry.errors import CopyError, HubError, RateLimitedError
from hubferry.net.redact import redact
from hubferry.text import T

# Where each service puts its own code; 0 is success.
_CODES = {"feishu": ("code", "StatusCode"), "dingtalk": ("errcode",), "wecom": ("errcode",)}
_MESSAGES = ("msg", "errmsg", "StatusMessage")
# "Too fast", in each service's numbers: Feishu 11232 (per bot) and 9499 (per tenant),
# DingTalk 130101 and 410100, WeCom 45009.
_TOO_FAST = frozenset({11232, 9499, 130101, 410100, 45009})


def refusal_in(kind: str, host: str, body: bytes) -> CopyError | None:
    """The error that a service tells in the body of HTTP 200; None if it took the message."""
    fields = _CODES.get(kind)
    if fields is None:
        return None
    answer = _object(body)
    code = next((answer[name] for name in fields if name in answer), None)
    if code in (0, "0"):
        return None
    if code is None:
        return HubError(T("{host} did not answer as {kind} does", host=host, kind=kind))
    said = next((str(answer[name]) for name in _MESSAGES if answer.get(name)), "-")
    message = T(
        "{host} refused the message ({code}): {said}",
        host=host,
        code=str(code)[:20],
        said=redact(" ".join(said.split()))[:200],
    )
    return RateLimitedError(message) if code in _TOO_FAST else HubError(message)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
