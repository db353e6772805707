"""What Hugging Face means by a status of 400 or more; pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hubferry.errors import (
    AccessError,
    ConflictError,
    CopyError,
    HubError,
    InvalidTokenError,
    NotFoundError,
    QuotaError,
    RateLimitedError,
    UnavailableError,
)
from hubferry.net.config import Origin, show_origin
from hubferry.net.redact import redact
from hubferry.net.status import Refusal, excerpt, request_id, retry_after_seconds
from hubferry.text import T

# What no store sends.
_HUB_HEADERS = frozenset({"x-error-code", "ratelimit"})
_RATE_LIMIT = re.compile(r'"\w+"\s*;\s*r\s*=\s*(\d+)\s*;\s*t\s*=\s*(\d+)')


class GatedError(AccessError):
    """The repository exists; its terms were not accepted, or access is pending."""


class ExistsError(HubError):
    """What was to be made is there already."""


class StaleAddressError(UnavailableError):
    """A signed address is no longer good: ask the hub for a fresh one."""


def limit_wait_seconds(headers: Mapping[str, str]) -> float | None:
    """How long a 429 asks to wait, or None if it does not say.

    ``RateLimit`` stands on every answer; it is the reason of a 429 only when
    nothing remains (``r=0``). Source: huggingface_hub ``parse_ratelimit_headers``.
    """
    found = _RATE_LIMIT.search(headers.get("ratelimit", ""))
    if found and found[1] == "0":
        # The figure is rounded; a second more, as the official client waits.
        return float(found[2]) + 1.0
    return retry_after_seconds(headers)


def read_limit(refusal: Refusal) -> CopyError | None:
    """Our error for a 429, which asks to wait; None for every other refusal."""
    if refusal.status != 429:
        return None
    said = redact(refusal.headers.get("x-error-message", "")) or excerpt(refusal.body)
    host = show_origin(refusal.origin)
    return RateLimitedError(
        T("{host} asks to slow down: {said}", host=host, said=said or "HTTP 429"),
        retry_after_seconds=limit_wait_seconds(refusal.headers),
        request_id=request_id(refusal.headers),
    )


def read_refusal(refusal: Refusal, hub: Origin, *, has_token: bool) -> CopyError | None:
    """Our error for what the hub or a store said; None: nothing special.

    ``X-Error-Code`` is trusted before the status. Source: huggingface_hub
    ``hf_raise_for_status``, docs/hub-protocols.md 1.4.
    """
    # A mirror may have passed us on to the real hub, which then speaks for itself.
    is_of_hub = refusal.origin == hub or not _HUB_HEADERS.isdisjoint(refusal.headers)
    if not is_of_hub:
        return _store_refusal(refusal)
    code = refusal.headers.get("x-error-code", "")
    # Redacted: a hub may echo the token in its complaint.
    said = redact(refusal.headers.get("x-error-message", "")) or excerpt(refusal.body)
    ident = request_id(refusal.headers)
    status = refusal.status
    if status == 429:
        return read_limit(refusal)
    if code == "RevisionNotFound":
        return NotFoundError(
            T("Hugging Face has no such revision"), what="revision", request_id=ident
        )
    if code == "EntryNotFound":
        return NotFoundError(
            T("Hugging Face has no such file in this revision"), what="path", request_id=ident
        )
    if code == "GatedRepo":
        return GatedError(T("access to this repository is gated"), request_id=ident)
    if "resource is disabled" in said:
        return AccessError(T("this repository has been disabled by Hugging Face"), request_id=ident)
    if status == 401 and "invalid credentials" in said.lower():
        return invalid_token(ident)
    if code == "RepoNotFound" or status == 401:
        return _not_found(has_token, ident)
    if status == 403:
        return _forbidden(said, has_token, ident)
    if status == 402:
        return QuotaError(T("Hugging Face has no room left: {said}", said=said), request_id=ident)
    if status == 409 and "conflicting operation" in said:
        # One creation of a user at a time: worth asking again a little later.
        return UnavailableError(T("Hugging Face is busy: {said}", said=said), request_id=ident)
    if status == 409 and ("already" in said.lower() or "exist" in said.lower()):
        return ExistsError(T("Hugging Face has this already: {said}", said=said), request_id=ident)
    if status == 412 or (status == 409 and "commit" in said.lower()):
        return ConflictError(
            T("the branch was changed by someone else meanwhile: {said}", said=said or "HTTP 412"),
            hint=T("run the same command again; it starts from the new state"),
            request_id=ident,
        )
    return None


def _store_refusal(refusal: Refusal) -> CopyError | None:
    # Bytes come from and go to signed addresses; these statuses mean that the
    # signature has run out or the object moved, not that the user may not.
    if refusal.status in (400, 401, 403, 404, 410):
        return StaleAddressError(
            T(
                "{host} no longer accepts its signed address (HTTP {status})",
                host=show_origin(refusal.origin),
                status=refusal.status,
            ),
            request_id=request_id(refusal.headers),
        )
    return None


def invalid_token(ident: str | None) -> InvalidTokenError:
    """The hub does not know the token."""
    return InvalidTokenError(
        T("Hugging Face does not know this token"),
        hint=T("make a new one at https://huggingface.co/settings/tokens, then `hf auth login`"),
        request_id=ident,
    )


def _not_found(has_token: bool, ident: str | None) -> CopyError:
    # Anonymous callers get 401 for what does not exist, so a 401 is no proof of a lock.
    hint = (
        T("check the name; if it is private, the token needs read access to it")
        if has_token
        else T("check the name; if it is private, log in with `hf auth login` first")
    )
    return NotFoundError(
        T("Hugging Face has no such repository, or does not show it to you"),
        hint=hint,
        request_id=ident,
    )


def _forbidden(said: str, has_token: bool, ident: str | None) -> CopyError:
    hint = (
        T("give the token this permission at https://huggingface.co/settings/tokens")
        if has_token
        else T("log in with `hf auth login` first")
    )
    return AccessError(
        T("Hugging Face refused access: {said}", said=said or "HTTP 403"),
        hint=hint,
        request_id=ident,
    )
