"""The official client speaks through ours: the chosen proxy, no token inside, no host unasked."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import constants, get_session

from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.errors import AccessError, ProtocolError, UnavailableError, UsageError
from hubferry.hubs.huggingface import auth, official
from hubferry.hubs.huggingface.hub import HuggingFaceHub
from hubferry.lab.faults import Fault
from hubferry.lab.server import Lab
from hubferry.model import RepoId
from hubferry.net.http import HttpClient, HttpConfig
from hubferry.net.secret import Secret

REPO = RepoId("hf", "your-org/name")
DIRECT = HttpConfig(proxy="direct")


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as running:
        running.hf.repos.create("model", REPO.name, files={"README.md": b"# hi"})
        yield running


def open_hub(endpoint: str, proxy: str = "direct", token: str = "hf_unused") -> HuggingFaceHub:
    cancel = CancelToken()
    return HuggingFaceHub(
        endpoint=endpoint,
        token=Secret(token),
        proxy=proxy,
        cancel=cancel,
        patience=lambda: Patience(cancel, WaitBudget(1), attempts=1),
    )


def test_the_control_plane_and_the_bytes_go_through_the_hubs_own_proxy(lab: Lab) -> None:
    # The lab answers requests that name another host, as a proxy is asked to.
    hub = open_hub("http://hub.example", proxy=lab.hf.endpoint, token=lab.hf.token)
    info = hub.resolve(REPO, None)
    stream = hub.open(info, hub.list_files(info).by_path["README.md"])
    buffer = memoryview(bytearray(10))
    assert bytes(buffer[: stream.readinto(buffer)]) == b"# hi"
    stream.close()


def test_the_official_client_holds_no_token(lab: Lab) -> None:
    client = HttpClient(DIRECT)
    api = official.make_api(lab.hf.endpoint, client)
    assert api.token is False
    with pytest.raises(AccessError):
        api.auth_check(REPO.name, write=True)
    client.close()


def test_it_asks_nobody_about_agents(lab: Lab) -> None:
    official.make_api(lab.hf.endpoint, HttpClient(DIRECT))
    assert get_session().get("https://huggingface.co/api/agent-harnesses").status_code == 404


def test_requests_of_others_are_left_as_they_were(lab: Lab) -> None:
    official.make_api(lab.hf.endpoint, HttpClient(DIRECT))
    found = get_session().get(f"{lab.hf.endpoint}/api/models/{REPO.name}")
    assert isinstance(found, httpx2.Response)
    assert found.json()["id"] == REPO.name


def test_a_request_after_the_end_of_its_client_goes_nowhere(lab: Lab) -> None:
    api = official.make_api(lab.hf.endpoint, HttpClient(DIRECT))
    gc.collect()
    with pytest.raises(UnavailableError, match="closed"):
        api.repo_info(REPO.name)


def test_an_answer_it_stumbles_over_is_a_protocol_error(lab: Lab) -> None:
    lab.faults.add(Fault("hf.info", "status", status=200, body=b"<html>portal</html>"))
    with pytest.raises(ProtocolError) as caught:
        open_hub(lab.hf.endpoint, token=lab.hf.token).resolve(REPO, None)
    assert caught.value.repo == "hf://your-org/name"
    with pytest.raises(UsageError):
        open_hub(lab.hf.endpoint).resolve(RepoId("hf", "a--b/.."), None)


def test_offline_mode_and_bad_endpoints_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UsageError, match="not an http"):
        open_hub("hub.example")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE"):
        open_hub("http://hub.example")


def test_a_token_is_found_where_the_official_client_looks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "home" / "token"
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(place))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
        monkeypatch.delenv(name, raising=False)
    assert auth.find_token() == (None, None)
    auth.store_login(Secret("hf_token_in_file"))
    assert place.stat().st_mode & 0o077 == 0
    assert auth.find_token() == (Secret("hf_token_in_file"), str(place))
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", "hf_token_second")
    assert auth.find_token() == (Secret("hf_token_second"), "HUGGING_FACE_HUB_TOKEN")
    monkeypatch.setenv("HF_TOKEN", " hf_token_first\n")
    assert auth.find_token() == (Secret("hf_token_first"), "HF_TOKEN")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    assert auth.find_token() == (None, None)


def test_a_found_token_is_asked_for_again_and_a_given_one_is_not(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As an OIDC token that ran out in the middle of a long copy.
    monkeypatch.delenv("HF_OIDC_RESOURCE", raising=False)
    monkeypatch.setenv("HF_TOKEN", lab.hf.other_token)
    cancel = CancelToken()
    hub = HuggingFaceHub(
        endpoint=lab.hf.endpoint,
        proxy="direct",
        cancel=cancel,
        patience=lambda: Patience(cancel, WaitBudget(1), attempts=1),
    )
    other = hub.identity().user
    monkeypatch.setenv("HF_TOKEN", lab.hf.token)
    assert hub.identity().user != other
    given = open_hub(lab.hf.endpoint, token=lab.hf.token)
    monkeypatch.setenv("HF_TOKEN", lab.hf.other_token)
    assert given.identity().user != other


def test_the_endpoint_is_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    assert auth.default_endpoint() == "https://mirror.example"
    monkeypatch.delenv("HF_ENDPOINT")
    assert auth.default_endpoint() == "https://huggingface.co"
