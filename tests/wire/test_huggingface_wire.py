"""Hugging Face's shapes. Answers as in docs/hub-protocols.md 1 and 3 (August 2026), shortened."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from hubferry.errors import (
    AccessError,
    ConflictError,
    CopyError,
    CorruptReadError,
    HubError,
    IntegrityError,
    InvalidTokenError,
    NotFoundError,
    ProtocolError,
    QuotaError,
    RateLimitedError,
    TooLargeError,
    UnavailableError,
    UsageError,
)
from hubferry.hubs.huggingface import choices, lfs, wire
from hubferry.hubs.huggingface.address import WebLink, parse_link
from hubferry.hubs.huggingface.refusals import (
    ExistsError,
    GatedError,
    StaleAddressError,
    read_refusal,
)
from hubferry.model import (
    AddBlob,
    AddInline,
    Blob,
    Delete,
    FileEntry,
    GitOid,
    RepoId,
    RepoType,
    Sha256,
    Storage,
    Visibility,
    XetHash,
)
from hubferry.net.status import Refusal
from hubferry.net.stream import Hop

HUB = ("https", "huggingface.co", 443)
CDN = ("https", "cas-bridge.xethub.hf.co", 443)
REPO = RepoId("hf", "org/name")
DATASET = RepoId("hf", "org/name", RepoType.DATASET)
SHA, GIT, XET, COMMIT = "ab" * 32, "cd" * 20, "ef" * 32, "12" * 20


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("org/name", WebLink("model", "org/name")),
        ("gpt2/", WebLink("model", "gpt2")),
        ("gpt2/tree/main", WebLink("model", "gpt2", "main")),
        ("org/name?library=x#usage", WebLink("model", "org/name")),
        ("org/name/tree/v1/sub/dir", WebLink("model", "org/name", "v1", "sub/dir")),
        ("org/name/blob/main/a%20b.txt", WebLink("model", "org/name", "main", "a b.txt")),
        ("org/name/resolve/abc/x?download=1", WebLink("model", "org/name", "abc", "x")),
        ("org/name/tree/refs%2Fpr%2F1", WebLink("model", "org/name", "refs/pr/1")),
        ("org/name/tree/refs/pr/1", WebLink("model", "org/name", "refs/pr/1")),
        ("org/name/tree/refs/pr/1/d", WebLink("model", "org/name", "refs/pr/1", "d")),
        (f"org/name/commit/{COMMIT}", WebLink("model", "org/name", COMMIT)),
        ("org/name/discussions/4", WebLink("model", "org/name")),
        ("org/name.git", WebLink("model", "org/name")),
        ("datasets/org/name/tree/main", WebLink("dataset", "org/name", "main")),
        ("spaces/org/name", WebLink("space", "org/name")),
    ],
)
@pytest.mark.parametrize(
    "site",
    ["https://huggingface.co", "https://hf.co", "https://hf-mirror.com", "http://127.0.0.1:8080"],
)
def test_pasted_links_are_read(site: str, path: str, expected: WebLink) -> None:
    assert parse_link(f"{site}/{path}", "http://127.0.0.1:8080") == expected


@pytest.mark.parametrize(
    "text", ["https://example.com/org/name", "http://127.0.0.1:8081/org/name", "org/name", ""]
)
def test_what_is_no_link_of_this_hub_is_left_alone(text: str) -> None:
    assert parse_link(text, "http://127.0.0.1:8080") is None


@pytest.mark.parametrize("path", ["", "datasets", "docs/hub", "pricing", "settings/tokens"])
def test_a_page_that_is_no_repository_is_said_to_be_none(path: str) -> None:
    with pytest.raises(UsageError):
        parse_link(f"https://huggingface.co/{path}")


def test_addresses_quote_what_must_be_quoted() -> None:
    base = "https://hub.example"
    assert wire.api_url(base, DATASET, "tree", "x") == f"{base}/api/datasets/org/name/tree/x"
    found = wire.resolve_url(base, REPO, "refs/pr/1", "a b/ü#?.txt")
    assert found == f"{base}/org/name/resolve/refs%2Fpr%2F1/a%20b/%C3%BC%23%3F.txt"
    found = wire.resolve_url(base, DATASET, "main", "x")
    assert found == f"{base}/datasets/org/name/resolve/main/x"
    assert wire.tree_url(base, REPO, "main").endswith("/tree/main?recursive=true&expand=false")


def test_the_next_page_comes_from_the_link_header_and_stays_at_the_mirror() -> None:
    headers = {"link": '<https://huggingface.co/api/x?cursor=a%3D>; rel="next"'}
    assert wire.next_page(headers, "https://m.example") == "https://m.example/api/x?cursor=a%3D"
    assert wire.next_page({"link": '<https://a.example/>; rel="prev"'}, "https://a.example") is None
    assert wire.next_page({}, "https://a.example") is None


LFS_ITEM = {
    "type": "file", "path": "w.safetensors", "size": 9, "oid": GIT, "xetHash": XET,
    "lfs": {"oid": SHA, "size": 9, "pointerSize": 134},
}  # fmt: skip


def test_tree_entries_keep_only_digests_of_the_content() -> None:
    regular = {"type": "file", "path": "a", "size": 1, "oid": GIT}
    found = wire.tree_entries([{"type": "directory", "path": "d", "oid": GIT}, regular, LFS_ITEM])
    assert found == [
        FileEntry("a", 1, Storage.REGULAR, git_oid=GitOid(GIT)),
        FileEntry("w.safetensors", 9, Storage.LFS, sha256=Sha256(SHA), xet_hash=XetHash(XET)),
    ]
    kohaku = {**LFS_ITEM, "lfs": {"oid": f"sha256:{SHA}", "size": 9}, "xetHash": None}
    assert wire.tree_entries([kohaku])[0].sha256 == Sha256(SHA)


def test_the_security_verdict_is_passed_on() -> None:
    item = {**LFS_ITEM, "securityFileStatus": {"status": "unsafe", "avScan": {}}}
    assert wire.tree_entries([item])[0].security_status == "unsafe"


@pytest.mark.parametrize(
    "data",
    [
        {"error": "x"},
        None,
        ["x"],
        [{"type": "file", "path": "a"}],
        [{"type": "file", "path": "a", "size": -1, "oid": GIT}],
        [{"type": "file", "path": "a", "size": 1, "oid": "zz"}],
        [{"type": "commit", "path": "a", "size": 1, "oid": GIT}],
        [{**LFS_ITEM, "lfs": {"oid": SHA, "size": 10}}],
        [{**LFS_ITEM, "lfs": {"size": 9}}],
    ],
)
def test_an_unreadable_tree_is_never_read_as_empty(data: object) -> None:
    with pytest.raises(ProtocolError):
        wire.tree_entries(data)


def info(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"sha": COMMIT, "private": False, "gated": False, **fields})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Visibility.PUBLIC),
        ({"private": True, "gated": "auto"}, Visibility.PRIVATE),
        ({"gated": "manual"}, Visibility.GATED),
        ({"private": None}, Visibility.UNKNOWN),
        ({"gated": None}, Visibility.UNKNOWN),
    ],
)
def test_only_what_is_surely_public_is_public(fields: dict[str, Any], expected: Visibility) -> None:
    assert wire.repo_info("https://h", REPO, "main", info(**fields)).visibility is expected


def test_the_card_tells_license_and_base_models() -> None:
    card = {"license": ["mit", "other"], "base_model": "a/b"}
    found = wire.repo_info("https://h", REPO, "main", info(card_data=card))
    assert (found.license, found.base_models, found.commit) == ("mit", ("a/b",), COMMIT)
    with pytest.raises(ProtocolError):
        wire.repo_info("https://h", REPO, "main", info(sha=None))


def test_who_reads_a_fine_grained_token() -> None:
    told = {
        "name": "me", "orgs": [{"name": "o"}],
        "auth": {"type": "access_token", "accessToken": {"role": "fineGrained"}},
    }  # fmt: skip
    assert wire.who(told) == ("me", ("o",), "fineGrained")
    with pytest.raises(ProtocolError):
        wire.who([])


ENTRY = wire.tree_entries([LFS_ITEM])[0]
GOOD = {"x-repo-commit": COMMIT, "x-linked-size": "9", "x-linked-etag": f'"{SHA}"'}


def served(**changes: str | None) -> None:
    told = {**GOOD, "content-length": "77", **{k.replace("_", "-"): v for k, v in changes.items()}}
    headers = {name: value for name, value in told.items() if value is not None}
    hops = (Hop(HUB, 302, headers), Hop(CDN, 200, {"etag": '"0123"', "content-length": "9"}))
    wire.check_served(hops, HUB, COMMIT, ENTRY, 9)


def test_a_served_file_is_compared_with_its_listing() -> None:
    served()
    served(x_linked_etag=f'W/"{SHA}"')
    for changed in ({"x_repo_commit": "34" * 20}, {"x_linked_size": "8"}):
        with pytest.raises(CorruptReadError):
            served(**changed)
    with pytest.raises(CorruptReadError):
        served(x_linked_etag='"' + "00" * 32 + '"')
    with pytest.raises(ProtocolError):
        served(x_repo_commit=None)


def test_a_mirror_may_pass_us_on_to_the_real_hub() -> None:
    mirror = ("https", "mirror.example", 443)
    hops = (Hop(mirror, 308, {"location": "x"}), Hop(HUB, 302, GOOD), Hop(CDN, 200, {}))
    wire.check_served(hops, mirror, COMMIT, ENTRY, 9)


def test_the_served_total_counts_even_without_linked_headers() -> None:
    hops = (Hop(HUB, 200, {"x-repo-commit": COMMIT, "etag": f'"{GIT}"'}),)
    regular = FileEntry("a", 5, Storage.REGULAR, git_oid=GitOid(GIT))
    wire.check_served(hops, HUB, COMMIT, regular, 5)
    with pytest.raises(CorruptReadError):
        wire.check_served(hops, HUB, COMMIT, regular, 4)
    with pytest.raises(CorruptReadError):
        wire.check_served(hops, HUB, COMMIT, FileEntry("a", 5, git_oid=GitOid("00" * 20)), 5)


def refusal(
    status: int, body: bytes = b"", *, origin: Any = HUB, **headers: str
) -> CopyError | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_refusal(Refusal("GET", origin, status, named, body), HUB, has_token=False)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refusal(401), NotFoundError),
        (refusal(401, x_error_code="RepoNotFound"), NotFoundError),
        (refusal(404, x_error_code="RepoNotFound"), NotFoundError),
        (refusal(404, x_error_code="RevisionNotFound"), NotFoundError),
        (refusal(404, x_error_code="EntryNotFound"), NotFoundError),
        (refusal(401, x_error_code="GatedRepo"), GatedError),
        (refusal(403, x_error_code="GatedRepo"), GatedError),
        (
            refusal(401, x_error_message="Invalid credentials in Authorization header"),
            InvalidTokenError,
        ),
        (refusal(403, x_error_message="Access to this resource is disabled."), AccessError),
        (refusal(403, b'{"error":"no"}'), AccessError),
        (refusal(402), QuotaError),
        (refusal(412, b'{"error":"A commit has happened since"}'), ConflictError),
        (refusal(409, b'{"error":"You already created this model repo"}'), ExistsError),
        (refusal(409, b'{"error":"another conflicting operation"}'), UnavailableError),
        (refusal(403, origin=CDN), StaleAddressError),
        (refusal(404, origin=CDN), StaleAddressError),
    ],
)  # fmt: skip
def test_a_refusal_is_read_by_its_code_before_its_status(
    error: CopyError | None, expected: type[CopyError]
) -> None:
    assert isinstance(error, expected)


def test_plain_faults_are_left_to_the_general_reading() -> None:
    assert refusal(500) is None
    assert refusal(503, origin=CDN) is None
    assert refusal(413, origin=CDN) is None


def test_a_rate_limit_waits_for_the_window_only_when_nothing_is_left() -> None:
    def wait(**headers: str) -> float | None:
        error = refusal(429, b"", **headers)
        assert isinstance(error, RateLimitedError)
        return error.retry_after_seconds

    assert wait(ratelimit='"api";r=0;t=55') == 56.0
    assert wait(ratelimit='"api";r=10;t=55', retry_after="7") == 7.0
    assert wait(ratelimit='"api";r=10;t=55') is None


BLOB = Blob(Sha256(SHA), 25)


def batch(**item: Any) -> dict[Sha256, lfs.Upload]:
    answer = {"objects": [{"oid": SHA, "size": 25, **item}]}
    return lfs.wanted(answer, [BLOB], "https://h")


def test_a_blob_named_without_actions_is_stored() -> None:
    assert batch() == {}
    assert batch(actions={}) == {}


def test_a_basic_upload_has_address_headers_and_verification() -> None:
    upload = {"href": "https://s3/x?Signature=sss", "header": {"x-a": "b"}}
    verify = {"href": "https://huggingface.co/org/name.git/info/lfs/objects/verify"}
    found = batch(actions={"upload": upload, "verify": verify})[BLOB.sha256]
    assert (found.href, found.headers, found.part_urls) == (upload["href"], {"x-a": "b"}, ())
    assert found.verify_href == "https://h/org/name.git/info/lfs/objects/verify"
    assert "sss" not in repr(found)


def test_a_multipart_upload_is_put_in_order_of_its_numbers() -> None:
    header = {"chunk_size": "10", "00002": "b", "00001": "a", "00010": "no", "00003": "c"}
    upload = {"href": "https://h/complete", "header": header}
    with pytest.raises(ProtocolError):
        batch(actions={"upload": upload})
    del header["00010"]
    found = batch(actions={"upload": upload})[BLOB.sha256]
    assert (found.part_urls, found.part_bytes) == (("a", "b", "c"), 10)


@pytest.mark.parametrize(
    ("code", "expected"), [(413, TooLargeError), (422, HubError), (500, UnavailableError)]
)
def test_a_refused_object_is_an_error(code: int, expected: type[HubError]) -> None:
    with pytest.raises(expected):
        batch(error={"code": code, "message": "no"})


def test_silence_about_a_blob_is_never_read_as_stored() -> None:
    with pytest.raises(ProtocolError):
        lfs.wanted({"objects": []}, [BLOB], "https://h")
    with pytest.raises(ProtocolError):
        lfs.wanted({}, [BLOB], "https://h")


def test_parts_cut_chunks_without_losing_or_adding_a_byte() -> None:
    data = bytes(range(25))
    parts = lfs.Parts(memoryview(data)[i : i + 7] for i in range(0, 25, 7))
    found = [b"".join(map(bytes, parts.take(size))) for size in (10, 10, 5)]
    assert found == [data[:10], data[10:20], data[20:]]
    parts.finish()
    longer = lfs.Parts(iter([memoryview(b"abcd")]))
    assert b"".join(map(bytes, longer.take(3))) == b"abc"
    with pytest.raises(IntegrityError):
        longer.finish()


def test_a_commit_is_lines_of_json_with_its_parent_first() -> None:
    inline = AddInline("a", b"hi", Sha256("00" * 32), GitOid("00" * 20))
    body = lfs.commit_body([inline, AddBlob("b", BLOB), Delete("c")], "one\n\ntwo\nthree", COMMIT)
    lines = [json.loads(line) for line in body.splitlines()]
    assert lines == [
        {
            "key": "header",
            "value": {"summary": "one", "description": "two\nthree", "parentCommit": COMMIT},
        },
        {"key": "file", "value": {"content": "aGk=", "path": "a", "encoding": "base64"}},
        {"key": "lfsFile", "value": {"path": "b", "algo": "sha256", "oid": SHA, "size": 25}},
        {"key": "deletedFile", "value": {"path": "c"}},
    ]


@pytest.mark.parametrize(
    ("path", "size", "expected"),
    [
        ("model.safetensors", 0, True),
        ("model.safetensors", 10, False),
        ("README.md", 9_000_000, True),
        ("config.json", 4_000_000, True),
        ("tokenizer.json", 9_000_000, False),
        ("logo.png", 900_000, True),
        ("logo.png", 1_100_000, False),
        ("runs/events.out.tfevents.1", 10, False),
    ],
)
def test_small_files_that_are_no_weights_ride_inline(path: str, size: int, expected: bool) -> None:
    assert choices.wants_inline(path, size) is expected


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/api/models/org/name", "api"),
        ("GET", "/api/models/org/name/tree/main", "api"),
        ("GET", "/org/name/resolve/main/w.bin", "resolve"),
        ("GET", "/api/resolve-cache/models/org/name/abc/w.bin", "resolve-cache"),
        ("GET", "/org/name", "page"),
        ("GET", "/api/whoami-v2", "whoami"),
        ("POST", "/api/repos/create", "create"),
        ("POST", "/api/models/org/name/commit/main", "commit:models/org/name"),
        ("POST", "/api/datasets/org/name/commit/refs%2Fpr%2F1", "commit:datasets/org/name"),
        ("POST", "/api/models/gpt2/commit/main", "commit:models/gpt2"),
        ("GET", "/api/models/org/commit/tree/main", "api"),
        ("POST", "/org/name.git/info/lfs/objects/batch", "lfs"),
        ("POST", "/org/name.git/git-upload-pack", None),
    ],
)
def test_what_has_a_limit_of_its_own_brakes_nothing_else(
    method: str, path: str, kind: str | None
) -> None:
    hub = ("https", "huggingface.co", 443)
    assert wire.brake_kind(hub, method, f"https://huggingface.co{path}") == kind
    assert wire.brake_kind(hub, method, f"https://cdn.example{path}") is None
