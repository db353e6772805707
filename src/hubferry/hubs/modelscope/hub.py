"""ModelScope as source and target.

The official client does the calls that it does well: repository, create,
commit, tag (see ``official``). Listings, revisions, the question for blobs and
all bytes go through our own HTTP client: the official calls take answers they
do not understand for "empty" or "stored", sleep without hearing a stop, or hold
whole files.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Literal
from urllib.parse import quote

from hubferry.control import CancelToken, Patience, call
from hubferry.errors import (
    AccessError,
    HubError,
    InvalidTokenError,
    NotFoundError,
    ProtocolError,
    UnavailableError,
    UsageError,
)
from hubferry.hubs.base import BlobBody, ByteStream, HubTraits, Limit, UploadTicket
from hubferry.hubs.modelscope import catalog, official, reading, sending, summaries, wire
from hubferry.hubs.modelscope.auth import find_endpoint, find_login
from hubferry.hubs.modelscope.failures import Asked, says_exists
from hubferry.hubs.modelscope.listing import walk
from hubferry.hubs.modelscope.transport import Transport
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
    Sha256,
    Storage,
    Visibility,
    make_listing,
)
from hubferry.net.config import HttpConfig
from hubferry.net.pacing import Brakes, Refused, Spacing, braked
from hubferry.net.secret import Secret
from hubferry.text import T, Text

_DOCS = "ModelScope documentation, limits of repositories, August 2026"
_SDK = "advisory limits of modelscope_hub 0.5.1"

TRAITS = HubTraits(
    name=wire.HUB,
    title="ModelScope",
    default_branch=wire.DEFAULT_BRANCH,
    pins_commits=False,
    tells_head=False,
    can_tag=True,
    own_files=frozenset({".gitattributes", "configuration.json"}),
    # The official client's own packing; the server refuses more than 2,000 actions.
    commit_max_changes=256,
    commit_max_inline_bytes=8 * 1024 * 1024,
    commit_seconds=2.0,
    blob_query_size=64,
    catalog_limit=summaries.CATALOG_LIMIT,
    # "The OpenAPI twin misses private repos for some callers" (modelscope_hub 0.5.1).
    lists_private=False,
    limits=(
        Limit("file_bytes", 50 * 10**9, False, _DOCS),
        Limit("file_bytes", 100 * 1024**3, False, _SDK),
        Limit("files", 100_000, False, _DOCS),
        Limit("folder_listing", wire.LISTING_CAP, False, "a listing answer is cut there"),
        Limit("folder_files", 10_000, False, _DOCS),
        Limit("regular_bytes", 500 * 10**6, False, _DOCS),
    ),
)


class ModelScopeHub:
    """The SourceHub and TargetHub of a ModelScope site. Thread-safe.

    Args:
        endpoint: the site; None: as the environment says, else modelscope.cn.
        token: None: as the environment or the stored login says; False: anonymous.
        proxy: None: as the environment says.
        patience: makes the budget of tries for each listing answer.
        brakes: what is shared with all who use the same account.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        token: Secret | Literal[False] | None = None,
        proxy: str | None = None,
        cancel: CancelToken,
        patience: Callable[[], Patience],
        brakes: Brakes | None = None,
    ) -> None:
        self.endpoint = find_endpoint(endpoint)
        self._login = find_login(token, self.endpoint)
        self._brakes = brakes
        if brakes is not None:
            brakes.bind(self.endpoint, self._login.token)
        self._cancel = cancel
        self._patience = patience
        config = HttpConfig(proxy=proxy, user_agent=official.USER_AGENT)
        self._net = Transport(self.endpoint, self._login.token, config, self._brake)
        self._read_before: set[RepoId] = set()
        self._rangeless: set[str] = set()
        self._writer: str | Access | None = None
        self._logging_in = threading.Lock()
        self._spacing: dict[RepoId, Spacing] = {}

    @property
    def traits(self) -> HubTraits:
        """The hub's traits; constant."""
        return TRAITS

    def close(self) -> None:
        """Let go of connections; safe to repeat."""
        self._net.close()

    def identity(self) -> Identity:
        """Who the token belongs to; anonymous costs no request.

        Raises:
            InvalidTokenError: the hub does not know the token.
        """
        token = self._login.token
        if token is None:
            return self.token_place()
        user, organizations = wire.user(self._net.get(self._asked(T("say who you are")), wire.ME))
        return replace(self.token_place(), user=user, organizations=organizations)

    def token_place(self) -> Identity:
        """Where the token comes from; asks nobody."""
        token = self._login.token
        return Identity(
            None,
            token_source=self._login.source,
            token_masked=token.masked if token else None,
            endpoint=self.endpoint,
        )

    def resolve(self, repo: RepoId, revision: str | None) -> RepoInfo:
        """What the hub tells of ``repo``; it tells no commit for a branch.

        One request, or two for a revision other than the default branch.
        """
        asked = self._asked(T("show the repository"))
        client = self._net.official_client
        data = self._net.ask(asked, partial(client.get_repo_info, repo.name, repo.repo_type.value))
        found = wire.repo_info(repo, revision or wire.DEFAULT_BRANCH, data, endpoint=self.endpoint)
        if found.revision != wire.DEFAULT_BRANCH and found.commit is None:
            self._require_revision(found)
        return found

    def list_files(self, info: RepoInfo) -> Listing:
        """Every path of ``info.revision``; folders that cannot be seen in full are doubtful."""

        def read_page(folder: str, recursive: bool) -> wire.Page:
            return call(self._patience(), partial(self._page, info, folder, recursive))

        files, doubtful = walk(read_page)
        return make_listing(info.repo, info.commit, files, doubtful_folders=doubtful)

    def stat_files(self, info: RepoInfo, paths: Sequence[str]) -> Mapping[str, FileEntry | None]:
        """Look at single paths by opening each; regular files are read and hashed."""
        found: dict[str, FileEntry | None] = {}
        for path in paths:
            try:
                found[path] = call(self._patience(), partial(self._look, info, path))
            except NotFoundError:
                found[path] = None
            except (AccessError, ProtocolError):
                pass  # the hub does not let us look: the path stays out of the answer
        return found

    def list_repos(self, query: RepoQuery) -> RepoList:
        """What fits, 100 a request, as far as lists reach; private repositories may be missing."""

        def read_page(number: int) -> summaries.CatalogPage:
            return call(self._patience(), partial(self._catalog_page, query, number))

        return catalog.read_all(query, read_page)

    def _catalog_page(self, query: RepoQuery, number: int) -> summaries.CatalogPage:
        self._cancel.check()
        asked = self._asked(T("list the repositories"))
        path, wanted = summaries.list_path(query.repo_type), summaries.list_query(query, number)
        return summaries.catalog_page(query.repo_type, self._net.get(asked, path, wanted))

    def list_collection(self, slug: str) -> RepoList:
        """Never: no call is known that tells what a collection holds.

        Raises:
            UsageError: always.
        """
        raise UsageError(T("collections of ModelScope cannot be read"))

    def summary(self, repo: RepoId) -> RepoSummary:
        """One request; the mark is the time of the last change, as lists tell it."""
        asked = self._asked(T("show the repository"))
        return summaries.described(repo, self._net.get(asked, f"{wire.API}/{wire.segment(repo)}"))

    def list_refs(self, repo: RepoId) -> Refs:
        """Branches and tags; none of either in an empty repository."""
        asked = self._asked(T("list its revisions"))
        return wire.ref_names(self._net.get(asked, wire.revisions_path(repo)))

    def open(
        self, info: RepoInfo, entry: FileEntry, start: int = 0, end: int | None = None
    ) -> ByteStream:
        """Open a part of a file, at the commit that last touched it if the listing told it."""
        stop = entry.size_bytes if end is None else min(end, entry.size_bytes)
        if start >= stop:
            return reading.NoBytes()
        self._cancel.check()
        url = wire.file_url(self.endpoint, info.repo, entry.revision or info.revision, entry.path)
        is_part = start > 0 or stop < entry.size_bytes
        asked = self._asked(T("send {path}", path=entry.path), what="path")
        if is_part and entry.storage is not Storage.REGULAR:
            stream = self._net.open(asked, url, start, stop)
            if stream.ignored_range:
                self._rangeless.add(entry.path)
        else:
            stream = self._net.open(asked, url)
        return reading.checked(stream, entry, start, stop)

    def reads_ranges(self, entry: FileEntry) -> bool:
        """Only LFS files whose store honours ``Range``: the others come whole."""
        return entry.storage is Storage.LFS and entry.path not in self._rangeless

    def read_many(
        self, info: RepoInfo, entries: Sequence[FileEntry]
    ) -> Iterator[tuple[FileEntry, bytes]]:
        """None: no call is known that gives several files."""
        return iter(())

    def write_access(self, repo: RepoId) -> Access:
        """Asks by logging in, which a read-only token may not; others' namespaces stay unknown.

        A site that knows no such login, or does not say who logged in, leaves
        it unknown: the first write will tell. Who logged in is asked once: a
        batch of a thousand repositories must not log in a thousand times.
        """
        if self._login.token is None:
            return Access.NO
        with self._logging_in:
            if self._writer is None:
                self._writer = self._log_in(self._login.token)
            user = self._writer
        if isinstance(user, Access):
            return user
        owner = repo.name.partition("/")[0]
        return Access.YES if user.lower() == owner.lower() else Access.UNKNOWN

    def _log_in(self, token: Secret) -> str | Access:
        """Who may write with this token; or what is known where nobody is named."""
        asked = self._asked(T("log in"))
        try:
            data = self._net.post(asked, wire.LOGIN, {"AccessToken": token.reveal()})
            return wire.user(data)[0]
        except AccessError:
            self.identity()  # raises InvalidTokenError if the token is bad altogether
            return Access.NO
        except HubError as error:
            if error.retryable:
                raise
            return Access.UNKNOWN

    def is_branch(self, info: RepoInfo) -> bool:
        """Asks for the revisions, unless it is the default branch."""
        if info.revision == wire.DEFAULT_BRANCH:
            return True
        return info.revision in self.list_refs(info.repo).branches

    def must_inline(self, path: str) -> bool:
        """True for the files that ModelScope parses: as a pointer, the card would go blank."""
        return sending.must_inline(path)

    def wants_inline(self, path: str, size_bytes: int) -> bool:
        """The official client's choice; the hub takes either."""
        return sending.wants_inline(path, size_bytes)

    def path_problem(self, path: str) -> Text | None:
        """None: no path is known that ModelScope refuses and ``model.path_problem`` does not."""
        return None

    def create_repo(self, repo: RepoId, visibility: Visibility, license_id: str | None) -> None:
        """Create the repository; if it exists already, make sure that we can see it."""
        kind, client = repo.repo_type.value, self._net.official_client
        body = sending.create_body(repo, visibility, license_id)

        def create() -> None:
            try:
                client.create_repo(kind, body)
            except wire.RefusedAnswer as refused:
                if not says_exists(refused.failure):
                    raise
                client.get_repo_info(repo.name, kind)

        self._net.ask(self._asked(T("create the repository")), create, kind="create")

    def missing_blobs(
        self, info: RepoInfo, blobs: Collection[Blob]
    ) -> Mapping[Sha256, UploadTicket]:
        """Ask which of ``blobs`` the hub lacks, wherever it may hold them."""
        if not blobs:
            return {}
        self._cancel.check()
        asked = self._asked(T("say which blobs it holds"))
        data = self._net.post(asked, sending.batch_path(info.repo), sending.batch_request(blobs))
        actions = self._net.read(asked, partial(sending.batch_answer, data, blobs))
        by_digest = {blob.sha256: blob for blob in blobs}
        return {oid: UploadTicket(by_digest[oid], action) for oid, action in actions.items()}

    def put_blob(self, info: RepoInfo, ticket: UploadTicket, body: BlobBody) -> None:
        """Send one blob in one PUT: the hub knows no parts and no resuming."""
        action = ticket.detail
        if not isinstance(action, sending.UploadAction):
            raise ProtocolError(T("this leave to upload is not one of ModelScope's"))
        asked = self._asked(T("store a blob"))
        with body.chunks() as chunks:
            self._net.put(asked, action, ticket.blob.size_bytes, chunks)
        self._net.confirm(asked, action, ticket.blob.sha256.hex, ticket.blob.size_bytes)

    def commit(self, info: RepoInfo, changes: Sequence[CommitChange], message: str) -> str | None:
        """Make one commit; a lost or unreadable answer is ambiguous."""
        self._cancel.check()
        actions = [sending.commit_action(change) for change in changes]
        asked = self._asked(T("commit"), is_repeatable=False, is_commit=True)
        commit = partial(
            self._net.official_client.create_commit,
            info.repo.name,
            info.repo.repo_type.value,
            actions,
            message,
            revision=quote(info.revision, safe=""),
        )
        # The limit is the repository's, and its value is told nowhere.
        kind = f"commit:{info.repo}"
        with self._spaced(info.repo, kind).turn(T("commit")):
            answer = self._net.ask(asked, commit, kind=kind)
        return sending.commit_id(answer)

    def _spaced(self, repo: RepoId, kind: str) -> Spacing:
        known = self._spacing.get(repo)
        if known is None:
            turns = self._brakes.gap(kind) if self._brakes else None
            known = self._spacing.setdefault(repo, Spacing(self._patience, turns=turns))
        return known

    def _brake(self, kind: str) -> AbstractContextManager[Refused]:
        return braked(self._brakes, kind, self._patience)

    def tag(self, info: RepoInfo, name: str) -> None:
        """Tag the head of ``info.revision``; fine if the tag exists."""
        client = self._net.official_client

        def create() -> None:
            try:
                client.create_tag(info.repo.name, info.repo.repo_type.value, name, info.revision)
            except wire.RefusedAnswer as refused:
                if not says_exists(refused.failure):
                    raise

        self._net.ask(self._asked(T("tag the repository")), create)

    def _asked(
        self,
        doing: Text,
        *,
        what: str = "repo",
        is_repeatable: bool = True,
        is_commit: bool = False,
    ) -> Asked:
        return Asked(doing, what, self._login.token is not None, is_repeatable, is_commit)

    def _require_revision(self, info: RepoInfo) -> None:
        if info.revision not in self._revisions(info.repo):
            raise NotFoundError(
                T("there is no revision {revision}", revision=info.revision), what="revision"
            )

    def _revisions(self, repo: RepoId) -> frozenset[str]:
        refs = self.list_refs(repo)
        return frozenset((*refs.branches, *refs.tags))

    def _page(self, info: RepoInfo, folder: str, recursive: bool) -> wire.Page:
        query = {"Revision": info.revision, "Recursive": str(recursive)}
        if folder:
            query["Root"] = folder
        asked = self._asked(T("list the files"))
        try:
            found = wire.page(self._net.get(asked, wire.listing_path(info.repo), query))
        except InvalidTokenError:
            raise
        except AccessError as error:
            if info.repo not in self._read_before:
                raise
            # Known to be spurious once one answer came: the right to read does not come and go.
            raise UnavailableError(error.message, request_id=error.request_id) from None
        except NotFoundError:
            return self._absent(info, folder)
        self._read_before.add(info.repo)
        return found

    def _absent(self, info: RepoInfo, folder: str) -> wire.Page:
        """A 404 is an empty listing only in a repository without any revision."""
        if folder:
            raise UnavailableError(T("the folder {folder} was listed and then gone", folder=folder))
        names = self._revisions(info.repo)
        if info.revision in names:
            raise UnavailableError(T("the revision exists but cannot be listed"))
        if names:
            self._require_revision(info)
        return wire.Page((), ())

    def _look(self, info: RepoInfo, path: str) -> FileEntry:
        url = wire.file_url(self.endpoint, info.repo, info.revision, path)
        asked = self._asked(T("show {path}", path=path), what="path")
        # One byte is asked for: an LFS file is not sent, a regular one comes whole anyway.
        return reading.look_at(self._net.open(asked, url, 0, 1), path)
