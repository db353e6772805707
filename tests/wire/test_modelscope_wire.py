"""ModelScope's answers read, and what is sent to it built, without any network.

``LISTING`` follows a captured answer of ``repo/files`` in the test data of
modelscope 1.40 (docs/hub-protocols.md 4.1), shortened; the other answers follow
the fields that modelscope_hub 0.5.1 reads (November 2026).
"""

from __future__ import annotations

import base64
import threading
from pathlib import Path

import pytest
from modelscope_hub.config import HubConfig

from hubferry.errors import (
    AccessError,
    CopyError,
    HubError,
    InvalidTokenError,
    NotFoundError,
    ProtocolError,
    QuotaError,
    RateLimitedError,
    TooLargeError,
    UnavailableError,
    UsageError,
)
from hubferry.hubs.modelscope import auth, sending, wire
from hubferry.hubs.modelscope.address import WebLink, parse_link
from hubferry.hubs.modelscope.failures import Asked, Failure, error_for, failure_in, says_exists
from hubferry.hubs.modelscope.listing import walk
from hubferry.hubs.modelscope.transport import is_own_store, own_origins
from hubferry.model import (
    AddBlob,
    AddInline,
    Blob,
    Delete,
    FileEntry,
    GitOid,
    Refs,
    RepoId,
    Sha256,
    Storage,
    Visibility,
)
from hubferry.net.secret import Secret
from hubferry.text import T

REPO = RepoId("ms", "Qwen/Qwen2-7B")
OID = "4f2b" * 16
COMMIT = "0123456789abcdef0123456789abcdef01234567"
BLOB = Blob(Sha256(OID), 12)

LISTING = {
    "Files": [
        {
            "CommitMessage": "update",
            "CommittedDate": 1723000000,
            "IsLFS": False,
            "Mode": "33188",
            "Name": "README.md",
            "Path": "README.md",
            "Revision": COMMIT,
            "Sha256": OID,
            "Size": 431,
            "Type": "blob",
        },
        {"Name": "onnx", "Path": "onnx", "Type": "tree", "Size": 0, "Revision": COMMIT},
        {
            "IsLFS": True,
            "Path": "onnx/model.onnx",
            "Revision": "master",
            "Sha256": "",
            "Size": 5,
            "Type": "blob",
        },
        {"IsLFS": False, "Path": "empty", "Sha256": "", "Size": 0, "Type": "blob"},
    ],
    "LatestCommitter": {"Sha": COMMIT},
}


def asked(**changes: object) -> Asked:
    return Asked(T("do it"), **changes)  # type: ignore[arg-type]


def test_a_listing_tells_files_and_folders() -> None:
    page = wire.page(LISTING)
    readme, model, empty = page.files
    assert page.folders == ("onnx",)
    assert not page.is_cut
    assert readme == FileEntry(
        "README.md", 431, Storage.REGULAR, sha256=Sha256(OID), revision=COMMIT
    )
    assert (model.sha256, model.revision, model.storage) == (None, None, Storage.LFS)
    assert empty.sha256 == wire.EMPTY_SHA256


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        "Files",
        {"Files": "no"},
        {"Files": [{"Name": "x"}]},
        {"Files": [{"Path": "x", "Type": "commit", "Size": 1}]},
        {"Files": [{"Path": "x", "Type": "blob"}]},
        {"Files": [{"Path": "x", "Type": "blob", "Size": -1}]},
    ],
)
def test_what_is_not_a_listing_is_never_empty(data: object) -> None:
    with pytest.raises(ProtocolError):
        wire.page(data)


def test_an_empty_list_is_a_listing() -> None:
    assert wire.page({"files": None}) == wire.page({"Files": []})
    assert wire.page({"Files": []}) == wire.page({"Files": None}) == wire.Page((), ())


def test_a_page_at_the_cap_is_cut() -> None:
    files = tuple(FileEntry(str(number), 1) for number in range(wire.LISTING_CAP - 1))
    assert not wire.Page(files, ()).is_cut
    assert wire.Page(files, ("folder",)).is_cut


def test_a_walk_goes_down_only_where_it_must() -> None:
    asked_for: list[tuple[str, bool]] = []
    cut = tuple(FileEntry(f"deep/a/{number}", 1) for number in range(wire.LISTING_CAP))
    answers = {
        ("", True): wire.Page(cut, ()),
        ("", False): wire.Page((FileEntry("x", 1),), ("deep", "flat")),
        ("deep", True): wire.Page(cut, ()),
        ("deep", False): wire.Page((), ("deep/a", "deep/b")),
        ("deep/a", True): wire.Page(cut, ()),
        ("deep/a", False): wire.Page(cut, ()),
        ("deep/b", True): wire.Page((FileEntry("deep/b/y", 1),), ()),
        ("flat", True): wire.Page((FileEntry("flat/z", 1),), ()),
    }

    def read_page(folder: str, recursive: bool) -> wire.Page:
        asked_for.append((folder, recursive))
        return answers[folder, recursive]

    files, doubtful = walk(read_page)
    assert len(files) == wire.LISTING_CAP + 3
    assert doubtful == ["deep/a"]
    assert sorted(asked_for) == sorted(answers)


def test_folders_of_a_cut_listing_are_asked_for_at_the_same_time() -> None:
    cut = tuple(FileEntry(f"a/{number}", 1) for number in range(wire.LISTING_CAP))
    all_there = threading.Barrier(4)  # breaks, after a while, where one waits for another

    def read_page(folder: str, recursive: bool) -> wire.Page:
        if (folder, recursive) == ("", True):
            return wire.Page(cut, ("b", "c"))
        all_there.wait(20)
        return wire.Page((), ()) if folder else wire.Page((), ("a", "b", "c"))

    files, doubtful = walk(read_page)
    assert (len(files), doubtful) == (wire.LISTING_CAP, [])


def test_a_process_that_ends_need_not_wait_for_a_listing() -> None:
    cut = tuple(FileEntry(f"a/{number}", 1) for number in range(wire.LISTING_CAP))
    are_daemons: list[bool] = []

    def read_page(folder: str, recursive: bool) -> wire.Page:
        if (folder, recursive) == ("", True):
            return wire.Page(cut, ())
        # concurrent.futures joins its threads at exit, whatever they wait for.
        are_daemons.append(threading.current_thread().daemon)
        return wire.Page((), ())

    walk(read_page)
    assert are_daemons
    assert all(are_daemons)


def test_a_failed_answer_ends_a_walk_and_the_rest_is_not_asked_for() -> None:
    cut = tuple(FileEntry(f"d{number}/x", 1) for number in range(wire.LISTING_CAP))
    asked_for: list[str] = []

    def read_page(folder: str, recursive: bool) -> wire.Page:
        if not folder and recursive:
            return wire.Page(cut, ())
        asked_for.append(folder)
        raise ProtocolError("no")

    with pytest.raises(ProtocolError):
        walk(read_page, width=2)
    assert len(asked_for) < wire.LISTING_CAP


def test_a_file_that_changes_during_a_walk_is_noticed() -> None:
    cut = tuple(FileEntry(f"d/{number}", 1) for number in range(wire.LISTING_CAP))

    def read_page(folder: str, recursive: bool) -> wire.Page:
        if folder:
            return wire.Page((FileEntry("d/0", 2),), ())
        return wire.Page(cut if recursive else (), ("d",))

    with pytest.raises(UnavailableError, match="changed"):
        walk(read_page)


def test_a_server_that_ignores_the_folder_is_noticed() -> None:
    cut = tuple(FileEntry(f"d/{number}", 1) for number in range(wire.LISTING_CAP))
    with pytest.raises(ProtocolError):
        walk(lambda folder, recursive: wire.Page(cut if recursive else (), ("d", "e")))


def test_a_repository_is_read_with_its_visibility() -> None:
    data = {
        "Name": "Qwen2-7B",
        "Visibility": 5,
        "License": "Apache License 2.0",
        "Tasks": [{"Name": "text-generation"}],
        "Tags": ["chat", 3],
        "BaseModel": ["Qwen/Qwen2"],
    }
    info = wire.repo_info(REPO, "master", data, endpoint="https://modelscope.cn")
    assert info.visibility is Visibility.PUBLIC
    assert info.commit is None
    assert info.pipeline_tag == "text-generation"
    assert info.tags == ("chat",)
    assert info.base_models == ("Qwen/Qwen2",)
    assert info.web_url == "https://modelscope.cn/models/Qwen/Qwen2-7B"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"Visibility": 1}, Visibility.PRIVATE),
        ({"Visibility": 3}, Visibility.INTERNAL),
        ({"Visibility": 5}, Visibility.PUBLIC),
        ({"Visibility": 1, "ProtectedMode": 1}, Visibility.GATED),
        ({"Visibility": 1, "ProtectedMode": 2}, Visibility.PRIVATE),
        ({"Visibility": 9}, Visibility.UNKNOWN),
        ({"Visibility": "5"}, Visibility.UNKNOWN),
        ({}, Visibility.UNKNOWN),
    ],
)
def test_only_a_five_is_public(fields: dict[str, object], expected: Visibility) -> None:
    info = wire.repo_info(REPO, "master", {"Name": "x", **fields}, endpoint="https://m")
    assert info.visibility is expected


def test_a_commit_id_given_as_revision_is_the_commit() -> None:
    assert wire.repo_info(REPO, COMMIT, {"Name": "x"}, endpoint="https://m").commit == COMMIT


def test_revisions_are_named_or_the_answer_is_refused() -> None:
    data = {"RevisionMap": {"Branches": [{"Revision": "master"}], "Tags": ["v1", {}]}}
    assert wire.ref_names(data) == Refs(("master",), ("v1",))
    assert wire.ref_names({"RevisionMap": {"Branches": None}}) == Refs()
    nothings: list[object] = [{}, None, [], {"RevisionMap": None}]
    for nothing in nothings:
        with pytest.raises(ProtocolError):
            wire.ref_names(nothing)


@pytest.mark.parametrize(
    "body",
    [
        {"Success": False, "Code": 200},
        {"success": False},
        {"Code": 10010205001, "Success": True},
        {"Code": "500"},
    ],
)
def test_a_refusal_under_http_200_is_a_refusal(body: dict[str, object]) -> None:
    with pytest.raises(wire.RefusedAnswer):
        wire.unwrap(body)


@pytest.mark.parametrize(
    "body",
    [
        {"Code": 200, "Success": True, "Data": 1},
        {"Code": "200", "Data": 1},
        {"Data": 1},
        {"Code": 0, "Data": 1},
        {"Code": None, "Data": 1},
        {"success": True, "code": "Success", "Data": 1},
    ],
)
def test_a_good_envelope_gives_its_data(body: dict[str, object]) -> None:
    assert wire.unwrap(body) == 1


def test_what_is_not_an_envelope_is_refused() -> None:
    bodies: list[object] = [None, [], "ok", 1]
    for body in bodies:
        with pytest.raises(ProtocolError):
            wire.unwrap(body)


def test_a_batch_names_what_is_missing() -> None:
    other = Blob(Sha256("ab" * 32), 7)
    request = sending.batch_request([BLOB, other, BLOB])
    assert request["operation"] == "upload"
    assert len(request["objects"]) == 2  # type: ignore[arg-type]
    action = {"href": "https://store/x?Signature=s", "header": {"X-A": 1}}
    data = {"objects": [{"oid": OID, "size": 12, "actions": {"upload": action}}]}
    found = sending.batch_answer(data, [BLOB, other])
    assert set(found) == {BLOB.sha256}
    assert found[BLOB.sha256].headers == {"X-A": "1"}
    assert "Signature" not in repr(found)


def test_a_blob_named_without_actions_is_stored() -> None:
    assert sending.batch_answer({"objects": [{"oid": OID, "size": 12}]}, [BLOB]) == {}
    assert sending.batch_answer({"objects": []}, [BLOB]) == {}


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"objects": None},
        {"objects": "x"},
        {"objects": [{}]},
        {"objects": [{"oid": "ab" * 32}]},
        {"objects": [{"oid": OID, "size": 13}]},
        {"objects": [{"oid": OID, "actions": {"download": {}}}]},
        {"objects": [{"oid": OID, "actions": {"upload": {}}}]},
    ],
)
def test_a_batch_answer_that_does_not_fit_is_never_stored(data: object) -> None:
    with pytest.raises(ProtocolError):
        sending.batch_answer(data, [BLOB])


def test_a_refused_object_is_a_refusal() -> None:
    data = {"objects": [{"oid": OID, "error": {"code": 413, "message": "too large"}}]}
    with pytest.raises(wire.RefusedAnswer) as caught:
        sending.batch_answer(data, [BLOB])
    assert isinstance(error_for(caught.value.failure, asked()), TooLargeError)


def test_commit_actions_have_the_fields_of_the_hub() -> None:
    sha256, oid = Sha256("ab" * 32), GitOid("cd" * 20)
    added = sending.commit_action(AddInline("README.md", b"# hi", sha256, oid))
    assert added["type"] == "normal"
    assert base64.b64decode(str(added["content"])) == b"# hi"
    assert (added["size"], added["encoding"], added["sha256"]) == (4, "base64", "")
    pointer = sending.commit_action(AddBlob("a.bin", BLOB))
    assert (pointer["type"], pointer["size"], pointer["sha256"]) == ("lfs", 12, OID)
    assert (pointer["content"], pointer["encoding"]) == ("", "")
    assert sending.commit_action(Delete("old")) == {"action": "delete", "path": "old"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("apache-2.0", "apache-2.0"),
        ("MIT", "mit"),
        ("Apache License 2.0", "apache-2.0"),
        ("mpl-2.0", "MPL-2.0"),
        ("llama3.1", "Other"),
        ("other", "Other"),
        ("", "Other"),
        (None, "Other"),
    ],
)
def test_licences_are_never_made_up(given: str | None, expected: str) -> None:
    assert sending.create_body(REPO, Visibility.PRIVATE, given)["License"] == expected


@pytest.mark.parametrize("visibility", list(Visibility))
def test_visibility_is_always_said(visibility: Visibility) -> None:
    body = sending.create_body(REPO, visibility, "mit")
    assert (body["Path"], body["Name"]) == ("Qwen", "Qwen2-7B")
    assert (body["Visibility"] == 5) == (visibility is Visibility.PUBLIC)
    assert ("ProtectedMode" in body) == (visibility is Visibility.GATED)


@pytest.mark.parametrize(
    ("path", "size", "expected"),
    [
        ("README.md", 10**7, True),
        ("sub/Config.JSON", 10**6, True),
        ("empty.safetensors", 0, True),
        ("a.txt", 64 * 1024, True),
        ("a.txt", 64 * 1024 + 1, False),
        ("tiny.safetensors", 10, False),
        ("tiny.GGUF", 10, True),
    ],
)
def test_what_rides_inline(path: str, size: int, expected: bool) -> None:
    assert sending.wants_inline(path, size) is expected


def test_paths_are_quoted() -> None:
    url = wire.file_url("https://m", REPO, "refs/x", "a b/ü+&.txt")
    assert url.endswith("/repo?Revision=refs%2Fx&FilePath=a%20b%2F%C3%BC%2B%26.txt")


@pytest.mark.parametrize(
    ("failure", "changes", "expected"),
    [
        (Failure(400, "10010103009"), {}, InvalidTokenError),
        (Failure(401), {}, InvalidTokenError),
        (Failure(401), {"has_token": False}, AccessError),
        (Failure(403), {}, AccessError),
        (Failure(403, "QuotaLimitExceed"), {}, QuotaError),
        (Failure(404), {}, NotFoundError),
        (Failure(200, "10010205001", "模型不存在"), {}, NotFoundError),
        (Failure(200, "404", ""), {}, NotFoundError),
        (Failure(413), {}, TooLargeError),
        (Failure(422), {}, HubError),
        (Failure(429), {}, RateLimitedError),
        (Failure(403, "RateLimitExceed"), {}, RateLimitedError),
        (Failure(500, "10010103009"), {}, UnavailableError),
        (Failure(408), {}, UnavailableError),
        (Failure(400, "10030000001"), {"is_commit": True}, UnavailableError),
        (Failure(400, "10030000001"), {}, HubError),
        (Failure(409, "", "Could not update refs"), {"is_commit": True}, UnavailableError),
        (Failure(400, "", "lfs object does not exist"), {"is_commit": True}, HubError),
        (Failure(400, "", "already exists"), {"is_commit": True}, HubError),
    ],
)
def test_each_refusal_has_its_error(
    failure: Failure, changes: dict[str, object], expected: type[CopyError]
) -> None:
    assert type(error_for(failure, asked(**changes))) is expected


def test_a_server_fault_is_ambiguous_only_for_what_may_not_be_repeated() -> None:
    for is_repeatable in (True, False):
        error = error_for(Failure(504), asked(is_repeatable=is_repeatable))
        assert isinstance(error, UnavailableError)
        assert error.ambiguous is not is_repeatable


def test_an_echoed_token_is_not_passed_on() -> None:
    Secret("ms-echoed-0123456789")
    error = error_for(Failure(403, "", "token ms-echoed-0123456789 is bad"), asked())
    assert "echoed" not in str(error)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (Failure(400, "10010101001", "该名称已被注册使用"), True),
        (Failure(409), True),
        (Failure(400, "", "already exists"), True),
        (Failure(200, "DuplicateEntity"), True),
        (Failure(400, "", "namespace does not exist"), False),
        (Failure(400, "", "bad name"), False),
        (Failure(500, "", "already exists"), False),
    ],
)
def test_only_a_refused_create_may_mean_exists(failure: Failure, expected: bool) -> None:
    assert says_exists(failure) is expected


def test_a_failure_keeps_the_request_id() -> None:
    failure = failure_in({"Code": 500, "Success": False, "RequestId": "r-1"}, status=500)
    assert failure is not None
    assert error_for(failure, asked()).request_id == "r-1"
    assert Failure(500).named("h-1").request_id == "h-1"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("https://modelscope.cn/models/Qwen/Qwen2-7B", WebLink("model", "Qwen/Qwen2-7B")),
        (
            "https://www.modelscope.cn/models/Qwen/Qwen2-7B/summary",
            WebLink("model", "Qwen/Qwen2-7B"),
        ),
        ("http://modelscope.cn/models/a/b/file/view/v1/x.json?s=1", WebLink("model", "a/b", "v1")),
        ("https://modelscope.cn/models/a/b/files?Revision=v2", WebLink("model", "a/b", "v2")),
        ("https://modelscope.cn/models/a/b/resolve/master/c/d", WebLink("model", "a/b", "master")),
        ("https://modelscope.cn/api/v1/models/a/b/repo?Revision=x", WebLink("model", "a/b", "x")),
        ("https://www.modelscope.cn/a/b.git", WebLink("model", "a/b")),
        ("https://modelscope.cn/datasets/a/b", WebLink("dataset", "a/b")),
        ("https://modelscope.cn/studios/a/b", WebLink("studio", "a/b")),
        ("https://huggingface.co/a/b", None),
        ("https://modelscope.cn.evil.example/models/a/b", None),
        ("https://modelscope.cn/models", None),
        ("ms://a/b", None),
        ("a/b", None),
    ],
)
def test_pasted_links_are_read(
    link: str, expected: WebLink | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODELSCOPE_ENDPOINT", raising=False)
    monkeypatch.delenv("MODELSCOPE_DOMAIN", raising=False)
    assert parse_link(link) == expected


def test_links_of_a_custom_endpoint_and_of_the_other_site() -> None:
    assert parse_link("http://localhost:80/models/a/b", endpoint="http://localhost:80") == WebLink(
        "model", "a/b"
    )
    link = "https://www.modelscope.ai/models/a/b"
    with pytest.raises(UsageError):
        parse_link(link, endpoint="https://modelscope.cn")
    assert parse_link(link, endpoint="https://modelscope.ai") == WebLink("model", "a/b")


def test_the_endpoint_comes_in_the_official_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN"):
        monkeypatch.delenv(name, raising=False)
    assert auth.find_endpoint() == "https://modelscope.cn"
    monkeypatch.setenv("MODELSCOPE_DOMAIN", "www.modelscope.ai")
    assert auth.find_endpoint() == "https://www.modelscope.ai"
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "https://hub.example/")
    assert auth.find_endpoint() == "https://hub.example"
    assert auth.find_endpoint("modelscope.cn") == "https://modelscope.cn"
    with pytest.raises(UsageError):
        auth.find_endpoint("https://user:secret@hub.example")


def test_the_token_comes_in_the_official_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = "https://www.modelscope.cn"
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path))
    monkeypatch.delenv("MODELSCOPE_API_TOKEN", raising=False)
    assert auth.find_login(None, site) == auth.Login(None, None)
    auth.store_login(Secret("ms-stored-0123456789"), "https://modelscope.cn")
    assert HubConfig().load_token() == "ms-stored-0123456789"
    stored = auth.find_login(None, site)
    assert stored.token == Secret("ms-stored-0123456789")
    assert auth.find_login(None, "https://www.modelscope.ai").token is None
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "ms-env-0123456789")
    assert auth.find_login(None, site).source == "MODELSCOPE_API_TOKEN"
    assert auth.find_login(Secret("ms-given-0123456789"), site).source == "argument"
    assert auth.find_login(False, site).token is None
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "")
    assert auth.find_login(None, site).token is None


def test_a_broken_login_file_is_no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path))
    monkeypatch.delenv("MODELSCOPE_API_TOKEN", raising=False)
    place = tmp_path / "credentials" / "cookies"
    place.parent.mkdir()
    place.write_bytes(b"\x80\x04nonsense")
    assert auth.find_login(None, "https://modelscope.cn").token is None


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("https://modelscope.cn/x", True),
        ("https://www.modelscope.cn/x", True),
        ("https://lfs.modelscope.cn/x", True),
        ("http://lfs.modelscope.cn/x", False),
        ("https://lfs.modelscope.ai/x", False),
        ("https://evilmodelscope.cn/x", False),
        ("https://bucket.oss-cn-beijing.aliyuncs.com/x", False),
    ],
)
def test_tokens_go_to_hosts_of_their_own_site_only(href: str, expected: bool) -> None:
    assert is_own_store(href, "https://www.modelscope.cn") is expected


def test_a_private_deployment_owns_its_own_origin_only() -> None:
    assert own_origins("http://127.0.0.1:8000") == {("http", "127.0.0.1", 8000)}
    assert not is_own_store("http://127.0.0.1:8001/x", "http://127.0.0.1:8000")
    assert len(own_origins("https://modelscope.cn")) == 2


def test_users_are_read_from_both_interfaces() -> None:
    assert wire.user({"Username": "alice"}) == ("alice", ())
    assert wire.user({"Username": "", "name": "alice"}) == ("alice", ())
    openly = {"success": True, "data": {"name": "alice", "organizations": [{"name": "org"}]}}
    assert wire.user(openly) == ("alice", ("org",))
    with pytest.raises(ProtocolError):
        wire.user({})
