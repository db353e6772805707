"""The Hugging Face hub against the lab: its faults, and where its token goes."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.errors import (
    AccessError,
    ConflictError,
    CopyError,
    IntegrityError,
    InvalidTokenError,
    NotFoundError,
    ProtocolError,
    RateLimitedError,
    TooLargeError,
    UnavailableError,
)
from hubferry.hubs.base import ByteStream
from hubferry.hubs.huggingface.hub import HuggingFaceHub
from hubferry.lab.config import LabConfig
from hubferry.lab.content import SyntheticContent
from hubferry.lab.faults import Fault
from hubferry.lab.repos import Repo
from hubferry.lab.server import Lab
from hubferry.model import (
    Access,
    AddBlob,
    AddInline,
    Blob,
    GitOid,
    RepoId,
    RepoInfo,
    Sha256,
    Visibility,
)
from hubferry.net.secret import Secret
from hubferry.text import T

REPO = RepoId("hf", "your-org/name")
WEIGHTS = os.urandom(300_000)
FILES = {"README.md": b"# hi", "sub dir/w.safetensors": WEIGHTS, "empty.txt": b"", "ü#?.txt": b"x"}
ZERO = (Sha256("00" * 32), GitOid("00" * 20))


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab(getattr(request, "param", None)) as running:
        running.hf.repos.create("model", REPO.name, files=FILES)
        yield running


def seeded(lab: Lab) -> Repo:
    repo = lab.hf.repos.get("model", REPO.name)
    assert repo is not None
    return repo


def open_hub(lab: Lab, token: str | None = None, *, endpoint: str | None = None) -> HuggingFaceHub:
    cancel = CancelToken()
    return HuggingFaceHub(
        endpoint=endpoint or lab.hf.endpoint,
        token=Secret(token or lab.hf.token) if token != "" else False,
        proxy="direct",
        cancel=cancel,
        patience=lambda: Patience(cancel, WaitBudget(5), attempts=3, base_seconds=0.01),
    )


@pytest.fixture
def hub(lab: Lab) -> Iterator[HuggingFaceHub]:
    made = open_hub(lab)
    yield made
    made.close()


def read(stream: ByteStream) -> bytes:
    buffer, found = memoryview(bytearray(1 << 16)), b""
    while count := stream.readinto(buffer):
        found += bytes(buffer[:count])
    stream.close()
    return found


def weights(hub: HuggingFaceHub, start: int = 0, end: int | None = None) -> ByteStream:
    info = hub.resolve(REPO, None)
    return hub.open(info, hub.list_files(info).by_path["sub dir/w.safetensors"], start, end)


def test_every_byte_and_every_range_comes_back(hub: HuggingFaceHub) -> None:
    info = hub.resolve(REPO, None)
    listing = hub.list_files(info)
    assert {e.path for e in listing.entries} - {".gitattributes"} == set(FILES)
    for path, data in FILES.items():
        entry = listing.by_path[path]
        assert read(hub.open(info, entry)) == data
        assert read(hub.open(info, entry, len(data) // 2)) == data[len(data) // 2 :]
        assert read(hub.open(info, entry, 0, 1)) == data[:1]
        assert read(hub.open(info, entry, len(data))) == b""


@pytest.mark.parametrize("lab", [LabConfig(page_size=2)], indirect=True)
def test_pages_are_followed_and_tried_again_one_by_one(lab: Lab, hub: HuggingFaceHub) -> None:
    lab.faults.add(Fault("hf.tree", "status", status=503, after=1))
    info = hub.resolve(REPO, None)
    assert len(hub.list_files(info).entries) >= len(FILES)


def test_a_stale_signed_address_is_renewed_once(lab: Lab, hub: HuggingFaceHub) -> None:
    lab.faults.add(Fault("hf.cdn", "status", status=403))
    assert read(weights(hub, 5)) == WEIGHTS[5:]
    lab.faults.add(Fault("hf.cdn", "status", status=403, times=None))
    with pytest.raises(UnavailableError):
        weights(hub)


@pytest.mark.parametrize("kind", ["reset", "truncate"])
def test_a_dropped_read_is_worth_another_try(lab: Lab, hub: HuggingFaceHub, kind: str) -> None:
    lab.faults.add(Fault("hf.cdn", kind))  # type: ignore[arg-type]
    with pytest.raises(UnavailableError):
        read(weights(hub))


def test_the_token_is_seen_by_the_hub_alone(lab: Lab, hub: HuggingFaceHub) -> None:
    read(weights(hub))
    send(hub, os.urandom(100_000))
    seen = lab.counters.snapshot()["tokens"][lab.hf.token]
    assert {(place["origin"], place["where"]) for place in seen} == {("hf.api", "Authorization")}


def test_a_token_echoed_by_the_hub_is_redacted(lab: Lab, hub: HuggingFaceHub) -> None:
    token = lab.hf.token
    for where in ({"body": token.encode()}, {"headers": {"X-Error-Message": token}}):
        lab.faults.add(Fault("hf.info", "status", status=403, **where))
        with pytest.raises(AccessError) as caught:
            hub.resolve(REPO, None)
        assert "***" in str(caught.value)
        assert token not in f"{caught.value} {caught.value.hint}"


def test_a_bare_401_to_who_am_i_is_a_bad_token(lab: Lab, hub: HuggingFaceHub) -> None:
    lab.faults.add(Fault("hf.whoami", "status", status=401))
    with pytest.raises(InvalidTokenError):
        hub.identity()


class Body:
    """What a transfer hands to ``put_blob``; ``fails`` raises before the last chunk."""

    def __init__(self, data: bytes, *, fails: bool = False) -> None:
        self.size_bytes = len(data)
        self._data = memoryview(data)
        self._fails = fails

    @contextmanager
    def chunks(self) -> Iterator[Iterable[memoryview]]:
        yield self._cut()

    def _cut(self) -> Iterator[memoryview]:
        for start in range(0, self.size_bytes, 700_000):
            if self._fails and start + 700_000 >= self.size_bytes:
                raise IntegrityError(T("other bytes than promised"))
            yield self._data[start : start + 700_000]


def send(hub: HuggingFaceHub, data: bytes, *, fails: bool = False) -> tuple[RepoInfo, Blob]:
    info = hub.resolve(REPO, None)
    blob = Blob(Sha256(hashlib.sha256(data).hexdigest()), len(data))
    ticket = hub.missing_blobs(info, [blob])[blob.sha256]
    hub.put_blob(info, ticket, Body(data, fails=fails))
    return info, blob


@pytest.mark.parametrize("size", [1, 3_000_000, 33_000_000])
def test_a_blob_is_stored_in_one_piece_or_in_parts(hub: HuggingFaceHub, size: int) -> None:
    info, blob = send(hub, os.urandom(size))
    assert hub.missing_blobs(info, [blob]) == {}
    commit = hub.commit(info, [AddBlob("a/x.bin", blob), AddBlob("y.bin", blob)], "two paths")
    after = hub.resolve(REPO, None)
    assert after.commit == commit
    assert hub.list_files(after).by_path["y.bin"].sha256 == blob.sha256


@pytest.mark.parametrize("size", [3_000_000, 33_000_000])
def test_a_source_that_fails_its_check_leaves_the_blob_missing(
    hub: HuggingFaceHub, size: int
) -> None:
    data = os.urandom(size)
    with pytest.raises(IntegrityError):
        send(hub, data, fails=True)
    blob = Blob(Sha256(hashlib.sha256(data).hexdigest()), len(data))
    assert hub.missing_blobs(hub.resolve(REPO, None), [blob])


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("hf.put", "status", status=403), UnavailableError),
        (Fault("hf.put", "status", status=413), TooLargeError),
        (Fault("hf.put", "status", status=503), UnavailableError),
        (Fault("hf.put", "reset"), UnavailableError),
        (Fault("hf.put", "drop_blob"), UnavailableError),
        (Fault("hf.batch", "status", status=429, retry_after=3), RateLimitedError),
        (Fault("hf.batch", "empty"), ProtocolError),
    ],
)
def test_a_failed_upload_is_never_taken_for_stored(
    lab: Lab, hub: HuggingFaceHub, fault: Fault, expected: type[CopyError]
) -> None:
    lab.faults.add(fault)
    with pytest.raises(expected):
        send(hub, os.urandom(2_000_000))


def test_commits_stand_on_each_other_and_refuse_a_moved_branch(
    lab: Lab, hub: HuggingFaceHub
) -> None:
    info = hub.resolve(REPO, None)
    hub.commit(info, [AddInline("one.txt", b"1", *ZERO)], "one")
    hub.commit(info, [AddInline("two.txt", b"2", *ZERO)], "two")
    seeded(lab).commit({"else.txt": b"x"})
    with pytest.raises(ConflictError):
        hub.commit(info, [AddInline("three.txt", b"3", *ZERO)], "three")
    fresh = hub.resolve(REPO, None)
    hub.commit(fresh, [AddInline("three.txt", b"3", *ZERO)], "three")


@pytest.mark.parametrize("kind", ["after_status", "empty"])
def test_a_commit_without_a_good_answer_is_ambiguous(
    lab: Lab, hub: HuggingFaceHub, kind: str
) -> None:
    info = hub.resolve(REPO, None)
    lab.faults.add(Fault("hf.commit", kind, status=504))  # type: ignore[arg-type]
    with pytest.raises(UnavailableError) as caught:
        hub.commit(info, [AddInline("one.txt", b"1", *ZERO)], "one")
    assert caught.value.ambiguous


def test_a_gated_repository_says_where_to_accept(lab: Lab) -> None:
    repo = seeded(lab)
    repo.gated = "manual"
    hub = open_hub(lab, lab.hf.other_token)
    info = hub.resolve(REPO, None)
    assert info.visibility is Visibility.GATED
    entry = hub.list_files(info).by_path["README.md"]
    with pytest.raises(AccessError) as caught:
        hub.open(info, entry)
    assert f"{lab.hf.endpoint}/your-org/name" in str(caught.value.hint)
    assert caught.value.path == "README.md"


def test_what_does_not_exist_and_what_may_not_be_seen_is_not_found(lab: Lab) -> None:
    anonymous = open_hub(lab, "")
    with pytest.raises(NotFoundError) as caught:
        anonymous.resolve(RepoId("hf", "no/no"), None)
    assert (caught.value.what, caught.value.repo) == ("repo", "hf://no/no")
    with pytest.raises(NotFoundError) as caught:
        anonymous.resolve(REPO, "no-such-branch")
    assert caught.value.what == "revision"
    with pytest.raises(InvalidTokenError):
        open_hub(lab, "hf_unknown_token_value").resolve(REPO, None)


def test_access_is_told_without_writing(lab: Lab, hub: HuggingFaceHub) -> None:
    assert hub.write_access(REPO) is Access.YES
    assert hub.write_access(RepoId("hf", "your-org/new")) is Access.UNKNOWN
    assert open_hub(lab, lab.hf.read_token).write_access(REPO) is Access.NO
    assert open_hub(lab, "").write_access(REPO) is Access.NO
    # A mirror that does not know the question is no reason not to try.
    lab.faults.add(Fault("hf.auth", "status", status=405))
    assert hub.write_access(REPO) is Access.UNKNOWN


def test_a_repository_is_created_once_and_only_by_those_who_may(
    lab: Lab, hub: HuggingFaceHub
) -> None:
    new = RepoId("hf", "your-org/new")
    hub.create_repo(new, Visibility.UNKNOWN, None)
    hub.create_repo(new, Visibility.PUBLIC, None)
    assert hub.resolve(new, None).visibility is Visibility.PRIVATE
    hub.tag(hub.resolve(new, None), "v1")
    hub.tag(hub.resolve(new, None), "v1")
    reader = open_hub(lab, lab.hf.read_token)
    reader.create_repo(REPO, Visibility.PUBLIC, None)
    with pytest.raises(AccessError):
        reader.create_repo(RepoId("hf", "your-org/other"), Visibility.PUBLIC, None)


def test_single_paths_are_looked_up(hub: HuggingFaceHub) -> None:
    info = hub.resolve(REPO, None)
    found = hub.stat_files(info, ["README.md", "nope"])
    readme = found["README.md"]
    assert readme is not None
    assert readme.security_status == "safe"
    assert found["nope"] is None


def test_a_large_file_streams(lab: Lab, hub: HuggingFaceHub) -> None:
    content = SyntheticContent(64 << 20, "large")
    seeded(lab).commit({"large.bin": content})
    info = hub.resolve(REPO, None)
    stream = hub.open(info, hub.list_files(info).by_path["large.bin"])
    digest, buffer = hashlib.sha256(), memoryview(bytearray(1 << 20))
    while count := stream.readinto(buffer):
        digest.update(buffer[:count])
    assert digest.hexdigest() == content.sha256


def test_a_renamed_repository_answers_to_its_old_name(lab: Lab, hub: HuggingFaceHub) -> None:
    lab.hf.repos.rename("model", REPO.name, "your-org/new-name")
    assert read(weights(hub)) == WEIGHTS
    info = hub.resolve(REPO, None)
    assert hub.stat_files(info, ["README.md"])["README.md"] is not None
    assert hub.write_access(REPO) is Access.YES
    _, blob = send(hub, b"new" * 100)
    hub.commit(info, [AddBlob("new.bin", blob)], "one more")
    assert hub.resolve(REPO, None).commit != info.commit
    seen = lab.counters.snapshot()["tokens"][lab.hf.token]
    assert {place["origin"] for place in seen} == {"hf.api"}


def test_a_file_too_large_for_one_answer_is_read_in_turns(
    lab: Lab, hub: HuggingFaceHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubferry.hubs.huggingface.hub.WINDOW_BYTES", 130_000)
    assert read(weights(hub)) == WEIGHTS
    assert read(weights(hub, 10_000, 270_000)) == WEIGHTS[10_000:270_000]
    assert lab.counters.requests("hf.cdn") == 3 + 2
    stream = weights(hub)
    stream.close()
    with pytest.raises(UnavailableError):
        read(stream)


@contextmanager
def mirror_of(endpoint: str) -> Iterator[str]:
    """A mirror that sends everything on to the real hub."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(308)
            self.send_header("Location", endpoint + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_behind_a_mirror_the_real_hub_is_understood_and_sees_no_token(lab: Lab) -> None:
    with mirror_of(lab.hf.endpoint) as endpoint:
        hub = open_hub(lab, endpoint=endpoint)
        assert read(weights(hub)) == WEIGHTS
        seeded(lab).gated = "auto"
        with pytest.raises(AccessError):
            weights(hub)
        lab.faults.add(
            Fault("hf.tree", "status", status=429, headers={"RateLimit": '"api";r=0;t=40'})
        )
        with pytest.raises(RateLimitedError) as caught:
            hub.list_files(hub.resolve(REPO, None))
        assert caught.value.retry_after_seconds == 41.0
        assert not lab.counters.snapshot()["tokens"].get(lab.hf.token)
        hub.close()
