"""What no second try mends: the run says so with the right exit code, and leaves no rot behind."""

from __future__ import annotations

import json

import pytest
from tests.support.bench import SOURCE, Bench, check_copied, summary
from tests.support.compare import differences, rotten_files

from hubferry.errors import LedgerError
from hubferry.events import Event, FileFinished, FileStarted
from hubferry.lab.faults import Fault
from hubferry.lab.server import Lab

WEIGHTS = bytes(range(256)) * 2_000


@pytest.mark.parametrize("endpoint", ["hf.cdn", "hf.raw"])
def test_lasting_corruption_is_never_committed(
    bench: Bench, endpoint: str, quick_waits: list[float]
) -> None:
    path = {"hf.cdn": "weights.bin", "hf.raw": "notes.txt"}[endpoint]
    bench.seed({path: WEIGHTS[:3000] if path == "notes.txt" else WEIGHTS})
    bench.lab.faults.add(Fault(endpoint, "corrupt", times=None))
    bench.lab.faults.add(Fault("hf.git", "corrupt", times=None))

    report = bench.copy()

    assert report.exit_code == 12, summary(report)
    assert [record.path for record in report.errors] == [path]
    assert bench.lab.counters.commits_made("ms") == 0
    assert path not in bench.target.tree()
    assert all(bench.lab.ms.repos.blobs.get(sha) is None for sha in [_sha(bench, path)])

    bench.lab.faults.clear()
    check_copied(bench, bench.copy())


def _sha(bench: Bench, path: str) -> str:
    return bench.source.tree()[path].sha256


def test_one_corrupt_file_among_good_ones_ends_partly_done(
    bench: Bench, quick_waits: list[float]
) -> None:
    bench.seed({"bad.bin": WEIGHTS, "good.bin": WEIGHTS[1:], "README.md": "# hi", "a.txt": "a"})
    digest = _sha(bench, "bad.bin")
    bench.lab.faults.add(Fault("hf.cdn", "corrupt", times=None, match=digest))

    report = bench.copy()

    assert report.exit_code == 3, summary(report)
    assert report.verified is False
    failed = {record.path: record.error for record in report.errors}
    assert failed["bad.bin"] == "corrupt_read"
    assert set(bench.target.tree()) >= {"good.bin", "a.txt"}
    assert "bad.bin" not in bench.target.tree()
    assert bench.target.read("README.md") != b"# hi", "the card must not vouch for what is missing"
    assert rotten_files(bench.target) == []


def test_a_source_that_keeps_dropping_ends_with_1(bench: Bench, quick_waits: list[float]) -> None:
    bench.seed({"weights.bin": WEIGHTS})
    bench.lab.faults.add(Fault("hf.cdn", "reset", times=None, fraction=0.0))

    report = bench.copy()

    assert report.exit_code == 1, summary(report)
    assert report.errors[0].error == "unavailable"
    assert report.errors[0].headline.startswith("Connection")
    assert bench.lab.counters.requests("hf.cdn") < 40, "attempts must not multiply"


def test_a_token_revoked_in_mid_run_stops_it(bench: Bench) -> None:
    bench.seed({**{f"w{n}.bin": bytes([n]) * 70_000 for n in range(8)}, "README.md": "# hi"})

    def revoke(event: Event) -> None:
        if isinstance(event, FileFinished):
            bench.lab.ms.accounts.revoke(bench.lab.ms.token)

    bench.on_event = revoke
    report = bench.copy()

    assert report.exit_code in (3, 11), summary(report)
    assert report.errors[0].error == "invalid_token"
    assert report.errors[0].side == "target"
    assert rotten_files(bench.target) == []

    bench.on_event = lambda event: None
    bench.lab.ms.accounts.add(bench.lab.ms.token, "lab-user", orgs=("your-org",))
    check_copied(bench, bench.copy())


def test_a_source_branch_that_moves_in_mid_run_changes_nothing(bench: Bench) -> None:
    files = {f"w{n}.bin": bytes([n]) * 70_000 for n in range(6)}
    repo = bench.seed({**files, "README.md": "# before", "gone.txt": "still there"})
    pinned = repo.branches["main"]

    def move(event: Event) -> None:
        if isinstance(event, FileStarted) and repo.branches["main"] == pinned:
            repo.commit({"README.md": "# after", "w5.bin": b"other" * 9000}, ["gone.txt"])

    bench.on_event = move
    report = bench.copy()

    assert report.exit_code == 0, summary(report)
    assert report.verified is True
    assert report.source.commit == pinned != repo.branches["main"]
    assert differences(repo, bench.target, pinned) == []


def test_a_missing_source_is_10(bench: Bench) -> None:
    report = bench.copy()
    assert report.exit_code == 10, summary(report)
    assert report.errors[0].headline == "Repository not found"
    assert report.errors[0].side == "source"
    assert not bench.has_target


def test_a_missing_source_without_a_token_is_10_or_11(bench: Bench) -> None:
    # Hugging Face tells a stranger "401" for what does not exist.
    bench.tokens["hf"] = ""
    report = bench.copy()
    assert report.exit_code in (10, 11), summary(report)
    assert not bench.has_target


def test_a_missing_revision_is_10(bench: Bench) -> None:
    bench.seed({"README.md": "# hi"})
    report = bench.copy(source=f"{SOURCE}@no-such-branch")
    assert report.exit_code == 10, summary(report)
    assert report.errors[0].headline == "Revision not found"


@pytest.mark.parametrize("side", ["hf", "ms"])
def test_a_bad_token_is_11(bench: Bench, side: str) -> None:
    bench.seed({"README.md": "# hi"})
    bench.tokens[side] = f"{side}_no_such_token_at_all"
    report = bench.copy()
    assert report.exit_code == 11, summary(report)
    assert report.errors[0].headline == "Invalid token"
    assert not bench.has_target


def test_a_read_only_target_token_is_11_before_anything_is_read(bench: Bench) -> None:
    bench.seed({"weights.bin": WEIGHTS})
    bench.tokens["ms"] = bench.lab.ms.read_token
    report = bench.copy()
    assert report.exit_code == 11, summary(report)
    assert not bench.has_target
    assert bench.lab.counters.requests("hf.resolve") == 0


def test_a_namespace_of_strangers_is_11(bench: Bench) -> None:
    bench.seed({"weights.bin": WEIGHTS})
    report = bench.copy(target="other-user/model")
    assert report.exit_code == 11, summary(report)


def test_a_gated_source_is_11_and_leaves_no_target(bench: Bench) -> None:
    bench.seed({"weights.bin": WEIGHTS, "README.md": "# hi"}, gated="manual")
    report = bench.copy()
    assert report.exit_code == 11, summary(report)
    assert report.errors[0].side == "source"
    assert "terms" in str(report.errors[0].hint)
    assert not bench.has_target


def test_a_listing_that_is_not_json_is_never_read_as_empty(
    bench: Bench, lab: Lab, quick_waits: list[float]
) -> None:
    bench.seed({"README.md": "# hi"})
    bench.seed_target({"precious.txt": "keep me"})
    page = b"<html>Please log in to this network</html>"
    for endpoint in ("ms.files", "hf.tree"):
        lab.faults.add(Fault(endpoint, "status", status=200, times=None, body=page))
        report = bench.mirror()
        assert report.exit_code == 1, summary(report)
        assert bench.target.read("precious.txt") == b"keep me"
        assert lab.counters.commits_made("ms") == 0
        lab.faults.clear()


def test_a_failure_inside_http_200_is_a_failure(bench: Bench, quick_waits: list[float]) -> None:
    bench.seed({"README.md": "# hi"})
    body = json.dumps({"Code": 500, "Success": False, "Message": "busy", "Data": None}).encode()
    bench.lab.faults.add(Fault("ms.commit", "status", status=200, times=None, body=body))
    report = bench.copy()
    assert report.exit_code == 1, summary(report)
    assert report.verified is not True


def test_a_limit_that_lasts_longer_than_allowed_is_5(bench: Bench) -> None:
    bench.seed({"weights.bin": WEIGHTS, "README.md": "# hi"})
    bench.lab.faults.add(Fault("ms.commit", "status", status=429, retry_after=1, times=None))
    report = bench.copy(wait_on_limit_seconds=1.5)
    assert report.exit_code == 5, summary(report)
    assert report.errors[0].error == "rate_limited"
    assert bench.lab.counters.requests("ms.commit") == 2


def test_a_ledger_that_cannot_be_read_is_13(bench: Bench) -> None:
    bench.seed({"README.md": "# hi"})
    state = bench.folder / "state"
    state.mkdir()
    (state / "ledger.sqlite3").write_bytes(b"this is no database" * 300)
    with pytest.raises(LedgerError) as caught:
        bench.copy()
    assert caught.value.exit_code == 13
    assert not bench.has_target
