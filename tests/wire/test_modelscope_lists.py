"""ModelScope's lists: shapes, where they end, and marks that agree with a repository's own page.

Shapes follow ``OpenAPIClient.list_models`` and ``HubApi._repo_info_from_payload`` of
modelscope_hub 0.5.1 (November 2026).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from hubferry import control
from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.errors import (
    AccessError,
    NotFoundError,
    ProtocolError,
    UnavailableError,
    UsageError,
)
from hubferry.hubs.modelscope import ModelScopeHub, summaries
from hubferry.lab.config import LabConfig
from hubferry.lab.faults import Fault
from hubferry.lab.server import Lab
from hubferry.model import RepoId, RepoQuery, RepoSummary, RepoType, Visibility
from hubferry.net.secret import Secret

MODEL, DATASET = RepoType.MODEL, RepoType.DATASET
WHEN = 1_716_206_400
ITEM: dict[str, Any] = {
    "id": "org/m",
    "display_name": "m",
    "private": False,
    "gated": False,
    "license": "Apache License 2.0",
    "tasks": ["text-generation"],
    "tags": ["chat"],
    "downloads": 7,
    "created_at": "2024-01-01T00:00:00Z",
    "last_modified": "2024-05-20T12:00:00.123456Z",
}


def page(*items: object, total: object = 1, key: str = "models") -> dict[str, object]:
    return {"success": True, "data": {key: list(items), "total_count": total}}


# --- shapes -------------------------------------------------------------------------------------


def test_a_list_item_is_read() -> None:
    found = summaries.catalog_page(MODEL, page(ITEM, total=12))
    assert found.total == 12
    assert found.summaries == (
        RepoSummary(
            RepoId("ms", "org/m"),
            None,
            WHEN,
            Visibility.PUBLIC,
            False,
            "Apache License 2.0",
            "text-generation",
            None,
            None,
            ("chat",),
            7,
        ),
    )
    assert found.summaries[0].mark == f"modified:{WHEN}"


def test_a_dataset_list_has_a_key_of_its_own() -> None:
    found = summaries.catalog_page(DATASET, page({"id": "org/d"}, key="datasets"))
    assert found.summaries[0].repo == RepoId("ms", "org/d", DATASET)
    with pytest.raises(ProtocolError):
        summaries.catalog_page(DATASET, page({"id": "org/d"}))


def test_a_list_and_a_page_tell_the_same_mark() -> None:
    data = {"Path": "org", "Name": "m", "Visibility": 5, "LastUpdatedTime": WHEN}
    alone = summaries.described(RepoId("ms", "org/m"), data)
    listed = summaries.catalog_page(MODEL, page(ITEM)).summaries[0]
    assert alone.mark == listed.mark
    assert alone.visibility is listed.visibility


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"Path": "new", "Name": "name"}, "new/name"),
        ({"Namespace": "new", "Name": "name"}, "new/name"),
        ({"Name": "name"}, "org/m"),
        ({"Path": "", "Name": "name"}, "org/m"),
        ({"Path": "a/b", "Name": "name"}, "org/m"),
        ({"Id": 5}, "org/m"),
    ],
)
def test_the_present_name_is_taken_where_it_is_told(fields: dict[str, object], name: str) -> None:
    assert summaries.described(RepoId("ms", "org/m"), fields).repo.name == name


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Visibility.PUBLIC),
        ({"private": True}, Visibility.PRIVATE),
        ({"private": True, "gated": True}, Visibility.GATED),
        ({"gated": None}, Visibility.UNKNOWN),
        ({"private": None}, Visibility.UNKNOWN),
        ({"private": "no"}, Visibility.UNKNOWN),
    ],
)
def test_only_what_is_surely_public_is_public(
    fields: dict[str, object], expected: Visibility
) -> None:
    found = summaries.catalog_page(MODEL, page({**ITEM, **fields}))
    assert found.summaries[0].visibility is expected


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"data": None},
        {"data": {}},
        {"data": {"models": {}}},
        {"data": {"models": "x"}},
        page(None),
        page("org/m"),
        page({}),
        page({"id": 5}),
        page({"id": "m"}),
        page({"id": "/m"}),
        page({"id": "a/b/c"}),
        page({**ITEM, "last_modified": "soon"}),
        page(ITEM, total="many"),
        page(ITEM, total=-1),
        page(ITEM, total=True),
    ],
)
def test_a_list_of_another_shape_is_refused(data: object) -> None:
    with pytest.raises(ProtocolError):
        summaries.catalog_page(MODEL, data)


def test_null_is_an_empty_list() -> None:
    empty = {"data": {"models": None, "total_count": 0}}
    assert summaries.catalog_page(MODEL, empty).summaries == ()


def test_a_description_without_a_repository_is_refused() -> None:
    bads: list[object] = [None, [], {}, {"Name": "m", "LastUpdatedTime": "soon"}]
    for bad in bads:
        with pytest.raises(ProtocolError):
            summaries.described(RepoId("ms", "org/m"), bad)


def test_criteria_become_parameters() -> None:
    query = RepoQuery(MODEL, "org", "a b", "fill-mask", "pytorch", ("chat",))
    assert summaries.list_query(query, 3) == {
        "owner": "org",
        "search": "a b",
        "filter.task": "fill-mask",
        "filter.library": "pytorch",
        "filter.custom_tag": "chat",
        "page_number": "3",
        "page_size": "100",
    }
    for wrong in (RepoQuery(tags=("a", "b")), RepoQuery(DATASET, library="x")):
        with pytest.raises(UsageError):
            summaries.list_query(wrong, 1)


# --- against the lab ----------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "GARBLED_SECONDS", 0.0)


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab(getattr(request, "param", None)) as running:
        yield running


def open_hub(lab: Lab, token: str | None = None) -> ModelScopeHub:
    cancel = CancelToken()
    return ModelScopeHub(
        endpoint=lab.ms.endpoint,
        token=Secret(token or lab.ms.token),
        proxy="direct",
        cancel=cancel,
        patience=lambda: Patience(cancel, WaitBudget(5), attempts=3, base_seconds=0.01),
    )


@pytest.fixture
def hub(lab: Lab) -> Iterator[ModelScopeHub]:
    made = open_hub(lab)
    yield made
    made.close()


def seed(lab: Lab, count: int, owner: str = "org") -> None:
    for n in range(count):
        lab.ms.repos.create("model", f"{owner}/m{n:04}")


def answers(lab: Lab, body: object, *, times: int | None = 1, **more: Any) -> None:
    text = json.dumps(body).encode()
    lab.faults.add(Fault("ms.open_list", "status", status=200, body=text, times=times, **more))


ORG = RepoQuery(owner="org")


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (1, 1), (100, 1), (101, 2), (250, 3)])
def test_a_list_costs_one_request_for_a_hundred(
    lab: Lab, hub: ModelScopeHub, count: int, requests: int
) -> None:
    seed(lab, count)
    seed(lab, 1, "other")
    found = hub.list_repos(ORG)
    assert len(found.summaries) == count
    assert (found.is_complete, found.total) == (True, count)
    assert lab.counters.requests() == requests


@pytest.mark.parametrize(("count", "is_complete"), [(3000, True), (3001, False), (3100, False)])
def test_a_list_ends_at_3000_and_says_so(
    lab: Lab, hub: ModelScopeHub, count: int, is_complete: bool
) -> None:
    seed(lab, count)
    found = hub.list_repos(ORG)
    assert len(found.summaries) == hub.traits.catalog_limit == 3000
    assert (found.is_complete, found.total) == (is_complete, count)
    assert lab.counters.requests("ms.open_list") == 30


def test_each_page_is_tried_again_on_its_own(lab: Lab, hub: ModelScopeHub) -> None:
    seed(lab, 250)
    lab.faults.add(Fault("ms.open_list", "status", status=502, match="page_number=2", times=2))
    assert len(hub.list_repos(ORG).summaries) == 250
    assert lab.counters.requests("ms.open_list") == 5


def test_a_page_that_fails_for_good_is_never_a_short_list(lab: Lab, hub: ModelScopeHub) -> None:
    seed(lab, 150)
    fault = Fault("ms.open_list", "status", status=502, match="page_number=2", times=None)
    lab.faults.add(fault)
    with pytest.raises(UnavailableError):
        hub.list_repos(ORG)


def test_a_failure_under_http_200_is_never_an_empty_list(lab: Lab, hub: ModelScopeHub) -> None:
    answers(lab, {"success": False, "code": "OperationNotAllowed", "message": "no"})
    with pytest.raises(AccessError):
        hub.list_repos(ORG)
    answers(lab, {"success": True}, times=2)
    with pytest.raises(ProtocolError):
        hub.list_repos(ORG)


def test_a_page_that_repeats_is_a_protocol_error(lab: Lab, hub: ModelScopeHub) -> None:
    same = page(*({**ITEM, "id": f"org/m{n}"} for n in range(100)), total=300)
    answers(lab, same, times=None)
    with pytest.raises(ProtocolError, match="same page"):
        hub.list_repos(ORG)
    assert lab.counters.requests("ms.open_list") == 2


def test_fewer_than_the_total_is_not_complete(lab: Lab, hub: ModelScopeHub) -> None:
    answers(lab, page(ITEM, total=5), match="page_number=1&", times=2)
    found = hub.list_repos(ORG)
    assert lab.counters.requests("ms.open_list") == 4, "it is read once more"
    assert [one.repo.name for one in found.summaries] == ["org/m"]
    assert (found.is_complete, found.total) == (False, 5)


def test_what_a_removal_shifts_out_of_sight_is_found_by_reading_again(
    lab: Lab, hub: ModelScopeHub
) -> None:
    seed(lab, 150)
    read_page, removed = hub._catalog_page, list[bool]()

    def removing(query: RepoQuery, number: int) -> summaries.CatalogPage:
        if number == 2 and not removed:
            removed.append(lab.ms.repos.delete("model", "org/m0000"))
        return read_page(query, number)

    hub._catalog_page = removing  # type: ignore[method-assign]
    found = hub.list_repos(ORG)
    assert sorted(one.repo.name for one in found.summaries) == [
        f"org/m{n:04}" for n in range(1, 150)
    ]
    assert found.is_complete


def test_pages_cut_shorter_than_asked_for_are_read_on(lab: Lab, hub: ModelScopeHub) -> None:
    for number in range(1, 4):
        items = [{**ITEM, "id": f"org/m{number}-{n}"} for n in range(50)]
        answers(lab, page(*items, total=150), match=f"page_number={number}&")
    found = hub.list_repos(ORG)
    assert (len(found.summaries), found.is_complete) == (150, True)


def test_without_a_total_a_short_page_is_the_last(lab: Lab, hub: ModelScopeHub) -> None:
    answers(lab, page(ITEM, total=None))
    found = hub.list_repos(ORG)
    assert (len(found.summaries), found.is_complete, found.total) == (1, True, None)
    assert lab.counters.requests("ms.open_list") == 1


def test_everybodys_list_is_never_taken_for_the_owners(lab: Lab, hub: ModelScopeHub) -> None:
    answers(lab, page(ITEM, {**ITEM, "id": "other/m"}, total=2))
    with pytest.raises(ProtocolError, match="another owner"):
        hub.list_repos(ORG)


def test_lists_do_not_promise_private_repositories(lab: Lab, hub: ModelScopeHub) -> None:
    lab.ms.repos.create("model", "your-org/secret", is_private=True)
    assert not hub.traits.lists_private
    assert hub.list_repos(RepoQuery(owner="your-org")).summaries == ()
    assert hub.summary(RepoId("ms", "your-org/secret")).visibility is Visibility.PRIVATE


@pytest.mark.parametrize("lab", [LabConfig(openapi_lists_private=True)], indirect=True)
def test_a_site_that_lists_private_repositories_is_asked_with_the_token(
    lab: Lab, hub: ModelScopeHub
) -> None:
    lab.ms.repos.create("model", "your-org/secret", is_private=True)
    found = hub.list_repos(RepoQuery(owner="your-org"))
    assert [one.visibility for one in found.summaries] == [Visibility.PRIVATE]
    stranger = open_hub(lab, lab.ms.other_token)
    assert stranger.list_repos(RepoQuery(owner="your-org")).summaries == ()
    stranger.close()


@pytest.mark.parametrize("fraction", [0, 1, 499_999, 999_999])
def test_marks_agree_whatever_the_fraction_of_the_second(
    lab: Lab, hub: ModelScopeHub, fraction: int
) -> None:
    date = datetime(2024, 5, 20, 12, 0, 0, fraction, UTC)
    lab.ms.repos.create("model", "org/m").commit({"a": b"a"}, date=date)
    listed = hub.list_repos(ORG).summaries[0]
    assert listed.mark == hub.summary(RepoId("ms", "org/m")).mark == f"modified:{WHEN}"


def test_an_empty_repository_has_a_mark_too(lab: Lab, hub: ModelScopeHub) -> None:
    lab.ms.repos.create("model", "org/empty")
    listed = hub.list_repos(ORG).summaries[0]
    assert listed.mark
    assert listed == hub.summary(RepoId("ms", "org/empty"))


def test_a_summary_is_one_request(lab: Lab, hub: ModelScopeHub) -> None:
    lab.ms.repos.create("model", "org/m")
    hub.summary(RepoId("ms", "org/m"))
    assert lab.counters.requests() == 1
    with pytest.raises(NotFoundError):
        hub.summary(RepoId("ms", "org/none"))


def test_collections_are_not_asked_for(lab: Lab, hub: ModelScopeHub) -> None:
    assert not hub.traits.has_collections
    with pytest.raises(UsageError):
        hub.list_collection("org/x")
    assert lab.counters.requests() == 0
