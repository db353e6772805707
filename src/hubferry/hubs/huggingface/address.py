"""Web links of Hugging Face, its mirrors and custom endpoints, as people paste them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from hubferry.errors import UsageError
from hubferry.text import T

# Hosts known to show the same pages as huggingface.co.
_KNOWN_HOSTS = frozenset(
    {"huggingface.co", "www.huggingface.co", "hf.co", "hf-mirror.com", "www.hf-mirror.com"}
)
_KINDS = {"datasets": "dataset", "spaces": "space", "models": "model"}
# Pages of a repository; the first five name a revision and maybe a path behind it.
_PAGES_WITH_REVISION = frozenset({"tree", "blob", "resolve", "raw", "blame", "commits", "commit"})
_OTHER_PAGES = frozenset({"discussions", "settings", "edit", "delete", "viewer", "community"})
# First segments of the site's own pages; nobody can own a repository under them.
_SITE_PAGES = frozenset(
    {"api", "blog", "chat", "collections", "docs", "enterprise", "join", "learn", "login", "new"}
    | {"organizations", "papers", "posts", "pricing", "search", "settings", "tasks"}
)


@dataclass(frozen=True, slots=True)
class WebLink:
    """What a pasted link names; ``kind`` is ``model``, ``dataset`` or ``space``."""

    kind: str
    name: str
    revision: str | None = None
    path: str | None = None


def parse_link(link: str, endpoint: str | None = None) -> WebLink | None:
    """Read a web link; None if it is not a link to this hub (or to ``endpoint``).

    Raises:
        UsageError: a page of this hub that is not a repository.
    """
    parts = urlsplit(link.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    if parts.netloc.lower().rpartition("@")[2] not in _hosts(endpoint):
        return None
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    kind = "model"
    if segments and segments[0] in _KINDS:
        kind = _KINDS[segments.pop(0)]
    if not segments or (kind == "model" and segments[0] in _SITE_PAGES):
        raise UsageError(
            T("this link does not lead to a repository"),
            hint=T("paste the address of the model's own page, or write hf://owner/name"),
        )
    name, rest = _split_name(segments)
    revision, path = _split_revision(rest)
    return WebLink(kind, name.removesuffix(".git"), revision, path)


def parse_collection(link: str, endpoint: str | None = None) -> str | None:
    """The slug (``owner/title-id``) of a collection's web link, or None if it is none of this hub.

    Source: links of huggingface.co/collections pages; ``HfApi.get_collection`` takes the slug.
    """
    try:
        parts = urlsplit(link if "://" in link else f"https://{link}")
    except ValueError:  # brackets that are no IPv6 address
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    if parts.netloc.lower().rpartition("@")[2] not in _hosts(endpoint):
        return None
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    return "/".join(segments[1:]) if segments[:1] == ["collections"] else None


def _hosts(endpoint: str | None) -> frozenset[str]:
    own = urlsplit(endpoint).netloc.lower() if endpoint else ""
    return _KNOWN_HOSTS | {own.rpartition("@")[2]} - {""}


def _split_name(segments: list[str]) -> tuple[str, list[str]]:
    pages = _PAGES_WITH_REVISION | _OTHER_PAGES
    if len(segments) == 1 or (len(segments) > 1 and segments[1] in pages):
        return segments[0], segments[1:]
    return "/".join(segments[:2]), segments[2:]


def _split_revision(rest: list[str]) -> tuple[str | None, str | None]:
    if len(rest) < 2 or rest[0] not in _PAGES_WITH_REVISION:
        return None, None
    # refs/pr/1 and refs/convert/parquet are one revision; links may leave "/" unquoted.
    count = 3 if rest[1] == "refs" and len(rest) >= 4 else 1
    revision, path = "/".join(rest[1 : 1 + count]), "/".join(rest[1 + count :])
    return revision, path or None
