"""The Hugging Face hub of the lab with the unmodified huggingface_hub, in both roles.

Every client run is a process of its own with its own HOME, because the client reads its settings
when it is imported.
"""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from hubferry.lab.config import LabConfig
from hubferry.lab.content import SyntheticContent
from hubferry.lab.faults import Fault
from hubferry.lab.hf_card import parse_card
from hubferry.lab.hf_rules import matches
from hubferry.lab.repos import Repo
from hubferry.lab.server import Lab

CARD = b"---\nlicense: mit\npipeline_tag: text-generation\ntags:\n- chat\n---\n# A model\n"
CONFIG = json.dumps({"model_type": "gpt2", "architectures": ["GPT2"], "x": "y" * 2000}).encode()
WEIGHTS = SyntheticContent(3_000_001, "weights")
REPO = "microsoft/dialog"

PRELUDE = """
import json, os, sys
from huggingface_hub import HfApi, CommitOperationAdd, CommitOperationDelete, snapshot_download
from huggingface_hub import errors

job = json.loads(sys.argv[1])
api = HfApi(endpoint=os.environ["HF_ENDPOINT"], token=job.get("token", False))

def attempt(call):
    try:
        return {"value": call(), "error": None}
    except Exception as exc:
        response = getattr(exc, "response", None)
        status = response.status_code if response is not None else None
        return {"value": None, "error": type(exc).__name__, "status": status, "text": str(exc)}

def show(value):
    print(json.dumps(value, default=str))
"""

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def hf_lab() -> Iterator[Lab]:
    with Lab(LabConfig()) as lab:
        files = {"README.md": CARD, "config.json": CONFIG, "sub/dir/a b#%.txt": b"hello"}
        lab.hf.repos.create("model", REPO).commit({**files, "model.safetensors": WEIGHTS})
        lab.hf.repos.create("model", "gpt2").commit({"a/b/config.json": CONFIG})
        gated = lab.hf.repos.create("model", "stranger/gated", created_by="other-user")
        gated.commit({"config.json": CONFIG, "model.safetensors": WEIGHTS})
        gated.gated = "manual"
        gated.granted.add("other-user")
        yield lab


@pytest.fixture
def lab(hf_lab: Lab) -> Iterator[Lab]:
    hf_lab.faults.clear()
    hf_lab.counters.reset()
    yield hf_lab
    hf_lab.faults.clear()


@pytest.fixture
def run(run_python: Callable[..., CompletedProcess[str]], hf_lab: Lab) -> Run:
    """Run a client script, without Xet unless asked for; return what it shows."""

    def run_script(script: str, *, xet: bool = False, endpoint: str = "", **job: Any) -> Any:
        done = run_python(
            PRELUDE + script,
            json.dumps(job),
            HF_ENDPOINT=endpoint or hf_lab.hf.endpoint,
            HF_HUB_DISABLE_PROGRESS_BARS="1",
            HF_HUB_DISABLE_XET="0" if xet else "1",
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return run_script


def repo_of(lab: Lab, repo_id: str) -> Repo:
    found = lab.hf.repos.get("model", repo_id)
    assert found is not None
    return found


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def get(url: str, token: str | None = None, **headers: str) -> tuple[int, Any, bytes]:
    """GET without following redirects."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_args: Any) -> None:
            return None

    if token:
        headers["Authorization"] = f"Bearer {token}"
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, headers=names)
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.headers, exc.read()


def test_describes_repositories_refs_and_history(lab: Lab, run: Run) -> None:
    repo = repo_of(lab, REPO)
    repo.tag("v1")
    shown = run(
        """
info = api.repo_info(job["repo"], files_metadata=True)
some = api.model_info(job["repo"], expand=["sha", "gated"], revision="refs/heads/main")
refs = api.list_repo_refs(job["repo"], include_pull_requests=True)
paths = api.get_paths_info(job["repo"], ["sub", "config.json", "no"], expand=True)
show({
    "who": api.whoami(), "sha": info.sha, "tags": info.tags, "card": info.card_data.to_dict(),
    "sizes": {s.rfilename: s.size for s in info.siblings}, "private": info.private,
    "some": [some.sha, some.gated, some.siblings], "refs": [r.name for r in refs.branches],
    "tag": refs.tags[0].target_commit, "one": api.repo_info("gpt2").id,
    "commits": [c.title for c in api.list_repo_commits(job["repo"], revision="v1")],
    "paths": [p.path for p in paths], "safe": paths[1].security.safe,
    "write": attempt(lambda: api.auth_check(job["repo"], write=True)),
})
""",
        repo=REPO,
        token=lab.hf.token,
    )
    head = repo.head()
    assert head is not None
    assert shown["who"]["name"] == "lab-user"
    assert shown["who"]["auth"]["accessToken"]["role"] == "write"
    assert shown["sha"] == shown["tag"] == head.id
    assert {"text-generation", "chat", "license:mit"} <= set(shown["tags"])
    assert shown["card"]["license"] == "mit"
    assert shown["sizes"]["model.safetensors"] == WEIGHTS.size
    assert shown["some"] == [head.id, False, None]
    assert shown["refs"] == ["main"]
    assert shown["one"] == "gpt2"
    assert shown["commits"] == ["update"]
    assert shown["paths"] == ["sub", "config.json"]
    assert shown["safe"] is True
    assert shown["write"]["error"] is None


def test_lists_2500_files_by_pages(lab: Lab, run: Run) -> None:
    repo = lab.hf.repos.create("model", "your-org/many")
    repo.commit({f"d{n % 4}/f{n}.txt": b"%d" % n for n in range(2500)})
    shown = run(
        """
entries = list(api.list_repo_tree(job["repo"], recursive=True))
show({
    "files": sorted(e.path for e in entries if hasattr(e, "blob_id")),
    "folders": sorted(e.path for e in entries if not hasattr(e, "blob_id")),
    "oid": next(e.blob_id for e in entries if e.path == "d1/f1.txt"),
    "sub": len(list(api.list_repo_tree(job["repo"], "d1"))),
    "expanded": len(list(api.list_repo_tree(job["repo"], "d2", expand=True))),
    "missing": attempt(lambda: list(api.list_repo_tree(job["repo"], "no"))),
})
""",
        repo=repo.id,
        token=lab.hf.token,
    )
    assert shown["files"] == sorted(repo.tree())
    assert shown["folders"] == ["d0", "d1", "d2", "d3"]
    assert shown["oid"] == repo.tree()["d1/f1.txt"].oid
    assert shown["sub"] == shown["expanded"] == 625
    assert shown["missing"]["error"] == "RemoteEntryNotFoundError"
    assert lab.counters.requests("hf.tree") == 3 + 1 + 13 + 1


@pytest.mark.parametrize("xet", [False, True])
def test_snapshot_download(lab: Lab, run: Run, tmp_path: Path, xet: bool) -> None:
    shown = run(
        'show(snapshot_download(job["repo"], endpoint=api.endpoint, token=api.token))',
        xet=xet,
        repo=REPO,
        token=lab.hf.read_token,
    )
    folder = Path(shown)
    assert folder.name == repo_of(lab, REPO).branches["main"]
    assert sha256_of(folder / "model.safetensors") == WEIGHTS.sha256
    assert (folder / "config.json").read_bytes() == CONFIG
    assert (folder / "sub/dir/a b#%.txt").read_bytes() == b"hello"
    assert lab.counters.bytes_out("hf.cdn") == (0 if xet else WEIGHTS.size)
    assert (lab.counters.bytes_out("xet.xorb") > 0) is xet
    assert lab.counters.token_origins(lab.hf.read_token) == {"hf.api"}


def test_download_with_a_one_segment_id_and_without_a_token(lab: Lab, run: Run) -> None:
    shown = run('show(api.hf_hub_download("gpt2", "a/b/config.json"))')
    assert Path(shown).read_bytes() == CONFIG


UPLOAD = """
api.create_repo(job["repo"], private=True)
again = api.create_repo(job["repo"], exist_ok=True)
first = api.upload_folder(repo_id=job["repo"], folder_path=job["folder"], commit_message="all")
second = api.upload_folder(repo_id=job["repo"], folder_path=job["folder"])
third = api.upload_file(repo_id=job["repo"], path_or_fileobj=b"new", path_in_repo="x/new.txt")
gone = api.delete_file("x/new.txt", job["repo"])
api.delete_folder("deep", job["repo"])
api.create_branch(job["repo"], branch="dev/one", revision=first.oid)
api.create_branch(job["repo"], branch="dev/one", exist_ok=True)
api.create_tag(job["repo"], tag="v1", revision=first.oid)
api.upload_file(repo_id=job["repo"], path_or_fileobj=b"b", path_in_repo="b.txt", revision="dev/one")
pull = api.upload_file(
    repo_id=job["repo"], path_or_fileobj=b"p", path_in_repo="p.txt", create_pr=True
)
stale = attempt(lambda: api.upload_file(
    repo_id=job["repo"], path_or_fileobj=b"s", path_in_repo="s.txt", parent_commit=first.oid
))
pr_files = api.list_repo_files(job["repo"], revision=pull.pr_revision)
api.delete_tag(job["repo"], tag="v1")
api.update_repo_settings(job["repo"], private=False, gated="auto")
info = api.repo_info(job["repo"])
files = api.list_repo_files(job["repo"])
show({
    "url": again.repo_id, "first": first.oid, "second": second.oid, "third": third.oid,
    "stale": stale, "pr": pull.pr_revision, "pr_files": pr_files, "files": files,
    "private": info.private, "gated": info.gated,
})
"""


def test_upload_without_xet(lab: Lab, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "README.md").write_bytes(CARD)
    (folder / "deep/er/x.json").write_bytes(b"{}")
    (folder / "small.bin").write_bytes(b"\0" * 100)
    (folder / "empty.bin").write_bytes(b"")
    large = SyntheticContent(36_000_000, "parts")
    (folder / "large.safetensors").write_bytes(large.read(0, large.size))
    shown = run(UPLOAD, repo="your-org/up", folder=str(folder), token=lab.hf.token)
    repo = repo_of(lab, "your-org/up")
    kept = {".gitattributes", "README.md", "empty.bin", "large.safetensors", "small.bin"}
    assert shown["url"] == "your-org/up"
    assert shown["second"] == shown["first"]
    assert set(shown["files"]) == kept
    assert (shown["private"], shown["gated"]) == (False, "auto")
    assert (shown["stale"]["error"], shown["stale"]["status"]) == ("HfHubHTTPError", 412)
    assert shown["pr"] == "refs/pr/1"
    assert set(shown["pr_files"]) == kept | {"p.txt"}
    tree = repo.tree()
    assert tree["large.safetensors"].sha256 == large.sha256
    assert {path for path, file in tree.items() if file.is_lfs} == {
        "large.safetensors", "small.bin"
    }  # fmt: skip
    assert repo.read("b.txt", "dev/one") == b"b"
    assert "deep/er/x.json" in repo.tree("dev/one")
    assert repo.tags == {}
    assert lab.counters.bytes_in("hf.put") == large.size + 100
    assert lab.counters.requests("hf.complete") == 1
    assert lab.counters.token_origins(lab.hf.token) == {"hf.api"}


def test_datasets_in_both_roles(lab: Lab, run: Run) -> None:
    shown = run(
        """
kind = {"repo_id": "your-org/data", "repo_type": "dataset"}
api.create_repo(**kind, private=True)
api.upload_file(**kind, path_or_fileobj=b"PAR1" * 50, path_in_repo="d/x.parquet")
name = api.hf_hub_download(**kind, filename="d/x.parquet")
show({"bytes": open(name, "rb").read().decode(), "id": api.dataset_info("your-org/data").id})
""",
        token=lab.hf.token,
    )
    assert shown == {"bytes": "PAR1" * 50, "id": "your-org/data"}
    assert lab.counters.requests("hf.put") == 1


def test_a_dropped_blob_is_found_out_by_verify(lab: Lab, run: Run) -> None:
    lab.hf.repos.create("model", "your-org/dropped").commit({"README.md": CARD})
    lab.faults.add(Fault("hf.put", "drop_blob"))
    script = """
def upload():
    return api.upload_file(
        repo_id="your-org/dropped", path_or_fileobj=b"seen nowhere else", path_in_repo="m.bin"
    ).oid
show([attempt(upload), attempt(upload)])
"""
    first, second = run(script, token=lab.hf.token)
    assert first["error"] == "RuntimeError"
    assert second["value"] == repo_of(lab, "your-org/dropped").branches["main"]


def test_refusals_are_the_errors_the_client_knows(lab: Lab, run: Run) -> None:
    shut = lab.hf.repos.create("model", "your-org/shut")
    shut.commit({"config.json": b"{}"})
    shut.is_disabled = True
    secret = lab.hf.repos.create("model", "your-org/secret", is_private=True)
    secret.commit({"config.json": b"{}"})
    script = """
def info(repo, token, **more):
    return attempt(lambda: api.repo_info(repo, token=token, **more).sha)
def file(repo, token, name="config.json"):
    return attempt(lambda: api.hf_hub_download(repo, name, token=token))
show({
    "missing": info("no/such", False), "missing_known": info("no/such", job["known"]),
    "dataset": info("gpt2", False, repo_type="dataset"),
    "secret": info("your-org/secret", False), "shut": info("your-org/shut", False),
    "other": info("your-org/secret", job["other"]), "mine": info("your-org/secret", job["known"]),
    "bad_token": info("gpt2", "hf_wrong"), "who": attempt(lambda: api.whoami(token="hf_wrong")),
    "revision": info("gpt2", False, revision="nope"), "entry": file("gpt2", False, "nope.txt"),
    "gated": info("stranger/gated", False), "gated_file": file("stranger/gated", False),
    "gated_known": file("stranger/gated", job["known"]),
    "gated_check": attempt(lambda: api.auth_check("stranger/gated", token=job["known"])),
    "gated_granted": file("stranger/gated", job["other"]),
    "read_only": attempt(lambda: api.upload_file(
        repo_id="your-org/secret", path_or_fileobj=b"x", path_in_repo="x", token=job["read"])),
    "namespace": attempt(lambda: api.create_repo("stranger/x", token=job["known"])),
    "card": attempt(lambda: api.upload_file(repo_id="your-org/secret", path_in_repo="README.md",
        path_or_fileobj=b"---\\ntags: no list\\n---\\n", token=job["known"])),
    "delete": attempt(lambda: api.delete_file("no.txt", "your-org/secret", token=job["known"])),
})
"""
    hf = lab.hf
    shown = run(script, known=hf.token, read=hf.read_token, other=hf.other_token)
    expected = {
        "missing": ("RepositoryNotFoundError", 401),
        "missing_known": ("RepositoryNotFoundError", 404),
        "dataset": ("RepositoryNotFoundError", 401),
        "secret": ("RepositoryNotFoundError", 401),
        "other": ("RepositoryNotFoundError", 404),
        "shut": ("DisabledRepoError", 403),
        "bad_token": ("HfHubHTTPError", 401),
        "who": ("HfHubHTTPError", 401),
        "revision": ("RevisionNotFoundError", 404),
        "entry": ("RemoteEntryNotFoundError", 404),
        "gated_file": ("GatedRepoError", 401),
        "gated_known": ("GatedRepoError", 403),
        "gated_check": ("GatedRepoError", 403),
        "read_only": ("HfHubHTTPError", 403),
        "namespace": ("HfHubHTTPError", 403),
        "card": ("ValueError", None),
        "delete": ("RemoteEntryNotFoundError", 404),
    }
    found = {name: (shown[name]["error"], shown[name].get("status")) for name in expected}
    assert found == expected
    assert [shown[name]["error"] for name in ("mine", "gated", "gated_granted")] == [None] * 3


def test_resolve_describes_and_redirects(lab: Lab) -> None:
    base = f"{lab.hf.endpoint}/{REPO}/resolve/main"
    commit = repo_of(lab, REPO).branches["main"]
    status, headers, _ = get(f"{base}/model.safetensors", lab.hf.token)
    assert status == 302
    assert headers["X-Repo-Commit"] == commit
    assert headers["X-Linked-Etag"] == f'"{WEIGHTS.sha256}"'
    assert headers["X-Linked-Size"] == str(WEIGHTS.size)
    assert 'rel="xet-auth"' in headers["Link"]
    assert headers["RateLimit"].startswith('"resolvers";r=')
    status, headers, body = get(headers["Location"], Range="bytes=1000-1999")
    assert (status, body) == (206, bytes(WEIGHTS.read(1000, 2000)))
    assert headers["Content-Range"] == f"bytes 1000-1999/{WEIGHTS.size}"

    status, headers, _ = get(f"{base}/config.json")
    assert (status, headers["X-Linked-Size"]) == (307, str(len(CONFIG)))
    cached = lab.hf.endpoint + headers["Location"]
    status, headers, body = get(cached, Range="bytes=10-19")
    assert (status, body) == (206, CONFIG[10:20])
    status, headers, body = get(cached, Accept_Encoding="gzip", Range="bytes=10-19")
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert headers["Content-Length"] is None


def test_signed_addresses_expire() -> None:
    with Lab(LabConfig(signed_url_seconds=-1)) as lab:
        lab.hf.repos.create("model", "gpt2").commit({"m.bin": b"1234"})
        _, headers, _ = get(f"{lab.hf.endpoint}/gpt2/resolve/main/m.bin")
        status, _, body = get(headers["Location"])
        assert (status, b"expired" in body) == (403, True)
        status, _, _ = get(headers["Location"].partition("?")[0])
        assert status == 403


def test_another_server_can_hand_out_the_large_files() -> None:
    with Lab(LabConfig(cdn_url="http://127.0.0.1:9")) as lab:
        repo = lab.hf.repos.create("model", "gpt2")
        repo.commit({"m.bin": b"1234"})
        sha256 = repo.tree()["m.bin"].sha256
        _, headers, _ = get(f"{lab.hf.endpoint}/gpt2/resolve/main/m.bin")
        place = f"http://127.0.0.1:9/repos/{sha256[:2]}/{sha256[2:4]}/{sha256}?"
        assert headers["Location"].startswith(place)


def test_quotas_are_counted_told_and_kept(run: Run) -> None:
    config = LabConfig(anonymous_api_quota=2, rate_window_seconds=2, api_quota=50)
    with Lab(config) as lab:
        lab.hf.repos.create("model", "gpt2").commit({"a.txt": b"a"})
        url = f"{lab.hf.endpoint}/api/models/gpt2"
        answers = [get(url) for _ in range(3)]
        assert [status for status, _, _ in answers] == [200, 200, 429]
        assert answers[2][1]["RateLimit"].startswith('"api";r=0;t=')
        assert answers[2][1]["RateLimit-Policy"] == '"fixed window";"api";q=2;w=2'
        assert get(url, lab.hf.token)[1]["RateLimit"].startswith('"api";r=49;')
        shown = run('show([e.path for e in api.list_repo_tree("gpt2")])', endpoint=lab.hf.endpoint)
        assert shown == ["a.txt"]


def test_card_front_matter() -> None:
    card = parse_card("---\nlicense: mit # yes\ntags: [a, 'b c']\nmodel-index:\n- name: x\n---\n")
    assert (card.data["license"], card.data["tags"], card.errors) == ("mit", ["a", "b c"], [])
    assert parse_card("# only text").warnings
    assert parse_card("---\nlicense: mit\n").errors
    assert parse_card("---\nno colon\n---\n").errors


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("a/b.bin", "*.bin", True),
        ("build/x.py", "build/", True),
        ("build", "build/", False),
        ("saved_model/a/b", "saved_model/**/*", True),
        ("x/saved_model/a", "saved_model/**/*", False),
        ("events.tfevents.1", "*tfevents*", True),
    ],
)
def test_git_patterns(path: str, pattern: str, fits: bool) -> None:
    assert matches(path, [pattern]) is fits
