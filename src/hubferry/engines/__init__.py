"""Engines by name: the only place that knows which ones exist."""

from __future__ import annotations

from hubferry.engines.base import Engine, Outcome
from hubferry.engines.serial import SerialEngine
from hubferry.engines.threads import ThreadEngine

__all__ = ["Engine", "Outcome", "make_engine"]


def make_engine(workers: int) -> Engine:
    """The engine for one machine: serial for one worker, threads above."""
    return SerialEngine() if workers == 1 else ThreadEngine(workers)
