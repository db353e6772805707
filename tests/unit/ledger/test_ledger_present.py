"""Repositories and files: remembered in bulk, recalled by key, written only where they differ."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.ledger.conftest import ask

from hubferry.ledger import Ledger, RepoRecord

A = RepoRecord(
    source="hf://org/a@main",
    target="ms://org/a@master",
    wish="w1",
    state="equal",
    source_mark="1" * 40,
    target_mark="2026-11-26T00:00:00Z",
    source_commit="1" * 40,
    verified_at=1_790_000_000.25,
    files=3,
    size_bytes=5_000_000_000_000,
    visibility="public",
    failures=2,
    next_try_at=1_790_000_060.5,
    last_run_id="20261126-100000-abcdef",
    error={"error": "access", "message": "不行", "exit_code": 11},
    source_id="621ffdc036468d709f17434d",
)
PAIR = (A.source, A.target)
SHA = "ab" * 32


def test_a_record_comes_back_as_it_was(ledger: Ledger) -> None:
    plain = RepoRecord("hf://org/b", "ms://org/b", "w", "partial")
    ledger.remember_all([A, plain])
    assert ledger.recall([PAIR, ("hf://org/b", "ms://org/b"), ("hf://no", "ms://no")]) == {
        PAIR: A,
        ("hf://org/b", "ms://org/b"): plain,
    }
    assert ledger.recall([]) == {}


def test_the_same_pair_is_remembered_once_and_as_it_was_last(ledger: Ledger) -> None:
    ledger.remember(A)
    gone = RepoRecord(*PAIR, wish="w2", state="gone")
    ledger.remember_all([replace(A, failures=9), gone])
    assert ledger.recall([PAIR]) == {PAIR: gone}
    assert ledger.stats()["rows"]["repositories"] == 1


def test_a_source_may_go_to_several_targets(ledger: Ledger) -> None:
    other = replace(A, target="ms://other/a@master", state="failed")
    ledger.remember_all([A, other])
    assert ledger.recall([(A.source, other.target)]) == {(A.source, other.target): other}


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(ValueError, match="copied"):
        replace(A, state="copied")


def test_any_number_is_recalled_with_a_question_for_some_thousands(path: Path) -> None:
    ledger = Ledger(path)
    records = [replace(A, source=f"hf://org/{n}") for n in range(4100)]
    ledger.remember_all(records)
    asked: list[str] = []
    sa.event.listen(
        ledger._store._engine,
        "before_cursor_execute",
        lambda c, x, query, *rest: asked.append(query),
    )
    found = ledger.recall([(record.source, record.target) for record in records])
    assert list(found.values()) == records
    assert len(asked) == 3
    ledger.close()


def test_sources_are_recalled_by_how_they_begin(ledger: Ledger) -> None:
    names = [
        "hf://org/a",
        "hf://org/a@v1",
        "hf://org/ab",
        "hf://org-2/a",
        "hf://Org/a",
        "ms://org/a",
    ]
    ledger.remember_all(replace(A, source=name) for name in names)

    def begin(prefix: str) -> list[str]:
        return [record.source for record in ledger.recall_sources(prefix)]

    assert begin("hf://org/") == ["hf://org/a", "hf://org/a@v1", "hf://org/ab"]
    assert begin("hf://org/a") == ["hf://org/a", "hf://org/a@v1", "hf://org/ab"]
    assert begin("hf://%") == []
    assert begin("hf://o_g") == []
    assert sorted(begin("")) == sorted(names)


def test_what_is_not_utf8_can_be_remembered_and_recalled(ledger: Ledger) -> None:
    odd = ("hf://org/bad-\udc80", "local:///tmp/\ud800")
    ledger.remember(replace(A, source=odd[0], target=odd[1], error={"path": "\udc80"}))
    (found,) = ledger.recall([odd]).items()
    assert found[0] == odd
    assert found[1].error == {"path": "\udc80"}
    ledger.remember_files(*odd, [("p-\udc80", 1, None), ("名", 2, SHA)])
    assert list(ledger.files_of(*odd)) == [(r"p-\udc80", 1, None), ("名", 2, SHA)]


def test_files_are_those_of_the_last_time(ledger: Ledger) -> None:
    ledger.remember(A)
    ledger.remember_files(*PAIR, [("b", 2, None), ("a", 1, SHA)])
    ledger.remember_files(A.source, "ms://other/a", [("z", 9, None)])
    assert list(ledger.files_of(*PAIR)) == [("a", 1, SHA), ("b", 2, None)]
    ledger.remember_files(*PAIR, [("a", 1, None), ("c", 3, SHA), ("c", 4, SHA)])
    assert list(ledger.files_of(*PAIR)) == [("a", 1, None), ("c", 4, SHA)]
    ledger.remember_files(*PAIR, [])
    assert list(ledger.files_of(*PAIR)) == []
    assert list(ledger.files_of(A.source, "ms://other/a")) == [("z", 9, None)]
    assert list(ledger.files_of("hf://no", "ms://no")) == []
    assert ledger.recall([PAIR]) == {PAIR: A}, "files change nothing of the record"


def test_files_of_a_pair_nobody_remembered_make_it_a_partial_one(ledger: Ledger) -> None:
    assert not ledger.knows_files(*PAIR)
    ledger.remember_files(*PAIR, [("a", 1, None)])
    assert ledger.knows_files(*PAIR)
    assert ledger.recall([PAIR]) == {PAIR: RepoRecord(*PAIR, wish="", state="partial")}
    ledger.remember(A)
    assert ledger.recall([PAIR]) == {PAIR: A}
    assert list(ledger.files_of(*PAIR)) == [("a", 1, None)], "they stay with the pair"


def test_files_that_are_as_before_are_not_written_again(filed: Ledger, path: Path) -> None:
    files = [(f"f-{n}", n, SHA if n % 2 else None) for n in range(3000)]
    filed.remember_files(*PAIR, files)
    watch_writes(path)
    filed.remember_files(*PAIR, files)
    assert ask(path, "SELECT * FROM written") == []
    changed = [
        ("f-0", 99, None),
        ("f-1", 1, "cd" * 32),
        ("f-2", 2, SHA),
        *files[3:-1],
        ("new", 1, None),
    ]
    filed.remember_files(*PAIR, reversed(changed))
    assert sorted(ask(path, "SELECT * FROM written")) == [
        ("delete", "f-2999"),
        ("insert", "new"),
        ("update", "f-0"),
        ("update", "f-1"),
        ("update", "f-2"),
    ]
    assert sorted(filed.files_of(*PAIR)) == sorted(changed)


def watch_writes(path: Path) -> None:
    """Let SQLite itself note every row of ``files`` that is written."""
    ask(path, "CREATE TABLE written (what TEXT, path TEXT)")
    for what, row in (("insert", "new"), ("update", "new"), ("delete", "old")):
        ask(
            path,
            f"CREATE TRIGGER on_{what} AFTER {what} ON files "
            f"BEGIN INSERT INTO written VALUES ('{what}', {row}.path); END",
        )


def test_files_are_replaced_all_or_not_at_all(ledger: Ledger) -> None:
    ledger.remember_files(*PAIR, [("a", 1, None)])

    def breaks_off() -> Iterator[tuple[str, int, str | None]]:
        for number in range(5000):
            yield f"f-{number}", number, None
        raise OSError("the listing broke off")

    with pytest.raises(OSError, match="broke off"):
        ledger.remember_files(*PAIR, breaks_off())
    assert list(ledger.files_of(*PAIR)) == [("a", 1, None)]
    ledger.remember_files(*PAIR, [("b", 1, None)])
    assert list(ledger.files_of(*PAIR)) == [("b", 1, None)], "and nothing of it is left over"


def test_files_may_come_from_the_ledger_itself(ledger: Ledger) -> None:
    files = [(f"f-{n:05}", n, None) for n in range(2500)]
    ledger.remember_files(*PAIR, files)

    def noted() -> Iterator[tuple[str, int, str | None]]:
        for file in ledger.files_of(*PAIR):
            ledger.note("run", "seen", file[0])
            yield file

    ledger.remember_files(A.source, "ms://other/a", noted())
    assert list(ledger.files_of(A.source, "ms://other/a")) == files


def test_memory_does_not_grow_with_the_number_of_files(path: Path) -> None:
    ledger = Ledger(path)

    def peak_bytes(count: int) -> int:
        tracemalloc.start()
        ledger.remember_files(*PAIR, ((f"folder/part-{n}", n, SHA) for n in range(count)))
        for _ in ledger.files_of(*PAIR):
            pass
        for _ in ledger.export():
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(10)
    assert peak_bytes(24_000) < peak_bytes(6_000) * 1.3
    ledger.close()


file_lists = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.tuples(st.integers(0, 3), st.sampled_from([None, "0" * 64, "1" * 64])),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(file_lists, max_size=4))
def test_whatever_was_before_the_files_are_the_last_ones(
    lists: list[dict[str, tuple[int, str | None]]],
) -> None:
    ledger = Ledger(None)
    for files in lists:
        ledger.remember_files(*PAIR, [(path, *rest) for path, rest in files.items()])
        assert {path: rest for path, *rest in ledger.files_of(*PAIR)} == {
            path: list(rest) for path, rest in files.items()
        }
    ledger.close()
