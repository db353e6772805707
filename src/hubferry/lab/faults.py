"""Faults and shaping, switched per endpoint name while the lab runs.

Each handler is registered under a stable name (``ms.put``, ``hf.cdn``; see ``wire.Routes``). Before
it runs, the wire asks ``faults.take(endpoint, target)`` for the fault that meets this request, and
``shape.rule(endpoint)`` for its latency and bandwidth. Handlers see faults only through
``wire.stream_content``, ``wire.receive_body`` and, where they store something,
``wire.fault_kind(request) == "drop_blob"``.

Kinds:

========================  ==========================================================================
``status``                answer ``status`` with ``body`` and ``headers``; the handler never runs
``empty``                 answer 200 with no body; the handler never runs
``slow``                  wait ``seconds`` first, then behave
``reset``                 TCP reset after ``fraction`` of the body: of the answer, or for an upload
                          of what the client sends
``truncate``              promise the whole length, end the connection cleanly after ``fraction``
``corrupt``               flip one bit at ``fraction``, in what is sent or in what is received
``stall``                 stop at ``fraction`` for ``seconds`` (None: until the client gives up)
``drop_blob``             an upload is answered with success and nothing is kept
``after_status``          do the work, then answer ``status``, ``body``, ``headers`` instead
``after_hang``            do the work, then never answer
========================  ==========================================================================
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

FaultKind = Literal[
    "status", "empty", "slow", "reset", "truncate", "corrupt", "stall", "drop_blob",
    "after_status", "after_hang",
]  # fmt: skip

BODY_FAULTS: tuple[FaultKind, ...] = ("reset", "truncate", "corrupt", "stall")
"""The kinds that strike within a body."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        endpoint: a handler's name, or a prefix ending in a dot ("ms." is every ModelScope handler).
        times: how many matching requests it meets; None for all.
        after: how many matching requests pass first.
        match: regular expression searched in the unescaped path and query.
        fraction: where in a body it happens, 0 to 1.
        seconds: how long (``slow``, ``stall``); None is for ever.
        retry_after: seconds, sent as a ``Retry-After`` header.
    """

    endpoint: str
    kind: FaultKind
    times: int | None = 1
    after: int = 0
    match: str = ""
    status: int = 500
    retry_after: float | None = None
    fraction: float = 0.5
    seconds: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"unknown kind of fault: {self.kind}")
        re.compile(self.match)

    def meets(self, endpoint: str, target: str) -> bool:
        """Tell whether a request to ``endpoint`` with this path and query is concerned."""
        named = endpoint == self.endpoint or (
            self.endpoint.endswith(".") and endpoint.startswith(self.endpoint)
        )
        return named and re.search(self.match, target) is not None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fault:
        """Build one from the control origin's JSON; ``body`` is text there.

        Raises:
            ValueError: a field is unknown, or missing, or holds nonsense.
        """
        known = {item.name for item in fields(cls)}
        if not {"endpoint", "kind"} <= set(data) <= known:
            raise ValueError(f"a fault has endpoint, kind and some of {sorted(known)}")
        values = dict(data)
        values["body"] = str(values.get("body", "")).encode()
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` takes."""
        return {
            **asdict(self), "headers": dict(self.headers), "body": self.body.decode("latin-1")
        }  # fmt: skip


class Faults:
    """The faults switched on now. At most one meets a request: the first that was added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[_Entry] = []

    def add(self, fault: Fault) -> None:
        """Switch a fault on."""
        with self._lock:
            self._entries.append(_Entry(fault))

    def clear(self, endpoint: str | None = None) -> None:
        """Switch off all faults, or those of one endpoint."""
        with self._lock:
            self._entries = [
                entry for entry in self._entries if endpoint and entry.fault.endpoint != endpoint
            ]

    def take(self, endpoint: str, target: str) -> Fault | None:
        """Return the fault that meets this request, counting it down."""
        with self._lock:
            for entry in self._entries:
                if not entry.is_spent and entry.fault.meets(endpoint, target):
                    entry.seen += 1
                    if entry.seen > entry.fault.after:
                        return entry.fault
        return None

    def snapshot(self) -> list[dict[str, Any]]:
        """Return every fault with how often it has struck (``struck``)."""
        with self._lock:
            return [{**entry.fault.to_json(), "struck": entry.struck} for entry in self._entries]


@dataclass
class _Entry:
    fault: Fault
    seen: int = 0

    @property
    def struck(self) -> int:
        return max(0, self.seen - self.fault.after)

    @property
    def is_spent(self) -> bool:
        return self.fault.times is not None and self.struck >= self.fault.times


class Pacer:
    """Spreads bytes over time: ``await pace(n)`` returns when ``n`` more bytes may have passed."""

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._free_at = 0.0

    async def pace(self, count: int) -> None:
        """Wait for the turn of ``count`` bytes."""
        now = time.monotonic()
        self._free_at = max(now, self._free_at) + count / self._rate
        await asyncio.sleep(self._free_at - now)


@dataclass(frozen=True)
class ShapeRule:
    """Latency and bandwidth of a group of endpoints.

    ``group`` is a prefix of endpoint names; empty for all. The connection's bandwidth counts per
    request (a connection carries one at a time); the total is shared by the whole group.
    """

    group: str = ""
    latency_seconds: float = 0.0
    connection_bytes_per_second: float | None = None
    total_bytes_per_second: float | None = None


class Shape:
    """The shaping in force; the longest group that fits an endpoint wins."""

    def __init__(self) -> None:
        self._rules: dict[str, tuple[ShapeRule, Pacer | None]] = {}

    def set(self, rule: ShapeRule) -> None:
        """Put a rule in place of the one for the same group."""
        total = rule.total_bytes_per_second
        self._rules[rule.group] = (rule, Pacer(total) if total else None)

    def clear(self) -> None:
        """Remove all shaping."""
        self._rules = {}

    def latency_seconds(self, endpoint: str) -> float:
        """Return how long to wait before a request to ``endpoint`` is looked at."""
        found = self._find(endpoint)
        return found[0].latency_seconds if found else 0.0

    def pacers(self, endpoint: str) -> list[Pacer]:
        """Return the pacers one request's body passes."""
        found = self._find(endpoint)
        if found is None:
            return []
        rule, total = found
        single = rule.connection_bytes_per_second
        return [pacer for pacer in (Pacer(single) if single else None, total) if pacer]

    def snapshot(self) -> list[dict[str, Any]]:
        """Return the rules in force."""
        return [asdict(rule) for rule, _ in self._rules.values()]

    def _find(self, endpoint: str) -> tuple[ShapeRule, Pacer | None] | None:
        groups = [group for group in self._rules if endpoint.startswith(group)]
        return self._rules[max(groups, key=len)] if groups else None
