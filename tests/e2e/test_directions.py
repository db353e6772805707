"""Source and target are roles: every pair of hubs goes through the same steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.bench import PLAIN, Bench, summary
from tests.support.compare import differences

from hubferry.app import parse_address, resolve_target
from hubferry.errors import Side
from hubferry.lab.repos import Repo, Seed
from hubferry.lab.server import Lab
from hubferry.outcome import RunReport

FILES: dict[str, Seed] = {
    "README.md": "---\nlicense: mit\n---\n# model\n",
    "config.json": '{"model_type": "gpt2"}',
    "weights.bin": bytes(range(256)) * 500,
    "twin.bin": bytes(range(256)) * 500,
    "empty.txt": "",
    "深/data.txt": "text\n" * 30,
}


def _copy(bench: Bench, source: str, target: str) -> RunReport:
    with bench.app() as app:
        address = parse_address(source, Side.SOURCE)
        report = app.copy(address, resolve_target(target, address), PLAIN)
    assert report.exit_code == 0, summary(report)
    assert report.verified is True, summary(report)
    return report


def _repo(lab: Lab, hub: str, name: str) -> Repo:
    found = (lab.hf if hub == "hf" else lab.ms).repos.get("model", name)
    assert found is not None
    return found


def test_a_model_goes_round_all_hubs_and_comes_back_the_same(bench: Bench, tmp_path: Path) -> None:
    origin = bench.seed(FILES)
    folder = tmp_path / "folder"
    journey = [
        ("hf://source-org/model", "ms://your-org/one"),
        ("ms://your-org/one", str(folder)),
        (str(folder), "hf://your-org/two"),
        ("hf://your-org/two", "ms://your-org/three"),
        ("ms://your-org/three", "hf://your-org/four"),
    ]
    for source, target in journey:
        first = _copy(bench, source, target)
        assert first.commits >= 1
        again = _copy(bench, source, target)
        assert (again.commits, again.bytes.sent) == (0, 0), target

    assert (folder / "weights.bin").read_bytes() == FILES["weights.bin"]
    for hub, name in (("ms", "one"), ("hf", "two"), ("ms", "three"), ("hf", "four")):
        assert differences(origin, _repo(bench.lab, hub, f"your-org/{name}")) == []


def test_a_folder_that_changed_is_brought_up_to_date(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("first")
    _copy(bench, str(folder), "ms://your-org/model")
    (folder / "a.txt").write_text("later")
    (folder / "b.bin").write_bytes(bytes(80_000))

    report = _copy(bench, str(folder), "ms://your-org/model")

    assert report.files.sent == 2
    assert bench.target.read("a.txt") == b"later"


@pytest.mark.parametrize("target", ["hf://source-org/model", "ms://your-org/model"])
def test_a_repository_is_not_copied_onto_itself(bench: Bench, target: str) -> None:
    bench.seed(FILES)
    with bench.app() as app:
        source = parse_address(target, Side.SOURCE)
        with pytest.raises(Exception, match="same repository"):
            app.copy(source, resolve_target(target, source), PLAIN)
