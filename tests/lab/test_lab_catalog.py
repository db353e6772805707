"""Lists, collections, renames and webhooks of the lab, with the unmodified official clients."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hubferry.lab.config import LabConfig
from hubferry.lab.content import SyntheticContent
from hubferry.lab.server import Lab

from .conftest import RunPython

SMALL_PAGES = LabConfig(list_page_size=3)
CARD = """---
license: {license}
pipeline_tag: {task}
library_name: transformers
tags:
- chat
---
"""

HF_PRELUDE = """
import json, os, sys
from huggingface_hub import HfApi
job = json.loads(sys.argv[1])
api = HfApi(endpoint=os.environ["HF_ENDPOINT"], token=job.get("token", False))
def show(value):
    print(json.dumps(value, default=str))
"""
MS_PRELUDE = """
import json, os, sys
from modelscope_hub import HubApi
job = json.loads(sys.argv[1])
api = HubApi(token=job.get("token"), endpoint=os.environ["MODELSCOPE_ENDPOINT"])
def show(value):
    print(json.dumps(value, default=str))
"""

Control = Callable[..., tuple[int, Any]]
Client = Callable[..., Any]


@pytest.fixture
def control(lab: Lab) -> Control:
    """Call the control origin; return status and JSON (or the text of a refusal)."""

    def call(method: str, path: str, data: Any = None) -> tuple[int, Any]:
        body = json.dumps(data).encode() if data is not None else None
        request = urllib.request.Request(lab.control_url + path, body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read().decode()

    return call


@pytest.fixture
def hf(lab: Lab, run_python: RunPython) -> Client:
    """Run a script of ``huggingface_hub``; return what it shows."""

    def run(script: str, **job: Any) -> Any:
        done = run_python(HF_PRELUDE + script, json.dumps(job), HF_ENDPOINT=lab.hf.endpoint)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return run


@pytest.fixture
def ms(lab: Lab, run_python: RunPython) -> Client:
    """Run a script of ``modelscope_hub``; return what it shows."""

    def run(script: str, **job: Any) -> Any:
        done = run_python(MS_PRELUDE + script, json.dumps(job), MODELSCOPE_ENDPOINT=lab.ms.endpoint)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return run


def model(lab: Lab, name: str, *, license: str = "mit", task: str = "text-generation") -> Any:
    card = CARD.format(license=license, task=task).encode()
    repo = lab.hf.repos.create("model", name)
    repo.commit({"README.md": card, "config.json": b'{"model_type": "llama"}'})
    return repo


# --- Hugging Face -------------------------------------------------------------------------------


@pytest.mark.parametrize("lab", [SMALL_PAGES], indirect=True)
def test_the_official_client_reads_all_pages_of_a_list(lab: Lab, hf: Client) -> None:
    for n in range(8):
        model(lab, f"org/m{n}")
    model(lab, "other/m")
    lab.counters.reset()
    names = hf('show([m.id for m in api.list_models(author="org")])')
    assert sorted(names) == [f"org/m{n}" for n in range(8)]
    assert lab.counters.requests("hf.list") == 3
    assert len(hf('show([m.id for m in api.list_models(author="org", limit=2)])')) == 2
    assert hf('show([m.id for m in api.list_models(author="nobody")])') == []


def test_a_list_tells_what_expand_asks_for(lab: Lab, hf: Client) -> None:
    repo = model(lab, "org/m")
    repo.gated, repo.downloads = "manual", 42
    shown = hf(
        """
keys = ["sha", "lastModified", "private", "gated", "disabled", "tags", "pipeline_tag",
        "library_name", "downloads", "cardData", "config"]
m, = api.list_models(author="org", expand=keys)
plain, = api.list_models(author="org")
full, = api.list_models(author="org", full=True, cardData=True, fetch_config=True)
show({
    "told": [m.sha, m.private, m.gated, m.disabled, m.pipeline_tag, m.library_name, m.downloads,
             m.card_data.license, m.config["model_type"], m.last_modified.timestamp()],
    "tags": m.tags, "siblings": m.siblings, "plain": [plain.sha, plain.tags],
    "full": [full.sha, len(full.siblings), full.card_data.license, full.config["model_type"]],
})
"""
    )
    head = repo.head()
    assert shown["told"][:9] == [
        head.id, False, "manual", False, "text-generation", "transformers", 42, "mit", "llama"
    ]  # fmt: skip
    assert shown["told"][9] == pytest.approx(head.date.timestamp(), abs=0.002)
    assert {"license:mit", "chat", "transformers"} <= set(shown["tags"])
    assert shown["siblings"] is None
    assert shown["plain"][0] is None
    assert shown["full"] == [head.id, 2, "mit", "llama"]


def test_a_list_is_filtered_and_sorted(lab: Lab, hf: Client) -> None:
    model(lab, "a/one").downloads = 5
    model(lab, "b/two", license="apache-2.0", task="fill-mask").downloads = 9
    model(lab, "b/three").downloads = 7
    shown = hf(
        """
names = lambda **query: [m.id for m in api.list_models(**query)]
show([
    names(filter="license:mit"), names(filter=["chat", "license:apache-2.0"]),
    names(pipeline_tag="fill-mask"), names(search="TWO"), names(sort="downloads"),
    names(author="b", gated=False, sort="downloads"), names(gated=True),
])
"""
    )
    assert [set(names) for names in shown[:4]] == [
        {"a/one", "b/three"}, {"b/two"}, {"b/two"}, {"b/two"}
    ]  # fmt: skip
    assert shown[4] == ["b/two", "b/three", "a/one"]
    assert shown[5:] == [["b/two", "b/three"], []]


def test_private_repositories_are_listed_for_members_only(lab: Lab, hf: Client) -> None:
    model(lab, "your-org/secret").is_private = True
    model(lab, "your-org/open")
    script = 'show(sorted(m.id for m in api.list_models(author="your-org", expand=["private"])))'
    both = ["your-org/open", "your-org/secret"]
    assert hf(script, token=lab.hf.read_token) == both
    assert hf(script, token=lab.hf.other_token) == hf(script) == ["your-org/open"]


def test_datasets_have_a_list_of_their_own(lab: Lab, hf: Client) -> None:
    model(lab, "org/m")
    lab.hf.repos.create("dataset", "org/d").commit({"README.md": b"# d"})
    shown = hf("""
found, = api.list_datasets(author="org", expand=["sha", "tags", "gated", "downloads"])
show([found.id, found.sha, found.gated])
""")
    head = lab.hf.repos.get("dataset", "org/d").head()  # type: ignore[union-attr]
    assert shown == ["org/d", head.id, False]  # type: ignore[union-attr]


@pytest.mark.parametrize("lab", [SMALL_PAGES], indirect=True)
def test_a_change_between_pages_hides_nothing(lab: Lab) -> None:
    repos = [model(lab, f"org/m{n}") for n in range(5)]
    names, url = [], f"{lab.hf.endpoint}/api/models?author=org"
    while url:
        with urllib.request.urlopen(url, timeout=10) as answer:
            names += [item["id"] for item in json.loads(answer.read())]
            link = answer.headers.get("Link") or ""
        repos[0].commit({"new.txt": b"x"})
        lab.hf.repos.delete("model", names[0])
        url = link[1 : link.index(">")] if link else ""
    assert sorted(names) == [f"org/m{n}" for n in range(5)]


@pytest.mark.parametrize("lab", [LabConfig(api_quota=2)], indirect=True)
def test_lists_count_against_the_api_quota(lab: Lab) -> None:
    def ask() -> int:
        headers = {"Authorization": f"Bearer {lab.hf.token}"}
        request = urllib.request.Request(f"{lab.hf.endpoint}/api/models", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.headers["RateLimit"].startswith('"api";r=')
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code

    assert [ask() for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("query", ["sort=color", "limit=x", "cursor=%21", "apps=ollama"])
def test_a_list_that_cannot_be_made_is_refused(lab: Lab, query: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{lab.hf.endpoint}/api/models?{query}", timeout=10)
    with caught.value:
        assert caught.value.code == 400


def test_the_official_client_reads_a_collection(lab: Lab, hf: Client, control: Control) -> None:
    model(lab, "org/a")
    model(lab, "org/b")
    model(lab, "your-org/secret").is_private = True
    lab.hf.repos.create("dataset", "org/d").commit({"a": b"a"})
    items: list[Any] = [
        "org/b", {"type": "paper", "id": "2307.09288"}, {"type": "dataset", "id": "org/d"},
        "your-org/secret", {"type": "model", "id": "org/a", "note": "old but good"}, "org/gone",
    ]  # fmt: skip
    data = {"slug": "org/best-0123", "title": "Best", "items": items}
    assert control("POST", "/collections", data)[0] == 201
    assert control("POST", "/collections", {"slug": "nothing", "items": []})[0] == 400
    control("POST", "/rename", {"hub": "hf", "id": "org/a", "to": "org/a2"})
    script = """
c = api.get_collection("org/best-0123")
show([c.title, [[i.item_type, i.item_id, i.note] for i in c.items]])
"""
    shown: list[list[str | None]] = [
        ["model", "org/b", None], ["paper", "2307.09288", None], ["dataset", "org/d", None],
        ["model", "your-org/secret", None], ["model", "org/a2", "old but good"],
    ]  # fmt: skip
    assert hf(script, token=lab.hf.token) == ["Best", shown]
    assert hf(script)[1] == [item for item in shown if item[1] != "your-org/secret"]
    missing = """
try:
    api.get_collection("org/none-1")
except Exception as exc:
    show(exc.response.status_code)
"""
    assert hf(missing) == 404


def test_a_renamed_and_a_deleted_repository(lab: Lab, hf: Client, control: Control) -> None:
    repo = model(lab, "org/old")
    assert control("POST", "/rename", {"hub": "hf", "id": "org/old", "to": "org/new"})[0] == 200
    assert control("POST", "/rename", {"hub": "hf", "id": "org/old", "to": "org/x"})[0] == 400
    shown = hf("""
info = api.model_info("org/old", expand=["sha"])
show([info.id, info.sha, [m.id for m in api.list_models(author="org")]])
""")
    assert shown == ["org/new", repo.head().id, ["org/new"]]
    control("POST", "/rename", {"hub": "hf", "id": "org/new", "to": "org/old"})
    assert hf('show(api.model_info("org/new").id)') == "org/old", "there and back is no circle"
    assert control("DELETE", "/repos?hub=hf&id=org/old")[0] == 200
    assert control("DELETE", "/repos?hub=hf&id=org/old")[0] == 404
    gone = """
try:
    api.model_info("org/old", token=job["token"])
except Exception as exc:
    show([type(exc).__name__, exc.response.status_code])
"""
    assert hf(gone, token=lab.hf.token) == ["RepositoryNotFoundError", 404]
    lab.hf.repos.create("model", "org/new")
    assert lab.hf.repos.moved_to("model", "org/new") is None, "a new repository takes the name"


# --- ModelScope ---------------------------------------------------------------------------------


def test_the_official_modelscope_client_reads_lists(lab: Lab, ms: Client) -> None:
    for n in range(7):
        repo = lab.ms.repos.create("model", f"org/m{n}")
        repo.commit({"a": b"%d" % n})
        repo.downloads = n
    lab.ms.repos.create("model", "org/secret", is_private=True)
    lab.ms.repos.create("dataset", "org/d")
    shown = ms(
        """
first = api.list_repos("model", owner="org", page_size=5)
second = api.list_repos("model", owner="org", page_size=5, page_number=2)
popular = api.list_repos("model", owner="org", sort="downloads", page_size=2)
data = api.list_repos("dataset", owner="org")
none = api.list_repos("model", owner="nobody")
show({
    "names": [r.repo_id for page in (first, second) for r in page.items],
    "totals": [p.total_count for p in (first, second, data, none)],
    "popular": [[r.repo_id, r.downloads] for r in popular.items],
    "modified": second.items[-1].last_modified.timestamp(),
    "search": [r.repo_id for r in api.list_repos("model", search="M3").items],
})
"""
    )
    assert sorted(shown["names"]) == [f"org/m{n}" for n in range(7)]
    assert shown["totals"] == [7, 7, 1, 0]
    assert shown["popular"] == [["org/m6", 6], ["org/m5", 5]]
    assert shown["search"] == ["org/m3"]
    last = lab.ms.repos.get("model", shown["names"][-1])
    assert last is not None
    assert shown["modified"] == pytest.approx(last.modified_at.timestamp(), abs=0.001)


def test_no_list_of_modelscope_goes_beyond_3000(lab: Lab) -> None:
    base = f"{lab.ms.endpoint}/openapi/v1/models?owner=org"
    with urllib.request.urlopen(f"{base}&page_number=30&page_size=100", timeout=10) as answer:
        assert json.loads(answer.read())["data"]["models"] == []
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{base}&page_number=31&page_size=100", timeout=10)
    with caught.value:
        assert caught.value.code == 400
        assert json.loads(caught.value.read())["success"] is False


@pytest.mark.parametrize("lab", [LabConfig(), LabConfig(openapi_lists_private=True)], indirect=True)
def test_whether_modelscope_lists_private_models_is_a_trait(lab: Lab, ms: Client) -> None:
    lab.ms.repos.create("model", "your-org/secret", is_private=True)
    script = 'show([[r.repo_id, r.private] for r in api.list_repos("model").items])'
    shown = [["your-org/secret", True]] if lab.config.openapi_lists_private else []
    assert ms(script, token=lab.ms.token) == shown
    assert ms(script, token=lab.ms.other_token) == ms(script) == []


# --- seeding and webhooks -----------------------------------------------------------------------


def test_many_repositories_are_seeded_at_once(lab: Lab, control: Control) -> None:
    def files(n: int) -> dict[str, Any]:
        own = {f"f{k}.txt": {"size": 2000, "seed": f"{n}/{k}"} for k in range(6)}
        shared = {f"w{k}.safetensors": {"size": 300_000, "seed": f"base {k}"} for k in range(4)}
        return {**own, **shared}

    started = time.monotonic()
    repos = [{"id": f"your-org/m{n}", "files": files(n)} for n in range(500)]
    many = {"hub": "hf", "license": "mit", "date": 1_700_000_000, "repos": repos}
    status, answer = control("POST", "/seed", many)
    assert (status, len(answer["repos"])) == (201, 500)
    assert time.monotonic() - started < 20, "about a second where nothing else runs"
    assert len(lab.hf.repos.blobs) == 500 * 6 + 4
    found = lab.hf.repos.get("model", "your-org/m499")
    assert found is not None
    assert found.license == "mit"
    assert found.modified_at.timestamp() == 1_700_000_000
    assert len(found.tree()) == 10
    assert control("POST", "/seed", {"repos": [{"id": "x/y"}]})[0] == 400, "no hub"


@pytest.mark.parametrize("size", [1, 15, 65_536, 65_537, 200_000, 1 << 20, (1 << 20) + 7])
def test_parts_of_synthetic_bytes_are_the_bytes(size: int) -> None:
    content = SyntheticContent(3 << 20, "x")
    whole = bytes(content.read(0, 3 << 20))
    for start in (0, 1, 65_530, 65_536, 999_999, (1 << 20) - 3, 1 << 20):
        assert bytes(content.read(start, start + size)) == whole[start : start + size]
    assert bytes(SyntheticContent(size, "x").read(0, size)) == whole[:size]


@contextmanager
def receiving() -> Iterator[tuple[str, list[tuple[dict[str, str], Any]]]]:
    """A server that takes webhooks; gives its address and what came."""
    came: list[tuple[dict[str, str], Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.append((dict(self.headers), json.loads(body)))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", came
    finally:
        server.shutdown()
        server.server_close()


def test_a_webhook_has_the_shape_that_the_official_client_reads(
    lab: Lab, control: Control, run_python: RunPython
) -> None:
    repo = model(lab, "org/m")
    first = repo.head().id
    second = repo.commit({"new.txt": b"x"})
    with receiving() as (url, came):
        asked = {"url": url, "secret": "s3cret", "repo": "org/m"}
        assert control("POST", "/webhook", asked)[1]["status"] == 202
        lab.hf.repos.rename("model", "org/m", "org/m2")
        move = {"action": "move", "scope": "repo"}
        control("POST", "/webhook", {**asked, "event": move, "moved_to": "org/m2"})
        control("POST", "/webhook", {**asked, "repo": "org/x", "event": {"action": "delete"}})
        control("POST", "/webhook", {"url": url, "repo": "org/m2", "event": "repo.config"})
    headers, body = came[0]
    assert headers["X-Webhook-Secret"] == "s3cret"
    assert headers["Content-Type"].startswith("application/json")
    assert body["event"] == {"action": "update", "scope": "repo.content"}
    assert (body["repo"]["type"], body["repo"]["name"]) == ("model", "org/m")
    assert body["repo"]["headSha"] == second
    ref = {"ref": "refs/heads/main", "oldSha": first, "newSha": second}
    assert body["updatedRefs"] == [ref]
    assert body["webhook"]["version"] == 3
    assert came[1][1]["movedTo"]["name"] == "org/m2"
    assert "headSha" not in came[2][1]["repo"]
    assert came[3][1]["updatedConfig"] == {"private": False}
    assert "X-Webhook-Secret" not in came[3][0]
    read = """
import json, sys
from huggingface_hub import WebhookPayload
for body in json.loads(sys.argv[1]):
    print(WebhookPayload.model_validate(body).repo.name)
"""
    done = run_python(read, json.dumps([body for _, body in came]))
    assert done.stdout.split() == ["org/m", "org/m", "org/x", "org/m2"], done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "http://169.254.169.254/",
        "http://127.0.0.1.example.com/",
        "http://user@example.com:80/",
        "http://localhost@example.com/",
        "file:///etc/passwd",
        "//127.0.0.1/",
        "http://[::]/",
        "",
    ],
)
def test_webhooks_go_to_this_computer_only(lab: Lab, control: Control, url: str) -> None:
    model(lab, "org/m")
    status, said = control("POST", "/webhook", {"url": url, "repo": "org/m"})
    assert status == 400
    assert "loopback" in said


def test_a_webhook_that_nobody_takes_is_told(lab: Lab, control: Control) -> None:
    with receiving() as (url, _):
        pass
    assert control("POST", "/webhook", {"url": url, "repo": "org/m"})[0] == 400
