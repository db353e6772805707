"""Reads what people type where a repository is wanted.

``hf://org/name@revision``, ``ms://org/name``, a local folder, a link pasted
from a hub's web page, or a bare name, which means the hub of its role.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from hubferry.errors import Side, UsageError
from hubferry.hubs import DEFAULT_SOURCE, DEFAULT_TARGET, HUBS, LOCAL, HubKind
from hubferry.model import Address, RepoId, RepoType
from hubferry.text import T, Text

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_NAMESPACE = re.compile(r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?[^/:@]+/", re.IGNORECASE)
_REMOTE = frozenset(scheme for scheme, kind in HUBS.items() if kind.is_remote)
_LINK_WITHOUT_SCHEME = re.compile(r"[^/@]+\.[^/@]+/[^/]+/.")
"""``host.name/owner/name``: browsers show links without their scheme."""
_OTHER_KINDS = {"datasets": "dataset", "spaces": "space", "studios": "studio", "models": "model"}


def parse_address(
    text: str, role: Side, endpoints: Mapping[str, str | None] | None = None
) -> Address:
    """The address ``text`` means as source or as target.

    ``endpoints`` are custom endpoints by scheme, so that links to them are known.

    Raises:
        UsageError: not an address, or of something that is not copied (yet).
    """
    text = text.strip()
    if not text:
        raise _bad(text, T("the address is empty"))
    scheme = _SCHEME.match(text)
    if scheme is None and _looks_local(text):
        return _local_folder(text)
    if scheme is None and _LINK_WITHOUT_SCHEME.match(text):
        return _link(f"https://{text}", endpoints or {})
    if scheme is None:
        return _bare(text, role)
    name = scheme.group(1).lower()
    if name in ("http", "https"):
        return _link(text, endpoints or {})
    if name == LOCAL:
        return _local_folder(_path_of_url(text, text[scheme.end() :]))
    if name not in HUBS:
        raise _bad(text, T("no hub has the scheme {scheme}://", scheme=name))
    return _repo(HUBS[name], text[scheme.end() :], text)


def resolve_target(
    text: str, source: Address, endpoints: Mapping[str, str | None] | None = None
) -> Address:
    """The target's address; ``org/`` alone keeps the source's name."""
    text = text.strip()
    namespace = _NAMESPACE.fullmatch(text)
    if namespace and (namespace["scheme"] or DEFAULT_TARGET).lower() in _REMOTE:
        text += "" if _looks_local(text) else Path(source.repo.name).name
    return parse_address(text, Side.TARGET, endpoints)


def _looks_local(text: str) -> bool:
    if text.startswith((".", "/", "~", "\\\\")) or _DRIVE.match(text):
        return True
    return "@" not in text and os.path.isdir(text)  # noqa: PTH112 - never raises, however odd


def _path_of_url(text: str, rest: str) -> str:
    """The path of a ``file://`` address: absolute, with or without ``localhost``."""
    rest = rest.removeprefix("localhost")
    if not rest.startswith("/"):
        # Taking "folder" for a host, as a URL would, means another folder than the one meant.
        raise _bad(text, T("a file:// address starts with a third slash"), T("write ./folder"))
    path = unquote(rest)
    return path[1:] if _DRIVE.match(path[1:]) else path


def _local_folder(text: str) -> Address:
    if "\0" in text:
        raise _bad(text, T("a path cannot hold a NUL character"))
    try:
        path = Path(text).expanduser()
    except RuntimeError as exc:
        raise _bad(text, T("there is no such home folder")) from exc
    return Address(RepoId(LOCAL, str(Path(os.path.abspath(path)))))  # noqa: PTH100 - keeps symlinks


def _bare(text: str, role: Side) -> Address:
    default = DEFAULT_SOURCE if role is Side.SOURCE else DEFAULT_TARGET
    return _repo(HUBS[default], text, text)


def _repo(kind: HubKind, rest: str, text: str) -> Address:
    name, _, revision = rest.strip("/").partition("@")
    first, _, remainder = name.partition("/")
    if first in _OTHER_KINDS and remainder:
        _refuse_kind(_OTHER_KINDS[first], text)
        name = remainder
    if not kind.repo_name.fullmatch(name) or ".." in name:
        hint = T("write it like {scheme}://owner/name or owner/name", scheme=kind.scheme)
        raise _bad(text, T("not a repository name of {hub}", hub=kind.title), hint)
    if "@" in rest and not revision:
        raise _bad(text, T("the revision after '@' is empty"))
    return Address(RepoId(kind.scheme, name, RepoType.MODEL), revision or None)


def _link(text: str, endpoints: Mapping[str, str | None]) -> Address:
    for kind in HUBS.values():
        try:
            link = kind.parse_link(text, endpoints.get(kind.scheme))
        except ValueError:  # brackets that are no IPv6 address, a port that is no number
            link = None
        if link is not None:
            _refuse_kind(link.kind, text)
            return replace(_repo(kind, link.name, text), revision=link.revision)
    raise _bad(
        text,
        T("not a link to a repository on a known hub"),
        T("paste the link of the repository's page, or write owner/name"),
    )


def _refuse_kind(kind: str, text: str) -> None:
    if kind == "model":
        return
    if kind == "dataset":
        raise _bad(
            text,
            T("datasets cannot be copied yet"),
            T("this version copies model repositories; datasets come next"),
        )
    raise _bad(
        text,
        T("a {kind} cannot be copied", kind=kind),
        T("only model repositories can: spaces and studios run code, they are no files to move"),
    )


def _bad(text: str, reason: Text, hint: Text | None = None) -> UsageError:
    return UsageError(
        T("{reason}: {text}", reason=reason, text=repr(text)),
        hint=hint or T("write it like hf://owner/name, ms://owner/name, owner/name or ./folder"),
    )
