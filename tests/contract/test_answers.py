"""Whatever a hub answers, what leaves our hub packages is one of our errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.errors import CopyError
from hubferry.hubs.huggingface.hub import HuggingFaceHub
from hubferry.hubs.modelscope import ModelScopeHub
from hubferry.lab.faults import Fault
from hubferry.lab.server import Lab
from hubferry.model import AddInline, Blob, GitOid, RepoId, RepoQuery, Sha256, Visibility
from hubferry.net.secret import Secret

NAME = "your-org/answers"
BODIES = (
    b"",
    b"null",
    b"1",
    b'"x"',
    b"[]",
    b"{}",
    b"[null]",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":' * 2000,
    b'{"Data":null}',
    b'{"Data":[]}',
    b'{"Data":{"Files":[null]}}',
    b'{"Data":{"Files":[{"Path":1}]}}',
    b'{"Data":{"objects":[null]}}',
    b'{"Data":{"RevisionMap":{"Branches":1}}}',
    b'{"Code":"x"}',
    b'{"Success":false}',
    b'{"objects":[null]}',
    b'{"sha":"x","id":1,"cardData":[1],"tags":1}',
    b'[{"type":"file","path":1,"size":"x"}]',
    b'{"commitOid":1}',
    b'{"name":1,"orgs":1,"auth":1}',
    b'[{"id":1}]',
    b'[{"id":"your-org/x","sha":1,"tags":1,"gated":[],"config":1}]',
    b'{"data":{"models":[null],"total_count":"x"}}',
    b'{"data":{"models":[{"id":"your-org/x","last_modified":[]}],"total_count":1}}',
    b'{"items":[{"type":"model","id":1}]}',
    b'{"items":[null]}',
    b'{"Data":{"Name":"x","LastUpdatedTime":"yesterday"}}',
    b'{"id":"your-org/x","lastModified":"yesterday"}',
    b'{"branches":[null],"tags":1}',
)
BLOB = Blob(Sha256("ab" * 32), 5)
QUERY = RepoQuery(owner="your-org")
INLINE = AddInline("a", b"x", Sha256("00" * 32), GitOid("00" * 20))

Hub = HuggingFaceHub | ModelScopeHub


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as running:
        for side in (running.hf, running.ms):
            files = {"README.md": b"# hi", "w.bin": b"x" * 200_000}
            side.repos.create("model", NAME, files=files)
        yield running


def patience() -> Patience:
    return Patience(CancelToken(), WaitBudget(0.1), attempts=1)


@pytest.fixture(params=["hf", "ms"])
def hub(lab: Lab, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("hubferry.control.GARBLED_SECONDS", 0.0, raising=False)
    made: Hub
    if request.param == "hf":
        made = HuggingFaceHub(
            endpoint=lab.hf.endpoint,
            token=Secret(lab.hf.token),
            proxy="direct",
            cancel=CancelToken(),
            patience=patience,
        )
    else:
        made = ModelScopeHub(
            endpoint=lab.ms.endpoint,
            token=Secret(lab.ms.token),
            proxy="direct",
            cancel=CancelToken(),
            patience=patience,
        )
    lab.faults.clear()
    yield made
    lab.faults.clear()
    made.close()


def calls(hub: Hub, scheme: str) -> list[tuple[str, Callable[[], object]]]:
    """What is asked, and at which endpoints of the lab it arrives (by their beginning)."""
    repo, new = RepoId(scheme, NAME), RepoId(scheme, "your-org/other")
    info = hub.resolve(repo, None)
    listed = hub.list_files(info).by_path
    who, tree, access = (
        ("hf.whoami", "hf.tree", "hf.auth") if scheme == "hf" else ("ms.me", "ms.files", "ms.login")
    )
    return [
        (who, hub.identity),
        (f"{scheme}.info", lambda: hub.resolve(repo, None)),
        (f"{scheme}.info", lambda: hub.summary(repo)),
        ("hf.list" if scheme == "hf" else "ms.open_list", lambda: hub.list_repos(QUERY)),
        ("hf.refs" if scheme == "hf" else "ms.revisions", lambda: hub.list_refs(repo)),
        *([("hf.collection", lambda: hub.list_collection("a/b-1"))] if scheme == "hf" else ()),
        (f"{scheme}.revisions", lambda: hub.resolve(repo, "no-such")),
        (tree, lambda: hub.list_files(info)),
        ("hf.paths" if scheme == "hf" else "ms.file", lambda: hub.stat_files(info, ["README.md"])),
        (access, lambda: hub.write_access(repo)),
        (f"{scheme}.create", lambda: hub.create_repo(new, Visibility.PRIVATE, None)),
        (f"{scheme}.batch", lambda: hub.missing_blobs(info, [BLOB])),
        (f"{scheme}.commit", lambda: hub.commit(info, [INLINE], "m")),
        (f"{scheme}.tag", lambda: hub.tag(info, "t")),
        (f"{scheme}.cdn", lambda: hub.open(info, listed["w.bin"]).close()),
    ]


@pytest.mark.parametrize("status", [200, 400, 409])
def test_no_answer_makes_a_foreign_error(lab: Lab, hub: Hub, status: int) -> None:
    scheme = hub.traits.name
    for endpoint, ask in calls(hub, scheme):
        for body in BODIES:
            lab.faults.clear()
            lab.faults.add(Fault(endpoint, "status", status=status, body=body, times=None))
            try:
                ask()
            except CopyError:
                pass
            except Exception as error:
                raise AssertionError(f"{endpoint} {status} {body[:40]!r}") from error
