"""What a copy, a mirror and a saved plan refuse to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.bench import TARGET, Bench, check_copied, summary

from hubferry.lab.faults import Fault
from hubferry.lab.repos import Repo, Seed
from hubferry.plan import OnConflict, Policy

FILES: dict[str, Seed] = {"README.md": "# model", "weights.bin": bytes(90_000), "a.txt": "a"}


def shown(repo: Repo) -> set[str]:
    """The paths of a target's head."""
    return set(repo.tree())


def test_a_copy_never_deletes(bench: Bench) -> None:
    bench.seed(FILES)
    bench.seed_target({"theirs.txt": "keep"})
    report = bench.copy()
    check_copied(bench, report)
    assert "theirs.txt" in shown(bench.target)
    assert report.notes, "files only at the target are told"


def test_a_mirror_deletes_what_the_source_does_not_have(bench: Bench) -> None:
    bench.seed(FILES)
    made_by_hub = {".gitattributes": "x", "configuration.json": "{}"}
    bench.seed_target({**made_by_hub, "old/theirs.txt": "go", "stale.bin": bytes(70_000)})

    report = bench.mirror()

    check_copied(bench, report)
    assert report.files.deleted == 2
    assert shown(bench.target) == {*FILES, *made_by_hub}

    report = bench.mirror(Policy(delete_hub_files=True))
    check_copied(bench, report)
    assert shown(bench.target) == set(FILES)


def test_a_mirror_replaces_a_file_by_a_folder_and_back(bench: Bench) -> None:
    bench.seed({"thing/part.txt": "part", "other": "file"})
    bench.seed_target({"thing": "file", "other/part.txt": "part"})
    check_copied(bench, bench.mirror())
    assert {"thing/part.txt", "other"} <= shown(bench.target)


def test_a_mirror_without_a_yes_deletes_nothing(bench: Bench) -> None:
    bench.seed(FILES)
    before = bench.seed_target({"theirs.txt": "keep"}).branches["master"]
    report = bench.mirror(says_yes=False)
    assert report.exit_code == 4, summary(report)
    assert bench.target.branches["master"] == before


@pytest.mark.parametrize(
    ("extra", "policy", "exit_code"),
    [
        (101, Policy(), 4),
        (12, Policy(), 4),
        (6, Policy(), 0),
        (12, Policy(max_delete=12), 0),
        (3, Policy(max_delete=2), 4),
    ],
    ids=["above-100", "more-than-half", "few", "allowed", "above-the-limit"],
)
def test_a_mirror_stops_above_max_delete(
    bench: Bench, extra: int, policy: Policy, exit_code: int
) -> None:
    bench.seed(FILES)
    theirs = {f"theirs-{number}.txt": f"{number}" for number in range(extra)}
    before = bench.seed_target({**FILES, **theirs}).branches["master"]

    report = bench.mirror(policy)

    assert report.exit_code == exit_code, summary(report)
    if exit_code:
        assert bench.target.branches["master"] == before
    else:
        assert shown(bench.target) == set(FILES)


def test_a_mirror_with_filters_leaves_other_files_alone(bench: Bench) -> None:
    bench.seed(FILES)
    bench.seed_target({"old.txt": "go", "old.json": "stay"})
    report = bench.mirror(Policy(include=("*.txt",)))
    assert report.exit_code == 0, summary(report)
    assert "old.json" in shown(bench.target)
    assert "old.txt" not in shown(bench.target)


def test_a_mirror_that_could_not_bring_everything_deletes_nothing(
    bench: Bench, quick_waits: list[float]
) -> None:
    bench.seed(FILES)
    bench.seed_target({"theirs.txt": "keep"})
    bench.lab.faults.add(Fault("hf.cdn", "corrupt", times=None))
    report = bench.mirror()
    assert report.exit_code == 3, summary(report)
    assert "theirs.txt" in shown(bench.target)


@pytest.mark.parametrize(
    ("choice", "exit_code", "content"),
    [
        (OnConflict.OVERWRITE, 0, b"a"),
        (OnConflict.SKIP, 0, b"theirs"),
        (OnConflict.FAIL, 4, b"theirs"),
    ],
)
def test_a_file_that_differs_is_treated_as_told(
    bench: Bench, choice: OnConflict, exit_code: int, content: bytes
) -> None:
    bench.seed(FILES)
    target = bench.seed_target({"a.txt": "theirs"})
    report = bench.copy(Policy(on_conflict=choice))
    assert report.exit_code == exit_code, summary(report)
    assert target.read("a.txt") == content
    assert ("weights.bin" in shown(target)) is (choice is not OnConflict.FAIL)
    if choice is OnConflict.SKIP:
        assert report.files.skipped == 1
        assert report.verified is False


def test_a_saved_plan_is_carried_out_once(bench: Bench, tmp_path: Path) -> None:
    bench.seed(FILES)
    bench.seed_target({"a.txt": "theirs"})
    file = tmp_path / "plan.json"
    plan = bench.plan(keep_in=file)
    assert bench.lab.counters.commits_made("ms") == 0
    assert plan.send_bytes > 90_000

    with bench.app() as app:
        check_copied(bench, app.apply(file))
    with bench.app() as app:
        moved = app.apply(file)
    assert moved.exit_code == 4, summary(moved)


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_saved_plan_refuses_when_an_end_moved(bench: Bench, tmp_path: Path, side: str) -> None:
    source = bench.seed(FILES)
    target = bench.seed_target({"a.txt": "theirs"})
    file = tmp_path / "plan.json"
    bench.plan(keep_in=file)
    (source if side == "source" else target).commit({"new.txt": "new"})

    with bench.app() as app:
        report = app.apply(file)
        assert report.exit_code == 4, summary(report)
        assert report.errors[0].side == side
        assert bench.lab.counters.commits_made("ms") == 0
        check_copied(bench, app.apply(file, is_forced=True))


@pytest.mark.parametrize("trait", [{"is_private": True}, {"gated": "auto"}], ids=str)
def test_a_source_not_for_everyone_never_becomes_public(
    bench: Bench, trait: dict[str, Any]
) -> None:
    repo = bench.seed(FILES, **trait)
    repo.granted.add("lab-user")
    if repo.is_private:
        bench.lab.hf.accounts.add(bench.lab.hf.token, "lab-user", orgs=("source-org", "your-org"))

    check_copied(bench, bench.copy())
    assert bench.target.is_private

    bench.lab.ms.repos.delete("model", "your-org/model")
    bench.seed_target({}, is_private=False)
    report = bench.copy()
    assert report.exit_code == 4, summary(report)
    assert shown(bench.target) == set()


def test_a_public_source_makes_a_public_target_with_its_licence(bench: Bench) -> None:
    bench.seed({**FILES, "README.md": "---\nlicense: mit\n---\n# model"})
    check_copied(bench, bench.copy())
    assert not bench.target.is_private
    assert bench.target.license == "mit"


def test_a_backup_tag_keeps_the_state_before(bench: Bench) -> None:
    bench.seed(FILES)
    before = bench.seed_target({"a.txt": "theirs"}).branches["master"]
    check_copied(bench, bench.copy(Policy(backup_tag="before-copy")))
    assert bench.target.tags["before-copy"] == before
    assert bench.target.read("a.txt", "before-copy") == b"theirs"


def test_a_target_branch_that_cannot_be_made_stops_before_the_repository_is(bench: Bench) -> None:
    bench.seed(FILES)
    report = bench.copy(target=f"{TARGET}@dev")
    assert report.exit_code == 4, summary(report)
    assert not bench.has_target


def test_nothing_is_sent_to_a_tag(bench: Bench) -> None:
    bench.seed(FILES)
    bench.seed_target({"old.txt": "old"}).tag("v1")
    report = bench.copy(target=f"{TARGET}@v1")
    assert report.exit_code == 4, summary(report)
    assert report.bytes.sent == 0
    assert bench.lab.counters.requests("ms.put") == 0


@pytest.mark.parametrize("on_conflict", OnConflict)
def test_what_the_hub_put_into_a_new_repository_is_no_conflict(
    bench: Bench, on_conflict: OnConflict
) -> None:
    bench.seed({**FILES, ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text"})
    check_copied(bench, bench.copy(Policy(on_conflict=on_conflict)))


def test_filters_that_select_nothing_are_a_mistake(bench: Bench) -> None:
    bench.seed(FILES)
    report = bench.copy(Policy(include=("typo*",)))
    assert report.exit_code == 2, summary(report)
    assert not bench.has_target
