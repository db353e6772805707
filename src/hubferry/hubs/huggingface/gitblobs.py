"""Many small files in one request: as Git blobs, wanted by their ids.

The tree tells the Git id of every regular file, and a Git server of protocol
version 2 sends whatever is wanted by id, so a thousand files cost one request
instead of a thousand. Whether a hub allows it shows only when it is asked; where
it does not, nothing comes this way and the files are opened one by one
(docs/adr/0013).
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from hubferry.errors import CopyError, HubError, IntegrityError, RateLimitedError, UnavailableError
from hubferry.hubs.huggingface import gitwire, wire
from hubferry.hubs.huggingface.gitpack import read_pack
from hubferry.model import FileEntry, RepoId, Storage
from hubferry.net.http import HttpClient, HttpStream

BATCH_FILES = 1000
"""Most files of one request; its body is 50 bytes a file."""
BATCH_BYTES = 8 * 1024 * 1024
"""Most bytes of one request: all of them are held until the answer has ended."""

_PIECE_BYTES = 64 * 1024
_ADVERTISEMENT_BYTES = 64 * 1024
_VERSION = {"git-protocol": "version=2"}
# Framing, compression of what cannot be compressed, and some words of the server.
_SPARE_BYTES, _SPARE_BYTES_PER_FILE = 1024 * 1024, 256
_PATIENCE = 6
"""Calls in a row that bring nothing before it is given up, for the callers have a patience too."""

_log = logging.getLogger(__name__)


class GitBlobs:
    """Reads blobs of one hub by Git id. Thread-safe.

    Remembers what the hub refuses: a hub that has never sent a blob is not asked
    again, one that has is not asked again about that repository.

    Args:
        client: with credentials as Git wants them (HTTP Basic).
    """

    def __init__(self, endpoint: str, client: HttpClient) -> None:
        self._endpoint = endpoint
        self._client = client
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._speaks_git = False
        self._has_sent = False
        self._is_off = False
        self._off_repos: set[RepoId] = set()
        self._failures = 0

    def read_many(
        self, repo: RepoId, entries: Sequence[FileEntry]
    ) -> Iterator[tuple[FileEntry, bytes]]:
        """Contents of those among ``entries`` that can be had this way, in any order.

        The answer is read to its end before the first file is given out, so a
        slow caller keeps no connection waiting. What has arrived before a
        failure is given out too.

        Raises:
            RateLimitedError, UnavailableError: a later try may bring the rest.
        """
        wanted: dict[str, list[FileEntry]] = defaultdict(list)
        for entry in entries:
            if entry.storage is Storage.REGULAR and entry.git_oid is not None:
                wanted[entry.git_oid.hex].append(entry)
        if not wanted or self._is_given_up(repo):
            return
        sizes = {oid: same[0].size_bytes for oid, same in wanted.items()}
        found: list[tuple[str, bytes]] = []
        failure = self._fetch(repo, sizes, found)
        while found:
            oid, data = found.pop()
            for entry in wanted[oid]:
                yield entry, data
        if failure is not None:
            raise failure

    def _fetch(
        self, repo: RepoId, sizes: Mapping[str, int], found: list[tuple[str, bytes]]
    ) -> CopyError | None:
        """Fill ``found``; returns the error that the caller has to hear of."""
        try:
            self._make_sure_of_git(repo)
            for blob in self._blobs(repo, sizes):
                found.append(blob)  # one by one: what came before a failure stays
        except (HubError, IntegrityError) as error:
            return self._judge(repo, error, has_found=bool(found))
        with self._lock:
            self._has_sent, self._failures = True, 0
        return None

    def _blobs(self, repo: RepoId, sizes: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
        headers = {
            **_VERSION,
            "content-type": gitwire.REQUEST_TYPE,
            "accept": gitwire.RESULT_TYPE,
        }
        body = gitwire.fetch_request(sizes)
        stream = self._client.post_stream(self._url(repo, "git-upload-pack"), body, headers)
        limit = sum(sizes.values()) + len(sizes) * _SPARE_BYTES_PER_FILE + _SPARE_BYTES
        try:
            packets = gitwire.packets(_pieces(stream, limit))
            pack = gitwire.pack_data(packets)
            yield from read_pack(pack, sizes)
            # Read to its end, a connection can serve again.
            for _ in pack:
                pass
            for _ in packets:
                pass
        finally:
            stream.close()

    def _make_sure_of_git(self, repo: RepoId) -> None:
        """Ask once what the server can do; who comes meanwhile waits for the answer.

        Raises:
            ProtocolError: not what is needed.
        """
        with self._asking:
            if self._speaks_git:
                return
            url = self._url(repo, "info/refs?service=git-upload-pack")
            stream = self._client.get(url, {**_VERSION, "accept": gitwire.ADVERTISEMENT_TYPE})
            try:
                body = _beginning(stream, _ADVERTISEMENT_BYTES)
            finally:
                stream.close()
            gitwire.check_advertisement(stream.headers.get("content-type", ""), body)
            self._speaks_git = True

    def _judge(self, repo: RepoId, error: CopyError, *, has_found: bool) -> CopyError | None:
        """Whether the caller is to hear of ``error``, and whether to ask on after it."""
        if isinstance(error, RateLimitedError):
            return error
        is_passing = isinstance(error, UnavailableError | gitwire.GarbledError)
        with self._lock:
            self._has_sent |= has_found
            self._failures = 0 if has_found else self._failures + 1
            if not is_passing or self._failures >= _PATIENCE:
                self._give_up(repo, error)
                return None
        if isinstance(error, UnavailableError):
            return error
        _log.info("%s: a Git answer could not be read to its end: %s", repo, error)
        return None

    def _give_up(self, repo: RepoId, error: CopyError) -> None:
        self._failures = 0
        if self._has_sent:
            self._off_repos.add(repo)
        else:
            self._is_off = True
        _log.info("%s: small files are read one by one, not through Git: %s", repo, error)

    def _is_given_up(self, repo: RepoId) -> bool:
        with self._lock:
            return self._is_off or repo in self._off_repos

    def _url(self, repo: RepoId, service: str) -> str:
        return f"{wire.web_url(self._endpoint, repo)}.git/{service}"


def _beginning(stream: HttpStream, limit_bytes: int) -> bytes:
    """The first bytes of an answer, all of them if it is shorter than the limit."""
    buffer = memoryview(bytearray(limit_bytes))
    length = 0
    while length < limit_bytes and (count := stream.readinto(buffer[length:])):
        length += count
    return bytes(buffer[:length])


def _pieces(stream: HttpStream, limit_bytes: int) -> Iterator[memoryview]:
    """What arrives, piece by piece, each good until the next.

    Raises:
        GarbledError: it is more than what was asked for can take.
    """
    buffer = memoryview(bytearray(_PIECE_BYTES))
    while count := stream.readinto(buffer):
        limit_bytes -= count
        if limit_bytes < 0:
            raise gitwire.garbled()
        yield buffer[:count]
