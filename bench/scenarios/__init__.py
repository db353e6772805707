"""The scenarios: the rows of the table that the results must show."""

from __future__ import annotations

from bench.cases import GIB, MIB, Case, Scenario
from bench.scenarios.failures import broken_puts, corrupted, killed, lossy
from bench.scenarios.memory import memory
from bench.scenarios.shaped import equal_links, far_source, slow_target
from bench.scenarios.small import many_small, nothing_to_do, without_git
from bench.scenarios.unshaped import marginal, unshaped
from bench.tools import TWO_STEP_XET, USUAL
from bench.world import FileSet

__all__ = ["all_scenarios", "warm_up"]


def all_scenarios(*, quick: bool) -> list[Scenario]:
    """Every scenario, in full or in quick sizes (bytes; where the size is the point, counts)."""
    small, few = (300, 40) if quick else (3000, 200)
    file_bytes = 128 * MIB if quick else GIB
    return [
        unshaped(64 * MIB if quick else 512 * MIB, is_tls=False),
        unshaped(64 * MIB if quick else 512 * MIB, is_tls=True),
        marginal(file_bytes // 4, is_tls=False),
        marginal(file_bytes // 4, is_tls=True),
        far_source(file_bytes),
        slow_target(file_bytes // 4),
        equal_links(file_bytes // 2),
        many_small(small),
        without_git(small),
        many_small(small, commits_per_minute=60),
        nothing_to_do("S5", few, folders=3),
        nothing_to_do("S5b", 1000 if quick else 10_000, folders=10),
        broken_puts(file_bytes),
        killed(file_bytes),
        lossy(file_bytes * 2),
        corrupted(64 * MIB),
        memory(file_bytes * 20),
    ]


def warm_up() -> Scenario:
    """A copy of little, so that no measured run is the first to load anything."""
    files = FileSet({"config.json": 1024, "model.safetensors": 8 * MIB}, is_in_xet=True)
    cases = [Case(tool, files, stop_after_seconds=60) for tool in (*USUAL, TWO_STEP_XET)]
    return Scenario("warm-up", "", cases, judge=lambda _: [])
