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

A fault meets the next requests, all of them, a random share (``probability``), or strikes within
bodies whenever so many bytes have passed (``every_bytes``).
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

FaultKind = Literal[
    "status", "empty", "slow", "reset", "truncate", "corrupt", "stall", "drop_blob",
    "after_status", "after_hang",
]  # fmt: skip

BODY_FAULTS: tuple[FaultKind, ...] = ("reset", "truncate", "corrupt", "stall")
"""The kinds that strike within a body."""

_CREDIT_SECONDS = 0.05
"""A guess: well above how late a timer is on a busy machine, well below what a client measures."""


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
        probability: the chance that a matching request is met at all, 0 to 1; the others pass
            uncounted. The same ``seed`` gives the same sequence.
        every_bytes: for a kind that strikes within a body: strike each time so many body bytes of
            all matching requests together have passed, in whichever body is under way then.
            ``fraction`` and ``after`` mean nothing with it, ``times`` counts strikes.
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
    probability: float = 1.0
    seed: int = 0
    every_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"unknown kind of fault: {self.kind}")
        if not 0 < self.probability <= 1:
            raise ValueError(f"a probability is above 0 and at most 1, not {self.probability}")
        if self.every_bytes is not None and (self.kind not in BODY_FAULTS or self.every_bytes < 1):
            raise ValueError(f"every_bytes is at least 1, for one of {', '.join(BODY_FAULTS)}")
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
    """The faults switched on now.

    At most one meets a request: the first that was added. Beside it, at most one fault with
    ``every_bytes`` watches the request's bodies.
    """

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
                if entry.fault.every_bytes or not entry.may_meet(endpoint, target):
                    continue
                entry.seen += 1
                if entry.seen > entry.fault.after:
                    return entry.fault
        return None

    def meter(self, endpoint: str, target: str) -> Meter | None:
        """Return what counts the bytes of this request's bodies, if a fault asks for that."""
        with self._lock:
            for entry in self._entries:
                if entry.fault.every_bytes and entry.may_meet(endpoint, target):
                    return Meter(self._lock, entry)
        return None

    def snapshot(self) -> list[dict[str, Any]]:
        """Return every fault with how often it has struck (``struck``)."""
        with self._lock:
            return [{**entry.fault.to_json(), "struck": entry.struck} for entry in self._entries]


@dataclass
class _Entry:
    fault: Fault
    seen: int = 0
    passed_bytes: int = 0
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.fault.seed)

    def may_meet(self, endpoint: str, target: str) -> bool:
        """Tell whether a request is concerned; asked once a request, as it may draw a lot."""
        fault = self.fault
        if self.is_spent or not fault.meets(endpoint, target):
            return False
        return fault.probability >= 1 or self.chance.random() < fault.probability

    @property
    def struck(self) -> int:
        return self.seen if self.fault.every_bytes else max(0, self.seen - self.fault.after)

    @property
    def is_spent(self) -> bool:
        return self.fault.times is not None and self.struck >= self.fault.times


class Meter:
    """Counts the body bytes that a fault with ``every_bytes`` watches, over all its requests."""

    def __init__(self, lock: threading.Lock, entry: _Entry) -> None:
        self._lock = lock
        self._entry = entry

    def passed(self, count: int) -> Fault | None:
        """Count bytes that are about to pass; return the fault if they are the ones it strikes."""
        entry, every = self._entry, self._entry.fault.every_bytes or 1
        with self._lock:
            if entry.is_spent:
                return None
            before = entry.passed_bytes // every
            entry.passed_bytes += count
            if entry.passed_bytes // every == before:
                return None
            entry.seen += 1
            return entry.fault


class Pacer:
    """Spreads bytes over time: ``await pace(n)`` returns when ``n`` more bytes may have passed.

    Time lost because a timer or the loop was late is made up for, up to ``_CREDIT_SECONDS``, so
    that the rate is what it says and not what is left of it.
    """

    def __init__(
        self, bytes_per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.bytes_per_second = bytes_per_second
        self._clock = clock
        self._free_at = clock()

    async def pace(self, count: int) -> None:
        """Wait for the turn of ``count`` bytes."""
        seconds = self.take(count)
        if seconds > 0:
            await asyncio.sleep(seconds)

    def take(self, count: int) -> float:
        """Book ``count`` bytes; return the seconds until their turn, not above 0 if it is now."""
        now = self._clock()
        self._free_at = max(now - _CREDIT_SECONDS, self._free_at) + count / self.bytes_per_second
        return self._free_at - now


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
