"""Reads links that people paste from the pages of ModelScope."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from hubferry.errors import UsageError
from hubferry.text import T

HOSTS = frozenset({"modelscope.cn", "modelscope.ai"})
"""The two sites; each with and without ``www.``, each with accounts of its own."""

_KINDS = {
    "models": "model",
    "datasets": "dataset",
    "studios": "studio",
    "skills": "skill",
    "mcp": "mcp",
    "collections": "collection",
}
_NAME = re.compile(r"[\w.-]+/[\w.-]+")
# What follows a repository in a link and is followed by a revision: the file
# view, the file tree, the download. Source: links of modelscope.cn pages.
_BEFORE_REVISION = (("file", "view"), ("tree",), ("resolve",), ("blob",))


@dataclass(frozen=True, slots=True)
class WebLink:
    """What a pasted link points at; ``kind`` is ``model``, ``dataset``, ``studio`` and so on."""

    kind: str
    name: str
    revision: str | None = None


def parse_link(text: str, *, endpoint: str | None = None) -> WebLink | None:
    """The repository that a pasted link points at, or None if it is no link of this hub.

    Links of both sites are known, and those of ``endpoint`` if one is given. A
    path inside the repository is passed over: a copy takes the whole repository.

    Raises:
        UsageError: a link of the other site, where the same name may be another repository.
    """
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    site = _site(parts.hostname)
    own = urlsplit(endpoint) if endpoint else None
    if site not in HOSTS and (own is None or own.netloc.lower() != parts.netloc.lower()):
        return None
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    if segments[:2] == ["api", "v1"]:
        segments = segments[2:]
    kind = _KINDS.get(segments[0]) if segments else None
    if kind is None:
        kind = "model"  # a Git remote: https://modelscope.cn/owner/name.git
    else:
        segments = segments[1:]
    name = "/".join(segments[:2]).removesuffix(".git")
    if not _NAME.fullmatch(name):
        return None
    if site in HOSTS:
        _check_site(site, endpoint)
    return WebLink(kind, name, _revision(segments[2:], parts.query))


def _check_site(site: str, endpoint: str | None) -> None:
    from hubferry.hubs.modelscope.auth import find_endpoint  # slow: the official client

    used = _site(urlsplit(find_endpoint(endpoint)).hostname or "")
    if used != site:
        raise UsageError(
            T("this link is of {site}, but {used} is asked", site=site, used=used),
            hint=T("add --ms-endpoint https://www.{site}", site=site),
        )


def _site(host: str) -> str:
    return host.lower().removeprefix("www.")


def _revision(rest: list[str], query: str) -> str | None:
    for words in _BEFORE_REVISION:
        if tuple(rest[: len(words)]) == words and len(rest) > len(words):
            return rest[len(words)]
    named = parse_qs(query)
    found = named.get("Revision") or named.get("revision")
    return found[0] if found else None
