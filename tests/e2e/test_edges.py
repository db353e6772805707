"""Odd paths, odd files, odd sizes of folders: decided once, kept here."""

from __future__ import annotations

import hashlib
import json

import pytest
from tests.support.bench import SOURCE, Bench, check_copied, summary
from tests.support.compare import differences

from hubferry.hubs.modelscope import wire
from hubferry.lab.config import LabConfig
from hubferry.lab.content import lfs_pointer
from hubferry.lab.faults import Fault
from hubferry.lab.server import Lab
from hubferry.plan import Policy

GOOD = {"README.md": b"# fine\n", "weights.bin": bytes(90_000), "sub/notes.txt": b"fine\n"}
BAD_PATHS = [
    "/absolute.txt",
    "double//slash.txt",
    "../outside.txt",
    "sub/../../outside.txt",
    "./dot.txt",
    ".git/config",
    "sub/.GIT/hooks",
    "nul\x00byte.txt",
    "bell\x07.txt",
    "line\nfeed.txt",
    "escape\x1b[2J.txt",
    "trailing/",
    "",
]
ODD_PATHS = [
    "back\\slash.txt",
    "Case.txt",
    "case.TXT",
    "n" * 251 + ".txt",
    "模型/权重说明.txt",
    "é-composed.txt",
    "e\u0301-composed.txt",
    "emoji-🚀.txt",
    "per%20cent%.txt",
    "hash#and?query&plus+.txt",
    " leading and trailing .txt",
    "-rf.txt",
    "colon:star*quote\".txt",
    "con.txt",
    "/".join(["deep"] * 100) + "/end.txt",
    ".gitignore",
    ".git-like/file.txt",
    "...dots.txt",
]  # fmt: skip


def test_impossible_paths_are_refused_by_name_and_the_rest_is_copied(bench: Bench) -> None:
    bench.seed(GOOD)
    _list_also(bench, [*BAD_PATHS, "both", "both/at-once.txt"])

    report = bench.copy()

    assert report.exit_code == 3, summary(report)
    assert report.verified is not True
    refused = {record.path for record in report.errors if record.error == "refused_path"}
    assert refused == {*BAD_PATHS, "both", "both/at-once.txt"}
    target = bench.target.tree()
    assert {path for path in GOOD if path != "README.md"} <= set(target)
    assert not {*BAD_PATHS, "both", "both/at-once.txt"} & set(target)
    # One more: the right to read is tried before the target is created.
    assert bench.lab.counters.requests("hf.resolve") <= len(GOOD) + 1


def _list_also(bench: Bench, paths: list[str]) -> None:
    """Let the source's listing name these paths as well."""
    oid = hashlib.sha1(b"blob 0\0", usedforsecurity=False).hexdigest()
    entries = [{"type": "file", "oid": oid, "size": 0, "path": path} for path in paths]
    for path, file in bench.source.tree().items():
        entry = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
        if file.is_lfs:
            entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 130}
        entries.append(entry)
    body = json.dumps(entries).encode()
    bench.lab.faults.add(Fault("hf.tree", "status", status=200, times=None, body=body))


def test_odd_names_are_copied_exactly(bench: Bench) -> None:
    bench.seed({path: f"content of {path}" for path in ODD_PATHS})
    check_copied(bench, bench.copy())
    assert set(ODD_PATHS) <= set(bench.target.tree())

    again = bench.copy()
    check_copied(bench, again)
    assert again.bytes.sent == 0


def test_the_text_of_an_lfs_pointer_is_refused(bench: Bench) -> None:
    pointer = lfs_pointer("ab" * 32, 1_000_000)
    bench.seed({"weights.bin": pointer, "notes.txt": pointer, "good.txt": "good"})

    report = bench.copy()

    assert report.exit_code == 3, summary(report)
    failed = {record.path: record for record in report.errors}
    for path in ("weights.bin", "notes.txt"):
        assert failed[path].error == "integrity"
        assert "pointer" in str(failed[path].message)
        assert path not in bench.target.tree()
    assert bench.target.read("good.txt") == b"good"


def test_empty_files_are_copied_also_as_lfs(bench: Bench) -> None:
    bench.seed({"empty.txt": b"", "empty.bin": b"", "full.txt": b"x"}, lfs=["empty.bin"])
    check_copied(bench, bench.copy())
    assert bench.copy().bytes.sent == 0


def test_an_empty_repository_becomes_an_empty_one(bench: Bench) -> None:
    bench.seed({".gitattributes": ""})
    check_copied(bench, bench.copy())


@pytest.mark.parametrize("lab", [LabConfig(listing_cap=120)], indirect=True)
@pytest.mark.parametrize("folder", ["", "many/"])
def test_a_folder_too_large_to_be_listed_is_verified_file_by_file(
    bench: Bench, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The hub's cap is 3,000; a hundred and twenty show the same.
    monkeypatch.setattr(wire, "LISTING_CAP", 120)
    files = {f"{folder}sample-{number:03}.txt": f"sample {number}" for number in range(150)}
    bench.seed({**files, "other/notes.txt": "notes", "README.md": "# many"})

    check_copied(bench, bench.copy())
    again = bench.copy()
    check_copied(bench, again)
    assert (again.bytes.sent, again.commits) == (0, 0)

    kept = bench.target.commit({f"{folder}zzz-only-here.txt": "precious"})
    report = bench.mirror()
    assert report.exit_code == 4, summary(report)
    assert bench.target.branches["master"] == kept, "a doubtful listing deletes nothing"


@pytest.mark.parametrize("lab", [LabConfig(listing_cap=120)], indirect=True)
def test_files_the_target_shows_to_nobody_end_the_run_with_3(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "LISTING_CAP", 120)
    bench.seed({f"sample-{number:03}.txt": f"sample {number}" for number in range(150)})
    bench.lab.faults.add(Fault("ms.file", "status", status=403, times=None))

    report = bench.copy()

    assert report.exit_code == 3, summary(report)
    assert report.verified is False
    assert report.errors[0].error == "unchecked"
    assert bench.differences() == []


@pytest.mark.long
def test_a_folder_of_three_thousand_files_is_verified_file_by_file(bench: Bench) -> None:
    bench.seed({f"many/sample-{number:04}.txt": f"sample {number}" for number in range(3_100)})
    check_copied(bench, bench.copy())


def test_a_revision_is_pinned_and_named(bench: Bench) -> None:
    repo = bench.seed({"README.md": "# first", "a.txt": "a"})
    first = repo.branches["main"]
    repo.commit({"README.md": "# second"})
    repo.tag("v1", first)

    for revision in (first, "v1"):
        report = bench.copy(source=f"{SOURCE}@{revision}")
        assert report.exit_code == 0, summary(report)
        assert report.source.commit == first
        assert differences(repo, bench.target, first) == []

    check_copied(bench, bench.copy())
    assert bench.target.read("README.md") == b"# second"
    message = bench.target.history()[0].message
    assert f"Hubferry-Source: hf://{SOURCE}" in message
    assert f"Hubferry-Source-Commit: {repo.branches['main']}" in message


def test_filters_choose_files(bench: Bench) -> None:
    bench.seed({"a.json": "{}", "b.txt": "b", "onnx/c.json": "{}", "onnx/d.bin": "d"})
    report = bench.copy(Policy(include=("*.json",), exclude=("onnx/",)))
    assert report.exit_code == 0, summary(report)
    assert report.verified is True
    chosen = set(bench.target.tree()) - {".gitattributes", "README.md"}
    assert chosen == {"a.json"}
    assert report.files.total == 1


def test_one_segment_names_are_sources(bench: Bench, lab: Lab) -> None:
    lab.hf.repos.create("model", "gpt2", created_by="openai").commit({"README.md": "# gpt2"})
    report = bench.copy(source="gpt2", target="your-org/")
    assert report.exit_code == 0, summary(report)
    copied = lab.ms.repos.get("model", "your-org/gpt2")
    assert copied is not None
    assert copied.read("README.md") == b"# gpt2"
