"""Shards, indexes, budgets, retries, and what the hub keeps from us."""

from __future__ import annotations

import pytest
from tests.unit.inspection.inspection_fakes import (
    Content,
    FakeHub,
    as_json,
    inspect_files,
    listing_of,
    quick_patience,
    safetensors,
    told,
    weights,
)

from hubferry.control import CancelToken
from hubferry.errors import (
    AccessError,
    CancelledError,
    CorruptReadError,
    NotFoundError,
    RateLimitedError,
    UnavailableError,
)
from hubferry.inspection import Severity, Verdict, inspect_repo
from hubferry.inspection import reader as reader_module
from hubferry.inspection.reader import budget_for
from hubferry.model import RepoId, RepoInfo, Visibility

INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def _index(total: object = 48, **weight_map: object) -> bytes:
    placed = weight_map or {"a": SHARDS[0], "b": SHARDS[0], "c": SHARDS[1]}
    return as_json({"metadata": {"total_size": total}, "weight_map": placed})


def _sharded(index: bytes | None = None) -> dict[str, Content]:
    return {
        INDEX: index or _index(),
        SHARDS[0]: safetensors({"a": ("F32", [4]), "b": ("F32", [4])}),
        SHARDS[1]: safetensors({"c": ("F32", [4])}),
    }


def test_sharded_model_is_whole() -> None:
    report = inspect_files(_sharded())
    assert report.problems == ()
    assert report.parameters == 12
    assert report.files == 3


def test_shard_that_the_index_names_must_be_there() -> None:
    files = _sharded()
    del files[SHARDS[1]]
    assert told(inspect_files(files)) == [("missing", SHARDS[1])]


def test_numbered_shards_without_index_must_all_be_there_and_have_one() -> None:
    files = _sharded()
    del files[SHARDS[1]], files[INDEX]
    assert told(inspect_files(files)) == [("missing", SHARDS[1]), ("missing", INDEX)]


def test_gguf_parts_must_all_be_there() -> None:
    report = inspect_files({"m-00002-of-00003.gguf": b"x" * 50})
    missing = [path for severity, path in told(report) if severity == "missing"]
    assert missing == ["m-00001-of-00003.gguf", "m-00003-of-00003.gguf"]


def test_absurd_shard_number_does_not_flood_the_report() -> None:
    report = inspect_files({"m-00001-of-99999.bin": b"x" * 5000})
    assert len(report.problems) < 30
    assert "99978 more" in " ".join(str(problem.message) for problem in report.problems)


def test_index_with_a_precision_in_its_name_counts_as_index() -> None:
    files = _sharded()
    files["text_encoder/model.safetensors.index.fp16.json"] = as_json(
        {"weight_map": {"a": "model.fp16-00001-of-00001.safetensors"}}
    )
    missing = "text_encoder/model.fp16-00001-of-00001.safetensors"
    assert told(inspect_files(files)) == [("missing", missing)]


def test_tensor_placed_in_the_wrong_shard_is_broken() -> None:
    files = _sharded(_index(a=SHARDS[0], b=SHARDS[1], c=SHARDS[1]))
    assert told(inspect_files(files)) == [("broken", SHARDS[1]), ("warning", SHARDS[0])]


@pytest.mark.parametrize("total", [47, 48.0, "48", None])
def test_total_size_is_compared_where_it_is_a_number(total: object) -> None:
    expected = [("warning", INDEX)] if total == 47 else []
    assert told(inspect_files(_sharded(_index(total)))) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        as_json({"weight_map": []}),
        as_json({"weight_map": {"a": 3}}),
        as_json({"weight_map": {"a": "../../etc/passwd"}}),
        as_json({"weight_map": {"a": "/abs"}}),
        b'{"weight_map": {"a": "x.bin", "a": "y.bin"}}',
        b'{"weight_map": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001,
    ],
)
def test_hostile_index_is_broken(content: bytes) -> None:
    problems = told(inspect_files({**_sharded(), INDEX: content}))
    assert ("broken", INDEX) in problems


def test_adapter_needs_both_halves() -> None:
    assert told(inspect_files({"adapter_config.json": b"{}"})) == [("missing", None)]
    lone = inspect_files({"adapter_model.safetensors": weights()})
    assert told(lone) == [("missing", "adapter_config.json")]


def test_components_without_model_index_are_missing_it() -> None:
    files = {f"{name}/config.json": b"{}" for name in ("unet", "vae", "text_encoder")}
    report = inspect_files({**files, "unet/diffusion_pytorch_model.safetensors": weights()})
    assert told(report) == [("missing", "model_index.json")]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("model_index.json", as_json({"../x": ["diffusers", "UNet2DConditionModel"]})),
        ("modules.json", as_json([{"path": "../x", "type": "a.Dense"}])),
        ("modules.json", as_json(["x"])),
        ("modules.json", b'1],"x":[2'),
        ("config.json", b"[" * 100_000),
        ("config.json", b"\xff\xfe\x00"),
    ],
)
def test_hostile_description_is_broken(path: str, content: bytes) -> None:
    assert ("broken", path) in told(inspect_files({path: content, "a.safetensors": weights()}))


def test_infinity_in_a_configuration_is_no_fault() -> None:
    files: dict[str, Content] = {
        "config.json": b'{"model_type": "mamba2", "time_step_limit": [0.0, Infinity]}',
        "model.safetensors": weights(),
        "tokenizer.json": b"{}" * 600,
    }
    assert inspect_files(files).problems == ()


def test_budget_is_fifty_megabytes_or_a_ten_thousandth() -> None:
    assert budget_for(0) == 50_000_000
    assert budget_for(500_000_000_000) == 50_000_000
    assert budget_for(1_000_000_000_000) == 100_000_000


def test_used_up_budget_is_told_and_never_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "MIN_BUDGET_BYTES", 300)
    report = inspect_files(_sharded())
    assert report.traffic_bytes <= report.budget_bytes == 300
    assert report.verdict is Verdict.UNKNOWN
    assert not report.is_complete
    assert {problem.severity for problem in report.problems} == {Severity.WARNING}
    assert "300 bytes" in str(report.problems[0].message)


def test_dropped_read_goes_on_where_it_stopped() -> None:
    files = _sharded()
    hub = FakeHub(files)
    hub.cuts = [10, 0, 25]
    report = inspect_files(files, hub=hub)
    assert report.problems == ()
    assert [start for path, start, _ in hub.reads if path == INDEX] == [0, 10, 10, 35]
    assert report.requests == len(hub.reads)
    stop = len(_index())
    others = sum(end - start for path, start, end in hub.reads if path != INDEX)
    assert report.traffic_bytes == stop + others


def _failing(error: Exception, path: str = "model.safetensors") -> FakeHub:
    files = {"model.safetensors": weights(), "other.safetensors": weights()}
    hub = FakeHub(files)

    def fail(opened: str) -> None:
        if opened == path:
            raise error

    hub.on_open = fail
    return hub


def test_hub_that_is_down_says_nothing_of_the_file() -> None:
    for error in (UnavailableError("down"), RateLimitedError("slow down")):
        hub = _failing(error)
        with pytest.raises(type(error)):
            inspect_files(hub.files, hub=hub)


def test_file_that_is_listed_but_not_served_is_broken() -> None:
    for error in (NotFoundError("gone", what="path"), CorruptReadError("another size")):
        hub = _failing(error)
        assert told(inspect_files(hub.files, hub=hub)) == [("broken", "model.safetensors")]


def test_gated_repository_is_told_after_one_refusal() -> None:
    hub = _failing(AccessError("accept the terms first"))
    opened: list[str] = []
    fail = hub.on_open
    assert fail is not None

    def count(path: str) -> None:
        opened.append(path)
        fail(path)

    hub.on_open = count
    report = inspect_files(hub.files, hub=hub, visibility=Visibility.GATED)
    assert report.is_gated
    assert report.verdict is Verdict.UNKNOWN
    assert [path for _, path in told(report)] == ["model.safetensors", "other.safetensors"]
    assert opened == ["model.safetensors"]


def test_folder_that_cannot_be_listed_is_looked_into_path_by_path() -> None:
    files = _sharded()
    whole = listing_of(files)
    hub = FakeHub(files)
    hub.hidden = {SHARDS[1]: whole.by_path[SHARDS[1]]}
    cut = listing_of({k: v for k, v in files.items() if k != SHARDS[1]}, doubtful=[""])
    report = inspect_files(files, hub=hub, listing=cut)
    assert all(problem.is_unchecked for problem in report.problems)
    assert SHARDS[1] not in [problem.path for problem in report.problems]
    assert report.verdict is Verdict.UNKNOWN

    hub.hidden = {SHARDS[1]: None}
    assert ("missing", SHARDS[1]) in told(inspect_files(files, hub=hub, listing=cut))
    hub.hidden = {}
    assert ("warning", SHARDS[1]) in told(inspect_files(files, hub=hub, listing=cut))


def test_security_scan_of_the_hub_is_summed_up_and_names_files() -> None:
    files: dict[str, Content] = {"model.safetensors": weights(), "evil.bin": b"x" * 2000}
    listing = listing_of(files, security={"model.safetensors": "safe", "evil.bin": "unsafe"})
    report = inspect_files(files, listing=listing, license="mit")
    assert report.security.counts == {"safe": 1, "unsafe": 1}
    assert report.security.flagged == (("evil.bin", "unsafe"),)
    assert told(report) == [("warning", "evil.bin")]
    assert report.is_complete
    assert report.license == "mit"


def test_paths_nobody_can_write_are_told() -> None:
    files: dict[str, Content] = {"model.safetensors": weights(), "a/../b": b""}
    assert told(inspect_files(files)) == [("warning", "'a/../b'")]


def test_progress_tells_every_file_once() -> None:
    seen: list[tuple[int, int, str]] = []
    inspect_files(_sharded(), on_progress=lambda *step: seen.append(step))
    assert [(done, total) for done, total, _ in seen] == [(0, 3), (1, 3), (2, 3)]


def test_cancel_stops_at_once() -> None:
    cancel = CancelToken()
    files = _sharded()
    hub = FakeHub(files)
    hub.on_open = lambda path: cancel.cancel()
    with pytest.raises(CancelledError):
        inspect_repo(
            hub,
            RepoInfo(RepoId("hf", "a/b"), "main", None),
            listing_of(files),
            cancel=cancel,
            patience_factory=quick_patience,
        )


def test_small_files_are_not_opened_for_nothing() -> None:
    """3,000 small text files cost no request."""
    files: dict[str, Content] = {f"docs/{n}.txt": b"hello" for n in range(3000)}
    report = inspect_files({**files, "model.safetensors": weights()})
    assert report.requests == 1
