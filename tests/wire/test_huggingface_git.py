"""Many small files through Git, with the hub against the lab and against worse servers."""

from __future__ import annotations

import base64
import logging
import random
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.errors import CancelledError, CopyError, RateLimitedError, UnavailableError
from hubferry.hubs.huggingface.gitwire import ADVERTISEMENT_TYPE, packet
from hubferry.hubs.huggingface.hub import HuggingFaceHub
from hubferry.lab.config import LabConfig
from hubferry.lab.faults import Fault
from hubferry.lab.repos import Repo
from hubferry.lab.server import Lab
from hubferry.model import FileEntry, GitOid, RepoId, RepoInfo, RepoType, Storage
from hubferry.net.secret import Secret

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

REPO = RepoId("hf", "your-org/name")
FILES = {
    "README.md": b"# hi\n",
    "empty.txt": b"",
    "notes/a b/ü+%25#&?=.txt": "Füße\n".encode(),
    "twin.json": b'{"a": 1}\n',
    "sub/twin.json": b'{"a": 1}\n',
    **{f"many/{i}.json": b'{"number": %d, "same": "%b"}' % (i, b"x" * 3000) for i in range(50)},
    "model.safetensors": bytes(range(256)) * 200,
}
SMALL = {path: data for path, data in FILES.items() if path != "model.safetensors"}
POST = r"\.git/git-upload-pack$"


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab(getattr(request, "param", None)) as running:
        running.hf.repos.create("model", REPO.name, files=FILES)
        yield running


def open_hub(endpoint: str, token: str = "", cancel: CancelToken | None = None) -> HuggingFaceHub:
    stop = cancel or CancelToken()
    return HuggingFaceHub(
        endpoint=endpoint,
        token=Secret(token) if token else False,
        proxy="direct",
        cancel=stop,
        patience=lambda: Patience(stop, WaitBudget(5), attempts=3, base_seconds=0.01),
    )


@pytest.fixture
def hub(lab: Lab) -> Iterator[HuggingFaceHub]:
    made = open_hub(lab.hf.endpoint, lab.hf.token)
    yield made
    made.close()


def seeded(lab: Lab) -> Repo:
    repo = lab.hf.repos.get("model", REPO.name)
    assert repo is not None
    return repo


def looked_up(hub: HuggingFaceHub, repo: RepoId = REPO) -> tuple[RepoInfo, list[FileEntry]]:
    info = hub.resolve(repo, None)
    return info, [e for e in hub.list_files(info).entries if e.path in FILES]


def read_many(
    hub: HuggingFaceHub, info: RepoInfo, entries: Sequence[FileEntry]
) -> dict[str, bytes]:
    return {entry.path: data for entry, data in hub.read_many(info, entries)}


def git_requests(lab: Lab) -> int:
    return lab.counters.requests("hf.git")


def test_all_regular_files_come_in_one_request_after_one_question(
    lab: Lab, hub: HuggingFaceHub
) -> None:
    info, entries = looked_up(hub)
    assert read_many(hub, info, entries) == SMALL
    assert git_requests(lab) == 2
    assert read_many(hub, info, entries[:5]).keys() == {
        e.path for e in entries[:5] if e.storage is Storage.REGULAR
    }
    assert git_requests(lab) == 3
    assert lab.counters.requests("hf.resolve") == 0


def test_the_hub_says_how_much_one_call_may_ask_for(hub: HuggingFaceHub) -> None:
    assert hub.traits.bulk_files == 1000
    assert hub.traits.bulk_bytes == 8 * 1024 * 1024


def test_nothing_is_asked_for_lfs_files_or_without_ids(lab: Lab, hub: HuggingFaceHub) -> None:
    info, entries = looked_up(hub)
    large = [e for e in entries if e.storage is Storage.LFS]
    assert large
    unknown = [FileEntry("README.md", 5, Storage.REGULAR), FileEntry("a", 5, Storage.UNKNOWN)]
    assert read_many(hub, info, [*large, *unknown]) == {}
    assert git_requests(lab) == 0


def test_equal_files_are_asked_for_once(lab: Lab, hub: HuggingFaceHub) -> None:
    info, entries = looked_up(hub)
    twins = [e for e in entries if e.path.endswith("twin.json")]
    assert read_many(hub, info, twins) == {e.path: FILES["twin.json"] for e in twins}
    assert lab.counters.bytes_in("hf.git") < 200


def test_files_of_an_older_commit_come_too(lab: Lab, hub: HuggingFaceHub) -> None:
    info, entries = looked_up(hub)
    seeded(lab).commit({"README.md": b"# new\n"}, deletes=["empty.txt"])
    assert read_many(hub, info, entries) == SMALL


def test_datasets_and_renamed_repositories_are_found(lab: Lab, hub: HuggingFaceHub) -> None:
    lab.hf.repos.create("dataset", "your-org/old", files=FILES)
    old = RepoId("hf", "your-org/old", RepoType.DATASET)
    info, entries = looked_up(hub, old)
    lab.hf.repos.rename("dataset", "your-org/old", "your-org/new")
    assert read_many(hub, info, entries) == SMALL


def test_the_token_opens_a_private_repository_and_stays_at_the_hub(
    lab: Lab, hub: HuggingFaceHub
) -> None:
    seeded(lab).is_private = True
    info, entries = looked_up(hub)
    assert read_many(hub, info, entries) == SMALL
    assert lab.counters.token_origins(lab.hf.token) == {"hf.api"}


def test_who_may_not_read_through_git_gets_nothing_and_asks_once(lab: Lab) -> None:
    owner = open_hub(lab.hf.endpoint, lab.hf.token)
    info, entries = looked_up(owner)
    owner.close()
    seeded(lab).is_private = True
    for token in ("", lab.hf.other_token, "hf_unknown_to_the_hub_0000"):
        before = git_requests(lab)
        hub = open_hub(lab.hf.endpoint, token)
        assert read_many(hub, info, entries) == {}
        assert read_many(hub, info, entries) == {}
        assert git_requests(lab) == before + 1
        hub.close()


@pytest.mark.parametrize("lab", [LabConfig(serve_git=False)], indirect=True)
def test_a_hub_without_git_is_asked_once_and_the_log_says_so(
    lab: Lab, hub: HuggingFaceHub, caplog: pytest.LogCaptureFixture
) -> None:
    info, entries = looked_up(hub)
    with caplog.at_level(logging.INFO, "hubferry"):
        assert read_many(hub, info, entries) == {}
        assert read_many(hub, info, entries) == {}
    assert git_requests(lab) == 1
    assert len(caplog.records) == 1
    assert "small files are read one by one" in caplog.text
    assert lab.hf.token not in caplog.text


def test_an_unknown_blob_ends_it_for_its_repository_only(lab: Lab, hub: HuggingFaceHub) -> None:
    lab.hf.repos.create("model", "your-org/other", files=FILES)
    other, others = looked_up(hub, RepoId("hf", "your-org/other"))
    info, entries = looked_up(hub)
    assert read_many(hub, info, entries) == SMALL
    missing = FileEntry("x", 5, Storage.REGULAR, git_oid=GitOid("12" * 20))
    assert read_many(hub, info, [missing, *entries]) == {}
    before = git_requests(lab)
    assert read_many(hub, info, entries) == {}
    assert git_requests(lab) == before
    assert read_many(hub, other, others) == SMALL


@pytest.mark.parametrize("kind", ["reset", "truncate"])
@pytest.mark.parametrize("place", ["info/refs", POST])
def test_a_drop_is_worth_another_try(lab: Lab, hub: HuggingFaceHub, kind: str, place: str) -> None:
    info, entries = looked_up(hub)
    fault = Fault.from_json({"endpoint": "hf.git", "kind": kind, "match": place})
    lab.faults.add(fault)
    with pytest.raises(UnavailableError) as caught:
        read_many(hub, info, entries)
    assert caught.value.repo == str(REPO)
    assert read_many(hub, info, entries) == SMALL


def test_what_arrived_before_a_drop_is_given_out(lab: Lab, hub: HuggingFaceHub) -> None:
    large = {f"{i}.json": bytes([i]) * 10 + random_text(i, 60_000) for i in range(8)}
    lab.hf.repos.create("model", "your-org/large", files=large)
    info = hub.resolve(RepoId("hf", "your-org/large"), None)
    entries = [e for e in hub.list_files(info).entries if e.path in large]
    lab.faults.add(Fault("hf.git", "truncate", match=POST, fraction=0.9))
    found: list[tuple[FileEntry, bytes]] = []
    with pytest.raises(UnavailableError):
        found.extend(hub.read_many(info, entries))
    assert 0 < len(found) < len(large)
    assert all(large[entry.path] == data for entry, data in found)


def random_text(seed: int, size: int) -> bytes:
    return base64.b64encode(random.Random(seed).randbytes(size))[:size]


def test_limits_and_failures_of_the_hub_are_the_callers(lab: Lab, hub: HuggingFaceHub) -> None:
    info, entries = looked_up(hub)
    lab.faults.add(Fault("hf.git", "status", status=429, retry_after=7))
    with pytest.raises(RateLimitedError) as caught:
        read_many(hub, info, entries)
    assert caught.value.retry_after_seconds == 7
    lab.faults.add(Fault("hf.git", "status", status=503))
    with pytest.raises(UnavailableError):
        read_many(hub, info, entries)
    assert read_many(hub, info, entries) == SMALL


def test_a_hub_that_always_fails_at_git_is_given_up(lab: Lab, hub: HuggingFaceHub) -> None:
    info, entries = looked_up(hub)
    lab.faults.add(Fault("hf.git", "status", status=502, times=None))
    failures = 0
    for _ in range(20):
        try:
            assert read_many(hub, info, entries) == {}
        except UnavailableError:
            failures += 1
    assert failures == 5
    assert git_requests(lab) == 6


def test_a_limit_never_ends_it(lab: Lab, hub: HuggingFaceHub) -> None:
    info, entries = looked_up(hub)
    lab.faults.add(Fault("hf.git", "status", status=429, times=10))
    for _ in range(10):
        with pytest.raises(RateLimitedError):
            read_many(hub, info, entries)
    assert read_many(hub, info, entries) == SMALL


def test_garbled_bytes_are_left_out_without_an_error(lab: Lab, hub: HuggingFaceHub) -> None:
    info, entries = looked_up(hub)
    lab.faults.add(Fault("hf.git", "corrupt", match=POST))
    found = read_many(hub, info, entries)
    assert all(FILES[path] == data for path, data in found.items())
    assert len(found) < len(SMALL)
    assert read_many(hub, info, entries) == SMALL


def test_closing_early_is_fine(hub: HuggingFaceHub) -> None:
    info, entries = looked_up(hub)
    answers = hub.read_many(info, entries)
    assert next(iter(answers))
    del answers
    assert read_many(hub, info, entries) == SMALL


def test_connections_are_used_again(lab: Lab, hub: HuggingFaceHub) -> None:
    info, entries = looked_up(hub)
    for _ in range(3):
        assert read_many(hub, info, entries) == SMALL
    # One for everything else, one for Git.
    assert lab.counters.snapshot()["connections"]["hf.api"]["distinct"] == 2


def test_a_stopped_run_asks_nothing(lab: Lab) -> None:
    cancel = CancelToken()
    hub = open_hub(lab.hf.endpoint, lab.hf.token, cancel)
    info, entries = looked_up(hub)
    cancel.cancel()
    with pytest.raises(CancelledError):
        read_many(hub, info, entries)
    assert git_requests(lab) == 0
    hub.close()


GIT = packet(b"# service=git-upload-pack\n") + b"0000" + packet(b"version 2\n") + packet(b"fetch\n")


class Answer(BaseHTTPRequestHandler):
    """Answers as its server says: a GET with ``advert``, a POST with ``post``."""

    advert: tuple[int, dict[str, str], bytes]
    post: tuple[int, dict[str, str], bytes]
    heads: list[str]

    def do_GET(self) -> None:
        self._answer(self.advert)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(self.post)

    def _answer(self, answer: tuple[int, dict[str, str], bytes]) -> None:
        status, headers, body = answer
        self.heads.append(f"{self.command} {self.path} {self.headers.get('Authorization')}")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def server_of(
    post: tuple[int, dict[str, str], bytes],
    advert: tuple[int, dict[str, str], bytes] = (200, {"Content-Type": ADVERTISEMENT_TYPE}, GIT),
) -> Iterator[tuple[str, list[str]]]:
    heads: list[str] = []
    handler = type("Handler", (Answer,), {"advert": advert, "post": post, "heads": heads})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", heads
    finally:
        server.shutdown()
        server.server_close()


INFO = RepoInfo(REPO, "main", "0" * 40)
ENTRY = FileEntry("a", 5, Storage.REGULAR, git_oid=GitOid("12" * 20))
TOKEN = "hf_secretsecretsecretsecretsecret"
PACKFILE = packet(b"packfile\n")


@pytest.mark.parametrize(
    ("advert", "post"),
    [
        ((200, {"Content-Type": "text/html"}, b"<html>log in</html>"), (200, {}, b"")),
        ((200, {"Content-Type": ADVERTISEMENT_TYPE}, b"x" * 200_000), (200, {}, b"")),
        ((404, {}, b"no"), (200, {}, b"")),
        ((302, {"Location": "/info/refs"}, b""), (200, {}, b"")),
        (None, (401, {}, b"")),
        (None, (403, {}, b"")),
        (None, (404, {}, b"")),
        (None, (413, {}, b"")),
        (None, (206, {}, b"")),
        (None, (307, {"Location": "https://elsewhere.invalid/"}, b"")),
        (None, (200, {"Content-Encoding": "gzip"}, b"")),
        (None, (200, {}, packet(b"ERR upload-pack: not our ref 1212"))),
        (None, (200, {}, PACKFILE + packet(b"\x03access denied or repository not exported"))),
    ],
)
def test_a_server_that_cannot_do_it_is_asked_no_more(
    advert: tuple[int, dict[str, str], bytes] | None, post: tuple[int, dict[str, str], bytes]
) -> None:
    good = (200, {"Content-Type": ADVERTISEMENT_TYPE}, GIT)
    with server_of(post, advert or good) as (endpoint, heads):
        hub = open_hub(endpoint, TOKEN)
        assert read_many(hub, INFO, [ENTRY]) == {}
        asked = len(heads)
        assert read_many(hub, INFO, [ENTRY]) == {}
        assert len(heads) == asked
        hub.close()


@pytest.mark.parametrize(
    "body",
    [
        b"<html>log in</html>",
        b"0000",
        PACKFILE + b"0000",
        PACKFILE + packet(b"\x01JUNK and more") + b"0000",
        PACKFILE + packet(b"\x02words") * 200_000,
    ],
)
def test_answers_that_make_no_sense_are_borne_a_few_times(body: bytes) -> None:
    with server_of((200, {}, body)) as (endpoint, heads):
        hub = open_hub(endpoint, TOKEN)
        for _ in range(10):
            try:
                assert read_many(hub, INFO, [ENTRY]) == {}
            except UnavailableError:
                pass
        assert len(heads) == 1 + 6
        hub.close()


def test_the_token_goes_as_a_password_to_its_own_origin_and_to_no_other() -> None:
    with server_of((404, {}, b"")) as (other, other_heads):
        moved = (302, {"Location": f"{other}/elsewhere"}, b"")
        with server_of((404, {}, b""), moved) as (endpoint, heads):
            hub = open_hub(endpoint, TOKEN)
            assert read_many(hub, INFO, [ENTRY]) == {}
            hub.close()
    login = base64.b64encode(f"user:{TOKEN}".encode()).decode()
    assert {head.rpartition(" ")[2] for head in heads} == {login}
    assert {head.rpartition(" ")[2] for head in other_heads} == {"None"}
    assert other_heads


def test_no_error_and_no_log_line_holds_the_token(caplog: pytest.LogCaptureFixture) -> None:
    login = base64.b64encode(f"user:{TOKEN}".encode()).decode()
    said = f"ERR bad login {TOKEN} {login}".encode()
    errors: list[CopyError] = []
    with caplog.at_level(logging.DEBUG), server_of((503, {}, said)) as (endpoint, _):
        hub = open_hub(endpoint, TOKEN)
        for _ in range(8):
            try:
                read_many(hub, INFO, [ENTRY])
            except CopyError as error:
                errors.append(error)
        hub.close()
    with caplog.at_level(logging.DEBUG), server_of((200, {}, packet(said))) as (endpoint, _):
        hub = open_hub(endpoint, TOKEN)
        assert read_many(hub, INFO, [ENTRY]) == {}
        hub.close()
    assert len(errors) == 5
    shown = caplog.text + "".join(f"{error!r} {error}" for error in errors)
    assert TOKEN not in shown
    assert login[8:-4] not in shown
