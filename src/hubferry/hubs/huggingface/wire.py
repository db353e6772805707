"""Addresses and JSON shapes of Hugging Face's read side; pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from hubferry.errors import CorruptReadError, ProtocolError
from hubferry.hubs.huggingface.xet_token import XetToken
from hubferry.model import (
    FileEntry,
    GitOid,
    Refs,
    RepoId,
    RepoInfo,
    RepoType,
    Sha256,
    Storage,
    Visibility,
    XetHash,
)
from hubferry.net.config import Origin, origin_of
from hubferry.net.secret import Secret
from hubferry.net.stream import Hop
from hubferry.text import T

PUBLIC_ENDPOINT = "https://huggingface.co"
_COMMIT = re.compile(r"/api/((?:models|datasets|spaces)/.+)/commit/")
_NEXT = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')


def api_url(endpoint: str, repo: RepoId, *parts: str) -> str:
    """``/api/models/owner/name/...``; revisions among ``parts`` must be quoted by the caller."""
    return "/".join((f"{endpoint}/api/{repo.repo_type.value}s/{quote(repo.name)}", *parts))


def web_url(endpoint: str, repo: RepoId) -> str:
    """The repository's page; models have no prefix."""
    prefix = "" if repo.repo_type is RepoType.MODEL else f"{repo.repo_type.value}s/"
    return f"{endpoint}/{prefix}{quote(repo.name)}"


def quote_revision(revision: str) -> str:
    """Nothing is left safe: ``refs/pr/1`` becomes ``refs%2Fpr%2F1``."""
    return quote(revision, safe="")


def tree_url(endpoint: str, repo: RepoId, commit: str) -> str:
    """The first page of the whole tree: 1,000 entries, as ``expand`` is off."""
    query = urlencode({"recursive": "true", "expand": "false"})
    return f"{api_url(endpoint, repo, 'tree', quote_revision(commit))}?{query}"


def resolve_url(endpoint: str, repo: RepoId, commit: str, path: str) -> str:
    """Where the bytes of a file are asked for."""
    return f"{web_url(endpoint, repo)}/resolve/{quote_revision(commit)}/{quote(path)}"


def xet_token_url(endpoint: str, repo: RepoId, commit: str) -> str:
    """Where a token for reading the repository's files in Xet storage is given out."""
    return api_url(endpoint, repo, "xet-read-token", quote_revision(commit))


def xet_token(endpoint: str, data: object) -> XetToken:
    """The token in such an answer.

    Raises:
        ProtocolError: not the shape we know, or the token would go unencrypted where the
            hub itself is spoken to encrypted.

    Source: "Authentication" in huggingface/hub-docs, docs/xet.
    """
    try:
        if not isinstance(data, Mapping):
            raise TypeError
        access, expires, cas = data["accessToken"], data["exp"], data["casUrl"]
        if not isinstance(access, str) or not isinstance(expires, int) or not access:
            raise TypeError
        scheme = origin_of(cas)[0]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ProtocolError(T("Hugging Face sent a Xet token we cannot read")) from None
    if scheme != "https" and origin_of(endpoint)[0] == "https":
        raise ProtocolError(T("Hugging Face names a Xet storage that is not encrypted"))
    return XetToken(Secret(access), expires, cas)


def request_kind(hub: Origin, url: str) -> str | None:
    """What the hub's request limits count ``url`` as; None: it is not the hub's own.

    Only a sorting: which bucket a kind falls into the hub says itself, on every answer.
    Source: huggingface/hub-docs, rate-limits.md.
    """
    if origin_of(url) != hub:
        return None
    path = urlsplit(url).path
    if "/resolve/" in path:
        return "resolve"
    if "/api/" not in path:
        return "page"
    return "resolve-cache" if "/api/resolve-cache/" in path else "api"


def brake_kind(hub: Origin, method: str, url: str) -> str | None:
    """What shares a refusal that names no window: kinds with limits of their own are apart.

    None: nobody else has to know. Git is one of these: it is only a quicker way, and who
    waits for it long does without (``reading.read_bulk``).
    """
    kind = request_kind(hub, url)
    path = urlsplit(url).path
    if kind == "page" and "/info/lfs/" in path:
        return "lfs"
    if kind is None or ".git/" in path:
        return None
    if kind != "api":
        return kind
    if path.endswith("/api/whoami-v2"):
        return "whoami"
    if method == "POST" and path.endswith("/api/repos/create"):
        return "create"
    commit = _COMMIT.search(path) if method == "POST" else None
    return f"commit:{commit[1]}" if commit else "api"


def at_endpoint(url: str, endpoint: str) -> str:
    """A mirror passes on addresses of the real hub: bring them back to the mirror.

    Source: huggingface_hub ``fix_hf_endpoint_in_url``.
    """
    if endpoint != PUBLIC_ENDPOINT and url.startswith(PUBLIC_ENDPOINT + "/"):
        return endpoint + url.removeprefix(PUBLIC_ENDPOINT)
    return url


def next_page(headers: Mapping[str, str], endpoint: str) -> str | None:
    """The next page named by ``Link`` (it already holds every parameter), or None."""
    found = _NEXT.search(headers.get("link", ""))
    return at_endpoint(found[1], endpoint) if found else None


def tree_entries(data: object) -> list[FileEntry]:
    """The files among the entries of a tree or paths-info answer; folders are left out.

    Raises:
        ProtocolError: not the shape we know.
    """
    if not isinstance(data, list):
        raise ProtocolError(T("Hugging Face sent a file list that is not a list"))
    return [_file_entry(item) for item in data if not _is_folder(item)]


def _is_folder(item: object) -> bool:
    return isinstance(item, dict) and item.get("type") in ("directory", "folder")


def _file_entry(item: Mapping[str, Any]) -> FileEntry:
    try:
        lfs, size = item.get("lfs"), item["size"]
        if not isinstance(size, int) or size < 0 or item["type"] != "file":
            raise ValueError
        if lfs and lfs.get("size", size) != size:
            raise ValueError
        xet = item.get("xetHash")
        return FileEntry(
            path=str(item["path"]),
            size_bytes=size,
            storage=Storage.LFS if lfs else Storage.REGULAR,
            # The oid of an LFS file is that of its pointer: useless for the content.
            sha256=Sha256.parse(lfs["oid"]) if lfs else None,
            git_oid=None if lfs else GitOid(item["oid"]),
            xet_hash=XetHash(xet) if xet else None,
            security_status=(item.get("securityFileStatus") or {}).get("status"),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ProtocolError(T("Hugging Face sent a file entry we cannot read")) from None


def repo_info(endpoint: str, repo: RepoId, revision: str, found: Any) -> RepoInfo:
    """Our value from the official client's ``ModelInfo`` or ``DatasetInfo``.

    Raises:
        ProtocolError: it names no commit.
    """
    commit = getattr(found, "sha", None)
    if not isinstance(commit, str) or not commit:
        raise ProtocolError(T("Hugging Face did not say which commit this revision is"))
    card = _card(getattr(found, "card_data", None))
    return RepoInfo(
        repo=repo,
        revision=revision,
        commit=commit,
        visibility=_visibility(found),
        license=next(iter(_texts(card.get("license"))), None),
        pipeline_tag=getattr(found, "pipeline_tag", None),
        library_name=getattr(found, "library_name", None),
        tags=tuple(getattr(found, "tags", None) or ()),
        base_models=tuple(_texts(card.get("base_model"))),
        web_url=web_url(endpoint, repo),
        is_disabled=bool(getattr(found, "disabled", False)),
    )


def _card(data: Any) -> Mapping[str, Any]:
    if isinstance(data, Mapping):
        return data
    found = data.to_dict() if data is not None else {}
    return found if isinstance(found, dict) else {}


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _visibility(found: Any) -> Visibility:
    private, gated = getattr(found, "private", None), getattr(found, "gated", None)
    if private:
        return Visibility.PRIVATE
    if gated:
        return Visibility.GATED
    # Incomplete metadata is not "public" (docs/hub-protocols.md 7.6).
    return Visibility.PUBLIC if private is False and gated is False else Visibility.UNKNOWN


def check_served(
    hops: Sequence[Hop], hub: Origin, commit: str | None, entry: FileEntry, total: int | None
) -> None:
    """Compare what a ``resolve`` answer announces with the listing.

    Raises:
        ProtocolError: this is not a hub's answer (a proxy page, a captive portal).
        CorruptReadError: another commit, size or digest than listed.
    """
    # A mirror may pass us on to the real hub, which then speaks for the file.
    of_hubs = [hop for hop in hops if hop.origin == hub or "x-repo-commit" in hop.headers]
    told: dict[str, str] = {}
    for hop in of_hubs:
        told = {**hop.headers, **told}
    if "x-repo-commit" not in told:
        raise ProtocolError(
            T("the answer does not come from a Hugging Face hub"),
            hint=T("is a proxy or a login page in between?"),
        )
    if commit and told["x-repo-commit"] != commit:
        raise CorruptReadError(T("the hub served another commit than the pinned one"))
    linked = told.get("x-linked-size", "")
    size = int(linked) if linked.isdecimal() else total
    if size is not None and size != entry.size_bytes:
        raise _differs(entry, "size")
    # The body of a redirect has an ETag and length of its own; only the served
    # answer's ETag speaks of the file.
    own_etag = hops[-1].headers.get("etag", "") if hops[-1] in of_hubs else ""
    etag = (told.get("x-linked-etag") or own_etag).removeprefix("W/").strip('"')
    expected = {64: entry.sha256, 40: entry.git_oid}.get(len(etag))
    if expected is not None and expected.hex != etag.lower():
        raise _differs(entry, "digest")
    if total is not None and total != entry.size_bytes:
        raise _differs(entry, "size")


def _differs(entry: FileEntry, what: str) -> CorruptReadError:
    return CorruptReadError(
        T("the hub announces another {what} than it listed", what=what), path=entry.path
    )


def who(data: Any) -> tuple[str, tuple[str, ...], str | None]:
    """User, organisations and token role from a ``whoami-v2`` answer.

    Raises:
        ProtocolError: it names nobody.
    """
    try:
        organizations = tuple(str(item["name"]) for item in data.get("orgs") or ())
        token = (data.get("auth") or {}).get("accessToken") or {}
        return str(data["name"]), organizations, token.get("role")
    except (KeyError, TypeError, AttributeError):
        raise ProtocolError(T("Hugging Face did not say who the token belongs to")) from None


def ref_names(refs: object) -> Refs:
    """The branches and tags of a refs answer.

    Raises:
        ProtocolError: not a refs answer.

    Source: ``HfApi.list_repo_refs``, huggingface_hub 2.4.0.
    """
    found = refs if isinstance(refs, Mapping) else {}
    branches, tags = found.get("branches"), found.get("tags", [])
    if not isinstance(branches, list) or not isinstance(tags, list):
        raise ProtocolError(T("Hugging Face's answer does not list branches"))
    return Refs(_ref_names(branches), _ref_names(tags))


def _ref_names(items: list[object]) -> tuple[str, ...]:
    names = (item.get("name") for item in items if isinstance(item, Mapping))
    return tuple(sorted(name for name in names if isinstance(name, str)))
