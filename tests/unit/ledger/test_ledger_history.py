"""Attempts and events of batches, and the speed that earlier runs measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.unit.ledger.conftest import ask

from hubferry.errors import LedgerError
from hubferry.ledger import Ledger
from hubferry.ledger.store import ROWS_AT_ONCE

ENDS = ("hf://a/b", "ms://a/b")


def try_at(ledger: Ledger, attempt_id: str, number: int, state: str | None) -> None:
    ledger.start_attempt(attempt_id, attempt_id.partition("/")[0], number, *ENDS)
    if state is not None:
        ledger.end_attempt(attempt_id, state, 0 if state == "copied" else 11, '{"commits": 1}')


def copied(sent_bytes: int, seconds: float) -> str:
    return json.dumps({"bytes": {"sent": sent_bytes}, "seconds": seconds})


def test_an_attempt_is_told_with_its_end(ledger: Ledger) -> None:
    try_at(ledger, "run/7.1", 7, "copied")
    (found,) = ledger.attempts("run")
    assert found.pop("ended_at") >= found.pop("started_at")
    assert found == {
        "attempt_id": "run/7.1",
        "run_id": "run",
        "number": 7,
        "source": "hf://a/b",
        "target": "ms://a/b",
        "state": "copied",
        "exit_code": 0,
        "report": '{"commits": 1}',
        "is_last": True,
    }


def test_the_last_try_at_each_repository_is_marked(ledger: Ledger) -> None:
    # As they come: the tries at one repository between those at others, and more than nine.
    for number in (2, 1):
        try_at(ledger, f"run/{number}.1", number, "failed")
    for attempt in range(2, 12):
        try_at(ledger, f"run/1.{attempt}", 1, "failed" if attempt < 11 else None)
    try_at(ledger, "run/2.2", 2, "copied")
    try_at(ledger, "other/1.1", 1, "copied")
    found = ledger.attempts("run")
    assert [row["number"] for row in found] == [1] * 11 + [2] * 2
    assert [row["attempt_id"] for row in found if row["is_last"]] == ["run/1.11", "run/2.2"]
    assert found[10]["state"] is None, "it goes on"
    failed = ledger.attempts("run", ["failed"])
    assert len(failed) == 11
    assert not any(row["is_last"] for row in failed), "a later try came to something else"


def test_a_try_is_begun_once(ledger: Ledger) -> None:
    try_at(ledger, "run/1.1", 1, None)
    with pytest.raises(LedgerError):
        try_at(ledger, "run/1.1", 1, None)
    assert len(ledger.attempts("run")) == 1


def test_events_are_told_of_a_run_with_its_attempts_and_of_one_attempt(ledger: Ledger) -> None:
    # Ids that begin alike, on either side of "/", are other runs and other attempts.
    for owner in ("run", "run/1.1", "run-2", "run/1.10", "run0", "run!", "ru", "run/1.1"):
        ledger.note(owner, "sent", owner, {"n": 1})
    assert [event["path"] for event in ledger.events_of("run")] == [
        "run",
        "run/1.1",
        "run/1.10",
        "run/1.1",
    ]
    own, *_ = ledger.events_of("run")
    assert (own["run_id"], own["attempt_id"], own["detail"]) == ("run", None, '{"n": 1}')
    of_one = list(ledger.events_of("run/1.1"))
    assert [(event["run_id"], event["attempt_id"]) for event in of_one] == [("run", "run/1.1")] * 2
    assert list(ledger.events_of("nobody")) == []


def test_a_run_is_shown_with_its_own_events_alone(ledger: Ledger) -> None:
    ledger.start_run("run", "batch", "mirror.yaml", "")
    ledger.note("run", "hook")
    ledger.note("run/1.1", "sent", "x")
    run = ledger.run("run")
    assert run is not None
    assert [fact["kind"] for fact in run["facts"]] == ["hook"]


def test_more_events_than_a_page_are_told_once_each_and_in_order(ledger: Ledger) -> None:
    count = ROWS_AT_ONCE + 7
    ledger.note_all("other", "sent", [("x", None)] * 50)
    ledger.note_all("run/1.1", "sent", [(str(n), None) for n in range(count)])
    ledger.note_all("other", "sent", [("x", None)] * 50)
    ledger.note_all("run", "end", [("end", None)])
    paths = [event["path"] for event in ledger.events_of("run")]
    assert paths == [*map(str, range(count)), "end"]
    ledger.note_all("page/1.1", "sent", [("x", None)] * ROWS_AT_ONCE)
    assert len(list(ledger.events_of("page"))) == ROWS_AT_ONCE


def test_events_may_be_noted_while_others_are_told(ledger: Ledger) -> None:
    ledger.note_all("run", "sent", [(str(n), None) for n in range(ROWS_AT_ONCE * 2)])
    told = 0
    for event in ledger.events_of("run"):
        ledger.note("run", "seen", event["path"])
        told += 1
    assert told == ROWS_AT_ONCE * 2, "what came later is for the next who asks"


# --- the usual speed -------------------------------------------------------------


def a_copy(ledger: Ledger, run_id: str, report: str, source: str = "hf://a/b") -> None:
    ledger.start_run(run_id, "copy", source, "ms://a/b")
    ledger.end_run(run_id, 0, report)


def test_the_usual_speed_is_that_of_copies_between_these_hubs(ledger: Ledger) -> None:
    assert ledger.usual_speed("hf", "ms") is None
    a_copy(ledger, "1", copied(10_000_000, 1.0))
    a_copy(ledger, "2", copied(30_000_000, 1.0))
    a_copy(ledger, "3", copied(80_000_000, 1.0), source="ms://a/b")
    a_copy(ledger, "4", copied(80_000_000, 1.0), source="hfx://a/b")
    a_copy(ledger, "5", copied(1_000_000, 1.0))
    for number, odd in enumerate(('{"stopped": "KeyboardInterrupt"}', "{broken", "[1]", "{}")):
        a_copy(ledger, f"odd-{number}", odd)
    ledger.start_run("7", "copy", *ENDS)
    assert ledger.usual_speed("hf", "ms") == 20_000_000


def test_copies_within_a_batch_count_for_the_usual_speed(ledger: Ledger) -> None:
    a_copy(ledger, "1", copied(10_000_000, 1.0))
    ledger.start_run("run", "batch", "mirror.yaml", "")
    ledger.start_attempt("run/1.1", "run", 1, *ENDS)
    ledger.end_attempt("run/1.1", "copied", 0, copied(30_000_000, 1.0))
    ledger.end_run("run", 0, copied(90_000_000, 1.0))
    assert ledger.usual_speed("hf", "ms") == 20_000_000, "and the batch as a whole does not"


def test_only_the_latest_copies_tell_the_usual_speed(ledger: Ledger) -> None:
    for number in range(20):
        a_copy(ledger, f"old-{number}", copied(10_000_000, 1.0))
    with_moments(ledger, "2026-01-01T00:00:00.000+00:00")
    for number in range(20):
        a_copy(ledger, f"new-{number}", copied(30_000_000, 1.0))
    assert ledger.usual_speed("hf", "ms") == 30_000_000


def with_moments(ledger: Ledger, moment: str) -> None:
    """Let all runs so far have begun at this moment."""
    with ledger._store.write() as connection:
        connection.exec_driver_sql("UPDATE runs SET started_at = ?", (moment,))


@contextmanager
def counted_steps() -> Iterator[list[int]]:
    """How many tens of SQLite's steps connections made from now on take."""
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    def watch(connection: Any, record: object) -> None:
        connection.set_progress_handler(count, 10)

    sa.event.listen(sa.Engine, "connect", watch)
    try:
        yield steps
    finally:
        sa.event.remove(sa.Engine, "connect", watch)


def test_the_usual_speed_takes_no_longer_with_a_long_history(path: Path) -> None:
    def steps_to_ask() -> int:
        with counted_steps() as steps:
            ledger = Ledger(path)
            before = steps[0]
            assert ledger.usual_speed("hf", "ms") == 10_000_000
            ledger.close()
            return steps[0] - before

    ledger = Ledger(path)
    for number in range(25):
        a_copy(ledger, f"run-{number}", copied(10_000_000, 1.0))
    ledger.close()
    few = steps_to_ask()
    for table in ("runs", "attempts"):
        add_history(path, table, 5_000)
    assert steps_to_ask() <= few * 2


def add_history(path: Path, table: str, count: int) -> None:
    """Later copies between other hubs, and later runs that sent nothing to tell."""
    key, more = ("run_id", "command") if table == "runs" else ("attempt_id", "run_id")
    number = "" if table == "runs" else "number, "
    value = "" if table == "runs" else "1, "
    for hub, report in (("local", "'{}'"), ("hf", "NULL")):
        ask(
            path,
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
            f"INSERT INTO {table} ({key}, {more}, {number}source, target, started_at, report) "
            f"SELECT '{hub}-' || i, 'copy', {value}'{hub}://a/b', 'ms://a/b', '2999', {report} "
            "FROM n",
        )
