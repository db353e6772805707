"""Commits form as files arrive, within the limits, and never look whole too early."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from hubferry.packing import Packer
from hubferry.plan import RANK_DELETE, Action, PlanEntry, base64_bytes, commit_rank
from hubferry.text import T


def entry(path: str, *, size: int = 10, inline: bool = True) -> PlanEntry:
    action = Action.INLINE if inline else Action.UPLOAD
    return PlanEntry(path, action, T("new"), size, None, inline, commit_rank(path))


def deletion(path: str) -> PlanEntry:
    return PlanEntry(path, Action.DELETE, T("gone"), 1, None, False, RANK_DELETE)


def paths(group: tuple[PlanEntry, ...]) -> list[str]:
    return [item.path for item in group]


def test_a_full_commit_does_not_wait_for_the_rest() -> None:
    entries = [entry(f"{n}.bin") for n in range(5)]
    packer = Packer(entries, 2, 1 << 20)
    for item in (entries[4], entries[1], entries[3]):
        packer.settle(item)
    assert paths(packer.next_group()) == ["1.bin", "3.bin"]
    assert packer.next_group() == (), "one is left, and two are awaited"


def test_what_describes_weights_waits_for_them() -> None:
    weights, config, card = entry("w.bin"), entry("config.json"), entry("README.md")
    packer = Packer([weights, config, card], 1, 1 << 20)
    packer.settle(card)
    packer.settle(config)
    assert packer.next_group() == ()
    packer.settle(weights)
    order = [packer.next_group() for _ in range(4)]
    assert [paths(group) for group in order] == [["w.bin"], ["config.json"], ["README.md"], []]


def test_a_dropped_file_is_not_waited_for() -> None:
    first, second = entry("a.bin"), entry("b.bin")
    packer = Packer([first, second], 10, 1 << 20)
    packer.settle(first)
    assert packer.next_group() == ()
    packer.drop(second)
    assert paths(packer.next_group()) == ["a.bin"]


def test_inline_content_is_bounded_and_a_single_large_file_goes_alone() -> None:
    limit = base64_bytes(300)
    entries = [entry("a.bin", size=200), entry("b.bin", size=900), entry("c.bin", size=200)]
    packer = Packer(entries, 10, limit)
    for item in entries:
        packer.settle(item)
    assert [paths(packer.next_group()) for _ in range(4)] == [["a.bin"], ["b.bin"], ["c.bin"], []]


def test_blobs_weigh_nothing_in_a_commit() -> None:
    entries = [entry(f"{n}.bin", size=1 << 40, inline=False) for n in range(3)]
    packer = Packer(entries, 10, 100)
    for item in entries:
        packer.settle(item)
    assert len(packer.next_group()) == 3


def test_deletions_come_last() -> None:
    gone, weights = deletion("a"), entry("z.bin")
    packer = Packer([gone, weights], 10, 100)
    packer.settle(gone)
    assert packer.next_group() == ()
    packer.settle(weights)
    assert paths(packer.next_group()) == ["z.bin", "a"]


NAMES = st.lists(
    st.sampled_from([f"{n}{end}" for n in range(30) for end in (".bin", ".json", "/README.md")]),
    unique=True,
    min_size=1,
)


@given(names=NAMES, seed=st.integers(), max_changes=st.integers(1, 7), limit=st.integers(1, 200))
def test_each_file_is_committed_once_and_ranks_never_go_back(
    names: list[str], seed: int, max_changes: int, limit: int
) -> None:
    order = random.Random(seed)
    entries = [
        entry(name, size=order.randrange(100), inline=order.random() < 0.5) for name in names
    ]
    packer = Packer(entries, max_changes, limit)
    committed: list[PlanEntry] = []
    arriving = list(entries)
    order.shuffle(arriving)
    for item in arriving:
        packer.settle(item)
        while group := packer.next_group():
            assert len(group) <= max_changes
            weight = sum(base64_bytes(e.size_bytes) for e in group if e.is_inline)
            assert weight <= limit or sum(e.is_inline for e in group) == 1
            committed += group
    assert sorted(paths(tuple(committed))) == sorted(names)
    ranks = [item.rank for item in committed]
    assert ranks == sorted(ranks)
