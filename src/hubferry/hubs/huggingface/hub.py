"""Hugging Face as source and target.

The official client builds and reads the small control requests (see
``official``). Tree pages, bytes and commits are our own: its pages cannot be
tried again one by one, and its uploads want files.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal
from urllib.parse import urlencode

from hubferry.control import CancelToken, Patience, call
from hubferry.errors import CopyError, NotFoundError, ProtocolError, UsageError
from hubferry.hubs.base import BlobBody, ByteStream, HubTraits, Limit, UploadTicket
from hubferry.hubs.huggingface import choices, lfs, official, wire
from hubferry.hubs.huggingface.auth import default_endpoint, find_token, git_login, renewed
from hubferry.hubs.huggingface.catalog import Catalog
from hubferry.hubs.huggingface.gitblobs import BATCH_BYTES, BATCH_FILES, GitBlobs
from hubferry.hubs.huggingface.official import reading_answers
from hubferry.hubs.huggingface.reading import Reads
from hubferry.hubs.huggingface.refusals import (
    ExistsError,
    GatedError,
    StaleAddressError,
    invalid_token,
    read_limit,
    read_refusal,
)
from hubferry.hubs.huggingface.transport import Chooser, Transport
from hubferry.hubs.huggingface.windows import WINDOW_BYTES, Windows
from hubferry.hubs.huggingface.writing import Writer
from hubferry.hubs.huggingface.xet import XetReader, is_installed, require_installed
from hubferry.hubs.huggingface.xet_token import TokenCache, XetToken
from hubferry.model import (
    Access,
    Blob,
    CommitChange,
    FileEntry,
    Identity,
    Listing,
    Refs,
    RepoId,
    RepoInfo,
    RepoList,
    RepoQuery,
    RepoSummary,
    RepoType,
    Sha256,
    Storage,
    Visibility,
    make_listing,
)
from hubferry.net.config import HttpConfig, origin_of
from hubferry.net.http import Credentials, HttpClient
from hubferry.net.pacing import Brakes, Pacer, Refused, braked
from hubferry.net.secret import Secret, as_token
from hubferry.net.status import Refusal
from hubferry.net.stream import SlicedStream
from hubferry.text import T, Text

HUB = "hf"
_DOCS = "Hugging Face documentation, repository limits, August 2026"
# The server refuses more than 1,000 paths; the official client asks for 500 at most.
_PATHS_PER_CALL = 500
# Without "siblings": that list is long, and cut for very large repositories.
_INFO = ["cardData", "disabled", "gated", "private", "sha", "tags"]
_MODEL_INFO = [*_INFO, "library_name", "pipeline_tag"]

TRAITS = HubTraits(
    name=HUB,
    title="Hugging Face",
    default_branch="main",
    pins_commits=True,
    tells_head=True,
    can_tag=True,
    own_files=frozenset({".gitattributes"}),
    tells_scans=True,
    has_collections=True,
    # The official upload pipeline starts at 250 files a commit; a request has 60 s.
    commit_max_changes=250,
    commit_max_inline_bytes=8 * 1024 * 1024,
    commit_seconds=2.0,
    # The official client's own batch size.
    blob_query_size=lfs.BATCH_SIZE,
    bulk_files=BATCH_FILES,
    bulk_bytes=BATCH_BYTES,
    limits=(
        Limit("file_bytes", 500 * 10**9, True, _DOCS),
        Limit("file_bytes", 200 * 10**9, False, _DOCS),
        Limit("folder_files", 10_000, True, _DOCS),
        Limit("files", 100_000, False, _DOCS),
    ),
)


class HuggingFaceHub:
    """The SourceHub and TargetHub of one Hugging Face endpoint. Thread-safe.

    Args:
        endpoint: None: ``HF_ENDPOINT``, else huggingface.co.
        token: None: as the official client finds it; False: anonymous.
        proxy: None: as the environment says.
        patience: makes the budget of tries for each listing page.
        transport: how large files are read.
        brakes: what is shared with all who use the same account.

    Raises:
        UsageError: ``HF_HUB_OFFLINE`` is set, the endpoint is not an http(s) URL, or Xet
            was asked for and cannot be used.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        token: Secret | Literal[False] | None = None,
        proxy: str | None = None,
        cancel: CancelToken,
        patience: Callable[[], Patience],
        transport: Transport = Transport.AUTO,
        brakes: Brakes | None = None,
    ) -> None:
        if official.is_offline():
            raise UsageError(T("HF_HUB_OFFLINE is set, so Hugging Face must not be asked"))
        if transport is Transport.XET:
            require_installed()
        self.endpoint = (endpoint or default_endpoint()).rstrip("/")
        self._origin = _checked_origin(self.endpoint)
        self._token, self._token_source = _choose_token(token)
        self._is_token_found = token is None
        self._cancel = cancel
        self._patience = patience
        config = HttpConfig(proxy=proxy)
        pacer = Pacer(partial(wire.request_kind, self._origin), patience)
        self._brakes = brakes
        if brakes is not None:
            brakes.bind(self.endpoint, self._token)
        self._client = HttpClient(
            config,
            credentials=self._credentials(self._authorization),
            map_refusal=self._read_refusal,
            pacer=pacer,
            brake=self._brake,
        )
        # A client of its own: Git wants the token in another form.
        self._git_client = HttpClient(
            config,
            credentials=self._credentials(self._git_authorization),
            map_refusal=read_limit,
            pacer=pacer,
        )
        self._git = GitBlobs(self.endpoint, self._git_client)
        self._api = official.make_api(self.endpoint, self._client)
        self._catalog = Catalog(self.endpoint, self._client, patience)
        self._writer = Writer(self.endpoint, self._client)
        self._rangeless: set[str] = set()
        self._reads = Reads(
            Chooser(transport, can_xet=is_installed()),
            self._open_http,
            XetReader(TokenCache(self._xet_token), config, cancel),
            cancel,
        )

    @property
    def traits(self) -> HubTraits:
        """The hub's traits; constant."""
        return TRAITS

    def close(self) -> None:
        """Let go of connections; wakes whoever is blocked on one; safe to repeat."""
        self._reads.close()
        self._client.close()
        self._git_client.close()

    def identity(self) -> Identity:
        """Who the token belongs to; anonymous costs no request.

        The hub limits this question strictly: ask once a run.
        """
        if self._token is None:
            return self.token_place()
        try:
            told = self._client.get_json(f"{self.endpoint}/api/whoami-v2").json()
        except NotFoundError as refusal:
            # A bare 401: elsewhere it may mean "no such repository", here it cannot.
            raise invalid_token(refusal.request_id) from None
        user, organizations, role = wire.who(told)
        return replace(self.token_place(), user=user, organizations=organizations, token_role=role)

    def token_place(self) -> Identity:
        """Where the token comes from; asks nobody."""
        return Identity(
            None,
            token_source=self._token_source,
            token_masked=self._token.masked if self._token else None,
            endpoint=self.endpoint,
        )

    def resolve(self, repo: RepoId, revision: str | None) -> RepoInfo:
        """One request: the commit of a revision and what the hub tells of the repo."""
        asked = revision or TRAITS.default_branch
        expand: Any = _MODEL_INFO if repo.repo_type is RepoType.MODEL else _INFO
        with self._about(repo), reading_answers(repo.name):
            found = self._api.repo_info(
                repo.name, revision=asked, repo_type=repo.repo_type.value, expand=expand
            )
            return wire.repo_info(self.endpoint, repo, asked, found)

    def list_files(self, info: RepoInfo) -> Listing:
        """The whole tree of the pinned commit, 1,000 entries a request."""
        entries: dict[str, FileEntry] = {}
        with self._about(info.repo):
            for page in self._pages(info):
                for entry in page:
                    if entry.path in entries:
                        raise ProtocolError(
                            T("Hugging Face listed {path} twice", path=repr(entry.path))
                        )
                    entries[entry.path] = entry
            return make_listing(info.repo, info.commit, entries.values())

    def _pages(self, info: RepoInfo) -> Iterator[list[FileEntry]]:
        url: str | None = wire.tree_url(self.endpoint, info.repo, _commit(info))
        seen: set[str] = set()
        while url is not None:
            if url in seen:
                raise ProtocolError(T("the pages of the file list go round in a circle"))
            seen.add(url)
            answer = call(self._patience(), partial(self._client.get_json, url))
            yield wire.tree_entries(answer.json())
            url = wire.next_page(answer.headers, self.endpoint)

    def stat_files(self, info: RepoInfo, paths: Sequence[str]) -> Mapping[str, FileEntry | None]:
        """Look at single paths, with the hub's security verdict; 500 paths a request."""
        url = wire.api_url(
            self.endpoint, info.repo, "paths-info", wire.quote_revision(_commit(info))
        )
        found: dict[str, FileEntry | None] = dict.fromkeys(paths)
        with self._about(info.repo):
            for first in range(0, len(paths), _PATHS_PER_CALL):
                some = paths[first : first + _PATHS_PER_CALL]
                form = urlencode({"paths": list(some), "expand": "true"}, doseq=True)
                headers = {"content-type": "application/x-www-form-urlencoded"}
                ask = partial(self._client.post, url, form.encode(), headers, is_repeatable=True)
                for entry in wire.tree_entries(call(self._patience(), ask).json()):
                    found[entry.path] = entry
        return found

    def list_repos(self, query: RepoQuery) -> RepoList:
        """The repositories that fit and that the token may see; none for an unknown owner."""
        return self._catalog.list_repos(query)

    def list_collection(self, slug: str) -> RepoList:
        """The models and datasets of ``owner/title-id``."""
        return self._catalog.list_collection(slug)

    def summary(self, repo: RepoId) -> RepoSummary:
        """One request; a renamed repository is told under its present name."""
        with self._about(repo):
            return self._catalog.summary(repo)

    def list_refs(self, repo: RepoId) -> Refs:
        """Branches and tags; pull requests are neither."""
        with self._about(repo):
            return wire.ref_names(self._refs(repo))

    def open(
        self, info: RepoInfo, entry: FileEntry, start: int = 0, end: int | None = None
    ) -> ByteStream:
        """Open bytes ``start`` to ``end``; a stale signed address is renewed once."""
        stop = entry.size_bytes if end is None else min(end, entry.size_bytes)
        if start >= stop and entry.size_bytes:
            return io.BytesIO()
        with self._about(info.repo, entry.path):
            return self._reads.open(info, entry, start, stop)

    def _open_http(self, info: RepoInfo, entry: FileEntry, start: int, stop: int) -> ByteStream:
        if stop - start > WINDOW_BYTES:
            return Windows(partial(self._open_fresh, info, entry), start, stop, WINDOW_BYTES)
        return self._open_fresh(info, entry, start, stop)

    def reads_ranges(self, entry: FileEntry) -> bool:
        """LFS files over HTTP; a file that goes through Xet is one stream."""
        return entry.path not in self._rangeless and self._reads.reads_ranges(entry)

    def _xet_token(self, repo: RepoId, commit: str) -> XetToken:
        url = wire.xet_token_url(self.endpoint, repo, commit)
        return wire.xet_token(self.endpoint, self._client.get_json(url).json())

    def read_many(
        self, info: RepoInfo, entries: Sequence[FileEntry]
    ) -> Iterator[tuple[FileEntry, bytes]]:
        """As Git blobs, where the hub serves them by id; else nothing."""
        self._cancel.check()
        with self._about(info.repo):
            yield from self._git.read_many(info.repo, entries)

    def _open_fresh(self, info: RepoInfo, entry: FileEntry, start: int, stop: int) -> ByteStream:
        self._cancel.check()
        with self._about(info.repo, entry.path):
            try:
                return self._open(info, entry, start, stop)
            except StaleAddressError:
                return self._open(info, entry, start, stop)

    def _open(self, info: RepoInfo, entry: FileEntry, start: int, stop: int) -> ByteStream:
        url = wire.resolve_url(self.endpoint, info.repo, _commit(info), entry.path)
        is_whole = start == 0 and stop == entry.size_bytes
        stream = self._client.get(
            url,
            start=start,
            end=None if is_whole else stop,
            remembers=not is_whole and entry.storage is Storage.LFS,
        )
        try:
            wire.check_served(stream.hops, self._origin, info.commit, entry, stream.total_bytes)
        except CopyError:
            stream.close()
            raise
        if not stream.ignored_range:
            return stream
        self._rangeless.add(entry.path)
        return SlicedStream(stream, start, stop - start)

    def write_access(self, repo: RepoId) -> Access:
        """Whether the token may write; UNKNOWN for a repository that is not there yet."""
        if self._token is None:
            return Access.NO
        with self._about(repo), reading_answers(repo.name):
            return self._writer.access(self._api, repo)

    def is_branch(self, info: RepoInfo) -> bool:
        """Asks for the refs, unless it is the default branch."""
        if info.revision == TRAITS.default_branch:
            return True
        with self._about(info.repo):
            return info.revision in wire.ref_names(self._refs(info.repo)).branches

    def _refs(self, repo: RepoId) -> object:
        return self._client.get_json(wire.api_url(self.endpoint, repo, "refs")).json()

    def must_inline(self, path: str) -> bool:
        """True for the card and ``.gitattributes``, which the hub reads itself."""
        return choices.must_inline(path)

    def wants_inline(self, path: str, size_bytes: int) -> bool:
        """True for small files that are not weights or archives by their name."""
        return choices.wants_inline(path, size_bytes)

    def path_problem(self, path: str) -> Text | None:
        """None: the hub is not known to refuse any path that the core lets through."""
        return None

    def create_repo(self, repo: RepoId, visibility: Visibility, license_id: str | None) -> None:
        """Create the repository; the hub takes the license from the card, not from here."""
        with self._about(repo):
            self._writer.create_repo(repo, is_private=visibility is not Visibility.PUBLIC)

    def missing_blobs(
        self, info: RepoInfo, blobs: Collection[Blob]
    ) -> Mapping[Sha256, UploadTicket]:
        """Ask the LFS batch call which blobs it wants; what it wants not is stored."""
        with self._about(info.repo):
            return self._writer.missing_blobs(info, blobs)

    def put_blob(self, info: RepoInfo, ticket: UploadTicket, body: BlobBody) -> None:
        """Store one blob, in one piece or in parts as the hub said, and have it verified."""
        with self._about(info.repo):
            self._writer.put_blob(ticket, body)

    def commit(self, info: RepoInfo, changes: Sequence[CommitChange], message: str) -> str | None:
        """One commit on top of the last one known here; fails if the branch moved."""
        self._cancel.check()
        with self._about(info.repo):
            return self._writer.commit(info, changes, message)

    def tag(self, info: RepoInfo, name: str) -> None:
        """Name the present head of ``info.revision``; fine if the tag exists."""
        with self._about(info.repo), suppress(ExistsError), reading_answers(info.repo.name):
            self._api.create_tag(
                info.repo.name,
                tag=name,
                revision=info.revision,
                repo_type=info.repo.repo_type.value,
            )

    def _brake(self, method: str, url: str) -> AbstractContextManager[Refused]:
        return braked(self._brakes, wire.brake_kind(self._origin, method, url), self._patience)

    def _credentials(self, headers: Callable[[], dict[str, str]]) -> Credentials | None:
        return None if self._token is None else Credentials(frozenset({self._origin}), headers)

    def _authorization(self) -> dict[str, str]:
        token = self._present_token()
        return {"authorization": f"Bearer {token.reveal()}"} if token else {}

    def _git_authorization(self) -> dict[str, str]:
        token = self._present_token()
        return {"authorization": git_login(token)} if token else {}

    def _present_token(self) -> Secret | None:
        if self._token is not None and self._is_token_found:
            self._token = renewed(self._token)
        return self._token

    def _read_refusal(self, refusal: Refusal) -> CopyError | None:
        return read_refusal(refusal, self._origin, has_token=self._token is not None)

    @contextmanager
    def _about(self, repo: RepoId, path: str | None = None) -> Iterator[None]:
        """Errors from inside say which repository they are about, and what to do if gated."""
        try:
            yield
        except CopyError as error:
            error.at(repo=str(repo), path=path)
            if isinstance(error, GatedError):
                error.hint = self._gated_hint(repo)
            raise

    def _gated_hint(self, repo: RepoId) -> Text:
        page = wire.web_url(self.endpoint, repo)
        if self._token is None:
            return T("accept the terms at {page}, then log in with `hf auth login`", page=page)
        return T(
            "accept the terms at {page}; a fine-grained token also needs the box "
            '"Read access to contents of all public gated repos you can access"',
            page=page,
        )


def _commit(info: RepoInfo) -> str:
    return info.commit or info.revision


def _checked_origin(endpoint: str) -> tuple[str, str, int]:
    try:
        return origin_of(endpoint)
    except ValueError:
        raise UsageError(
            T("the Hugging Face endpoint {endpoint} is not an http(s) address", endpoint=endpoint),
            hint=T(
                "write it like https://huggingface.co; it comes from --hf-endpoint, "
                "HUBFERRY_HF_ENDPOINT, HF_ENDPOINT or the configuration file"
            ),
        ) from None


def _choose_token(token: Secret | Literal[False] | None) -> tuple[Secret | None, str | None]:
    found, source = find_token() if token is None else (token or None, "given")
    cleaned = as_token(found, TRAITS.title) if found else None
    return (cleaned, source) if cleaned else (None, None)
