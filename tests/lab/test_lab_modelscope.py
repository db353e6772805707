"""The ModelScope hub: its rules over the wire, and the unmodified official client against it."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from hubferry.lab.config import LabConfig
from hubferry.lab.content import SyntheticContent
from hubferry.lab.faults import Fault
from hubferry.lab.repos import Repo
from hubferry.lab.server import Lab

from .conftest import RunPython

REPO = "your-org/model"
EMPTY = LabConfig(make_first_files=False)


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of one answer; redirects are not followed."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        """The envelope's data."""
        return self.json["Data"]


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Stay)


def call(
    lab: Lab,
    method: str,
    path: str,
    data: Any = None,
    *,
    token: str | None = "",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Make one request; ``path`` may be an address; the empty token is the lab's own."""
    url = path if "://" in path else lab.ms.endpoint + path
    body = data if isinstance(data, bytes) else json.dumps(data).encode() if data else None
    request = urllib.request.Request(url, body, dict(headers or {}), method=method)
    if token is not None:
        request.add_header("Authorization", f"Bearer {token or lab.ms.token}")
    try:
        with _OPENER.open(request, timeout=10) as response:
            return Answer(response.status, dict(response.headers), response.read())
    except urllib.error.HTTPError as exc:
        with exc:
            return Answer(exc.code, dict(exc.headers), exc.read())


def seeded(lab: Lab, **files: bytes) -> Repo:
    """Make the model with these files (``_`` in a name stands for ``.``)."""
    repo = lab.ms.repos.create("model", REPO)
    repo.commit({name.replace("_", "."): data for name, data in files.items()})
    return repo


def inline(path: str, data: bytes) -> dict[str, Any]:
    """Return an action that commits a regular file."""
    content = base64.b64encode(data).decode()
    action = {"action": "create", "type": "normal", "path": path, "size": len(data)}
    return {**action, "sha256": "", "content": content, "encoding": "base64"}


def pointer(path: str, data: bytes) -> dict[str, Any]:
    """Return an action that commits an LFS file."""
    digest = hashlib.sha256(data).hexdigest()
    action = {"action": "create", "type": "lfs", "path": path, "size": len(data)}
    return {**action, "sha256": digest, "content": "", "encoding": ""}


def commit(lab: Lab, *actions: dict[str, Any], branch: str = "master", token: str = "") -> Answer:
    """Commit to the model."""
    path = f"/api/v1/repos/models/{REPO}/commit/{branch}"
    return call(lab, "POST", path, {"commit_message": "m", "actions": actions}, token=token)


def batch(lab: Lab, *blobs: bytes) -> Any:
    """Ask which of these blobs must be uploaded; return oid -> address."""
    objects = [{"oid": hashlib.sha256(b).hexdigest(), "size": len(b)} for b in blobs]
    body = {"operation": "upload", "objects": objects}
    answer = call(lab, "POST", f"/api/v1/repos/models/{REPO}/info/lfs/objects/batch", body)
    return {o["oid"]: o["actions"]["upload"]["href"] for o in answer.data["objects"]}


def listed(lab: Lab, **params: str) -> list[str]:
    """Return the paths of a model listing."""
    query = "&".join(f"{name}={quote(value)}" for name, value in params.items())
    answer = call(lab, "GET", f"/api/v1/models/{REPO}/repo/files?{query}")
    return [entry["Path"] for entry in answer.data["Files"]]


# --- reading ------------------------------------------------------------------------------------


def test_a_listing_has_folders_and_files_with_digests(lab: Lab) -> None:
    repo = lab.ms.repos.create("model", REPO)
    repo.commit({"a/b/c.txt": b"c", "a/w.safetensors": b"weights", "z": b""})
    assert listed(lab, Recursive="True") == ["a", "a/b", "a/b/c.txt", "a/w.safetensors", "z"]
    assert listed(lab, Recursive="False") == ["a", "z"]
    assert listed(lab, Recursive="False", Root="a") == ["a/b", "a/w.safetensors"]
    assert listed(lab, Root="/nowhere") == []
    files = call(lab, "GET", f"/api/v1/models/{REPO}/repo/files?Recursive=True").data["Files"]
    entries = {entry["Path"]: entry for entry in files}
    assert entries["a/b/c.txt"]["Sha256"] == hashlib.sha256(b"c").hexdigest()
    assert entries["a/w.safetensors"]["IsLFS"]
    assert not entries["a/b/c.txt"]["IsLFS"]
    assert entries["a"]["Type"] == "tree"


@pytest.mark.parametrize("lab", [LabConfig(listing_cap=10)], indirect=True)
def test_a_long_listing_is_cut_without_a_word(lab: Lab) -> None:
    repo = lab.ms.repos.create("model", REPO)
    repo.commit({f"d{n % 2}/{n:03}": b"x" for n in range(18)})
    assert len(listed(lab, Recursive="True")) == 10
    assert len(listed(lab, Recursive="True", Root="d1")) == 9


def test_a_dataset_listing_has_pages(lab: Lab) -> None:
    repo = lab.ms.repos.create("dataset", "your-org/data")
    repo.commit({f"{n:03}": b"x" for n in range(25)})
    path = "/api/v1/datasets/your-org/data/repo/tree?Recursive=True&PageSize=10&PageNumber="
    sizes = [len(call(lab, "GET", f"{path}{n}").data["Files"]) for n in (1, 2, 3, 4)]
    assert sizes == [10, 10, 5, 0]


def test_a_regular_file_is_sent_whole_whatever_range_says(lab: Lab) -> None:
    seeded(lab, config_json=b"0123456789")
    path = f"/api/v1/models/{REPO}/repo?Revision=master&FilePath=config.json"
    answer = call(lab, "GET", path, headers={"Range": "bytes=5-"})
    assert (answer.status, answer.body) == (200, b"0123456789")


def test_an_lfs_file_is_a_redirect_to_another_origin_that_honours_range(lab: Lab) -> None:
    seeded(lab, w_bin=b"0123456789")
    answer = call(lab, "GET", f"/api/v1/models/{REPO}/repo?FilePath=w.bin")
    assert answer.status == 302
    location = answer.headers["Location"]
    assert urlsplit(location).netloc != urlsplit(lab.ms.endpoint).netloc
    part = call(lab, "GET", location, token=None, headers={"Range": "bytes=5-7"})
    assert (part.status, part.body) == (206, b"567")
    assert part.headers["Content-Range"] == "bytes 5-7/10"
    assert part.headers["X-Linked-ETag"].strip('"') == hashlib.sha256(b"0123456789").hexdigest()
    beyond = call(lab, "GET", location, token=None, headers={"Range": "bytes=10-"})
    assert beyond.status == 416
    forged = location.replace("Signature=", "Signature=0")
    assert call(lab, "GET", forged, token=None).status == 403


@pytest.mark.parametrize("lab", [LabConfig(signed_url_seconds=0.1)], indirect=True)
def test_signed_addresses_expire(lab: Lab) -> None:
    seeded(lab, w_bin=b"0123456789")
    read = call(lab, "GET", f"/api/v1/models/{REPO}/repo?FilePath=w.bin").headers["Location"]
    (write,) = batch(lab, b"new").values()
    time.sleep(0.15)
    assert call(lab, "GET", read, token=None).status == 403
    assert call(lab, "PUT", write, b"new").status == 403


def test_files_are_found_at_tags_and_commits(lab: Lab) -> None:
    repo = seeded(lab, a=b"old")
    first = repo.commit({"b": b"b"})
    answer = call(lab, "POST", f"/api/v1/models/{REPO}/repo/tag", {"TagName": "v1", "Ref": first})
    assert answer.status == 200
    repo.commit({"a": b"new"})
    for revision, data in (("v1", b"old"), (first, b"old"), ("master", b"new")):
        path = f"/api/v1/models/{REPO}/repo?FilePath=a&Revision={revision}"
        assert call(lab, "GET", path).body == data
    assert call(lab, "GET", f"/api/v1/models/{REPO}/repo?FilePath=a&Revision=v9").status == 404
    refs = call(lab, "GET", f"/api/v1/models/{REPO}/revisions").data["RevisionMap"]
    assert [ref["Revision"] for ref in refs["Branches"] + refs["Tags"]] == ["master", "v1"]


# --- access -------------------------------------------------------------------------------------


def test_private_repositories_do_not_exist_for_strangers(lab: Lab) -> None:
    lab.ms.repos.create("model", REPO, is_private=True).commit({"a": b"a"})
    path = f"/api/v1/models/{REPO}"
    assert call(lab, "GET", path).data["Visibility"] == 1
    assert call(lab, "GET", path, token=None, headers={
        "Cookie": f"m_session_id={lab.ms.token}"
    }).status == 200  # fmt: skip
    assert call(lab, "GET", path, token=None).status == 404
    assert call(lab, "GET", path, token=lab.ms.other_token).status == 404
    assert call(lab, "GET", path, token="nobody's").status == 401
    assert call(lab, "GET", f"/openapi/v1/models/{REPO}").status == 404


def test_tokens_have_tiers(lab: Lab) -> None:
    seeded(lab, a=b"a")
    action = inline("b", b"b")
    assert commit(lab, action, token=lab.ms.read_token).status == 403
    assert commit(lab, action, token=lab.ms.other_token).status == 403
    assert commit(lab, action, token=lab.ms.write_token).status == 200
    path = f"/api/v1/models/{REPO}"
    refused = call(lab, "DELETE", path, token=lab.ms.write_token)
    assert (refused.status, "deletion" in refused.json["Message"]) == (403, True)
    assert call(lab, "DELETE", path).status == 200
    assert call(lab, "GET", path).status == 404


def test_login_answers(lab: Lab) -> None:
    def login(token: str) -> Answer:
        return call(lab, "POST", "/api/v1/login", {"AccessToken": token}, token=None)

    assert login(lab.ms.token).data["Username"] == "lab-user"
    assert login(lab.ms.read_token).status == 403
    bad = login("nobody's")
    assert (bad.status, bad.json["Code"], bad.json["Success"]) == (400, 10010103009, False)
    assert call(lab, "GET", "/openapi/v1/users/me", token="nobody's").status == 401


# --- creating -----------------------------------------------------------------------------------


def test_a_new_repository_has_first_files_and_keeps_what_it_was_told(lab: Lab) -> None:
    body = {"Path": "your-org", "Name": "model", "Visibility": 1, "License": "mit"}
    created = call(lab, "POST", "/api/v1/models", body).data
    assert (created["Visibility"], created["License"]) == (1, "mit")
    assert listed(lab, Recursive="True") == [".gitattributes", "README.md"]
    again = call(lab, "POST", "/api/v1/models", body)
    assert (again.status, again.json["Code"]) == (400, 10010101001)
    elsewhere = call(lab, "POST", "/api/v1/models", {**body, "Path": "someone"})
    assert elsewhere.status == 403


@pytest.mark.parametrize("lab", [EMPTY], indirect=True)
def test_an_empty_repository_can_be_listed_and_has_no_branches(lab: Lab) -> None:
    body = {"Path": "your-org", "Name": "model", "Visibility": 5}
    assert call(lab, "POST", "/api/v1/models", body).status == 200
    assert listed(lab, Recursive="True") == []
    refs = call(lab, "GET", f"/api/v1/models/{REPO}/revisions").data["RevisionMap"]
    assert refs == {"Branches": [], "Tags": []}
    assert commit(lab, inline("a", b"a")).status == 200
    assert listed(lab) == ["a"]


# --- blobs --------------------------------------------------------------------------------------


def test_a_batch_names_only_what_is_missing_from_the_whole_hub(lab: Lab) -> None:
    seeded(lab)
    lab.ms.repos.create("model", "other/model").commit({"w.bin": b"stored", "a.txt": b"regular"})
    wanted = batch(lab, b"stored", b"new", b"new", b"regular")
    assert set(wanted) == {hashlib.sha256(data).hexdigest() for data in (b"new", b"regular")}
    href = wanted[hashlib.sha256(b"new").hexdigest()]
    assert urlsplit(href).netloc != urlsplit(lab.ms.endpoint).netloc
    assert call(lab, "PUT", href, b"now").status == 400
    assert call(lab, "PUT", href, b"new").json["Success"]
    assert set(batch(lab, b"new", b"regular")) == {hashlib.sha256(b"regular").hexdigest()}


def test_a_dropped_blob_is_answered_well_and_asked_for_again(lab: Lab) -> None:
    seeded(lab)
    lab.faults.add(Fault("ms.put", "drop_blob"))
    (href,) = batch(lab, b"new").values()
    assert call(lab, "PUT", href, b"new").status == 200
    assert batch(lab, b"new")
    refused = commit(lab, pointer("w.bin", b"new"))
    assert (refused.status, "exist" in refused.json["Message"]) == (400, True)


@pytest.mark.parametrize("lab", [LabConfig(check_blobs_on_commit=False)], indirect=True)
def test_a_hub_that_does_not_check_commits_pointers_to_nothing(lab: Lab) -> None:
    seeded(lab)
    assert commit(lab, pointer("w.bin", b"never sent")).status == 200
    assert listed(lab) == ["w.bin"]
    location = call(lab, "GET", f"/api/v1/models/{REPO}/repo?FilePath=w.bin").headers["Location"]
    assert call(lab, "GET", location).status == 404


@pytest.mark.parametrize(
    "lab", [LabConfig(discard_blobs=True, max_put_bytes=1 << 20)], indirect=True
)
def test_a_discarding_hub_knows_digests_and_has_no_bytes(lab: Lab) -> None:
    seeded(lab)
    (href,) = batch(lab, b"new").values()
    assert call(lab, "PUT", href, b"new").status == 200
    assert commit(lab, pointer("w.bin", b"new")).status == 200
    location = call(lab, "GET", f"/api/v1/models/{REPO}/repo?FilePath=w.bin").headers["Location"]
    assert call(lab, "GET", location).status == 404
    large = bytes((1 << 20) + 1)
    (href,) = batch(lab, large).values()
    assert call(lab, "PUT", href, large).status == 413


def test_another_server_can_take_the_uploads(tmp_path: Path) -> None:
    config = LabConfig(store_url="http://127.0.0.1:9", store_folder=tmp_path)
    with Lab(config) as lab:
        seeded(lab)
        oid = hashlib.sha256(b"new").hexdigest()
        (href,) = batch(lab, b"new").values()
        assert href.startswith(f"http://127.0.0.1:9/{oid}?")
        assert commit(lab, pointer("w.bin", b"new")).status == 400
        (tmp_path / oid).write_bytes(b"new")
        assert batch(lab, b"new") == {}
        assert commit(lab, pointer("w.bin", b"new")).status == 200
        lab.ms.repos.blobs.drop(oid)
        assert not (tmp_path / oid).exists()
        assert oid not in lab.ms.repos.blobs


# --- commits ------------------------------------------------------------------------------------


def test_a_commit_creates_replaces_and_deletes(lab: Lab) -> None:
    repo = seeded(lab, a=b"old", b=b"b")
    answer = commit(lab, inline("a", b"new"), {"action": "delete", "path": "b"})
    assert repo.head() is not None
    assert answer.data["CommitId"] == repo.branches["master"]
    assert {path: repo.read(path) for path in repo.tree()} == {"a": b"new"}
    assert lab.counters.commits_made("ms") == 1


@pytest.mark.parametrize(
    "action",
    [
        inline("./x", b""), inline("/x", b""), inline("a//b", b""), inline("../x", b""),
        inline("a/.git/x", b""), inline("a\nb", b""), inline("a/b", b""),
        {**inline("x", b"1"), "size": 2}, {**inline("x", b"1"), "content": "?"},
        {**pointer("x", b"1"), "sha256": "short"}, {"action": "delete", "path": "nowhere"},
        {"action": "rename", "path": "a"},
    ],
)  # fmt: skip
def test_a_bad_action_refuses_the_whole_commit(lab: Lab, action: dict[str, Any]) -> None:
    repo = seeded(lab, a=b"a")
    refused = commit(lab, inline("good", b"good"), action)
    assert (refused.status, refused.json["Success"]) == (400, False)
    assert set(repo.tree()) == {"a"}


def test_odd_but_clean_paths_are_taken(lab: Lab) -> None:
    repo = seeded(lab)
    paths = ["a\\b", "n" * 255, "Größe/文件.txt", "a", "A"]
    assert commit(lab, *(inline(path, b"x") for path in paths)).status == 200
    assert set(repo.tree()) == set(paths)


def test_branches_are_not_created_and_tags_not_committed_to(lab: Lab) -> None:
    repo = seeded(lab, a=b"a")
    repo.tag("v1")
    assert commit(lab, inline("b", b"b"), branch="dev").status == 404
    assert commit(lab, inline("b", b"b"), branch="v1").status == 400
    repo.branches["dev/x"] = repo.branches["master"]
    assert commit(lab, inline("b", b"b"), branch="dev/x").status == 200


@pytest.mark.parametrize(
    "lab", [LabConfig(max_actions=5, commits_per_minute=2, max_body_bytes=10_000)], indirect=True
)
def test_commits_have_limits(lab: Lab) -> None:
    seeded(lab)
    assert commit(lab, *(inline(str(n), b"") for n in range(6))).status == 422
    assert commit(lab, inline("big", bytes(10_000))).status == 413
    assert commit(lab, inline("1", b"")).status == 200
    assert commit(lab, inline("2", b"")).status == 200
    refused = commit(lab, inline("3", b""))
    assert refused.status == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert lab.counters.snapshot()["commits"]["ms"] == {"made": 2, "refused": 3}


def test_a_commit_may_be_done_and_the_answer_lost(lab: Lab) -> None:
    repo = seeded(lab)
    lab.faults.add(Fault("ms.commit", "after_status", status=504))
    assert commit(lab, inline("a", b"a")).status == 504
    assert set(repo.tree()) == {"a"}


# --- the official client ------------------------------------------------------------------------

CLIENT = """
import json, os, sys, warnings
from pathlib import Path
from modelscope_hub import HubApi

warnings.simplefilter("ignore")
repo_type, repo_id, folder, target = sys.argv[1:]
api = HubApi(endpoint=os.environ["MODELSCOPE_ENDPOINT"])
result = {"user": api.login(os.environ["TOKEN"]).username}
api = HubApi(endpoint=os.environ["MODELSCOPE_ENDPOINT"])  # now with the stored login
result["exists"] = [api.repo_exists(repo_id, repo_type)]
api.create_repo(repo_id, repo_type, visibility="private", license="apache-2.0")
result["exists"].append(api.repo_exists(repo_id, repo_type))
result["visibility"] = int(api.get_repo(repo_id, repo_type).visibility)
api.upload_folder(repo_id=repo_id, repo_type=repo_type, folder_path=folder)
files = api.list_repo_files(repo_id, repo_type)
result["files"] = {f.path: f.sha256 for f in files if f.type == "blob"}
api.download_repo(repo_id, repo_type, local_dir=target)
api.create_repo_tag(repo_id, repo_type, "v1")
result["revisions"] = [r["Revision"] for r in api.list_repo_revisions(repo_id, repo_type)]
result["deleted"] = api.delete_files(repo_id, repo_type, ["sub/empty.txt"])["deleted_files"]
api.delete_repo(repo_id, repo_type)
result["exists"].append(api.repo_exists(repo_id, repo_type))
print("RESULT " + json.dumps(result))
"""


@pytest.mark.parametrize("repo_type", ["model", "dataset"])
def test_the_official_client_in_both_roles(
    lab: Lab, run_python: RunPython, home: Any, repo_type: str
) -> None:
    files = {
        "README.md": b"---\nlicense: apache-2.0\n---\n# hi",
        "config.json": b"{}",
        "model.safetensors": bytes(SyntheticContent(3 << 20).read(0, 3 << 20)),
        "sub/long.txt": b"x" * 100_000,
        "sub/empty.txt": b"",
    }
    for path, data in files.items():
        (home / "up" / path).parent.mkdir(parents=True, exist_ok=True)
        (home / "up" / path).write_bytes(data)
    ran = run_python(
        CLIENT,
        *(repo_type, REPO, str(home / "up"), str(home / "down")),
        MODELSCOPE_ENDPOINT=lab.ms.endpoint,
        TOKEN=lab.ms.token,
    )
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout.rpartition("RESULT ")[2])
    assert result["user"] == "lab-user"
    assert result["exists"] == [False, True, False]
    assert result["visibility"] == 1
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    assert result["files"].items() >= digests.items()
    assert {path: (home / "down" / path).read_bytes() for path in files} == files
    assert set(result["revisions"]) == {"master", "v1"}
    assert result["deleted"] == ["sub/empty.txt"]
    assert lab.counters.snapshot()["unknown"] == {}
