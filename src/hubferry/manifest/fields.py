"""Values of manifest keys that are more than a word or a number. Pure.

Every reader takes what stands in the file and gives the value, or raises
:class:`Wrong` with what is wrong and how to write it.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from hubferry.errors import UsageError
from hubferry.manifest.problems import Wrong, shown
from hubferry.manifest.secrets import parse_ref
from hubferry.manifest.values import QuietHours, SecretRef
from hubferry.quantities import parse_duration, parse_size
from hubferry.text import T, Text
from hubferry.throttle import parse_bwlimit

EVENTS = ("end", "failure", "stall")
DATE = r"\d{4}-\d{2}-\d{2}"
_DATE_START = re.compile(DATE, re.ASCII)
_SPAN = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+):(\d{1,5})", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_KEEP = T("keep it elsewhere and say where: env:NAME, file:PATH or cmd:COMMAND")
_MAX_SECONDS = 3650 * 86400.0


@dataclass(frozen=True, slots=True)
class Since:
    """A moment in Unix seconds, or how long ago it is."""

    at: int | None = None
    within_seconds: float | None = None


def kind_of(value: object) -> Text:
    """What stands where something else was wanted."""
    if value is None:
        return T("nothing")
    if isinstance(value, bool):
        return T("true or false")
    if isinstance(value, int | float):
        return T("a number")
    if isinstance(value, str):
        return T("the text {text}", text=shown(value))
    if isinstance(value, dict):
        return T("keys with values")
    return T("a list")


def unquoted(value: object) -> Text | None:
    """How to mend a value that is no text although text was wanted."""
    if value is None:
        return T("give it a value, or remove the key")
    if isinstance(value, bool | int | float):
        return T("put it in quotation marks")
    return None


def text_of(value: object) -> str:
    """A text that is not empty and fits on one line."""
    if not isinstance(value, str):
        how = unquoted(value) or T("write one line of text, in quotation marks if need be")
        raise Wrong(T("it must be text, and is {kind}", kind=kind_of(value)), how)
    if not value.strip():
        raise Wrong(T("it is empty"), T("give it a value, or remove the key"))
    if _CONTROL.search(value.strip()):
        raise Wrong(
            T("it holds a line end or another control character: {text}", text=shown(value)),
            T("write it on one line, without such characters"),
        )
    return value.strip()


def words_of(value: object) -> tuple[str, ...]:
    """Several texts; one alone needs no list."""
    if isinstance(value, str):
        return (text_of(value),)
    if not isinstance(value, list):
        how = unquoted(value) or T("write it like [first, second]")
        raise Wrong(
            T("it must be text or a list of texts, and is {kind}", kind=kind_of(value)), how
        )
    return tuple(_each(value, text_of))


def _each(values: Sequence[object], read: Callable[[object], str]) -> list[str]:
    found = []
    for number, value in enumerate(values):
        try:
            found.append(read(value))
        except Wrong as wrong:
            raise Wrong(wrong.what, wrong.how, (number, *wrong.at)) from wrong
    return found


def size_of(value: object) -> int:
    """A size in bytes."""
    how = T("write it like 512M, 50G or 1.5T")
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if not isinstance(value, str):
        raise Wrong(T("it must be a size, and is {kind}", kind=kind_of(value)), how)
    try:
        return parse_size(value)
    except ValueError as exc:
        raise Wrong(T("{text} is no size", text=shown(value)), how) from exc


def duration_of(value: object) -> float:
    """A duration in seconds; a number alone is seconds."""
    how = T("write it like 90s, 10m, 6h or 7d")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Wrong(T("it must be a duration, and is {kind}", kind=kind_of(value)), how)
    try:
        seconds = parse_duration(value) if isinstance(value, str) else float(value)
    except (ValueError, OverflowError) as exc:
        raise Wrong(T("{text} is no duration", text=shown(value)), how) from exc
    if not 0 <= seconds <= _MAX_SECONDS or math.isnan(seconds):
        raise Wrong(T("{text} is no duration of 0 to 10 years", text=shown(value)), how)
    return seconds


def period_of(value: object) -> float:
    """A duration that is not zero."""
    seconds = duration_of(value)
    if seconds < 1:
        raise Wrong(T("{text} is too short", text=shown(value)), T("a second is the least"))
    return seconds


def since_of(value: object) -> Since:
    """A date, a date with a time (UTC where no zone is named), or a duration before now."""
    how = T("write a date like 2026-01-31, or how long ago it may be, like 30d")
    if not isinstance(value, str):
        raise Wrong(T("it must be a date or a duration, and is {kind}", kind=kind_of(value)), how)
    text = value.strip()
    if not _DATE_START.match(text):
        try:
            return Since(within_seconds=duration_of(text))
        except Wrong as exc:
            raise Wrong(T("{text} is no date and no duration", text=shown(text)), how) from exc
    try:
        moment = dt.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        return Since(at=int(moment.timestamp()))
    except (ValueError, OverflowError) as exc:
        raise Wrong(T("there is no such date: {text}", text=shown(text)), how) from exc


def reference_of(value: object, *, may_login: bool = False) -> SecretRef:
    """A reference to a secret. No message repeats the value."""
    if not isinstance(value, str):
        # A token of digits alone is read as a number.
        value = ""
    return parse_ref(value, may_login=may_login)


def token_of(value: object) -> SecretRef:
    """A reference to a hub's token."""
    return reference_of(value, may_login=True)


def endpoint_of(value: object) -> str:
    """The web address of a hub."""
    text = value.strip() if isinstance(value, str) else ""
    how = T("write it like https://hf-mirror.com")
    parts = _split(text, how)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Wrong(T("it must be a web address"), how)
    if parts.username or parts.password or parts.query:
        raise Wrong(T("a web address in a manifest must not hold a password or a query"), how)
    return text.rstrip("/")


def proxy_of(value: object) -> str:
    """The address of a proxy, or ``direct``."""
    text = value.strip() if isinstance(value, str) else ""
    how = T("write it like http://proxy.example.org:3128, or direct for none")
    if text == "direct":
        return text
    parts = _split(text, how)
    if not parts.scheme or not parts.hostname:
        raise Wrong(T("it must be the address of a proxy"), how)
    if parts.username or parts.password:
        raise Wrong(
            T("a secret must not stand in the manifest itself"),
            T("set a proxy with a password in HUBFERRY_HF_PROXY or HUBFERRY_MS_PROXY"),
        )
    return text


def _split(text: str, how: Text) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as exc:
        # Its own message repeats the text, which may hold a password.
        raise Wrong(T("it must be a web address"), how) from exc
    return parts


def events_of(value: object) -> tuple[str, ...]:
    """Of what a hook tells."""
    found = words_of(value)
    how = T("the events are {names}", names=", ".join(EVENTS))
    if not found:
        raise Wrong(T("the list is empty"), how)
    for number, name in enumerate(found):
        if name not in EVENTS:
            at = () if isinstance(value, str) else (number,)
            raise Wrong(T("there is no event {name}", name=shown(name)), how, at)
    return tuple(dict.fromkeys(found))


def command_of(value: object) -> str:
    """A command line that is run without a shell."""
    text = text_of(value)
    how = T("check its quotation marks; it is run without a shell")
    try:
        words = shlex.split(text)
    except ValueError as exc:
        raise Wrong(T("{text} is no command line", text=shown(text)), how) from exc
    if not words:
        raise Wrong(T("{text} is no command line", text=shown(text)), how)
    return text


def webhook_of(value: object) -> str | SecretRef:
    """A web address without secrets in it, or a reference to one."""
    if isinstance(value, str) and _scheme(value) in ("http", "https"):
        try:
            return endpoint_of(value)
        except Wrong as exc:
            raise Wrong(
                T("the address of a webhook with a password or a query is a secret"),
                _KEEP,
            ) from exc
    return reference_of(value)


def _scheme(text: str) -> str:
    """The scheme of what may be a URL, in lower case."""
    return text.strip().partition("://")[0].lower() if "://" in text else ""


def chat_of(value: object) -> SecretRef:
    """A reference to the address of a chat service; who knows it may write there."""
    if isinstance(value, str) and _scheme(value) in ("http", "https"):
        raise Wrong(
            T("the address of a chat's webhook is a secret and must not stand in the manifest"),
            _KEEP,
        )
    return reference_of(value)


def quiet_hours_of(value: object) -> tuple[QuietHours, ...]:
    """Daily spans; one alone needs no list."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list):
        raise Wrong(
            T("it must be a list of daily spans, and is {kind}", kind=kind_of(value)),
            T('write it like ["22:00-06:00"]'),
        )
    found = []
    for number, span in enumerate(values):
        try:
            found.append(_span(span))
        except Wrong as wrong:
            raise Wrong(wrong.what, wrong.how, (number,)) from wrong
    return tuple(found)


def _span(value: object) -> QuietHours:
    how = T('write it like "22:00-06:00"')
    found = _SPAN.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise Wrong(T("it must be a daily span, and is {kind}", kind=kind_of(value)), how)
    hours = [int(part) for part in found.groups()]
    start, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if start == end:
        raise Wrong(T("the span {text} has no length", text=shown(value)), how)
    return QuietHours(start, end)


def cron_of(value: object) -> str:
    """A cron expression of five fields."""
    from cronsim import CronSim, CronSimError

    text = " ".join(text_of(value).split())
    how = T("write five fields like '0 3 * * *': minute, hour, day, month, day of the week")
    if len(text.split()) != 5:
        raise Wrong(T("{text} is no cron expression", text=shown(text)), how)
    try:
        next(CronSim(text, dt.datetime(2026, 1, 1)))
    except (CronSimError, StopIteration) as exc:
        raise Wrong(T("{text} is no cron expression", text=shown(text)), how) from exc
    return text


def bwlimit_of(value: object) -> str:
    """A bandwidth limit as for ``--bwlimit``; it stays text."""
    how = T("write it like 10M, 10M:1M (upload:download) or '08:00,512k 19:00,10M 23:00,off'")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Wrong(T("it must be a bandwidth limit, and is {kind}", kind=kind_of(value)), how)
    try:
        parse_bwlimit(str(value))
    except UsageError as error:
        raise Wrong(T("{text} is no bandwidth limit", text=shown(value)), how) from error
    return str(value).strip()


def listen_of(value: object) -> str:
    """``host:port`` to listen at."""
    how = T("write it like '127.0.0.1:8080'")
    found = _LISTEN.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or not 0 <= int(found[2]) <= 65535:
        raise Wrong(T("it must be a host and a port, and is {kind}", kind=kind_of(value)), how)
    return found[0]
