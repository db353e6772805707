"""Keep secrets out of everything a person or a file may see.

Two nets, one behind the other: values registered by :class:`hubferry.net.secret.Secret`
are replaced wherever they turn up, in any of the spellings that HTTP gives them,
and well-known shapes (tokens, signed URL parameters) are replaced even when
nobody registered them.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
# Shorter values would blank out ordinary words of a message.
_SHORTEST_SECRET = 6
# Below this a base64 core could turn up by chance.
_SHORTEST_BASE64_CORE = 12

_lock = threading.Lock()
_spellings: tuple[str, ...] = ()

# Signed URL parameters: AWS and Google (X-Amz-*, X-Goog-*), CloudFront (Expires,
# Policy, Signature, Key-Pair-Id), Alibaba OSS (OSSAccessKeyId, x-oss-*,
# security-token), Azure SAS (sig). docs/hub-protocols.md 1.3 and 5.3.
_SIGNED_PARAMETERS = (
    r"X-Amz-[A-Za-z-]+|X-Goog-[A-Za-z-]+|x-oss-[a-z-]+|Signature|Policy|Key-Pair-Id|Expires|"
    r"OSSAccessKeyId|security-token|auth_key|sig|access_token|token"
)
_PATTERNS = (
    (re.compile(r"hf_[A-Za-z0-9]{20,}"), MASK),
    (
        re.compile(
            r"""(authorization["']?\s*[:=]\s*(?:b(?=["']))?["']?(?:(?:bearer|basic|token)\s+)?)[^\s"',;]+""",
            re.IGNORECASE,
        ),
        rf"\g<1>{MASK}",
    ),
    (re.compile(r"(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\g<1>{MASK}"),
    (re.compile(r"""(m_session_id["']?\s*[=:]\s*["']?)[^\s"',;&]+"""), rf"\g<1>{MASK}"),
    (
        re.compile(rf"""((?<![A-Za-z_-])(?:{_SIGNED_PARAMETERS})=)[^&\s"'<>]+""", re.IGNORECASE),
        rf"\g<1>{MASK}",
    ),
    (re.compile(r"(://)[^/\s:@]*:[^/\s@]+@"), rf"\g<1>{MASK}@"),
)


def register(value: str) -> None:
    """Replace ``value`` from now on, in whatever spelling; safe to repeat and thread-safe."""
    global _spellings  # noqa: PLW0603 - one registry a process: a leak has no owner
    if len(value) < _SHORTEST_SECRET:
        return
    with _lock:
        found = {*_spellings, value, quote(value, safe=""), quote(value), quote_plus(value)}
        found.update(_base64_cores(value))
        # Longest first, so that a spelling inside another does not leave its rest behind.
        _spellings = tuple(sorted(found, key=len, reverse=True))


def redact(text: str) -> str:
    """``text`` without registered secrets, well-known tokens and signed URL parameters."""
    for spelling in _spellings:
        if spelling in text:
            text = text.replace(spelling, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_within(value: Any, clean: Callable[[str], str] = redact) -> Any:
    """A value of JSON with every text in it redacted, names included."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(name): redact_within(part, clean) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [redact_within(part, clean) for part in value]
    return value


def redact_json(text: str) -> str:
    """JSON with every text in it redacted; still JSON.

    Put to the JSON itself, ``redact`` would miss what stands behind an escaped
    quote, and could take away the backslash of one.
    """
    return json.dumps(redact_within(json.loads(text)))


def _base64_cores(value: str) -> Iterator[str]:
    """The part of base64(prefix + value) that is the same for every prefix.

    "user:token" is encoded with a user name we cannot know; only its length
    modulo 3 shows in the characters that carry the token alone.
    """
    raw = value.encode()
    for shift in range(3):
        first = -(-shift * 8 // 6)
        whole = (shift + len(raw)) * 8 // 6
        core = base64.b64encode(b"\0" * shift + raw).decode()[first:whole]
        if len(core) >= _SHORTEST_BASE64_CORE:
            yield core
            yield core.replace("+", "-").replace("/", "_")


class RedactingFormatter(logging.Formatter):
    """A log formatter whose whole output is redacted, exception text included."""

    def format(self, record: logging.LogRecord) -> str:
        """The formatted record, redacted."""
        return redact(super().format(record))


def install_excepthook() -> None:
    """Redact the tracebacks that Python itself prints, in the main thread and in others."""
    sys.excepthook = _print_redacted
    threading.excepthook = _thread_hook


def _print_redacted(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _thread_hook(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and args.exc_type is not SystemExit:
        _print_redacted(args.exc_type, args.exc_value, args.exc_traceback)
