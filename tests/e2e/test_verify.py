"""What ``verify`` finds, at each level, and that it writes nothing."""

from __future__ import annotations

import pytest
from tests.support.bench import PLAIN, SOURCE, TARGET, Bench, check_copied, summary

from hubferry.app import parse_address, resolve_target
from hubferry.errors import Side
from hubferry.lab.content import BytesContent
from hubferry.lab.repos import Seed
from hubferry.outcome import RunReport

FILES: dict[str, Seed] = {
    "README.md": "# model",
    "weights.bin": bytes(range(256)) * 2_000,
    "notes.txt": "notes " * 50,
}


def _verify(bench: Bench, level: str, *, is_exact: bool = False) -> RunReport:
    with bench.app() as app:
        source = parse_address(SOURCE, Side.SOURCE)
        target = resolve_target(TARGET, source)
        before = bench.lab.counters.commits_made("ms"), bench.lab.counters.requests("ms.put")
        report = app.verify(source, target, PLAIN, level=level, is_exact=is_exact)
        after = bench.lab.counters.commits_made("ms"), bench.lab.counters.requests("ms.put")
        assert before == after
        return report


@pytest.fixture
def copied(bench: Bench) -> Bench:
    """A source and its good copy."""
    bench.seed(FILES)
    check_copied(bench, bench.copy())
    return bench


@pytest.mark.parametrize("level", ["listing", "sample", "full"])
@pytest.mark.parametrize("has_ledger", [True, False])
def test_a_good_copy_is_verified(copied: Bench, level: str, has_ledger: bool) -> None:
    if not has_ledger:
        copied.forget()
    report = _verify(copied, level)
    assert report.exit_code == 0, summary(report)
    assert report.verified is True


@pytest.mark.parametrize("path", ["weights.bin", "notes.txt"])
def test_rot_in_the_store_is_found_by_reading_it(copied: Bench, path: str) -> None:
    digest = copied.source.tree()[path].sha256
    good = bytes(copied.target.read(path))
    copied.lab.ms.repos.blobs.drop(digest)
    rotten = bytes([good[0] ^ 1]) + good[1:]
    copied.lab.ms.repos.blobs.put(digest, BytesContent(rotten))

    assert _verify(copied, "listing").verified is True, "a listing cannot show it"
    report = _verify(copied, "full")

    assert report.exit_code == 12, summary(report)
    assert report.verified is False
    assert [d.path for d in report.differences if d.kind != "extra"] == [path]


def test_differences_are_named(copied: Bench) -> None:
    copied.target.commit({"notes.txt": "other", "extra.txt": "x"}, ["weights.bin"])
    report = _verify(copied, "listing")
    assert report.exit_code == 12, summary(report)
    found = {item.path: item.kind for item in report.differences}
    assert found["notes.txt"] == "differs"
    assert found["weights.bin"] == "missing"


def test_extra_files_fail_only_when_asked_for(copied: Bench) -> None:
    copied.target.commit({"extra.txt": "x"})
    assert _verify(copied, "listing").exit_code == 0
    report = _verify(copied, "listing", is_exact=True)
    assert report.exit_code == 12, summary(report)
    assert "extra.txt" in {item.path for item in report.differences}
