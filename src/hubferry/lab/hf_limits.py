"""The request quotas of the Hugging Face hub, told on every answer, not only when they are spent.

Source: huggingface/hub-docs, ``rate-limits.md`` (fixed windows, buckets ``api`` and ``resolvers``);
header syntax as huggingface_hub 2.4.0 parses it, ``utils/_http.py``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from aiohttp import web

from hubferry.lab.hf_access import Handler, Refusal, guarded
from hubferry.lab.limits import RateWindow, Verdict
from hubferry.lab.wire import bearer_token

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

Bucket = Literal["api", "resolvers"]

_HEADERS = web.RequestKey("hf quota headers", dict[str, str])


class Quotas:
    """The windows of all tokens, and of the addresses that come without one."""

    def __init__(self, lab: Lab) -> None:
        config, seconds = lab.config, lab.config.rate_window_seconds
        self._windows: dict[tuple[Bucket, bool], RateWindow] = {
            ("api", True): RateWindow(config.api_quota, seconds),
            ("api", False): RateWindow(config.anonymous_api_quota, seconds),
            ("resolvers", True): RateWindow(config.resolvers_quota, seconds),
            ("resolvers", False): RateWindow(config.anonymous_resolvers_quota, seconds),
        }

    def counted(self, bucket: Bucket, handler: Handler) -> Handler:
        """Return the handler with its requests counted, and refused beyond the quota."""
        inner = guarded(handler)

        async def handle(request: web.Request) -> web.StreamResponse:
            token = bearer_token(request)
            window = self._windows[bucket, token is not None]
            verdict = window.take(token or request.remote or "anonymous")
            request[_HEADERS] = _headers(bucket, window, verdict)
            response = await inner(request) if verdict.allowed else _too_many().answer()
            if not response.prepared:
                response.headers.update(quota_headers(request))
            return response

        return handle


def quota_headers(request: web.Request) -> dict[str, str]:
    """Return the headers for an answer that is sent while its handler still runs."""
    headers: dict[str, str] = request.get(_HEADERS, {})
    return headers


def _headers(bucket: Bucket, window: RateWindow, verdict: Verdict) -> dict[str, str]:
    if window.quota is None:
        return {}
    reset = math.ceil(verdict.reset_seconds)
    seconds = math.ceil(window.window_seconds)
    return {
        "RateLimit": f'"{bucket}";r={verdict.remaining};t={reset}',
        "RateLimit-Policy": f'"fixed window";"{bucket}";q={window.quota};w={seconds}',
    }


def _too_many() -> Refusal:
    return Refusal(
        429, "We had to rate limit you. To continue using our service, create or use an account."
    )
