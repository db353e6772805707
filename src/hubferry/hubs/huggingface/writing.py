"""What is sent to Hugging Face: repositories, blobs, commits."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence

from hubferry.errors import (
    AccessError,
    HubError,
    InvalidTokenError,
    NotFoundError,
    ProtocolError,
    QuotaError,
    RateLimitedError,
    UnavailableError,
)
from hubferry.hubs.base import BlobBody, UploadTicket
from hubferry.hubs.huggingface import lfs, wire
from hubferry.hubs.huggingface.official import HfApi
from hubferry.hubs.huggingface.refusals import ExistsError
from hubferry.model import Access, Blob, CommitChange, RepoId, RepoInfo, Sha256
from hubferry.net.http import HttpClient
from hubferry.text import T

# The server gives a commit 60 s and may finish it after that; a little more, so
# that its own word is heard (docs/hub-protocols.md 3).
_COMMIT_TIMEOUT_SECONDS = 75.0


class Writer:
    """The write side of one hub; shares its client. Thread-safe."""

    def __init__(self, endpoint: str, client: HttpClient) -> None:
        self._endpoint = endpoint
        self._client = client
        self._heads: dict[tuple[RepoId, str], tuple[str | None, str]] = {}
        self._lock = threading.Lock()

    def access(self, api: HfApi, repo: RepoId) -> Access:
        """Ask whether the token may write; UNKNOWN where the hub cannot tell.

        Raises:
            InvalidTokenError: the hub does not know the token.
        """
        try:
            api.auth_check(repo.name, repo_type=repo.repo_type.value, write=True)
        except InvalidTokenError:
            raise
        except AccessError:
            return Access.NO
        except HubError as error:
            # Not there yet, or a hub that does not know the question.
            if error.retryable:
                raise
            return Access.UNKNOWN
        return Access.YES

    def create_repo(self, repo: RepoId, *, is_private: bool) -> None:
        """Create a repository; fine if it exists.

        Not by the official client: it asks again without pause or end while
        another creation of the same user is under way.
        """
        owner, _, name = repo.name.rpartition("/")
        payload = {
            "name": name,
            "organization": owner or None,
            "type": repo.repo_type.value,
            "visibility": "private" if is_private else "public",
            # For servers from before "visibility".
            "private": is_private,
        }
        try:
            self._client.post_json(
                f"{self._endpoint}/api/repos/create", payload, is_repeatable=True
            )
        except ExistsError:
            return
        except (RateLimitedError, UnavailableError, InvalidTokenError):
            raise
        except HubError as refusal:
            if self._is_there(repo):
                return
            if isinstance(refusal, NotFoundError):
                # A bare 401: "not here" makes no sense for what is to be created.
                raise AccessError(
                    T("Hugging Face does not let this token create the repository"),
                    hint=T("check the owner's name and the token's write permission"),
                    request_id=refusal.request_id,
                ) from None
            raise

    def _is_there(self, repo: RepoId) -> bool:
        # 401 to 403 may stand for an existing repository too (a token without the
        # right to create, no write access to the owner). Reading it decides.
        try:
            self._client.get_json(wire.api_url(self._endpoint, repo) + "?expand=sha")
        except HubError as error:
            if error.retryable:
                raise
            return False
        return True

    def missing_blobs(self, info: RepoInfo, blobs: Collection[Blob]) -> dict[Sha256, UploadTicket]:
        """Which blobs the hub wants, with leave to send each."""
        if not blobs:
            return {}
        url = f"{wire.web_url(self._endpoint, info.repo)}.git/info/lfs/objects/batch"
        question = lfs.batch_question(blobs, info.revision)
        answer = self._client.post_json(url, question, lfs.HEADERS, is_repeatable=True)
        uploads = lfs.wanted(answer.json(), blobs, self._endpoint)
        known = {blob.sha256: blob for blob in blobs}
        return {sha: UploadTicket(known[sha], upload) for sha, upload in uploads.items()}

    def put_blob(self, ticket: UploadTicket, body: BlobBody) -> None:
        """Send one blob and have the hub verify it."""
        upload = ticket.detail
        if not isinstance(upload, lfs.Upload):
            raise ProtocolError(T("this upload ticket is from another hub"))
        with body.chunks() as chunks:
            if upload.part_urls:
                etags = self._put_parts(upload, body.size_bytes, lfs.Parts(chunks))
            else:
                self._client.put(upload.href, upload.headers, body.size_bytes, chunks)
        blob = ticket.blob
        if upload.part_urls:
            parts = [{"partNumber": n, "etag": etag} for n, etag in enumerate(etags, 1)]
            self._client.post_json(
                upload.href,
                {"oid": blob.sha256.hex, "parts": parts},
                lfs.HEADERS,
                is_repeatable=True,
            )
        if upload.verify_href:
            self._verify(upload.verify_href, upload.verify_headers, blob)

    def _verify(self, href: str, headers: Mapping[str, str], blob: Blob) -> None:
        try:
            self._client.post_json(
                href,
                {"oid": blob.sha256.hex, "size": blob.size_bytes},
                {**headers, "content-type": "application/json"},
                is_repeatable=True,
            )
        except HubError as refusal:
            if refusal.retryable or isinstance(refusal, AccessError | QuotaError):
                raise
            # The store took the bytes and does not have them: send them again.
            raise UnavailableError(
                T("Hugging Face does not find the blob just sent: {said}", said=refusal.message),
                request_id=refusal.request_id,
            ) from None

    def _put_parts(self, upload: lfs.Upload, size_bytes: int, parts: lfs.Parts) -> list[str]:
        etags, left = [], size_bytes
        for url in upload.part_urls:
            length = min(left, upload.part_bytes)
            answer = self._client.put(url, None, length, parts.take(length))
            if not answer.headers.get("etag"):
                raise ProtocolError(T("the store did not confirm a part of the upload"))
            etags.append(answer.headers["etag"])
            left -= length
        parts.finish()
        return etags

    def commit(self, info: RepoInfo, changes: Sequence[CommitChange], message: str) -> str:
        """One commit whose parent is the last one known here; returns its id.

        Raises:
            ConflictError: the branch moved.
            UnavailableError: ``ambiguous``: it may have been made.
        """
        key = (info.repo, info.revision)
        url = wire.api_url(self._endpoint, info.repo, "commit", wire.quote_revision(info.revision))
        body = lfs.commit_body(changes, message, self._head(key, info.commit))
        answer = self._client.post(
            url,
            body,
            {"content-type": "application/x-ndjson"},
            answer_timeout_seconds=_COMMIT_TIMEOUT_SECONDS,
        )
        try:
            commit = answer.json()["commitOid"]
        except (ProtocolError, KeyError, TypeError):
            raise UnavailableError(
                T("Hugging Face did not say whether the commit was made"), ambiguous=True
            ) from None
        with self._lock:
            self._heads[key] = (info.commit, str(commit))
        return str(commit)

    def _head(self, key: tuple[RepoId, str], resolved: str | None) -> str | None:
        """The parent for the next commit.

        Our own last commit if it was made on top of this same ``resolved``
        one; a caller that resolved anew has seen a newer head than we.
        """
        with self._lock:
            base, head = self._heads.get(key, (None, ""))
        return head if head and base == resolved else resolved
