"""How much of everything: a quick tier for each change, the full one for `make test-long`."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Counts:
    """One tier.

    ``kills`` and ``kills_without_ledger`` are random moments of one copy; ``big_bytes`` and
    ``small_bytes`` are the two sizes whose peak memory is compared, ``crowd_bytes`` is the size of
    each of four files at once, ``storms`` are copies with several random faults. ``fleet`` is how
    many repositories a batch has, ``batch_kills`` random moments of one,
    ``ledger_kills`` processes killed while they write to one ledger.
    """

    kills: int
    kills_without_ledger: int
    big_bytes: int
    small_bytes: int
    crowd_bytes: int
    storms: int
    ledger_kills: int
    fleet: int
    batch_kills: int


QUICK = Counts(
    kills=6,
    kills_without_ledger=3,
    big_bytes=1 * GIB,
    small_bytes=256 * MIB,
    crowd_bytes=256 * MIB,
    storms=10,
    ledger_kills=8,
    fleet=60,
    batch_kills=5,
)
FULL = Counts(
    kills=50,
    kills_without_ledger=50,
    big_bytes=20 * GIB,
    small_bytes=1 * GIB,
    crowd_bytes=2 * GIB,
    storms=300,
    ledger_kills=300,
    fleet=500,
    batch_kills=20,
)

TIERS = [
    pytest.param(QUICK, id="quick"),
    pytest.param(FULL, id="full", marks=pytest.mark.long),
]
