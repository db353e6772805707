"""A copy killed at random moments: the next one always finds its way, and nothing lies."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.counts import TIERS, Counts
from tests.support.processes import Ended, Ferry, LabProcess, run_hubferry

SOURCE = "source-org/model"
FILES = 200
BIG_FILES = 8
BIG_BYTES = 3_000_000
# Shaped so that a whole copy takes about a second and a half after the start of the interpreter.
SHAPE = {"group": "hf.cdn", "total_bytes_per_second": 40_000_000}
LATENCY_SECONDS = 0.005


@pytest.fixture
def shaped_lab() -> Iterator[LabProcess]:
    """A lab in a process of its own, slow enough to be killed in the middle."""
    options = ["--commits-per-minute", "0", "--resolvers-quota", "1000000"]
    with LabProcess(*options, "--api-quota", "1000000", max_seconds=1500) as lab:
        for group in ("hf.", "ms."):
            lab.ask("POST", "/shape", {"group": group, "latency_seconds": LATENCY_SECONDS})
        lab.ask("POST", "/shape", SHAPE)
        lab.seed(SOURCE, _files())
        yield lab


def _files() -> dict[str, dict[str, object]]:
    names = ["config.json", "README.md", ".gitattributes", "model.safetensors.index.json"]
    small: dict[str, dict[str, object]] = {name: {"text": f"{name} {name}\n"} for name in names}
    for number in range(FILES - BIG_FILES - len(names)):
        small[f"data/part-{number % 5}/{number:03}.txt"] = {"text": f"text {number}\n" * 40}
    big: dict[str, dict[str, object]] = {
        f"weights-{n}.safetensors": {"size": BIG_BYTES, "seed": n} for n in range(BIG_FILES)
    }
    return {**small, **big}


@pytest.mark.parametrize("counts", TIERS)
@pytest.mark.parametrize("keeps_ledger", [True, False], ids=["with-ledger", "ledger-deleted"])
def test_a_killed_copy_is_completed_by_the_next_one(
    shaped_lab: LabProcess, tmp_path: Path, counts: Counts, keeps_ledger: bool
) -> None:
    seed = int(os.environ.get("HUBFERRY_TEST_SEED") or time.time())
    dice = random.Random(seed)
    kills = counts.kills if keeps_ledger else counts.kills_without_ledger
    bench = _Killing(shaped_lab, tmp_path)
    whole_seconds = bench.measure()
    caught = 0
    for number in range(kills):
        moment = dice.uniform(0.15, 1.0) * whole_seconds
        print(f"seed {seed}, kill {number} after {moment:.3f} of {whole_seconds:.3f} s")
        bench.new_target()
        killed = bench.kill_after(moment)
        caught += killed.code < 0
        bench.check_nothing_false(killed)
        if not keeps_ledger:
            shutil.rmtree(bench.home / "state", ignore_errors=True)
        bench.check_completes()
    assert caught >= kills // 2, "most kills must land in the middle"


class _Killing:
    def __init__(self, lab: LabProcess, folder: Path) -> None:
        self._lab = lab
        self._folder = folder
        self._round = 0
        self.home = folder
        self._wanted = lab.tree("hf", SOURCE)
        self.new_target()

    def new_target(self) -> None:
        """A fresh target repository in a fresh namespace of blobs, and a fresh HOME."""
        self._round += 1
        self.home = self._folder / f"round-{self._round}"
        self._target = f"your-org/model-{self._round}"
        # A blob that an earlier round stored would be reused and the round be over too soon.
        for file in self._wanted.values():
            self._lab.ask("DELETE", "/blobs", hub="ms", sha256=file["sha256"])

    def measure(self) -> float:
        """Seconds of a copy that nobody kills."""
        return self._run().seconds

    def kill_after(self, seconds: float) -> Ended:
        """Start a copy and kill it."""
        ferry = Ferry(self._arguments, self._lab.variables(self.home), self._folder / "killed")
        deadline = time.monotonic() + seconds
        while ferry.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        return ferry.kill()

    def check_nothing_false(self, killed: Ended) -> None:
        """What is visible is whole, and nobody said "verified" before it was."""
        shown = self._lab.tree("ms", self._target)
        for path, file in shown.items():
            assert file["is_stored"], f"{path} is named but not stored"
        is_whole = all(
            shown.get(path, {}).get("sha256") == file["sha256"]
            for path, file in self._wanted.items()
        )
        if killed.out.strip():
            assert killed.report["verified"] is not True or is_whole
        if shown.get("README.md", {}).get("sha256") == self._wanted["README.md"]["sha256"]:
            assert is_whole, "the card is there before the files it describes"

    def check_completes(self) -> None:
        """The same command again ends well, and the target is equal."""
        again = self._run()
        assert again.code == 0, again.err
        assert again.report["verified"] is True
        shown = self._lab.tree("ms", self._target)
        for path, file in self._wanted.items():
            assert shown[path]["sha256"] == file["sha256"], path
            assert shown[path]["is_stored"], path

    @property
    def _arguments(self) -> list[str]:
        return ["copy", SOURCE, self._target, "--json"]

    def _run(self) -> Ended:
        folder = self._folder / "whole"
        done = run_hubferry(self._arguments, self._lab.variables(self.home), folder)
        assert done.code == 0, done.err
        assert json.loads(done.out)["verified"] is True
        return done
