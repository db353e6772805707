"""Reads the source of an entry: a repository, or what stands for several. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hubferry.addresses import parse_address
from hubferry.errors import Side, UsageError
from hubferry.hubs import DEFAULT_SOURCE, HUBS
from hubferry.manifest.problems import shown
from hubferry.manifest.values import Collection, OwnerPattern
from hubferry.model import Address, RepoQuery
from hubferry.text import T, Text

_REMOTE = {scheme: kind for scheme, kind in HUBS.items() if kind.is_remote}
_SCHEMES = "|".join(_REMOTE)
_HUB_ADDRESS = re.compile(rf"(?:({_SCHEMES})://)?([^:]*)", re.IGNORECASE)
_LOCAL_START = (".", "/", "~", "\\")
_GLOB = re.compile(r"[*?\[\]]")
_OWNER = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_NAME_GLOB = re.compile(r"[\w.*?\[\]!-]+", re.ASCII)
_SLUG = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_COLLECTIONS = "collections/"


def parse_source(
    text: str, endpoints: Mapping[str, str | None] | None = None
) -> Address | OwnerPattern | Collection:
    """What a source written as text means.

    An address as everywhere (``parse_address``), ``hf://owner/*`` or another
    shell glob of a name, ``hf://collections/owner/slug`` or a collection's link.

    Raises:
        UsageError: none of these, or something that is not copied (yet).
    """
    text = text.strip()
    for scheme, kind in _REMOTE.items():
        if kind.parse_collection is None:
            continue
        slug = kind.parse_collection(text, (endpoints or {}).get(scheme))
        if slug is not None:
            return _collection(scheme, slug, text)
    found = None if text.startswith(_LOCAL_START) else _HUB_ADDRESS.fullmatch(text)
    if found is None:
        return parse_address(text, Side.SOURCE, endpoints)
    scheme, rest = (found[1] or DEFAULT_SOURCE).lower(), found[2]
    # No owner can have this name where a hub has collections.
    if rest.startswith(_COLLECTIONS) and HUBS[scheme].parse_collection is not None:
        return _collection(scheme, rest.removeprefix(_COLLECTIONS).rstrip("/"), text)
    if _GLOB.search(rest):
        return _pattern(scheme, rest, text)
    if rest.endswith("/") and rest.count("/") == 1:
        raise UsageError(
            T("{text} names an owner and no repository", text=shown(text)),
            hint=T(
                "write {pattern} for all of its repositories",
                pattern=f"{scheme}://{rest}*",
            ),
        )
    return parse_address(text, Side.SOURCE, endpoints)


def _collection(scheme: str, slug: str, text: str) -> Collection:
    if not _SLUG.fullmatch(slug):
        raise UsageError(
            T("{text} is no collection", text=shown(text)),
            hint=T(
                "write it like {scheme}://collections/owner/name-id, or paste its link",
                scheme=scheme,
            ),
        )
    return Collection(scheme, slug)


def _pattern(scheme: str, rest: str, text: str) -> OwnerPattern:
    rest = rest.removeprefix("models/")
    if "@" in rest:
        raise UsageError(
            T("a pattern cannot name a revision: {text}", text=shown(text)),
            hint=T("give 'revisions' in a CSV or YAML manifest"),
        )
    owner, slash, glob = rest.partition("/")
    if slash and "/" in glob:
        # Another kind of repository (datasets/owner/*) is refused in the usual words.
        parse_address(f"{scheme}://{_GLOB.sub('x', rest)}", Side.SOURCE)
    if not slash or _GLOB.search(owner) or not _OWNER.fullmatch(owner):
        raise UsageError(
            T("the owner of a pattern must be named in full: {text}", text=shown(text)),
            hint=_pattern_form(scheme),
        )
    if not _NAME_GLOB.fullmatch(glob):
        raise UsageError(
            T("not a pattern of repository names: {text}", text=shown(text)),
            hint=_pattern_form(scheme),
        )
    return OwnerPattern(scheme, RepoQuery(owner=owner), glob)


def _pattern_form(scheme: str) -> Text:
    return T("write it like {scheme}://owner/* or {scheme}://owner/bert-*", scheme=scheme)
