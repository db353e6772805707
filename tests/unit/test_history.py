"""What the ledger keeps of a run, and what can be told of it afterwards."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.support.stories import (
    RUN_ID,
    attempt,
    batch_row,
    copy_row,
    file_error,
    iso,
    kept,
    repo_error,
)

from hubferry.errors import AccessError, CopyError, NotFoundError, RateLimitedError, Side
from hubferry.history import (
    KEPT_ERRORS,
    asked,
    error_row,
    files_of,
    owners_of,
    policy_asked,
    story_of,
    summary,
)
from hubferry.i18n import tr, use_language
from hubferry.ledger import Ledger
from hubferry.model import Visibility
from hubferry.outcome import ErrorRecord, RepoRef, RunReport
from hubferry.plan import OnConflict, Policy
from hubferry.text import T, Text


def record(error: CopyError) -> ErrorRecord:
    return ErrorRecord.of(error)


def through_json(row: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(json.dumps(row))
    return found


def report_with(*errors: ErrorRecord) -> RunReport:
    report = RunReport("r1", "copy", RepoRef("hf", "a/b", "model"), RepoRef("ms", "c/d", "model"))
    report.errors = list(errors)
    return report


def test_an_error_keeps_all_that_people_need() -> None:
    error = AccessError(
        T("{hub} says no", hub="Hub"),
        side=Side.TARGET,
        step="commit",
        repo="ms://a/b",
        path="w.bin",
        hint=T("ask {who}", who="the owner"),
        request_id="id-1",
    )
    row = copy_row(report=json.dumps(summary(report_with(record(error)))))
    (repo,) = story_of(row, []).repos
    assert repo.errors == (record(error),)


def test_a_sentence_is_told_in_the_language_of_the_reader() -> None:
    inner = RateLimitedError(T("rate limit"))
    error = CopyError(T("trying again: {reason}", reason=inner))
    row = copy_row(report=json.dumps({"errors": [through_json(error_row(record(error)))]}))
    (told,) = story_of(row, []).repos[0].errors
    assert str(told.message) == "trying again: rate limit"
    use_language("zh_CN")
    try:
        assert tr(told.message) == tr(error.message)
        assert tr(told.message) != "trying again: rate limit"
    finally:
        use_language("en")


@pytest.mark.parametrize(
    "kept_text", [{"template": "{gone}", "values": {}}, {"template": 5}, "x", {"template": "{0.a}"}]
)
def test_a_sentence_that_cannot_be_made_again_is_told_as_it_was(kept_text: object) -> None:
    row = {"error": "hub", "message": "as it was {x}", "message_text": kept_text}
    (told,) = story_of(copy_row(report=json.dumps({"errors": [row]})), []).repos[0].errors
    assert tr(told.message) == "as it was {x}"


def test_errors_of_older_versions_are_told() -> None:
    row = {"error": "hub", "path": "x.bin", "message": "too big"}
    (told,) = story_of(copy_row(report=json.dumps({"errors": [row]})), []).repos[0].errors
    assert (str(told.message), told.path, told.hint) == ("too big", "x.bin", None)


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(
            include=("*.json", "onnx/"),
            exclude=("*.bin",),
            on_conflict=OnConflict.SKIP,
            is_mirror=True,
            max_delete=3,
            visibility=Visibility.PRIVATE,
            license="mit",
            commit_message="x",
            backup_tag="t",
        ),
    ],
)
def test_what_was_asked_for_comes_back(policy: Policy) -> None:
    assert policy_asked(through_json(asked(policy))) == policy


@pytest.mark.parametrize(
    "change", [{"new_field": 1}, {"on_conflict": "pray"}, {"visibility": "secret"}]
)
def test_what_another_version_asked_for_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        policy_asked(asked(Policy()) | change)


# --- stories ---------------------------------------------------------------------


def test_a_repository_adds_up_its_tries_and_shows_the_last() -> None:
    rows = [
        attempt(1, "failed", report=kept(sent=10, seconds=1, errors=[repo_error()]), is_last=False),
        attempt(1, "copied", attempt_no=2, report=kept(sent=5, total=15, seconds=2), ended=30),
    ]
    story = story_of(batch_row(report={"counts": {"copied": 1}}), rows)
    (repo,) = story.repos
    assert (repo.state, repo.tries, repo.sent_bytes, repo.size_bytes) == ("copied", 2, 15, 15)
    assert (repo.seconds, repo.started_at, repo.ended_at) == (3.0, iso(5), iso(30))
    assert repo.errors == ()
    assert owners_of(story, repo) == [f"{RUN_ID}/1.1", f"{RUN_ID}/1.2"]


def test_what_never_came_to_a_try_is_told_too() -> None:
    items = [
        {"number": 2, "source": "hf://a/2", "target": "ms://a/2", "state": "gone", "error": None},
        {
            "number": 3,
            "source": "hf://a/3",
            "target": "ms://a/3",
            "state": "stopped",
            "error": repo_error("down"),
        },
    ]
    row = batch_row(report={"counts": {"copied": 1, "gone": 1, "stopped": 1}, "items": items})
    story = story_of(row, [attempt(1)])
    assert [(r.number, r.state, r.tries) for r in story.repos] == [
        (1, "copied", 1),
        (2, "gone", 0),
        (3, "stopped", 0),
    ]
    assert [repo.source for repo in story.bad] == ["hf://a/2", "hf://a/3"]
    assert str(story.bad[1].errors[0].message) == "down"


def test_the_batchs_word_on_a_repository_is_the_last() -> None:
    item = {"number": 1, "source": "s", "target": "t", "state": "stopped", "error": repo_error()}
    rows = [attempt(1, "failed", report=kept(errors=[file_error("w.bin")]))]
    story = story_of(batch_row(report={"counts": {"stopped": 1}, "items": [item]}), rows)
    assert story.repos[0].state == "stopped"
    assert story.repos[0].errors[0].path == "w.bin"


@pytest.mark.parametrize(("state", "told"), [("running", "running"), ("dead", "stopped")])
def test_a_try_without_an_end_goes_on_or_was_cut(state: str, told: str) -> None:
    row = batch_row(state=state, ended_at=None, exit_code=None, report="")
    story = story_of(row, [attempt(1), attempt(2, None)])
    assert [repo.state for repo in story.repos] == ["copied", told]
    assert dict(story.counts) == {"copied": 1, told: 1}
    assert story.is_batch


@pytest.mark.parametrize(
    ("code", "state", "report", "told"),
    [
        (0, "finished", kept(), "copied"),
        (0, "finished", kept(commits=0), "equal"),
        (3, "finished", kept(), "failed"),
        (130, "finished", kept(), "stopped"),
        (None, "running", None, "running"),
        (None, "dead", None, "stopped"),
        (1, "finished", '{"stopped": "OSError"}', "failed"),
    ],
)
def test_a_single_copy_is_a_story_of_one(
    code: int | None, state: str, report: str | None, told: str
) -> None:
    story = story_of(copy_row(exit_code=code, state=state, report=report), [])
    assert [repo.state for repo in story.repos] == [told]
    assert not story.is_batch
    assert owners_of(story, story.repos[0]) == [RUN_ID]


def test_files_are_told_as_committed_or_failed() -> None:
    row = copy_row(report=kept(errors=[file_error("w.bin"), repo_error()]))
    story = story_of(row, [])
    detail = json.dumps({"commit": "c1", "paths": ["a.json", "b.json"]})
    events = [
        {"kind": "before", "at": iso(1), "path": None, "detail": "{}"},
        {"kind": "committed", "at": iso(2), "path": None, "detail": detail},
    ]
    files = list(files_of(story.repos[0], events))
    assert [(file.path, file.event, file.commit) for file in files] == [
        ("a.json", "committed", "c1"),
        ("b.json", "committed", "c1"),
        ("w.bin", "failed", None),
    ]
    assert files[2].error is not None


def test_a_hint_without_fields_is_no_larger_in_the_ledger() -> None:
    row = error_row(replace(record(CopyError(T("plain"))), hint=Text("also plain")))
    assert "message_text" not in row
    assert "hint_text" not in row


# --- the ledger's part -----------------------------------------------------------


def test_runs_are_found_by_command_end_and_time() -> None:
    ledger = Ledger(None)
    for run_id, command, code in (("r1", "copy", 0), ("r2", "batch", 3), ("r3", "batch", None)):
        ledger.start_run(run_id, command, "s", "t")
        if code is not None:
            ledger.end_run(run_id, code, "{}")

    def found(**filters: object) -> list[str]:
        return sorted(row["run_id"] for row in ledger.runs(50, **filters))  # type: ignore[arg-type]

    assert found(command="batch") == ["r2", "r3"]
    assert found(is_failed=True) == ["r2", "r3"], "whether r3 died is for others to say"
    assert found(since_unix=0.0) == ["r1", "r2", "r3"]
    assert found(since_unix=4_000_000_000.0) == []


def test_what_the_ledger_keeps_of_one_try_is_bounded() -> None:
    place = RepoRef("hf", "org/a", "model")
    report = RunReport("run", "copy", place, place)
    one = ErrorRecord.of(NotFoundError("no such file", path="a"))
    report.errors = [one] * (KEPT_ERRORS + 7)
    kept = summary(report)
    assert len(kept["errors"]) == KEPT_ERRORS
    assert kept["errors_left_out"] == 7
