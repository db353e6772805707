"""The ground under both hubs: contents, repositories, faults, shaping, counters, control."""

from __future__ import annotations

import hashlib
import http.client
import json
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hubferry.lab.content import (
    BytesContent,
    FileContent,
    KnownContent,
    MissingBytesError,
    SyntheticContent,
)
from hubferry.lab.faults import Fault, Faults, Pacer, ShapeRule
from hubferry.lab.limits import RateWindow
from hubferry.lab.repos import RepoStore
from hubferry.lab.server import Lab

MIB = 1 << 20


def fetch(
    url: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Return status and body of one request on a connection of its own."""
    request = urllib.request.Request(url, body, dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read()


def lfs_url(lab: Lab, content: bytes) -> str:
    """Seed one LFS file and return an address that leads to its bytes."""
    store = lab.ms.repos
    repo = store.get("model", "your-org/base") or store.create("model", "your-org/base")
    repo.commit({"w.safetensors": content})
    return f"{lab.ms.endpoint}/api/v1/models/your-org/base/repo?FilePath=w.safetensors"


# --- contents ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65_537, MIB, 3 * MIB + 17])
def test_synthetic_content_is_the_same_however_it_is_read(size: int) -> None:
    content = SyntheticContent(size, "seed")
    whole = bytes(content.read(0, size))
    pieces = b"".join(bytes(content.read(at, at + 70_001)) for at in range(0, size, 70_001))
    assert len(whole) == size
    assert pieces == whole
    assert content.sha256 == hashlib.sha256(whole).hexdigest()
    assert content.git_oid == BytesContent(whole).git_oid


def test_synthetic_contents_share_no_64_kib_piece() -> None:
    pieces = {
        bytes(SyntheticContent(4 * MIB, seed).read(at, at + 65_536))
        for seed in (1, 2)
        for at in range(0, 4 * MIB, 65_536)
    }
    assert len(pieces) == 128


def test_a_huge_synthetic_content_costs_nothing_to_read_at_its_end() -> None:
    size = 20 << 30
    assert len(SyntheticContent(size).read(size - 5, size + 5)) == 5


def test_git_ids_are_gits() -> None:
    assert BytesContent(b"hello\n").git_oid == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_a_file_content_reads_its_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert bytes(FileContent(path).read(3, 99)) == b"3456789"


def test_a_known_content_has_no_bytes() -> None:
    with pytest.raises(MissingBytesError):
        KnownContent(3, "0" * 64).read(0, 1)


# --- repositories -----------------------------------------------------------------------------


def test_commits_are_snapshots_with_the_commit_that_last_touched_each_path() -> None:
    store = RepoStore(default_branch="main", lfs_rule=lambda path, _size: path.endswith(".bin"))
    repo = store.create("model", "gpt2")
    first = repo.commit({"a": b"1", "w.bin": b"weights"})
    second = repo.commit({"b": b"2"}, deletes=["w.bin"])
    repo.tag("v1", first)
    assert set(repo.tree("v1")) == {"a", "w.bin"}
    assert set(repo.tree()) == {"a", "b"}
    assert repo.tree()["a"].last_commit == first
    assert repo.tree()["b"].last_commit == second
    assert repo.tree(first)["w.bin"].is_lfs
    assert [commit.id for commit in repo.history()] == [second, first]
    assert repo.read("w.bin", "v1") == b"weights"


def test_the_blob_store_tells_lfs_objects_from_what_git_holds() -> None:
    store = RepoStore(default_branch="main", lfs_rule=lambda path, _size: path.endswith(".bin"))
    store.create("model", "a/b", files={"a": b"regular", "w.bin": b"weights"})
    assert store.blobs.has_object(hashlib.sha256(b"weights").hexdigest())
    assert not store.blobs.has_object(hashlib.sha256(b"regular").hexdigest())
    with pytest.raises(FileExistsError):
        store.create("model", "a/b")


def test_a_rate_window_opens_anew() -> None:
    now = [0.0]
    window = RateWindow(2, 60, clock=lambda: now[0])
    assert [window.take("a").remaining for _ in range(2)] == [1, 0]
    refused = window.take("a")
    assert (refused.allowed, refused.reset_seconds) == (False, 60)
    assert window.take("b").allowed
    now[0] = 60
    assert window.take("a").allowed


# --- faults -----------------------------------------------------------------------------------


def test_faults_of_a_whole_answer(lab: Lab) -> None:
    url = f"{lab.ms.endpoint}/openapi/v1/models"
    lab.faults.add(Fault("ms.open_list", "status", status=503, retry_after=7, body=b"busy"))
    lab.faults.add(Fault("ms.open_list", "empty"))
    lab.faults.add(Fault("ms.open_list", "after_status", status=504))
    assert fetch(url) == (503, b"busy")
    assert fetch(url) == (200, b"")
    assert fetch(url)[0] == 504
    assert fetch(url)[0] == 200
    counted = lab.counters.snapshot()["endpoints"]["ms.open_list"]
    assert counted["statuses"] == {"503": 1, "200": 2, "504": 1}
    assert counted["faults"] == {"status": 1, "empty": 1, "after_status": 1}


def test_a_fault_skips_matches_and_counts(lab: Lab) -> None:
    url = f"{lab.ms.endpoint}/openapi/v1/models"
    lab.faults.add(Fault("ms.", "status", status=500, after=1, times=2, match="search=x"))
    statuses = [fetch(f"{url}?search={word}")[0] for word in "yxxyxx"]
    assert statuses == [200, 200, 500, 200, 500, 200]


def test_faults_within_a_body(lab: Lab) -> None:
    content = bytes(SyntheticContent(MIB).read(0, MIB))
    url = lfs_url(lab, content)

    lab.faults.add(Fault("ms.cdn", "truncate", fraction=0.25))
    with pytest.raises(http.client.IncompleteRead) as short:
        fetch(url)
    assert len(short.value.partial) == MIB // 4

    lab.faults.add(Fault("ms.cdn", "reset"))
    with pytest.raises(ConnectionResetError):
        fetch(url)

    lab.faults.add(Fault("ms.cdn", "corrupt", fraction=1.0))
    _, body = fetch(url)
    assert [at for at in range(MIB) if body[at] != content[at]] == [MIB - 1]

    lab.faults.add(Fault("ms.cdn", "stall", seconds=0.2))
    started = time.monotonic()
    assert fetch(url) == (200, content)
    assert time.monotonic() - started >= 0.2


def put(lab: Lab, blob: bytes) -> tuple[int, bytes]:
    """Ask for an upload address in a repository of its own, and send the blob there."""
    if lab.ms.repos.get("model", "your-org/put") is None:
        lab.ms.repos.create("model", "your-org/put")
    body = {"oid": hashlib.sha256(blob).hexdigest(), "size": len(blob)}
    _, answer = fetch(
        f"{lab.ms.endpoint}/api/v1/repos/models/your-org/put/info/lfs/objects/batch",
        "POST",
        json.dumps({"operation": "upload", "objects": [body]}).encode(),
        {"Authorization": f"Bearer {lab.ms.token}"},
    )
    href = json.loads(answer)["Data"]["objects"][0]["actions"]["upload"]["href"]
    return fetch(href, "PUT", blob)


def test_faults_within_an_upload_store_nothing(lab: Lab) -> None:
    blob = bytes(8 * MIB)
    oid = hashlib.sha256(blob).hexdigest()
    lab.faults.add(Fault("ms.put", "reset", fraction=0.25))
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        put(lab, blob)
    assert MIB <= lab.counters.bytes_in("ms.put") < len(blob)
    lab.faults.add(Fault("ms.put", "corrupt"))
    assert put(lab, blob)[0] == 400
    assert not lab.ms.repos.blobs.has_object(oid)
    lab.faults.add(Fault("ms.put", "after_status", status=504))
    assert put(lab, blob)[0] == 504
    assert lab.ms.repos.blobs.has_object(oid)


def test_a_fault_of_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        Fault.from_json({"endpoint": "ms.put", "kind": "explode"})
    with pytest.raises(ValueError, match="some of"):
        Fault.from_json({"endpoint": "ms.put", "kind": "reset", "colour": "red"})
    with pytest.raises(ValueError, match="probability"):
        Fault("ms.put", "reset", probability=0.0)
    with pytest.raises(ValueError, match="every_bytes"):
        Fault("ms.put", "status", every_bytes=MIB)


def test_a_fault_of_chance_meets_its_share_the_same_way_each_time() -> None:
    def struck(seed: int) -> list[bool]:
        faults = Faults()
        faults.add(Fault("hf.", "status", times=None, probability=0.1, seed=seed))
        return [faults.take("hf.cdn", "/") is not None for _ in range(1000)]

    assert 70 <= sum(struck(1)) <= 130
    assert struck(1) == struck(1)
    assert struck(1) != struck(2)


def test_what_chance_lets_pass_is_met_by_the_next_fault() -> None:
    faults = Faults()
    faults.add(Fault("hf.", "status", times=2, probability=0.5, status=503))
    faults.add(Fault("hf.", "status", times=None, status=429))
    found = [faults.take("hf.cdn", "/") for _ in range(20)]
    assert [fault.status for fault in found if fault].count(503) == 2
    assert [fault.status for fault in found if fault].count(429) == 18


def test_a_fault_strikes_each_time_so_many_bytes_have_passed(lab: Lab) -> None:
    content = bytes(SyntheticContent(MIB).read(0, MIB))
    url = lfs_url(lab, content)
    lab.faults.add(Fault("ms.cdn", "truncate", times=2, every_bytes=5 * MIB // 2))
    fates = [is_cut(url) for _ in range(9)]
    # A piece that would cross the mark is not sent, but it has passed the count.
    assert fates == [False, False, True, False, False, True, False, False, False]
    assert lab.counters.snapshot()["endpoints"]["ms.cdn"]["faults"] == {"truncate": 2}
    assert lab.faults.snapshot()[0]["struck"] == 2
    lab.faults.clear()
    lab.faults.add(Fault("ms.cdn", "corrupt", every_bytes=MIB))
    assert fetch(url)[1] != content
    assert fetch(url)[1] == content


def test_uploads_are_counted_for_faults_too(lab: Lab) -> None:
    lab.faults.add(Fault("ms.put", "corrupt", every_bytes=3 * MIB))
    assert put(lab, b"a" * 2 * MIB)[0] == 200
    assert put(lab, b"b" * 2 * MIB)[0] == 400
    assert put(lab, b"b" * 2 * MIB)[0] == 200


def is_cut(url: str) -> bool:
    """Tell whether an answer ends before its length."""
    try:
        fetch(url)
    except http.client.IncompleteRead:
        return True
    return False


def test_a_client_that_leaves_is_no_error_of_the_lab(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    store = lab.ms.repos
    store.create("model", "your-org/big").commit({"w.bin": SyntheticContent(64 * MIB)})
    answer = f"{lab.ms.endpoint}/api/v1/models/your-org/big/repo?FilePath=w.bin"
    with urllib.request.urlopen(answer, timeout=10) as response:
        url = urlsplit(response.url)
    for _ in range(10):
        with socket.create_connection((url.hostname, url.port), timeout=10) as client:
            client.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: lab\r\n\r\n".encode())
            client.recv(1)
            # With a linger time of nothing, closing sends RST instead of FIN.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    deadline = time.monotonic() + 10
    while lab.counters.snapshot()["endpoints"]["ms.cdn"]["statuses"].get("aborted", 0) < 11:
        assert time.monotonic() < deadline
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_late_timer_costs_no_bandwidth() -> None:
    now = 0.0
    pacer = Pacer(1e6, clock=lambda: now)
    for _ in range(100):
        now += max(0.0, pacer.take(10_000)) + 0.001
    assert now == pytest.approx(1.0, abs=0.02)
    now += 60
    # What was not used while nothing came is not given back beyond a moment.
    assert pacer.take(1_000_000) == pytest.approx(1.0, abs=0.06)


def test_shaping_slows_what_it_names(lab: Lab) -> None:
    url = lfs_url(lab, bytes(MIB))
    lab.shape.set(ShapeRule("ms.cdn", connection_bytes_per_second=4 * MIB))
    lab.shape.set(ShapeRule("ms.file", latency_seconds=0.1))
    started = time.monotonic()
    fetch(url)
    assert time.monotonic() - started >= 0.1 + 0.25
    lab.shape.clear()
    started = time.monotonic()
    fetch(url)
    assert time.monotonic() - started < 0.25


# --- counters and control -----------------------------------------------------------------------


def test_tokens_are_found_wherever_they_show(lab: Lab) -> None:
    base = f"{lab.ms.endpoint}/openapi/v1/models"
    fetch(f"{base}?search={lab.hf.token}", headers={"Authorization": f"Bearer {lab.ms.token}"})
    fetch(f"{lab.ms.endpoint}/api/v1/login", "POST", json.dumps({"t": lab.ms.token}).encode())
    fetch(lab.url("ms.cdn") + "/lfs/x", headers={"Cookie": "m_session_id=unheard-of"})
    tokens = lab.counters.snapshot()["tokens"]
    assert tokens[lab.hf.token] == [
        {"origin": "ms.api", "endpoint": "ms.open_list", "where": "query"}
    ]
    assert {place["where"] for place in tokens[lab.ms.token]} == {"Authorization", "body"}
    assert lab.counters.token_origins("unheard-of") == {"ms.cdn"}


def test_bytes_connections_and_unknown_pages_are_counted(lab: Lab) -> None:
    fetch(lfs_url(lab, bytes(MIB)))
    fetch(f"{lab.ms.endpoint}/nowhere")
    seen = lab.counters.snapshot()
    assert lab.counters.bytes_out("ms.cdn") == MIB
    assert lab.counters.requests("ms.file") == 1
    assert seen["connections"]["ms.api"]["distinct"] == 2
    assert seen["unknown"] == {"GET ms.api /nowhere": 1}


@pytest.fixture
def control(lab: Lab) -> Callable[..., tuple[int, Any]]:
    """Call the control origin of the running lab; return status and JSON."""

    def call(method: str, path: str, data: Any = None) -> tuple[int, Any]:
        status, body = fetch(
            lab.control_url + path, method, json.dumps(data).encode() if data else None
        )
        return status, json.loads(body) if status < 300 else body

    return call


def test_another_process_can_drive_the_lab(
    lab: Lab, control: Callable[..., tuple[int, Any]]
) -> None:
    files = {"a.txt": {"text": "hi"}, "w.safetensors": {"size": 1000, "seed": 5}}
    seed = {"hub": "ms", "id": "your-org/x", "files": files, "private": True, "tag": "v1"}
    assert control("POST", "/seed", seed)[0] == 201
    tree = control("GET", "/repos?hub=ms&id=your-org/x")[1]["tree"]
    assert tree["w.safetensors"]["sha256"] == SyntheticContent(1000, 5).sha256
    assert tree["w.safetensors"]["is_stored"]
    control("DELETE", f"/blobs?hub=ms&sha256={tree['w.safetensors']['sha256']}")
    assert not control("GET", "/repos?hub=ms&id=your-org/x")[1]["tree"]["w.safetensors"][
        "is_stored"
    ]

    assert control("POST", "/faults", {"endpoint": "ms.info", "kind": "status"})[0] == 201
    assert control("POST", "/faults", {"endpoint": "ms.info"})[0] == 400
    assert fetch(f"{lab.ms.endpoint}/api/v1/models/your-org/x")[0] == 500
    assert control("GET", "/faults")[1][0]["struck"] == 1
    control("DELETE", "/faults")
    assert control("GET", "/faults")[1] == []

    assert control("POST", "/shape", {"group": "ms.", "latency_seconds": 0.01})[0] == 201
    assert control("GET", "/counters")[1]["endpoints"]["ms.info"]["requests"] == 1
    control("DELETE", "/counters")
    assert "ms.info" not in control("GET", "/counters")[1]["endpoints"]


def test_stopping_does_not_wait_for_stalled_answers(tmp_path: Path) -> None:
    with Lab() as lab:
        lab.faults.add(Fault("ms.open_list", "after_hang", times=None))
        parts = urlsplit(lab.ms.endpoint)
        connection = http.client.HTTPConnection(parts.netloc, timeout=10)
        connection.request("GET", "/openapi/v1/models")
        started = time.monotonic()
    assert time.monotonic() - started < 5
    connection.close()


def test_python_dash_m_prints_one_line_and_ends_on_a_signal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hubferry.lab", "--seed", "demo", "--max-seconds", "30"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        repos = json.loads(fetch(ready["control"] + "/repos")[1])
        assert repos["hf"][0]["id"] == "microsoft/DialoGPT-medium"
        assert fetch(ready["ms_endpoint"] + "/openapi/v1/models")[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stdout.read() == ""
