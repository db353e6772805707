"""A batch as a process of its own on the lab: faults, limits, changes, kills, company."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.counts import TIERS, Counts
from tests.support.processes import Ended, Ferry, LabProcess, run_hubferry

BASES = 5
BASE_BYTES = 1_000_000
OWN_BYTES = 100_000
FILES = 10
CHANCE = 0.01
MOODY = ("hf.", "ms.", "xet.")
LIMITS = ("--api-quota", "1000000", "--resolvers-quota", "1000000")


def files_of(number: int) -> dict[str, dict[str, object]]:
    """Ten files: two of three repositories have the base weights of others too."""
    files: dict[str, dict[str, object]] = {
        "README.md": {"text": f"# model {number}\n"},
        "config.json": {"text": json.dumps({"hidden_size": number})},
        "own.safetensors": {"size": OWN_BYTES, "seed": f"own {number}"},
    }
    if number % 3:
        base = number % BASES
        files["base.safetensors"] = {"size": BASE_BYTES, "seed": f"base {base}"}
    while len(files) < FILES:
        files[f"notes/{len(files)}.txt"] = {"text": f"{number} {len(files)}\n"}
    return files


class Fleet:
    """Many repositories on a lab, and a manifest that wants them."""

    def __init__(self, lab: LabProcess, folder: Path, count: int) -> None:
        self.lab = lab
        self.folder = folder
        self.names = [f"m{number:03}" for number in range(count)]
        self.home = folder / "home"
        repos = [
            {"id": f"source-org/{name}", "files": files_of(number)}
            for number, name in enumerate(self.names)
        ]
        lab.ask("POST", "/seed", {"hub": "hf", "repos": repos})
        self.manifest = folder / "fleet.yaml"
        self.manifest.write_text(
            "version: 1\n"
            "entries:\n"
            "  - source: hf://source-org/*\n"
            "    target: ms://your-org/{name}\n"
        )

    def arguments(self, *more: str) -> list[str]:
        """The command."""
        return ["batch", str(self.manifest), "--json", *more]

    def run(self, *more: str, home: Path | None = None) -> Ended:
        """One batch, to its end."""
        home = home or self.home
        return run_hubferry(self.arguments(*more), self.variables(home), self.folder / "out")

    def start(self, place: str, home: Path | None = None) -> Ferry:
        """One batch that is on its way."""
        variables = self.variables(home or self.home)
        return Ferry(self.arguments(), variables, self.folder / place)

    def variables(self, home: Path) -> dict[str, str]:
        """The environment of a batch."""
        return self.lab.variables(home)

    def check_equal(self) -> None:
        """Every target holds exactly what its source does, and nothing names what is not there."""
        for name in self.names:
            wanted = self.lab.tree("hf", f"source-org/{name}")
            shown = self.lab.ask("GET", "/repos", hub="ms", id=f"your-org/{name}")["tree"]
            for path, file in wanted.items():
                assert shown[path]["sha256"] == file["sha256"], (name, path)
                assert shown[path]["is_stored"], (name, path)

    def counters(self) -> dict[str, dict[str, Any]]:
        """Requests and bytes by endpoint since the last reset."""
        found: dict[str, dict[str, Any]] = self.lab.ask("GET", "/counters")["endpoints"]
        return found

    def blobs_taken(self) -> int:
        """Uploads that the store took whole since the last reset."""
        return int(self.counters().get("ms.put", {}).get("statuses", {}).get("200", 0))


@pytest.fixture
def lab() -> Iterator[LabProcess]:
    with LabProcess(*LIMITS, max_seconds=1500) as lab:
        yield lab


def requests(counters: dict[str, Any]) -> int:
    """All requests to both hubs."""
    own = {name: counts for name, counts in counters.items() if not name.startswith("control.")}
    return sum(counts["requests"] for counts in own.values())


@pytest.mark.parametrize("counts", TIERS)
def test_a_fleet_comes_over_unattended_and_costs_nothing_the_next_time(
    lab: LabProcess, tmp_path: Path, counts: Counts
) -> None:
    fleet = Fleet(lab, tmp_path, counts.fleet)
    for number, prefix in enumerate(MOODY):
        for status in (503, 429):
            lab.ask(
                "POST",
                "/faults",
                {
                    "endpoint": prefix,
                    "kind": "status",
                    "status": status,
                    "times": None,
                    "probability": CHANCE / 4,
                    "seed": number * 7 + status,
                },
            )
        lab.ask(
            "POST",
            "/faults",
            {
                "endpoint": prefix,
                "kind": "reset",
                "times": None,
                "probability": CHANCE / 2,
                "seed": number,
            },
        )
    first = fleet.run()
    assert first.code == 0, first.err[-3000:]
    assert first.report["counts"] == {"copied": counts.fleet}
    assert all(item["verified"] for item in first.report["items"])
    struck = sum(fault["struck"] for fault in lab.ask("GET", "/faults"))
    assert struck > 0
    lab.ask("DELETE", "/faults")
    fleet.check_equal()
    # A blob that was refused or cut off is sent again; one that was taken never is.
    assert fleet.blobs_taken() == BASES + counts.fleet
    print(
        f"{counts.fleet} repositories with {struck} faults: {first.seconds:.1f} s, "
        f"{first.report['sent_bytes']} bytes sent"
    )

    lab.ask("DELETE", "/counters")
    second = fleet.run()
    assert second.code == 0, second.err
    assert second.report["counts"] == {"unchanged": counts.fleet}
    asked = requests(fleet.counters())
    pages = -(-counts.fleet // 1000) + -(-counts.fleet // 100)
    assert asked <= pages + 2 * -(-counts.fleet // 100)
    assert second.seconds < 10
    print(f"nothing to do: {asked} requests ({pages} are pages), {second.seconds:.1f} s")

    changed = [fleet.names[number] for number in (0, 1, counts.fleet - 1)]
    for name in changed:
        new = {"new.safetensors": {"size": 50_000, "seed": f"new {name}"}}
        lab.seed(f"source-org/{name}", {**new, "README.md": {"text": f"# {name} again\n"}})
    lab.ask("DELETE", "/counters")
    third = fleet.run()
    assert third.code == 0, third.err
    assert third.report["counts"] == {"copied": 3, "unchanged": counts.fleet - 3}
    cards = sum(len(f"# {name} again\n") for name in changed)
    assert third.report["sent_bytes"] == 3 * 50_000 + cards, "only what is new"
    print(f"three changed: {requests(fleet.counters())} requests, {third.seconds:.1f} s")
    fleet.check_equal()


@pytest.mark.parametrize("counts", TIERS)
def test_a_killed_batch_is_finished_by_the_next_one(
    lab: LabProcess, tmp_path: Path, counts: Counts
) -> None:
    seed = int(os.environ.get("HUBFERRY_TEST_SEED") or time.time())
    dice = random.Random(seed)
    fleet = Fleet(lab, tmp_path, 40)
    lab.ask("POST", "/shape", {"group": "ms.", "latency_seconds": 0.05})
    caught, blobs = 0, BASES + len(fleet.names)
    for number in range(counts.batch_kills):
        # After the interpreter's start, and before all 40 are through.
        moment = dice.uniform(1.0, 3.0)
        print(f"seed {seed}, kill {number} after {moment:.2f} s")
        ferry = fleet.start("killed")
        deadline = time.monotonic() + moment
        while ferry.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        caught += ferry.kill().code < 0
        check_ledger(fleet.home)
        for name in fleet.names:
            for path, file in lab.tree("ms", f"your-org/{name}").items():
                assert file["is_stored"], f"{name}: {path} is named but not stored"
        # Something to do for the next kill too.
        for name in fleet.names[number % 2 :: 2]:
            change = {"more.safetensors": {"size": OWN_BYTES, "seed": f"{number} {name}"}}
            if number < counts.batch_kills - 1:
                blobs += 1
                lab.seed(f"source-org/{name}", change)
    last = fleet.run()
    assert last.code == 0, last.err
    fleet.check_equal()
    # A kill between a blob's arrival and our learning of it is found by asking: never sent again.
    held = {
        file["sha256"]
        for name in fleet.names
        for file in lab.tree("hf", f"source-org/{name}").values()
        if file["is_lfs"]
    }
    assert len(held) <= fleet.blobs_taken() <= blobs
    check_ledger(fleet.home)
    assert caught >= counts.batch_kills // 2
    print(f"{caught} of {counts.batch_kills} kills in the middle; equal in the end")


def check_ledger(home: Path) -> None:
    """SQLite itself finds nothing wrong."""
    place = home / "state" / "ledger.sqlite3"
    if place.exists():
        with sqlite3.connect(place) as connection:
            assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]


def test_two_batches_at_once_send_nothing_twice(lab: LabProcess, tmp_path: Path) -> None:
    fleet = Fleet(lab, tmp_path, 30)
    lab.ask("POST", "/shape", {"group": "ms.", "latency_seconds": 0.01})
    both = [fleet.start("one"), fleet.start("two")]
    ended = [ferry.wait() for ferry in both]
    for one in ended:
        assert one.code == 0, one.err
        assert all(item["verified"] or item["state"] == "unchanged" for item in one.report["items"])
    fleet.check_equal()
    assert fleet.blobs_taken() == BASES + 30
    sent = sum(one.report["sent_bytes"] for one in ended)
    small = sum(
        len(str(file["text"])) for n in range(30) for file in files_of(n).values() if "text" in file
    )
    extra = sent - (BASES * BASE_BYTES + 30 * OWN_BYTES + small)
    assert extra == 0, [
        (item["source"], item["state"], item["attempts"], item["sent_bytes"], item["commits"])
        for one in ended
        for item in one.report["items"]
    ]
    check_ledger(fleet.home)
    again = fleet.run()
    assert again.report["counts"] == {"unchanged": 30}


def test_a_dry_run_tells_sizes_and_what_would_be_left_out(lab: LabProcess, tmp_path: Path) -> None:
    fleet = Fleet(lab, tmp_path, 6)
    fleet.manifest.write_text(
        fleet.manifest.read_text() + "    conditions: {min-size: 500K}\n", encoding="utf-8"
    )
    plan = fleet.run("--dry-run")
    assert plan.code == 0, plan.err
    assert plan.report["counts"] == {"copy": 4, "left_out": 2}
    left = plan.report["left_out"]
    assert [(item["source"], item["condition"]) for item in left] == [
        ("hf://source-org/m000", "min-size"),
        ("hf://source-org/m003", "min-size"),
    ]
    assert plan.report["send_bytes"] > 4 * BASE_BYTES
    assert lab.ask("GET", "/repos")["ms"] == []
