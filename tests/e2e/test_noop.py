"""A second run has nothing to do: what it may ask of the hubs, and that limits are not run into."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest
from tests.support.bench import Bench, check_copied

from hubferry.events import Waiting
from hubferry.lab.config import LabConfig
from hubferry.ledger import Ledger
from hubferry.model import GitOid, Sha256

FOLDERS = 10
ROOMY = LabConfig(commits_per_minute=None, resolvers_quota=1_000_000, api_quota=1_000_000)

COUNTS = [
    pytest.param(200, id="200"),
    pytest.param(2_000, id="2000"),
    pytest.param(10_000, id="10000", marks=pytest.mark.long),
]


def files_in_folders(count: int) -> dict[str, str]:
    """Different small files, evenly in ten folders."""
    return {f"part-{n % FOLDERS}/{n:05}.txt": f"sample {n}\n" for n in range(count)}


def read_before(bench: Bench, files: Mapping[str, str]) -> None:
    """Let the ledger know these contents, as an earlier copy would have left it."""
    contents = [text.encode() for text in files.values()]
    ledger = Ledger(bench.folder / "state" / "ledger.sqlite3")
    ledger.learn((_git_oid(data), Sha256(hashlib.sha256(data).hexdigest())) for data in contents)
    ledger.close()


def _git_oid(data: bytes) -> GitOid:
    blob = b"blob %d\0" % len(data) + data
    return GitOid(hashlib.sha1(blob, usedforsecurity=False).hexdigest())


def pages_of(count: int) -> int:
    """Pages of the source's tree: folders are entries too."""
    return -(-(count + FOLDERS) // LabConfig.page_size)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("lab", [ROOMY], indirect=True)
def test_a_run_with_nothing_to_do_asks_for_pages_and_folders_and_little_else(
    bench: Bench, count: int
) -> None:
    files = files_in_folders(count)
    bench.seed(files)
    bench.seed_target(files)
    read_before(bench, files)
    bench.lab.counters.reset()

    report = bench.copy()

    check_copied(bench, report)
    assert (report.files.reused, report.files.sent, report.commits) == (count, 0, 0)
    counters = bench.lab.counters
    for hub in ("hf.", "ms."):
        spent = counters.requests(hub)
        assert spent <= pages_of(count) + FOLDERS + 5, counters.snapshot()["endpoints"]
    assert counters.requests("hf.resolve") == counters.bytes_in("ms.put") == 0


TIGHT = LabConfig(
    commits_per_minute=None,
    serve_git=False,
    api_quota=20,
    resolvers_quota=60,
    rate_window_seconds=2,
)


@pytest.mark.parametrize("lab", [TIGHT], indirect=True)
def test_quotas_are_waited_for_and_nothing_is_refused(bench: Bench) -> None:
    bench.seed(files_in_folders(200))

    check_copied(bench, bench.copy())

    endpoints = bench.lab.counters.snapshot()["endpoints"]
    statuses = {name: found["statuses"] for name, found in endpoints.items()}
    assert bench.lab.counters.requests("hf.resolve") >= 200
    assert not [name for name, found in statuses.items() if "429" in found], statuses
    waits = [event for event in bench.events if isinstance(event, Waiting) and event.until_unix]
    assert {str(event.reason) for event in waits} == {"rate limit"}


@pytest.mark.parametrize("lab", [ROOMY], indirect=True)
def test_with_plenty_left_nothing_waits(bench: Bench) -> None:
    bench.seed(files_in_folders(200))

    check_copied(bench, bench.copy())

    assert not [event for event in bench.events if isinstance(event, Waiting)]
