"""Xet reads with the unmodified hf_xet and huggingface_hub, each in its own process and HOME."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubferry.lab.config import LabConfig
from hubferry.lab.content import BytesContent, Content, SyntheticContent
from hubferry.lab.faults import Fault
from hubferry.lab.repos import Repo, lfs_file
from hubferry.lab.server import Lab
from hubferry.lab.xet import ONLY_V1, xet_hash
from hubferry.lab.xet_format import (
    CHUNK_BYTES,
    XORB_BYTES,
    chunk_hash,
    file_hash,
    hash_text,
    merkle_root,
)
from hubferry.lab.xet_token import Grant, encode_grant

MIB = 1 << 20
BIG = SyntheticContent(130 * MIB + 4321, "three xorbs")
SMALL = BytesContent(b"not even one chunk")
SAME = BytesContent(bytes(2 * XORB_BYTES + 70_000))
REPO = "your-org/xet-model"

STREAM = """
import hashlib, json, sys
import hf_xet

job = json.loads(sys.stdin.read())
digest, length, error = hashlib.sha256(), 0, None
group = hf_xet.XetSession().new_download_stream_group(**job["group"])
try:
    with group:
        info = hf_xet.XetFileInfo(job["hash"], job["size"])
        for piece in group.download_stream(info, start=job["start"], end=job["end"]):
            digest.update(piece)
            length += len(piece)
except Exception as exc:
    error = f"{type(exc).__name__}: {exc}"
print(json.dumps({"sha256": digest.hexdigest(), "length": length, "error": error}))
"""

UPLOAD = """
import sys
import hf_xet

data, store = sys.stdin.buffer.read(), sys.argv[1]
with hf_xet.XetSession().new_upload_commit(endpoint=f"local://{store}") as commit:
    upload = commit.start_upload_bytes(data, name="file")
print(upload.result().xet_info.hash)
"""

SNAPSHOT = """
import sys
from huggingface_hub import snapshot_download

print(snapshot_download(sys.argv[1], endpoint=sys.argv[2], token=sys.argv[3]))
"""


@pytest.fixture(scope="module")
def xet_lab() -> Iterator[Lab]:
    with Lab(LabConfig()) as lab:
        repo = lab.hf.repos.create("model", REPO)
        repo.commit({"big.bin": BIG, "small.bin": SMALL, "same.bin": SAME, "config.json": b"{}"})
        yield lab


@pytest.fixture
def lab(xet_lab: Lab) -> Iterator[Lab]:
    xet_lab.faults.clear()
    xet_lab.counters.reset()
    yield xet_lab
    xet_lab.faults.clear()


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Run a client script in a process of its own; return its standard output."""

    def run_script(script: str, *args: str, stdin: bytes = b"", **env: str) -> str:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        done = subprocess.run(
            [sys.executable, "-c", script, *args],
            input=stdin,
            capture_output=True,
            timeout=120,
            check=False,
            env={**kept, "HOME": str(home), "HF_HOME": str(home / "hf"), **env},
        )
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return done.stdout.decode().strip()

    return run_script


@pytest.fixture
def stream(run: Any) -> Any:
    """Stream (a part of) a content with hf_xet: its SHA-256, length and error."""

    def stream_content(
        lab: Lab, content: Content, start: int = 0, end: int | None = None, **group: object
    ) -> dict[str, Any]:
        job = {
            "group": {
                "token_refresh_url": f"{lab.hf.endpoint}/api/models/{REPO}/xet-read-token/main",
                "token_refresh_headers": {"Authorization": f"Bearer {lab.hf.token}"},
                **group,
            },
            "hash": xet_hash(content),
            "size": content.size,
            "start": start,
            "end": content.size if end is None else end,
        }
        found: dict[str, Any] = json.loads(run(STREAM, stdin=json.dumps(job).encode()))
        return found

    return stream_content


def get(url: str, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read()


def cas_token(lab: Lab, *, repo_id: str = REPO, seconds: float = 600) -> str:
    repo = lab.hf.repos.get("model", repo_id)
    head = repo.head() if repo else None
    assert head
    grant = Grant(lab.hf.endpoint, "model", repo_id, head.id, int(time.time() + seconds))
    return encode_grant(grant)


def reconstruct(lab: Lab, content: Content, **headers: str) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {cas_token(lab)}", **headers}
    url = f"{lab.url('xet.cas')}/v1/reconstructions/{xet_hash(content)}"
    status, body = get(url, **headers)
    return status, json.loads(body) if status == 200 else body


def sha256_of(content: Content, start: int, end: int) -> str:
    return hashlib.sha256(content.read(start, end)).hexdigest()


def stored_chunks(xorb: bytes) -> Iterator[bytes]:
    position = 0
    while xorb[position : position + 7] != b"XETBLOB" and position < len(xorb):
        size = int.from_bytes(xorb[position + 1 : position + 4], "little")
        assert xorb[position + 4] == 0, "random bytes are stored uncompressed"
        yield xorb[position + 8 : position + 8 + size]
        position += 8 + size


@pytest.mark.parametrize("size", [1, 300_000, 5_000_000])
def test_hashes_are_those_hf_xet_writes(run: Any, tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    theirs = run(UPLOAD, str(tmp_path / "store"), stdin=data)
    (path,) = (p for p in tmp_path.rglob("default.*") if p.suffix != ".tagset")
    chunks = list(stored_chunks(path.read_bytes()))
    nodes = [(chunk_hash(chunk), len(chunk)) for chunk in chunks]
    assert b"".join(chunks) == data
    assert file_hash(nodes) == theirs
    assert hash_text(merkle_root(nodes)) == path.name.removeprefix("default.")


@pytest.mark.parametrize("content", [BIG, SMALL, SAME], ids=["xorbs", "small", "same xorb twice"])
@pytest.mark.parametrize("only_v1", [False, True], ids=["v2", "v1"])
def test_whole_file(lab: Lab, stream: Any, content: Content, only_v1: bool) -> None:
    if only_v1:
        lab.faults.add(ONLY_V1)
    found = stream(lab, content)
    assert found == {"sha256": content.sha256, "length": content.size, "error": None}


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, 1),
        (CHUNK_BYTES - 1, CHUNK_BYTES + 1),
        (XORB_BYTES - 5, XORB_BYTES + 5),
        (XORB_BYTES + 1, 2 * XORB_BYTES + 1),
        (BIG.size - 1, BIG.size),
    ],
)
def test_range(lab: Lab, stream: Any, start: int, end: int) -> None:
    found = stream(lab, BIG, start, end)
    assert found == {"sha256": sha256_of(BIG, start, end), "length": end - start, "error": None}
    # Whole chunks travel, never the whole file.
    assert lab.counters.bytes_out("xet.xorb") <= end - start + 3 * CHUNK_BYTES


def test_range_in_the_middle_of_20_gib(lab: Lab, stream: Any) -> None:
    """Takes its ten seconds for hashing 20 GiB; none of them are in memory or on disk."""
    content = SyntheticContent(20 << 30, "huge")
    # Its SHA-256 would take as long again to compute, and no Xet read asks for it.
    name = "0" * 64
    repo = lab.hf.repos.get("model", REPO)
    assert repo
    repo.store.blobs.put(name, content)
    repo.commit_tree({"huge.bin": lfs_file(name, content.size)}, message="huge")
    start = (10 << 30) + 12_345
    found = stream(lab, content, start, start + 3 * MIB)
    assert found["error"] is None
    assert found["sha256"] == sha256_of(content, start, start + 3 * MIB)
    repo.commit_tree({}, ["huge.bin"], message="huge no more")


def test_old_token_is_refreshed_before_use(lab: Lab, stream: Any) -> None:
    stale = {"token": cas_token(lab, seconds=-60), "token_expiry_unix_secs": int(time.time()) - 60}
    found = stream(lab, SMALL, endpoint=lab.url("xet.cas"), **stale)
    assert found["sha256"] == SMALL.sha256
    assert lab.counters.requests("xet.token") == 1


def test_tokens_stay_where_they_belong(lab: Lab, stream: Any) -> None:
    assert stream(lab, BIG)["error"] is None
    assert lab.counters.token_origins(lab.hf.token) == {"hf.api"}
    tokens = [token for token in lab.counters.snapshot()["tokens"] if token.count(".") == 2]
    assert tokens
    assert {origin for token in tokens for origin in lab.counters.token_origins(token)} == {
        "xet.cas"
    }


def test_storage_asks_for_a_good_token(lab: Lab) -> None:
    lab.hf.repos.create("model", "your-org/other", files={"other.bin": b"other"})
    for token, status in (
        ("", 401),
        ("never.given.out", 401),
        (cas_token(lab, seconds=-1), 401),
        (cas_token(lab, repo_id="your-org/other"), 404),
        (cas_token(lab), 200),
    ):
        assert reconstruct(lab, SMALL, Authorization=f"Bearer {token}")[0] == status


def test_reconstruction_range(lab: Lab) -> None:
    status, answer = reconstruct(lab, BIG, Range=f"bytes={XORB_BYTES - 1}-{BIG.size + 99}")
    assert status == 200
    assert answer["offset_into_first_range"] == CHUNK_BYTES - 1
    assert [term["range"]["start"] for term in answer["terms"]] == [1007, 0, 0]
    assert sum(term["unpacked_length"] for term in answer["terms"]) == (
        BIG.size - XORB_BYTES + CHUNK_BYTES
    )
    assert reconstruct(lab, BIG, Range=f"bytes={BIG.size}-")[0] == 416


def test_xorb_address_is_good_for_one_range(lab: Lab) -> None:
    _, answer = reconstruct(lab, SMALL)
    ((fetch,),) = answer["fetch_info"].values()
    end = fetch["url_range"]["end"]
    status, body = get(fetch["url"], Range=f"bytes=0-{end}")
    assert status == 206
    assert body[8:] == SMALL.read(0, SMALL.size)
    assert get(fetch["url"])[0] == 403
    assert get(fetch["url"], Range="bytes=0-1")[0] == 403
    other = fetch["url"].replace(f"0-{end}", "0-1")
    assert get(other, Range="bytes=0-1")[0] == 403


def test_xorb_address_expires() -> None:
    with Lab(LabConfig(signed_url_seconds=0)) as lab:
        lab.hf.repos.create("model", REPO, files={"small.bin": SMALL})
        _, answer = reconstruct(lab, SMALL)
        ((fetch,),) = answer["fetch_info"].values()
        assert get(fetch["url"], Range=f"bytes=0-{fetch['url_range']['end']}")[0] == 403


def test_refused_xorb_is_asked_for_again(lab: Lab, stream: Any) -> None:
    lab.faults.add(Fault("xet.xorb", "status", status=403))
    assert stream(lab, SMALL)["sha256"] == SMALL.sha256
    assert lab.counters.requests("xet.reconstruction") == 2


def test_corrupt_byte_is_delivered_as_it_is(lab: Lab, stream: Any) -> None:
    """hf_xet does not compare hashes on the way down: whoever copies has to."""
    lab.faults.add(Fault("xet.xorb", "corrupt", match="bytes=0-"))
    found = stream(lab, SMALL)
    assert found["error"] is None
    assert found["length"] == SMALL.size
    assert found["sha256"] != SMALL.sha256


def test_truncated_xorb_is_asked_for_again(lab: Lab, stream: Any) -> None:
    lab.faults.add(Fault("xet.xorb", "truncate"))
    assert stream(lab, SMALL)["sha256"] == SMALL.sha256
    assert lab.counters.requests("xet.xorb") == 2


def test_private_and_gated_repositories_need_their_people(lab: Lab) -> None:
    repo = lab.hf.repos.create("model", "your-org/closed", is_private=True)
    repo.commit({"a.bin": b"a"})
    assert token_status(lab, repo) == 401
    assert token_status(lab, repo, lab.hf.other_token) == 404
    assert token_status(lab, repo, lab.hf.read_token) == 200
    repo.is_private, repo.gated = False, "manual"
    assert token_status(lab, repo, lab.hf.other_token) == 403
    assert token_status(lab, repo, lab.hf.read_token) == 200
    assert token_status(lab, repo, "unknown") == 401
    assert token_status(lab, repo, lab.hf.read_token, revision="gone") == 404


def token_status(lab: Lab, repo: Repo, token: str = "", revision: str = "main") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{lab.hf.endpoint}/api/models/{repo.id}/xet-read-token/{revision}"
    return get(url, **headers)[0]


def test_snapshot_download_reads_through_xet(lab: Lab, run: Any) -> None:
    folder = Path(run(SNAPSHOT, REPO, lab.hf.endpoint, lab.hf.token))
    for path, content in (("big.bin", BIG), ("small.bin", SMALL), ("same.bin", SAME)):
        with (folder / path).open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == content.sha256
    assert (folder / "config.json").read_bytes() == b"{}"
    assert lab.counters.bytes_out("xet.xorb") > BIG.size
    assert lab.counters.requests("hf.cdn") == 0
