"""Hugging Face's lists: addresses and shapes, and what is done about bad pages.

Shapes follow what ``ModelInfo``, ``DatasetInfo`` and ``Collection`` of huggingface_hub 2.4.0 read
(November 2026).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hubferry import control
from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.errors import (
    AccessError,
    CancelledError,
    InvalidTokenError,
    NotFoundError,
    ProtocolError,
    RateLimitedError,
    UnavailableError,
    UsageError,
)
from hubferry.hubs.huggingface import catalog, summaries, wire
from hubferry.hubs.huggingface.hub import HuggingFaceHub
from hubferry.lab.config import LabConfig
from hubferry.lab.faults import Fault
from hubferry.lab.repos import Repo
from hubferry.lab.server import Lab
from hubferry.model import Refs, RepoId, RepoQuery, RepoSummary, RepoType, Visibility
from hubferry.net.secret import Secret

MODEL, DATASET = RepoType.MODEL, RepoType.DATASET
SHA = "0123456789abcdef0123456789abcdef01234567"
ITEM: dict[str, Any] = {
    "_id": "621ffdc136468d709f180294",
    "id": "org/m",
    "modelId": "org/m",
    "sha": SHA,
    "lastModified": "2024-05-20T12:00:00.000Z",
    "private": False,
    "gated": False,
    "disabled": False,
    "downloads": 7,
    "tags": ["transformers", "license:mit", "license:other", "region:us"],
    "pipeline_tag": "text-generation",
    "library_name": "transformers",
    "config": {"architectures": ["LlamaForCausalLM"], "model_type": "llama"},
}


# --- shapes -------------------------------------------------------------------------------------


def test_a_list_item_is_read() -> None:
    assert summaries.summaries(MODEL, [ITEM]) == [
        RepoSummary(
            RepoId("hf", "org/m"),
            SHA,
            1_716_206_400,
            Visibility.PUBLIC,
            False,
            "mit",
            "text-generation",
            "transformers",
            "llama",
            tuple(ITEM["tags"]),
            7,
        )
    ]


def test_what_is_not_told_is_none() -> None:
    found = summaries.summary(MODEL, {"id": "gpt2"})
    assert found == RepoSummary(RepoId("hf", "gpt2"), visibility=Visibility.UNKNOWN)
    assert found.mark is None
    assert summaries.summary(MODEL, {**ITEM, "config": {"x": 1}}).family is None
    assert summaries.summary(MODEL, {**ITEM, "config": None}).family is None


def test_a_dataset_tells_its_task_and_library_by_tags() -> None:
    data = {"id": "org/d", "tags": ["task_categories:summarization", "library:datasets"]}
    found = summaries.summary(DATASET, data)
    assert (found.task, found.library) == ("summarization", "datasets")
    assert found.repo == RepoId("hf", "org/d", DATASET)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"private": True, "gated": "auto"}, Visibility.PRIVATE),
        ({"private": False, "gated": "manual"}, Visibility.GATED),
        ({"private": False, "gated": False}, Visibility.PUBLIC),
        ({"private": False, "gated": None}, Visibility.UNKNOWN),
        ({"private": None, "gated": False}, Visibility.UNKNOWN),
    ],
)
def test_only_what_is_surely_public_is_public(
    fields: dict[str, object], expected: Visibility
) -> None:
    assert summaries.summary(MODEL, {**ITEM, **fields}).visibility is expected


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"error": "x"},
        [None],
        [[]],
        [{}],
        [{"id": 1}],
        [{"id": ""}],
        [{**ITEM, "sha": 5}],
        [{**ITEM, "lastModified": "soon"}],
        [{**ITEM, "private": "no"}],
        [{**ITEM, "disabled": 1}],
        [{**ITEM, "tags": "a"}],
        [{**ITEM, "tags": [1]}],
        [{**ITEM, "downloads": "7"}],
    ],
)
def test_a_list_of_another_shape_is_refused(data: object) -> None:
    with pytest.raises(ProtocolError):
        summaries.summaries(MODEL, data)


def test_a_collection_gives_its_models_and_datasets_in_order() -> None:
    kinds = [("model", "a/b"), ("space", "a/s"), ("dataset", "a/d"), ("paper", "2307.09288")]
    items = [{"_id": "x", "position": 0, "type": kind, "id": name} for kind, name in kinds]
    assert summaries.collection_items({"items": items}) == [
        RepoId("hf", "a/b"),
        RepoId("hf", "a/d", DATASET),
    ]
    assert summaries.collection_items({"items": []}) == []


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"items": {}},
        {"items": [None]},
        {"items": [{}]},
        {"items": [{"type": []}]},
        {"items": [{"type": "model"}]},
        {"items": [{"type": "model", "id": 1}]},
    ],
)
def test_a_collection_of_another_shape_is_refused(data: object) -> None:
    with pytest.raises(ProtocolError):
        summaries.collection_items(data)


def asked(query: RepoQuery) -> dict[str, list[str]]:
    parts = urlsplit(summaries.list_url("https://hf.example", query))
    assert parts.path == f"/api/{query.repo_type.value}s"
    return parse_qs(parts.query)


def test_criteria_become_parameters() -> None:
    query = RepoQuery(MODEL, "org", "a b", "fill-mask", "diffusers", ("license:mit", "ü"))
    found = asked(query)
    assert (found["author"], found["search"]) == (["org"], ["a b"])
    assert found["pipeline_tag"] == ["fill-mask"]
    assert found["filter"] == ["diffusers", "license:mit", "ü"]
    assert {"sha", "config", "tags", "disabled"} <= set(found["expand"])
    data = asked(RepoQuery(DATASET, task="summarization", library="datasets", tags=("x",)))
    assert data["filter"] == ["task_categories:summarization", "library:datasets", "x"]
    assert not {"author", "search", "pipeline_tag"} & set(data)
    assert not {"config", "library_name", "pipeline_tag"} & set(data["expand"])


def test_refs_are_read_or_refused() -> None:
    refs = {"branches": [{"name": "main"}, {"name": "dev"}, {}], "tags": [{"name": "v1"}]}
    assert wire.ref_names(refs) == Refs(("dev", "main"), ("v1",))
    bads: list[object] = [None, [], {}, {"branches": None}, {"branches": [], "tags": 1}]
    for bad in bads:
        with pytest.raises(ProtocolError):
            wire.ref_names(bad)


# --- against the lab ----------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "GARBLED_SECONDS", 0.0)


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab(getattr(request, "param", LabConfig(list_page_size=3))) as running:
        yield running


def open_hub(lab: Lab, token: str | None = None, cancel: CancelToken | None = None) -> Any:
    stop = cancel or CancelToken()
    return HuggingFaceHub(
        endpoint=lab.hf.endpoint,
        token=Secret(token or lab.hf.token),
        proxy="direct",
        cancel=stop,
        patience=lambda: Patience(stop, WaitBudget(5), attempts=3, base_seconds=0.01),
    )


@pytest.fixture
def hub(lab: Lab) -> Iterator[HuggingFaceHub]:
    made = open_hub(lab)
    yield made
    made.close()


def seeded(lab: Lab, name: str) -> Repo:
    return lab.hf.repos.create("model", name, files={"README.md": name.encode()})


def names(hub: HuggingFaceHub, owner: str = "org") -> list[str]:
    return sorted(one.repo.name for one in hub.list_repos(RepoQuery(owner=owner)).summaries)


def answers(lab: Lab, body: object, *, times: int | None = 2, **more: Any) -> None:
    text = json.dumps(body).encode()
    lab.faults.add(Fault("hf.list", "status", status=200, body=text, times=times, **more))


def test_a_list_costs_one_request_a_page(lab: Lab, hub: HuggingFaceHub) -> None:
    wanted = [seeded(lab, f"org/m{n}").id for n in range(8)]
    assert names(hub) == wanted
    assert lab.counters.requests() == 3


def test_each_page_is_tried_again_on_its_own(lab: Lab, hub: HuggingFaceHub) -> None:
    wanted = [seeded(lab, f"org/m{n}").id for n in range(8)]
    lab.faults.add(Fault("hf.list", "status", status=503, match="cursor=", times=2))
    lab.faults.add(Fault("hf.list", "reset", times=1))
    assert names(hub) == wanted
    assert lab.counters.requests("hf.list") == 3 + 3


def test_a_page_that_fails_for_good_is_never_a_short_list(lab: Lab, hub: HuggingFaceHub) -> None:
    for n in range(5):
        seeded(lab, f"org/m{n}")
    lab.faults.add(Fault("hf.list", "status", status=503, match="cursor=", times=None))
    with pytest.raises(UnavailableError):
        hub.list_repos(RepoQuery(owner="org"))


def test_a_garbled_page_is_asked_for_once_more(lab: Lab, hub: HuggingFaceHub) -> None:
    seeded(lab, "org/m")
    answers(lab, {"not": "a list"}, times=1)
    assert names(hub) == ["org/m"]
    answers(lab, {"not": "a list"}, times=2)
    with pytest.raises(ProtocolError):
        hub.list_repos(RepoQuery(owner="org"))


def test_pages_that_go_round_are_a_protocol_error(lab: Lab, hub: HuggingFaceHub) -> None:
    link = f'<{lab.hf.endpoint}/api/models?cursor=x>; rel="next"'
    answers(lab, [ITEM], times=None, headers={"Link": link})
    with pytest.raises(ProtocolError, match="circle"):
        hub.list_repos(RepoQuery(owner="org"))
    assert lab.counters.requests("hf.list") == 2


def test_a_list_that_goes_on_elsewhere_is_not_followed(lab: Lab, hub: HuggingFaceHub) -> None:
    link = f'<{lab.ms.endpoint}/api/models?cursor=x>; rel="next"'
    answers(lab, [ITEM], times=None, headers={"Link": link})
    with pytest.raises(ProtocolError, match="another place"):
        hub.list_repos(RepoQuery(owner="org"))
    assert lab.counters.requests("ms.api") == 0
    assert lab.counters.token_origins(lab.hf.token) == {"hf.api"}


def test_a_mirror_that_passes_on_the_hubs_own_addresses_is_asked_itself(lab: Lab) -> None:
    headers = {"link": f'<{wire.PUBLIC_ENDPOINT}/api/models?cursor=x>; rel="next"'}
    assert wire.next_page(headers, lab.hf.endpoint) == f"{lab.hf.endpoint}/api/models?cursor=x"


def test_somebody_elses_repositories_are_never_taken_for_the_owners(
    lab: Lab, hub: HuggingFaceHub
) -> None:
    answers(lab, [ITEM, {**ITEM, "id": "other/m"}])
    with pytest.raises(ProtocolError, match="another owner"):
        hub.list_repos(RepoQuery(owner="org"))
    answers(lab, [{**ITEM, "id": "Org/m"}])
    assert names(hub) == ["Org/m"]


def test_a_search_that_fits_everything_is_given_up(
    lab: Lab, hub: HuggingFaceHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "MOST_LISTED", 5)
    for n in range(5):
        seeded(lab, f"org/m{n}")
    assert len(names(hub)) == 5
    for n in range(5, 20):
        seeded(lab, f"org/m{n}")
    lab.counters.reset()
    with pytest.raises(UsageError, match="more than 5"):
        hub.list_repos(RepoQuery())
    assert lab.counters.requests() == 2


def test_a_mirror_without_lists_is_not_an_owner_without_repositories(
    lab: Lab, hub: HuggingFaceHub
) -> None:
    lab.faults.add(Fault("hf.list", "status", status=404, body=b"not here"))
    with pytest.raises(UsageError):
        hub.list_repos(RepoQuery(owner="org"))
    lab.faults.add(Fault("hf.list", "status", status=401, body=b""))
    with pytest.raises(AccessError):
        hub.list_repos(RepoQuery(owner="org"))


@pytest.mark.parametrize("lab", [LabConfig(list_page_size=1, api_quota=3)], indirect=True)
def test_a_list_waits_for_the_next_window_or_says_that_it_cannot(lab: Lab) -> None:
    for n in range(5):
        seeded(lab, f"org/m{n}")
    hub = open_hub(lab)
    with pytest.raises(RateLimitedError):
        hub.list_repos(RepoQuery(owner="org"))
    assert lab.counters.requests("hf.list") <= 3
    hub.close()


def test_a_list_stops_when_asked_to(lab: Lab) -> None:
    cancel = CancelToken()
    hub = open_hub(lab, cancel=cancel)
    cancel.cancel()
    with pytest.raises(CancelledError):
        hub.list_repos(RepoQuery(owner="org"))
    hub.close()


def test_a_summary_is_one_request_or_two_under_an_old_name(lab: Lab, hub: HuggingFaceHub) -> None:
    repo = seeded(lab, "org/old")
    assert hub.summary(RepoId("hf", "org/old")).commit == repo.branches["main"]
    assert lab.counters.requests() == 1
    lab.hf.repos.rename("model", "org/old", "org/new")
    assert hub.summary(RepoId("hf", "org/old")).repo == RepoId("hf", "org/new")
    assert lab.counters.requests() == 3


def test_a_renamed_repository_is_resolved_listed_and_read(lab: Lab, hub: HuggingFaceHub) -> None:
    repo = lab.hf.repos.create("model", "org/old", files={"w.safetensors": b"w" * 100_000})
    lab.hf.repos.rename("model", "org/old", "elsewhere/new")
    info = hub.resolve(RepoId("hf", "org/old"), None)
    assert info.commit == repo.branches["main"]
    entry = hub.list_files(info).by_path["w.safetensors"]
    stream = hub.open(info, entry)
    buffer = memoryview(bytearray(200_000))
    count = 0
    while got := stream.readinto(buffer[count:]):
        count += got
    assert bytes(buffer[:count]) == b"w" * 100_000
    stream.close()


def test_disabled_gated_and_deleted_repositories_can_be_told_apart(
    lab: Lab, hub: HuggingFaceHub
) -> None:
    seeded(lab, "org/disabled").is_disabled = True
    seeded(lab, "org/gated").gated = "manual"
    seeded(lab, "org/gone")
    lab.hf.repos.delete("model", "org/gone")
    found = {one.repo.name: one for one in hub.list_repos(RepoQuery(owner="org")).summaries}
    assert set(found) == {"org/disabled", "org/gated"}
    assert found["org/disabled"].is_disabled
    assert found["org/gated"].visibility is Visibility.GATED
    assert hub.summary(RepoId("hf", "org/gated")).visibility is Visibility.GATED
    with pytest.raises(AccessError, match="disabled"):
        hub.summary(RepoId("hf", "org/disabled"))
    with pytest.raises(NotFoundError):
        hub.summary(RepoId("hf", "org/gone"))


@pytest.mark.parametrize("lab", [LabConfig()], indirect=True)
def test_a_collection_costs_a_request_for_each_owner(lab: Lab, hub: HuggingFaceHub) -> None:
    items = [seeded(lab, f"{owner}/m{n}").id for n in range(5) for owner in ("a", "b")]
    items.append(seeded(lab, "c/alone").id)
    lab.collections.put("x/y-1", items)
    lab.counters.reset()
    found = hub.list_collection("x/y-1").summaries
    assert [one.repo.name for one in found] == items
    assert all(one.commit for one in found)
    assert lab.counters.requests() == 1 + 2 + 1


def test_a_large_owner_costs_no_more_than_its_items_in_a_collection(
    lab: Lab, hub: HuggingFaceHub
) -> None:
    repos = [seeded(lab, f"org/m{n:02}").id for n in range(30)]
    lab.collections.put("x/y-1", repos[:3])
    lab.counters.reset()
    found = hub.list_collection("x/y-1").summaries
    assert [one.repo.name for one in found] == repos[:3]
    assert all(one.commit for one in found)
    assert lab.counters.requests("hf.list") <= 3, "the oldest are on the last of ten pages"
    assert lab.counters.requests("hf.info") <= 3


def test_an_item_that_cannot_be_looked_at_keeps_its_name(lab: Lab, hub: HuggingFaceHub) -> None:
    seeded(lab, "org/a")
    seeded(lab, "org/off").is_disabled = True
    lab.collections.put("x/y-1", ["org/off", "org/a"])
    found = hub.list_collection("x/y-1").summaries
    assert found[0] == RepoSummary(RepoId("hf", "org/off"))
    assert found[1].commit


def test_a_bad_token_is_the_collections_failure(lab: Lab) -> None:
    seeded(lab, "org/a")
    lab.collections.put("x/y-1", ["org/a"])
    hub = open_hub(lab, "hf_nobodyknowsthistoken")
    with pytest.raises(InvalidTokenError):
        hub.list_collection("x/y-1")
    hub.close()


@pytest.mark.parametrize("slug", ["", "a", "a/b/c", "../models", "a/..", "./b", "a/b?x=1", "a/ü"])
def test_what_is_no_name_of_a_collection_is_asked_of_nobody(
    lab: Lab, hub: HuggingFaceHub, slug: str
) -> None:
    with pytest.raises(UsageError):
        hub.list_collection(slug)
    assert lab.counters.requests() == 0


def test_a_missing_collection_is_said_to_be_one(lab: Lab, hub: HuggingFaceHub) -> None:
    with pytest.raises(NotFoundError, match="no collection x/y-1"):
        hub.list_collection("x/y-1")
