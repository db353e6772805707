"""What each kind of hook is sent: pure, from news to bytes.

Foreign texts (names of repositories, a hub's own words) are put on one line and made
harmless in the markup of the service: they cannot mention anybody or make a link.
Sources: Feishu "Custom bot usage guide", DingTalk "Custom robot access", WeCom "Group robot
configuration", Slack "Incoming webhooks" and "Formatting text"; the signatures as public users
of both quote them, November 2026. The services themselves were not asked.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlencode

from hubferry.hooks.values import News, Trouble
from hubferry.i18n import tr
from hubferry.outcome import ErrorRecord
from hubferry.report import shapes, words
from hubferry.report.item_words import counted, state_word
from hubferry.text import T, Text

Plain = Callable[[object], str]
"""Makes foreign text harmless in one service's markup."""

FEISHU_BYTES = 20_000
DINGTALK_BYTES = 20_000
WECOM_BYTES = 4096
SLACK_CHARACTERS = 3000
# Beyond this a sentence is a page; whole texts are in the run's report.
_LONGEST_SENTENCE = 400
# Room for the JSON around the text, which is escaped to at most twice its size.
_ENVELOPE_BYTES = 600
_MAX_LISTED = 10


@dataclass(frozen=True, slots=True)
class Message:
    """A request's body, its headers, and what is added to the query of the URL."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    def url(self, base: str) -> str:
        """``base`` with the query added."""
        if not self.query:
            return base
        bare, mark, fragment = base.partition("#")
        joint = "&" if "?" in bare else "?"
        return f"{bare}{joint}{urlencode(self.query)}{mark}{fragment}"


def payload(
    kind: str, event: str, news: News, *, secret: str | None = None, now: float | None = None
) -> Message:
    """What a hook of this kind is sent, in the language of this process.

    Args:
        event: ``end``, ``failure`` or ``stall``.
        secret: signs the message, where the service has signatures.
        now: Unix seconds, for the signature.
    """
    moment = time.time() if now is None else now
    if kind == "feishu":
        return _feishu(event, news, secret, moment)
    if kind == "dingtalk":
        return _dingtalk(event, news, secret, moment)
    if kind == "wecom":
        return _wecom(event, news)
    if kind == "slack":
        return _slack(event, news)
    return _generic(event, news, secret, moment)


# --- generic JSON ----------------------------------------------------------------


def _generic(event: str, news: News, secret: str | None, now: float) -> Message:
    body = _json(asdict(hook_shape(event, news, now)))
    headers = {"content-type": "application/json", "x-hubferry-event": event}
    if secret:
        # As GitHub signs its webhooks, so that receivers need no code of their own.
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers["x-hubferry-signature-256"] = f"sha256={digest}"
    return Message(body, headers)


def hook_shape(event: str, news: News, now: float) -> shapes.HookShape:
    """The published form (``docs/schema/hook.schema.json``)."""
    stall = news.stall
    return shapes.HookShape(
        version=1,
        event=event,  # type: ignore[arg-type]
        at=dt.datetime.fromtimestamp(now, dt.UTC).isoformat(timespec="seconds"),
        run_id=news.run_id,
        command=news.command,
        source=news.subject,
        target=news.target,
        title=tr(title(event, news)),
        exit_code=news.exit_code,
        repos=dict(news.counts),
        sent_bytes=news.sent_bytes,
        read_bytes=news.read_bytes,
        seconds=round(news.seconds, 3),
        failures=[_failure_item(trouble) for trouble in news.troubles],
        failures_left_out=news.more_troubles,
        errors=[_failure(error) for error in news.errors],
        stall=shapes.StallItem(stall.cause, tr(stall.text), stall.repos, round(stall.seconds, 1))
        if stall
        else None,
    )


def _failure_item(trouble: Trouble) -> shapes.HookFailure:
    error = _failure(trouble.error) if trouble.error else None
    return shapes.HookFailure(trouble.source, trouble.target, trouble.state, error)


def _failure(record: ErrorRecord) -> shapes.Failure:
    hint = tr(record.hint) if record.hint else None
    return shapes.Failure(**{**asdict(record), "message": tr(record.message), "hint": hint})


# --- services for people ---------------------------------------------------------


def _feishu(event: str, news: News, secret: str | None, now: float) -> Message:
    # A post of plain text elements: in a text message "<at ...>" would mention people.
    head = tr(title(event, news))
    text = _fit(_lines(event, news, words.clean), FEISHU_BYTES - _ENVELOPE_BYTES, _json_size)
    rows = [[{"tag": "text", "text": line}] for line in text.split("\n")]
    # The rows cost more than their text; what is too much goes from the end.
    while rows and len(_json(_feishu_body(head, rows))) > FEISHU_BYTES - 200:
        rows.pop()
    body = _feishu_body(head, rows)
    if secret:
        moment = str(int(now))
        # The key is made of time and secret; nothing is signed with it.
        key = f"{moment}\n{secret}".encode()
        body |= {"timestamp": moment, "sign": _base64(hmac.new(key, b"", hashlib.sha256))}
    return Message(_json(body), {"content-type": "application/json"})


def _feishu_body(head: str, rows: list[list[dict[str, str]]]) -> dict[str, Any]:
    post = {"zh_cn": {"title": head, "content": rows}}
    return {"msg_type": "post", "content": {"post": post}}


def _dingtalk(event: str, news: News, secret: str | None, now: float) -> Message:
    head = tr(title(event, news))
    text = _fit(
        [f"#### {_plain_markdown(head)}", *_lines(event, news, _plain_markdown)],
        DINGTALK_BYTES - _ENVELOPE_BYTES,
        _json_size,
        joint="\n\n",
    )
    body = {"msgtype": "markdown", "markdown": {"title": head[:100], "text": text}}
    query: dict[str, str] = {}
    if secret:
        moment = str(int(now * 1000))
        signed = f"{moment}\n{secret}".encode()
        sign = _base64(hmac.new(secret.encode(), signed, hashlib.sha256))
        query = {"timestamp": moment, "sign": sign}
    return Message(_json(body), {"content-type": "application/json"}, query)


def _wecom(event: str, news: News) -> Message:
    head = _plain_markdown(tr(title(event, news)))
    lines = [f"**{head}**", *_lines(event, news, _plain_markdown)]
    # The limit holds for the text itself, in UTF-8.
    text = _fit(lines, WECOM_BYTES, lambda line: len(line.encode()))
    body = {"msgtype": "markdown", "markdown": {"content": text}}
    return Message(_json(body), {"content-type": "application/json"})


def _slack(event: str, news: News) -> Message:
    head = _plain_slack(tr(title(event, news)))
    text = _fit([f"*{head}*", *_lines(event, news, _plain_slack)], SLACK_CHARACTERS, len)
    section = {"type": "section", "text": {"type": "mrkdwn", "text": text}}
    body = {"text": head[:_LONGEST_SENTENCE], "blocks": [section]}
    return Message(_json(body), {"content-type": "application/json"})


# --- what is said ----------------------------------------------------------------


def title(event: str, news: News) -> Text:
    """One line: what happened to what."""
    subject = words.clean(news.subject)[:_LONGEST_SENTENCE]
    values = {"command": news.command, "subject": subject}
    if event == "stall":
        return T("Hubferry {command} stands still: {subject}", **values)
    if news.exit_code == 0:
        return T("Hubferry {command} is done: {subject}", **values)
    values["code"] = str(news.exit_code)
    if news.exit_code == 3:
        return T("Hubferry {command} is partly done (exit code {code}): {subject}", **values)
    if news.exit_code == 130:
        return T("Hubferry {command} was stopped (exit code {code}): {subject}", **values)
    return T("Hubferry {command} failed (exit code {code}): {subject}", **values)


def _lines(event: str, news: News, plain: Plain) -> list[str]:
    return list(_all_lines(event, news, plain))


def _all_lines(event: str, news: News, plain: Plain) -> Iterator[str]:
    run = T("run {run_id}", run_id=news.run_id)
    if news.stall is not None:
        yield _sentence(news.stall.text, plain)
        if news.stall.repos:
            yield tr(T("{count} repositories wait", count=news.stall.repos))
        yield tr(run)
        return
    if counts := counted(news.counts):
        yield tr(T("repositories: {counts}", counts=counts))
    if news.target:
        yield tr(T("{label}: {text}", label=T("target"), text=plain(news.target)))
    size, seconds = words.size(news.sent_bytes), words.duration(news.seconds)
    yield tr(T("sent {size} in {duration}", size=size, duration=seconds))
    for error in news.errors[:_MAX_LISTED]:
        yield from _explained("- ", error, plain)
    for trouble in news.troubles[:_MAX_LISTED]:
        name = plain(trouble.source)[:_LONGEST_SENTENCE]
        yield f"- {name}: {tr(state_word(trouble.state))}"
        if trouble.error is not None:
            yield from _explained("  ", trouble.error, plain)
    more = news.more_troubles + max(0, len(news.troubles) - _MAX_LISTED)
    if more:
        yield tr(T("… and {count} more: hubferry runs show {run}", count=more, run=news.run_id))
    yield tr(run)


def _explained(indent: str, error: ErrorRecord, plain: Plain) -> Iterator[str]:
    where = f"{plain(error.path)[:_LONGEST_SENTENCE]}: " if error.path else ""
    yield f"{indent}{where}{_sentence(error.message, plain)}"
    if error.hint:
        fix = T("{label}: {text}", label=T("fix"), text=_sentence(error.hint, plain))
        yield f"  {tr(fix)}"


def _sentence(text: Text, plain: Plain) -> str:
    said = plain(tr(text))
    return said if len(said) <= _LONGEST_SENTENCE else said[:_LONGEST_SENTENCE] + "…"


def _fit(lines: list[str], limit: int, measure: Callable[[str], int], joint: str = "\n") -> str:
    """As many whole lines as fit; "…" where some were left out."""
    kept: list[str] = []
    used = measure("…") + measure(joint)
    for line in lines:
        used += measure(line) + measure(joint)
        if used > limit:
            return joint.join([*kept, "…"])
        kept.append(line)
    return joint.join(kept)


# --- harmless in markup ----------------------------------------------------------

_FULL_WIDTH = str.maketrans({"<": "＜", ">": "＞", "[": "［", "]": "］", "`": "'", "@": "＠"})


def _plain_markdown(text: object) -> str:
    """For DingTalk and WeCom, whose dialects have no escapes: ``<@name>`` mentions, ``[]`` links.

    Signs that could do so become their full-width twins.
    """
    return words.clean(text).translate(_FULL_WIDTH).replace("**", "＊＊")


def _plain_slack(text: object) -> str:
    """Slack's three escapes; everything that mentions or links is written with ``<``."""
    return words.clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _json(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # A name that is no Unicode must not be what a message fails of.
    return text.encode("utf-8", "backslashreplace")


def _json_size(text: str) -> int:
    return len(_json(text))


def _base64(signed: hmac.HMAC) -> str:
    return base64.b64encode(signed.digest()).decode()
