"""Hooks as a command line says them: ``slack=env:SLACK_URL``."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from hubferry.errors import UsageError
from hubferry.hooks.values import EVENTS, KINDS
from hubferry.manifest.values import Hook, SecretRef
from hubferry.text import T

_REFERENCE = re.compile(r"(env|file|cmd):(.+)", re.DOTALL)
_FORM = T(
    "write it like slack=env:SLACK_URL, command='notify --quiet', or with events and a secret "
    "feishu:failure,stall=env:FEISHU_URL;secret=env:FEISHU_SECRET"
)


def parse_hook(text: str) -> Hook:
    """A hook of ``KIND[:EVENT,...]=TARGET[;secret=REFERENCE]``.

    TARGET is a command line for ``command``, else a reference (``env:NAME``,
    ``file:PATH``, ``cmd:COMMAND``). A plain URL is taken for ``webhook`` alone, and
    only without a password or a query: the addresses of chat services are secrets,
    and command lines can be seen by every user of a computer.

    Raises:
        UsageError: anything else. It does not repeat what was given.
    """
    head, is_assigned, to = text.partition("=")
    kind, _, wanted = head.partition(":")
    kind = kind.strip().lower()
    if not is_assigned or kind not in KINDS or not to.strip():
        kinds = ", ".join(KINDS)
        raise UsageError(T("this is no hook; its kinds are {kinds}", kinds=kinds), hint=_FORM)
    on = _events(wanted)
    if kind == "command":
        return Hook(kind, to.strip(), on)
    target, has_secret, secret = to.partition(";secret=")
    return Hook(kind, _target(kind, target.strip()), on, _secret(secret) if has_secret else None)


def _events(wanted: str) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in wanted.split(",") if name.strip())
    if unknown := [name for name in names if name not in EVENTS]:
        events = ", ".join(EVENTS)
        raise UsageError(
            T(
                "a hook knows no event {name}; its events are {events}",
                name=unknown[0],
                events=events,
            ),
            hint=_FORM,
        )
    return names or EVENTS


def _target(kind: str, text: str) -> str | SecretRef:
    if found := _REFERENCE.fullmatch(text):
        return SecretRef(found[1], found[2].strip())
    if kind == "webhook" and _is_plain_url(text):
        return text
    raise UsageError(
        T("the address of a {kind} hook is a secret: give a reference to it", kind=kind), hint=_FORM
    )


def _secret(text: str) -> SecretRef:
    if found := _REFERENCE.fullmatch(text.strip()):
        return SecretRef(found[1], found[2].strip())
    raise UsageError(T("the secret of a hook is given as a reference"), hint=_FORM)


def _is_plain_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    is_http = parts.scheme in ("http", "https") and bool(parts.hostname)
    return is_http and not (parts.query or parts.username or parts.password)
