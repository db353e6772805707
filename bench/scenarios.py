"""What is copied, over which links, and in which steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from bench.tools import HUBFERRY, PEER, TWO_STEP, TWO_STEP_XET, USUAL, Tool
from hubferry.lab.faults import ShapeRule

MIB = 1 << 20
_SMALL_BYTES = 2048

Steps = Literal["copy", "nothing to do", "killed"]

_FAR_SOURCE = (
    ShapeRule("hf.", latency_seconds=0.08, connection_bytes_per_second=20e6),
    ShapeRule("xet.", latency_seconds=0.08, connection_bytes_per_second=20e6),
    ShapeRule("ms.put", connection_bytes_per_second=200e6),
)
_NEARER_SOURCE = (ShapeRule("hf.", latency_seconds=0.02, connection_bytes_per_second=50e6),)
_SLOW_API = (ShapeRule("hf.", latency_seconds=0.02), ShapeRule("ms.", latency_seconds=0.02))


@dataclass(frozen=True)
class Scenario:
    """One table of the results.

    ``files`` are path -> size in bytes, all synthetic. A run that takes longer than
    ``stop_after_seconds`` is killed and reported so. ``max_rounds`` is for what is counted rather
    than timed.
    """

    name: str
    title: str
    files: Mapping[str, int]
    tools: tuple[Tool, ...] = USUAL
    rules: tuple[ShapeRule, ...] = ()
    steps: Steps = "copy"
    commits_per_minute: int = 0
    stop_after_seconds: float = 180.0
    max_rounds: int = 100
    remark: str = ""

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(self.files.values())


def all_scenarios(*, quick: bool) -> list[Scenario]:
    """Every scenario, in full or in quick sizes."""
    small = 300 if quick else 3000
    many = Scenario(
        "S3",
        f"{small:,} files of 2 KiB in 3 folders, 20 ms API latency",
        _small_files(small),
        rules=_SLOW_API,
        stop_after_seconds=150,
        remark="A read is two requests: resolve, and the place on the same host it points to.",
    )
    limited = replace(
        many,
        name="S3b",
        title="as S3, and the target takes at most 60 commits a minute",
        tools=(HUBFERRY, PEER, TWO_STEP),
        commits_per_minute=60,
        stop_after_seconds=20 if quick else 45,
        remark="",
    )
    return [
        _unshaped(64 if quick else 512),
        _far(64 if quick else 512),
        many,
        limited,
        _nothing_to_do(40 if quick else 200),
        _killed(32 if quick else 256),
    ]


def warm_up() -> Scenario:
    """A copy of little, so that no measured run is the first to load anything."""
    files = {"config.json": 1024, "model.safetensors": 8 * MIB}
    return Scenario("warm-up", "", files, tools=(*USUAL, TWO_STEP_XET), stop_after_seconds=60)


def _unshaped(mib: int) -> Scenario:
    files = {f"model-{number}.safetensors": mib * MIB for number in range(4)}
    remark = (
        "The lab serves and stores in one Python thread, hashing what it stores: "
        "*lab CPU s* near *wall s* means that the lab is what limits."
    )
    return Scenario("S1", f"no shaping, 4 x {mib} MiB of LFS files", files, remark=remark)


def _far(mib: int) -> Scenario:
    return Scenario(
        "S2",
        f"source 20 MB/s per connection and 80 ms, target 200 MB/s; one LFS file of {mib} MiB",
        {"model.safetensors": mib * MIB},
        tools=(*USUAL, TWO_STEP_XET),
        rules=_FAR_SOURCE,
        remark=(
            f"Over one source connection {mib * MIB / 20e6:.1f} s is the limit; "
            f"with enough of them the upload's {mib * MIB / 200e6:.1f} s is."
        ),
    )


def _nothing_to_do(count: int) -> Scenario:
    large = count // 20
    files = {f"weights-{number}.bin": MIB for number in range(large)}
    return Scenario(
        "S4",
        f"nothing to do: {count} equal files ({large} LFS files of 1 MiB), 20 ms API latency",
        {**files, **_small_files(count - large)},
        tools=(HUBFERRY, PEER, TWO_STEP),
        rules=_SLOW_API,
        steps="nothing to do",
        remark="*Same machine* has the tool's files of an earlier run, *fresh machine* has none.",
    )


def _killed(mib: int) -> Scenario:
    return Scenario(
        "S5",
        f"SIGKILL when half of a {mib} MiB LFS file was read, then again; 50 MB/s per connection",
        {"model.safetensors": mib * MIB},
        tools=(HUBFERRY, PEER, TWO_STEP),
        rules=_NEARER_SOURCE,
        steps="killed",
        max_rounds=1,
        remark="Figures of the second run; the ideal reads the other half only.",
    )


def _small_files(count: int) -> dict[str, int]:
    return {f"part-{number % 3}/{number:04}.txt": _SMALL_BYTES for number in range(count)}
