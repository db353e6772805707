"""What ModelScope alone does, against the lab: listings in parts, lies under HTTP 200, faults."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubferry.control import CancelToken
from hubferry.errors import (
    AccessError,
    CorruptReadError,
    HubError,
    IntegrityError,
    NotFoundError,
    ProtocolError,
    QuotaError,
    RateLimitedError,
    TimedOutError,
    TooLargeError,
    UnavailableError,
)
from hubferry.hubs.modelscope import ModelScopeHub
from hubferry.lab.faults import Fault
from hubferry.lab.server import Lab
from hubferry.model import Access, AddBlob, RepoId, RepoInfo, Visibility
from hubferry.net.secret import Secret

from .conftest import WEIGHTS, Body, blob_of, inline, patience, sha256_of
from .test_hubs import read_all


@pytest.fixture
def hub(lab: Lab) -> Iterator[ModelScopeHub]:
    """A hub on the lab; faults and counters are clean before and after."""
    lab.faults.clear()
    lab.counters.reset()
    made = open_hub(lab, lab.ms.token)
    yield made
    made.close()
    lab.faults.clear()


def open_hub(lab: Lab, token: str) -> ModelScopeHub:
    return ModelScopeHub(
        endpoint=lab.ms.endpoint, token=Secret(token), cancel=CancelToken(), patience=patience
    )


def seed(lab: Lab, hub: ModelScopeHub, name: str, files: dict[str, bytes]) -> RepoInfo:
    lab.ms.repos.create("model", f"your-org/{name}").commit(files)
    lab.counters.reset()
    return hub.resolve(RepoId("ms", f"your-org/{name}"), None)


def make(hub: ModelScopeHub, name: str) -> RepoInfo:
    repo = RepoId("ms", f"your-org/{name}")
    hub.create_repo(repo, Visibility.PRIVATE, None)
    return hub.resolve(repo, None)


def test_a_cut_listing_is_walked_with_few_requests(lab: Lab, hub: ModelScopeHub) -> None:
    files = {f"part-{n % 4}/f{n:04}.txt": b"%d" % n for n in range(3500)}
    info = seed(lab, hub, "many", files | {f"w{n}.bin": b"w" for n in range(9)})
    listing = hub.list_files(info)
    assert len(listing.entries) == 3509
    assert not listing.doubtful_folders
    assert lab.counters.requests("ms.files") == 1 + 1 + 4


def test_a_folder_too_large_to_list_is_doubtful(lab: Lab, hub: ModelScopeHub) -> None:
    files = {f"big/f{n:04}.txt": b"%d" % n for n in range(3010)} | {"small/a.txt": b"a"}
    listing = hub.list_files(seed(lab, hub, "doubtful", files))
    assert listing.doubtful_folders == ("big",)
    assert "small/a.txt" in listing.by_path
    assert listing.is_doubtful("big/f3009.txt")
    assert not listing.is_doubtful("small/b.txt")


def test_a_repository_without_any_commit_lists_as_empty(lab: Lab, hub: ModelScopeHub) -> None:
    lab.ms.repos.create("model", "your-org/nothing")
    info = hub.resolve(RepoId("ms", "your-org/nothing"), None)
    assert hub.list_files(info).entries == ()


def test_a_404_for_a_branch_that_exists_is_not_empty(lab: Lab, hub: ModelScopeHub) -> None:
    info = seed(lab, hub, "flaky", {"a.txt": b"a"})
    lab.faults.add(Fault("ms.files", "status", status=404, times=None, body=b"{}"))
    with pytest.raises(UnavailableError):
        hub.list_files(info)


def test_a_403_before_the_first_listing_is_believed(lab: Lab, hub: ModelScopeHub) -> None:
    info = seed(lab, hub, "denied", {"a.txt": b"a"})
    lab.faults.add(Fault("ms.files", "status", status=403))
    with pytest.raises(AccessError):
        hub.list_files(info)


def test_a_403_after_a_listing_is_spurious(lab: Lab, hub: ModelScopeHub) -> None:
    info = seed(lab, hub, "spurious", {"a.txt": b"a"})
    hub.list_files(info)
    lab.faults.add(Fault("ms.files", "status", status=403))
    assert [entry.path for entry in hub.list_files(info).entries] == ["a.txt"]


def test_an_unreadable_listing_is_never_empty(lab: Lab, hub: ModelScopeHub) -> None:
    info = seed(lab, hub, "unreadable", {"a.txt": b"a"})
    bodies = (b'{"Success": true, "Data": {}}', b'{"Success": true}', b"[]", b"<html>")
    for body in bodies:
        lab.faults.add(Fault("ms.files", "status", status=200, body=body, times=2))
        with pytest.raises(ProtocolError):
            hub.list_files(info)
    lab.faults.add(Fault("ms.files", "empty", times=2))
    with pytest.raises(ProtocolError):
        hub.list_files(info)


def test_an_unreadable_batch_answer_is_never_stored(lab: Lab, hub: ModelScopeHub) -> None:
    info = make(hub, "batch")
    blob = blob_of(b"not stored anywhere")
    for body in (b'{"Success": true, "Data": {}}', b'{"Success": true, "Data": null}', b"{}"):
        lab.faults.add(Fault("ms.batch", "status", status=200, body=body))
        with pytest.raises(ProtocolError):
            hub.missing_blobs(info, [blob])
    lab.faults.add(
        Fault("ms.batch", "status", status=200, body=b'{"Success": false, "Message": "no"}')
    )
    with pytest.raises(HubError, match="no"):
        hub.missing_blobs(info, [blob])


def test_an_empty_answer_for_a_file_is_corrupt(lab: Lab, hub: ModelScopeHub) -> None:
    info = seed(lab, hub, "hollow", {"a.txt": b"something", "w.safetensors": WEIGHTS})
    entries = hub.list_files(info).by_path
    for path, endpoint in (("a.txt", "ms.file"), ("w.safetensors", "ms.cdn")):
        lab.faults.add(Fault(endpoint, "empty"))
        with pytest.raises(CorruptReadError):
            read_all(hub.open(info, entries[path]))
        assert read_all(hub.open(info, entries[path]))


@pytest.mark.parametrize("kind", ["truncate", "reset"])
def test_a_dropped_download_is_worth_another_try(lab: Lab, hub: ModelScopeHub, kind: str) -> None:
    info = seed(lab, hub, f"dropped-{kind}", {"w.safetensors": WEIGHTS})
    entry = hub.list_files(info).by_path["w.safetensors"]
    lab.faults.add(Fault("ms.cdn", kind))  # type: ignore[arg-type]
    with pytest.raises(UnavailableError):
        read_all(hub.open(info, entry))


def test_a_signed_address_that_ran_out_is_worth_another_try(lab: Lab, hub: ModelScopeHub) -> None:
    info = seed(lab, hub, "expired", {"w.safetensors": WEIGHTS})
    entry = hub.list_files(info).by_path["w.safetensors"]
    lab.faults.add(Fault("ms.cdn", "status", status=403))
    with pytest.raises(UnavailableError):
        hub.open(info, entry)
    assert read_all(hub.open(info, entry)) == WEIGHTS


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (403, UnavailableError),
        (413, TooLargeError),
        (429, RateLimitedError),
        (500, UnavailableError),
        (507, QuotaError),
    ],
)
def test_a_refused_upload_says_why(
    lab: Lab, hub: ModelScopeHub, status: int, expected: type[HubError]
) -> None:
    info = make(hub, f"put-{status}")
    data = b"refused " * 100_000 + info.repo.name.encode()
    ticket = hub.missing_blobs(info, [blob_of(data)])[sha256_of(data)]
    lab.faults.add(Fault("ms.put", "status", status=status, retry_after=7))
    with pytest.raises(expected) as caught:
        hub.put_blob(info, ticket, Body(data))
    if isinstance(caught.value, RateLimitedError):
        assert caught.value.retry_after_seconds == 7


def test_a_failure_under_http_200_is_not_stored(lab: Lab, hub: ModelScopeHub) -> None:
    info = make(hub, "put-200")
    data = b"envelope " * 100_000
    ticket = hub.missing_blobs(info, [blob_of(data)])[sha256_of(data)]
    body = b'{"Code": 500, "Success": false, "Message": "try later"}'
    lab.faults.add(Fault("ms.put", "after_status", status=200, body=body))
    with pytest.raises(UnavailableError):
        hub.put_blob(info, ticket, Body(data))


def test_an_upload_that_is_not_the_blob_is_refused(lab: Lab, hub: ModelScopeHub) -> None:
    info = make(hub, "put-other")
    data = b"promised " * 100_000
    ticket = hub.missing_blobs(info, [blob_of(data)])[sha256_of(data)]
    with pytest.raises((HubError, IntegrityError)):
        hub.put_blob(info, ticket, Body(data[::-1]))
    assert sha256_of(data) in hub.missing_blobs(info, [blob_of(data)])


def test_a_dropped_blob_is_missing_again(lab: Lab, hub: ModelScopeHub) -> None:
    info = make(hub, "put-dropped")
    data = b"dropped " * 100_000
    ticket = hub.missing_blobs(info, [blob_of(data)])[sha256_of(data)]
    lab.faults.add(Fault("ms.put", "drop_blob"))
    hub.put_blob(info, ticket, Body(data))
    assert sha256_of(data) in hub.missing_blobs(info, [blob_of(data)])


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_commit_whose_answer_is_lost_is_ambiguous(
    lab: Lab, hub: ModelScopeHub, status: int
) -> None:
    info = make(hub, f"commit-{status}")
    lab.faults.add(Fault("ms.commit", "after_status", status=status))
    with pytest.raises(UnavailableError) as caught:
        hub.commit(info, [inline("a.txt", b"a")], "lost")
    assert caught.value.ambiguous
    assert "a.txt" in hub.list_files(info).by_path


def test_a_commit_cut_off_is_ambiguous(lab: Lab, hub: ModelScopeHub) -> None:
    info = make(hub, "commit-cut")
    lab.faults.add(Fault("ms.commit", "reset"))
    with pytest.raises(UnavailableError) as caught:
        hub.commit(info, [inline("a.txt", b"a" * 50_000)], "cut")
    assert caught.value.ambiguous


def test_a_commit_answered_by_a_web_page_is_ambiguous(lab: Lab, hub: ModelScopeHub) -> None:
    info = make(hub, "commit-page")
    lab.faults.add(Fault("ms.commit", "after_status", status=200, body=b"<html>hello</html>"))
    with pytest.raises(UnavailableError) as caught:
        hub.commit(info, [inline("a.txt", b"a")], "page")
    assert caught.value.ambiguous


def test_a_commit_told_to_wait_was_not_made(lab: Lab, hub: ModelScopeHub) -> None:
    info = make(hub, "commit-429")
    lab.faults.add(Fault("ms.commit", "status", status=429, retry_after=12))
    with pytest.raises(RateLimitedError) as caught:
        hub.commit(info, [inline("a.txt", b"a")], "fast")
    assert caught.value.retry_after_seconds == 12


def test_a_lost_branch_race_is_not_ambiguous(lab: Lab, hub: ModelScopeHub) -> None:
    info = make(hub, "commit-race")
    body = b'{"Code": 10030000001, "Success": false, "Message": "branch changed, please retry"}'
    lab.faults.add(Fault("ms.commit", "status", status=400, body=body))
    with pytest.raises(UnavailableError) as caught:
        hub.commit(info, [inline("a.txt", b"a")], "race")
    assert not caught.value.ambiguous


def test_a_refusal_that_says_exist_is_not_success(lab: Lab, hub: ModelScopeHub) -> None:
    info = make(hub, "commit-exist")
    with pytest.raises(HubError, match="exist"):
        hub.commit(info, [AddBlob("ghost.bin", blob_of(b"ghost"))], "ghost")
    body = b'{"Code": 200, "Success": false, "Message": "it does already exist"}'
    lab.faults.add(Fault("ms.commit", "status", status=200, body=body))
    with pytest.raises(HubError, match="exist"):
        hub.commit(info, [inline("a.txt", b"a")], "exist")


def test_creating_passes_licence_and_visibility(lab: Lab, hub: ModelScopeHub) -> None:
    for licence, expected in (("mit", "mit"), (None, "Other"), ("llama3", "Other")):
        name = f"your-org/licensed-{licence}"
        hub.create_repo(RepoId("ms", name), Visibility.PRIVATE, licence)
        repo = lab.ms.repos.get("model", name)
        assert repo is not None
        assert repo.license == expected
        assert repo.is_private


def test_a_name_taken_by_someone_out_of_sight_is_an_error(lab: Lab, hub: ModelScopeHub) -> None:
    body = b'{"Code": 10010101001, "Success": false, "Message": "exists"}'
    lab.faults.add(Fault("ms.create", "status", status=400, body=body))
    with pytest.raises(NotFoundError):
        hub.create_repo(RepoId("ms", "your-org/taken"), Visibility.PRIVATE, None)


def test_the_token_goes_to_the_hub_only(lab: Lab) -> None:
    canary = "ms-canary-0123456789-abcdefgh"
    lab.ms.accounts.add(canary, "lab-user", orgs=("your-org",), tier="write")
    lab.counters.watch(canary)
    hub = open_hub(lab, canary)
    info = make(hub, "canary")
    data = b"canary " * 100_000
    ticket = hub.missing_blobs(info, [blob_of(data)])[sha256_of(data)]
    hub.put_blob(info, ticket, Body(data))
    hub.commit(info, [AddBlob("w.bin", blob_of(data))], "canary")
    assert read_all(hub.open(info, hub.list_files(info).by_path["w.bin"])) == data
    hub.stat_files(info, ["w.bin"])
    hub.identity()
    hub.write_access(info.repo)
    hub.close()
    assert lab.counters.token_origins(canary) == {"ms.api"}


def test_a_hub_that_does_not_answer_times_out(
    lab: Lab, hub: ModelScopeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = make(hub, "silent")
    monkeypatch.setattr(hub._net.official_client, "_timeout", (1, 0.3))
    lab.faults.add(Fault("ms.commit", "after_hang"))
    with pytest.raises(TimedOutError) as caught:
        hub.commit(info, [inline("a.txt", b"a")], "hang")
    assert caught.value.ambiguous


def test_nothing_is_written_below_home(lab: Lab, tmp_path: Path) -> None:
    code = (
        "import sys; from hubferry.control import *; from hubferry.hubs.modelscope import *\n"
        "from hubferry.net.secret import Secret\n"
        "cancel = CancelToken()\n"
        "hub = ModelScopeHub(endpoint=sys.argv[1], token=Secret(sys.argv[2]), cancel=cancel,\n"
        "    patience=lambda: Patience(cancel, WaitBudget(1)))\n"
        "print(hub.identity().user)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, lab.ms.endpoint, lab.ms.token],
        env={**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "lab-user\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "fault",
    [
        Fault("ms.login", "status", status=404, body=b"{}"),
        Fault("ms.login", "status", status=200, body=b'{"Code": 200, "Data": {"Username": ""}}'),
        Fault("ms.login", "status", status=400, body=b'{"Code": 99, "Message": "no"}'),
    ],
)
def test_a_site_without_a_telling_login_leaves_the_access_unknown(
    lab: Lab, hub: ModelScopeHub, fault: Fault
) -> None:
    lab.faults.add(fault)
    assert hub.write_access(RepoId("ms", "your-org/x")) is Access.UNKNOWN
