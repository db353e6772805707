"""The traits of a lab: every one on by default, because the real hubs have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LabConfig:
    """How the two hubs behave. Defaults follow what is known of the real ones.

    Attributes:
        page_size: entries per page of a Hugging Face tree; ``expand_page_size`` with expand=true.
        list_page_size: repositories per page of a Hugging Face list.
        openapi_lists_private: ModelScope's ``/openapi/v1`` lists show members their private
            repositories too; False leaves them out, as the official client says of some callers.
        listing_cap: entries after which a ModelScope file listing is cut without a word.
        max_actions: actions in one ModelScope commit; more are refused with 422.
        max_body_bytes: largest JSON body (commits); more is refused with 413.
        max_put_bytes: largest blob a ModelScope PUT takes; None for no limit.
        signed_url_seconds: life of signed download and upload addresses.
        xet_token_seconds: life of Xet access tokens.
        commits_per_minute: commits one ModelScope repository takes in a minute; None for no limit.
        rate_window_seconds: the fixed window of the Hugging Face request quotas.
        api_quota, resolvers_quota: requests per window and token (the free plan's figures).
        anonymous_api_quota, anonymous_resolvers_quota: the same without a token.
        check_blobs_on_commit: refuse a commit naming a blob that is not stored; False commits
            pointers to nothing.
        discard_blobs: keep digest and size of what is uploaded to ModelScope, not the bytes.
        make_first_files: a new ModelScope repository starts with ``.gitattributes`` and
            ``README.md``.
        serve_git: the Hugging Face hub speaks Git's smart HTTP, where ``git`` is installed.
        storage_host: the host name in addresses of origins other than the APIs. "localhost" makes
            clients keep cookies from them, as they would from a real CDN's other host name.
        cdn_url: address of another server with the LFS files at ``/repos/{a}/{b}/{sha256}``; the
            Hugging Face side's signed addresses lead there, without faults, shaping or counters.
        store_url, store_folder: address of another server that takes ModelScope uploads by PUT and
            keeps each, once complete, as a file named by its oid in this folder. The names are
            trusted: whoever needs to know hashes the files.
        port_base: first port, others follow; None lets the system choose.
    """

    page_size: int = 1000
    expand_page_size: int = 50
    list_page_size: int = 1000
    openapi_lists_private: bool = False
    listing_cap: int = 3000
    max_actions: int = 2000
    max_body_bytes: int = 256 << 20
    max_put_bytes: int | None = None
    signed_url_seconds: float = 3600
    xet_token_seconds: float = 900
    commits_per_minute: int | None = 60
    rate_window_seconds: float = 300
    api_quota: int = 1000
    resolvers_quota: int = 5000
    anonymous_api_quota: int = 500
    anonymous_resolvers_quota: int = 3000
    check_blobs_on_commit: bool = True
    discard_blobs: bool = False
    make_first_files: bool = True
    serve_git: bool = True
    storage_host: str = "127.0.0.1"
    cdn_url: str | None = None
    store_url: str | None = None
    store_folder: Path | None = None
    port_base: int | None = None
