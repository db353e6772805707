"""What a scenario is made of: tools, files, links, faults, and the steps of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.tools import Tool
from bench.world import USUAL_SETTING, FileSet, Setting
from hubferry.lab.faults import Fault, ShapeRule

if TYPE_CHECKING:
    from bench.results import Results, Verdict

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

Steps = Literal["copy", "again", "fresh", "killed"]
"""``copy``: into a new target. ``again``: after a copy that is not measured, on the same machine;
``fresh``: the same on a machine without files of that copy. ``killed``: after a run that got
SIGKILL when the source had sent half of the bytes, with what that run left behind."""


@dataclass(frozen=True, eq=False)
class Case:
    """One tool doing one thing; ``state`` tells several cases of one tool apart.

    Args:
        stop_after_seconds: a run that takes longer is killed and reported so.
        max_rounds: for what is counted rather than timed, and for what takes long.
        is_sampled: ask the target ten times a second how far it is.
        exit_code: how a good run ends; above 0 the target must not have the files afterwards.
    """

    tool: Tool
    files: FileSet
    state: str = ""
    rules: Sequence[ShapeRule] = ()
    faults: Sequence[Fault] = ()
    steps: Steps = "copy"
    stop_after_seconds: float = 180.0
    max_rounds: int = 100
    is_sampled: bool = False
    exit_code: int = 0


@dataclass(frozen=True, eq=False)
class Scenario:
    """One table of the results, and what it must show."""

    name: str
    title: str
    cases: Sequence[Case]
    judge: Callable[[Results], Sequence[Verdict]]
    setting: Setting = USUAL_SETTING
    remark: str = ""
