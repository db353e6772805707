"""Where the token and the endpoint of ModelScope come from, in the official order.

Token: given explicitly, ``MODELSCOPE_API_TOKEN``, the stored login. Endpoint:
given explicitly, ``MODELSCOPE_ENDPOINT``, ``MODELSCOPE_DOMAIN``, modelscope.cn.
Source: ``config.HubConfig`` of modelscope_hub 0.5.1.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from modelscope_hub.config import HubConfig
from modelscope_hub.errors import CacheError

from hubferry.errors import LocalError, UsageError
from hubferry.net.secret import Secret, as_token
from hubferry.text import T

TOKEN_VARIABLE = "MODELSCOPE_API_TOKEN"  # noqa: S105 - the name of a variable
_SESSION_COOKIE = "m_session_id"


@dataclass(frozen=True, slots=True)
class Login:
    """A token and the name of the place it was found in; no token: anonymous."""

    token: Secret | None
    source: str | None


def find_endpoint(endpoint: str | None = None) -> str:
    """The base URL, with a scheme and without a slash at its end.

    Raises:
        UsageError: not a URL that we can talk to.
    """
    with warnings.catch_warnings():
        # The official client warns on stderr about MODELSCOPE_DOMAIN; still valid, so no noise.
        warnings.simplefilter("ignore", FutureWarning)
        found = str(HubConfig(endpoint=endpoint, token="").endpoint)
    parts = urlsplit(found)
    if not parts.hostname or parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            T("not an address of a ModelScope site: {endpoint}", endpoint=parts.hostname or "?"),
            hint=T("write it like https://modelscope.cn"),
        )
    return found


def find_login(token: Secret | Literal[False] | None, endpoint: str) -> Login:
    """The token to use at ``endpoint``; False forces anonymous.

    An empty MODELSCOPE_API_TOKEN means "no token", as in the official client.
    A stored login counts for its own site only: the two sites and private
    deployments have separate accounts, and a token goes to its own hub only.

    Raises:
        InvalidTokenError: it cannot be a token.
    """
    if token is False:
        return Login(None, None)
    if token is not None:
        return _login(token, "argument")
    if TOKEN_VARIABLE in os.environ:
        return _login(Secret(os.environ[TOKEN_VARIABLE]), TOKEN_VARIABLE)
    stored = _stored_token(endpoint)
    return _login(stored, "modelscope login") if stored else Login(None, None)


def _login(found: Secret, source: str) -> Login:
    token = as_token(found, "ModelScope")
    return Login(token, source) if token else Login(None, None)


def store_login(token: Secret, endpoint: str | None = None) -> None:
    """Keep a checked token where the official client keeps it, readable by the user only.

    Raises:
        LocalError: it cannot be written.
    """
    config = HubConfig(endpoint=find_endpoint(endpoint), token="")
    try:
        config.save_token(as_token(token, "ModelScope").reveal())
    except (OSError, CacheError):
        place = str(config.credentials_dir)
        raise LocalError(T("cannot keep the login at {place}", place=place)) from None


def _stored_token(endpoint: str) -> Secret | None:
    try:
        cookies = HubConfig(endpoint=endpoint, token="").load_cookies()
        found = list(_session_values(cookies or (), endpoint))
    except Exception:  # noqa: BLE001 - a pickle written by another version can raise anything
        return None
    return Secret(found[0]) if found else None


def _session_values(cookies: Iterable[object], endpoint: str) -> Iterable[str]:
    for cookie in cookies:
        value = getattr(cookie, "value", None)
        domain = getattr(cookie, "domain", "")
        if getattr(cookie, "name", "") == _SESSION_COOKIE and value and _is_for(domain, endpoint):
            yield str(value)


def _is_for(domain: str, endpoint: str) -> bool:
    host = (urlsplit(endpoint).hostname or "").lower().removeprefix("www.")
    # http.cookiejar writes ".local" after host names without a dot.
    bare = domain.lower().lstrip(".").removeprefix("www.").removesuffix(".local")
    return host == bare or host.endswith("." + bare)
