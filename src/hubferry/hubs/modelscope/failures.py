"""ModelScope's ways to say no, and which of our errors each one is.

The server's own code is more faithful than the HTTP status (a bad token is a
400, an exhausted quota a 403, a lost branch race a 400), so it is asked first.

Source: the tables in ``errors`` and ``_upload`` of modelscope_hub 0.5.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hubferry.errors import (
    AccessError,
    CopyError,
    HubError,
    InvalidTokenError,
    NotFoundError,
    QuotaError,
    RateLimitedError,
    TooLargeError,
    UnavailableError,
)
from hubferry.net.redact import redact
from hubferry.text import T, Text

_BAD_TOKEN = {"10010103009", "InvalidAuthentication"}
_NO_QUOTA = {"QuotaLimitExceed"}
_TOO_FAST = {"RateLimitExceed"}
_NOT_FOUND = {"ResourceNotFound"}
_NOT_ALLOWED = {"OperationNotAllowed"}
_EXISTS = {"10010101001", "10020101001", "10010202004", "DuplicateEntity"}
_EXISTS_WORDS = ("exist", "already", "已存在", "已被注册")
_ABSENT_WORDS = ("不存在", "not exist", "not found")
_LOST_RACE = {"10030000001"}
_LOST_RACE_WORDS = (
    "branch changed",
    "could not update refs",
    "please retry",
    "try again",
    "commit rejected by repository policy",
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A refusal: the HTTP status, and the code, words and id of the envelope."""

    status: int
    code: str = ""
    message: str = ""
    request_id: str | None = None

    def named(self, request_id: str | None) -> Failure:
        """The same with a request id, if the envelope told none."""
        return self if self.request_id or not request_id else replace(self, request_id=request_id)

    @property
    def kind(self) -> int:
        """The status that is meant: a failure under HTTP 200 tells it as its code."""
        if self.status < 400 and self.code.isdigit() and 400 <= int(self.code) < 600:
            return int(self.code)
        return self.status


@dataclass(frozen=True, slots=True)
class Asked:
    """What we had asked for, as far as it changes the meaning of a refusal."""

    doing: Text
    what: str = "repo"
    """What a 404 is about: ``repo``, ``revision`` or ``path``."""
    has_token: bool = True
    is_repeatable: bool = True
    is_commit: bool = False


def failure_in(body: Mapping[str, object], *, status: int) -> Failure | None:
    """The failure that an envelope tells, or None if it says yes."""
    code = _first(body, "Code", "code")
    succeeded = _first(body, "Success", "success")
    # A code in words beside "success" is no refusal; a number other than 200 is.
    is_fine = str(code or 200) == "200" or (succeeded is True and not str(code).isdigit())
    if status < 400 and succeeded is not False and is_fine:
        return None
    words = (_first(body, name, name.lower()) for name in ("Message", "Msg", "Error", "Detail"))
    ident = _first(body, "RequestId", "request_id")
    return Failure(
        status=status,
        code="" if code is None else str(code),
        message=next((word for word in words if isinstance(word, str) and word), ""),
        request_id=ident if isinstance(ident, str) else None,
    )


def _first(body: Mapping[str, object], *names: str) -> object:
    return next((body[name] for name in names if body.get(name) is not None), None)


def says_exists(failure: Failure) -> bool:
    """True if a refused *create* means that the repository is there already.

    For creating only: a refused commit that speaks of something that does "not
    exist" holds the same word and must never pass for success.
    """
    words = failure.message.lower()
    by_words = any(word in words for word in _EXISTS_WORDS) and not _is_absent(failure)
    return failure.code in _EXISTS or failure.kind == 409 or (failure.kind == 400 and by_words)


def says_full(failure: Failure) -> bool:
    """True if there is no room left, whoever said so: a store's 403 mostly means something else."""
    return failure.code in _NO_QUOTA


def error_for(
    failure: Failure, asked: Asked, retry_after_seconds: float | None = None
) -> CopyError:
    """The error for a refusal of what was ``asked``."""
    ident = failure.request_id
    said = redact(" ".join(failure.message.split()))[:300] or "-"
    reason = {"doing": asked.doing, "status": failure.status, "said": said}
    if asked.is_commit and _lost_race(failure):
        message = T("ModelScope could not {doing} this time: {said}", **reason)
        return UnavailableError(message, request_id=ident)
    if failure.kind == 429 or failure.code in _TOO_FAST:
        message = T("ModelScope asks to wait before it will {doing}: {said}", **reason)
        return RateLimitedError(message, retry_after_seconds=retry_after_seconds, request_id=ident)
    if failure.kind in (402, 507) or says_full(failure):
        message = T("ModelScope has no room left to {doing}: {said}", **reason)
        return QuotaError(message, request_id=ident)
    if failure.kind == 408 or failure.kind >= 500:
        message = T("ModelScope could not {doing} (HTTP {status}): {said}", **reason)
        return UnavailableError(message, ambiguous=not asked.is_repeatable, request_id=ident)
    if failure.kind == 404 or (_is_absent(failure) and not asked.is_commit):
        message = T("ModelScope could not {doing}, it is not there: {said}", **reason)
        hint = T("check the spelling; a private repository looks the same without access")
        return NotFoundError(message, what=asked.what, hint=hint, request_id=ident)
    message = T("ModelScope refused to {doing} (HTTP {status}): {said}", **reason)
    if failure.kind == 413:
        return TooLargeError(message, request_id=ident)
    if failure.kind == 401 or failure.code in _BAD_TOKEN:
        return _unknown_token(message, asked, ident)
    if failure.kind == 403 or failure.code in _NOT_ALLOWED:
        return AccessError(message, hint=_access_hint(asked), request_id=ident)
    return HubError(message, request_id=ident)


def _lost_race(failure: Failure) -> bool:
    words = failure.message.lower()
    return failure.code in _LOST_RACE or any(word in words for word in _LOST_RACE_WORDS)


def _is_absent(failure: Failure) -> bool:
    words = failure.message.lower()
    return failure.code in _NOT_FOUND or any(word in words for word in _ABSENT_WORDS)


def _unknown_token(message: Text, asked: Asked, ident: str | None) -> CopyError:
    if not asked.has_token:
        return AccessError(message, hint=_access_hint(asked), request_id=ident)
    hint = T(
        "get a token at https://modelscope.cn/my/myaccesstoken; "
        "tokens of modelscope.cn and modelscope.ai are not the same"
    )
    return InvalidTokenError(message, hint=hint, request_id=ident)


def _access_hint(asked: Asked) -> Text:
    if not asked.has_token:
        return T("log in first: set MODELSCOPE_API_TOKEN or run `hubferry auth login ms`")
    return T("the token may lack the write permission, or the namespace is not yours")
