"""What several repositories have in common when they fail, met once for all of them.

A :class:`Cause` is a hub that is down, a token that was refused, a quota that is
full. While one lasts, whatever depends on it waits; from time to time one
repository is let through to see whether it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hubferry.model import Address, RepoId
from hubferry.outcome import ErrorRecord
from hubferry.text import T, Text

FIRST_PROBE_SECONDS = 30.0
MOST_PROBE_SECONDS = 600.0
REPEATS = 3
"""Failures in a row of the kinds that may be one repository's own, before they are one cause."""

_AT_ONCE = {"invalid_token": "token", "quota": "quota", "rate_limited": "limit", "no_space": "disk"}
_REPEATED = {"unavailable": "outage", "timeout": "outage", "access": "access"}
_LOCAL = frozenset({"disk"})
"""Of this computer: nothing goes on without it."""
_OF_OWNER = frozenset({"quota", "access"})
_OVER_BY_WRITING = frozenset({"quota", "access"})
"""What a repository that needed nothing to be written tells nothing of."""


@dataclass(frozen=True, slots=True)
class Cause:
    """``kind`` and what it concerns: a hub in a role, or an owner on it."""

    kind: str
    side: str
    hub: str
    owner: str = ""

    def __str__(self) -> str:
        place = f"{self.hub}://{self.owner}" if self.owner else self.hub
        return f"{self.kind} {self.side} {place}".strip()

    def concerns(self, source: Address, target: Address) -> bool:
        """Whether a copy from ``source`` to ``target`` depends on it."""
        if self.kind in _LOCAL:
            return True
        repo = source.repo if self.side == "source" else target.repo
        return repo.hub == self.hub and self.owner in ("", owner_of(repo))


def owner_of(repo: RepoId) -> str:
    """The part of the name before the last slash; empty for names of one segment."""
    return repo.name.rpartition("/")[0]


def cause_of(error: ErrorRecord, source: Address, target: Address) -> tuple[Cause, bool] | None:
    """What an error may have in common with others, and whether one error is enough to say so."""
    kind = _AT_ONCE.get(error.error) or _REPEATED.get(error.error)
    if kind in _LOCAL:
        return Cause(kind, "", ""), True
    if kind is None or error.side not in ("source", "target", "local"):
        return None
    if error.side == "local" or (kind == "access" and error.side == "source"):
        return None  # gated or private: that repository's own
    repo = source.repo if error.side == "source" else target.repo
    owner = owner_of(repo) if kind in _OF_OWNER else ""
    return Cause(kind, error.side, repo.hub, owner), error.error in _AT_ONCE


_TEXTS = {
    "token": T("the token was refused"),
    "quota": T("the quota is full"),
    "limit": T("the rate limit lasts longer than may be waited for"),
    "disk": T("the local disk is full"),
    "outage": T("the hub does not answer"),
    "access": T("the target refuses to be written to"),
}


@dataclass
class Held:
    """A cause that lasts."""

    cause: Cause
    error: ErrorRecord
    probe_at: float
    pause_seconds: float = FIRST_PROBE_SECONDS
    probing: int | None = None
    """The number of the item that was let through to see."""

    @property
    def text(self) -> Text:
        """What to tell of it, once."""
        return T("{what}: {message}", what=_TEXTS[self.cause.kind], message=self.error.message)


@dataclass
class Causes:
    """The causes met and how long they last; one thread."""

    clock: Callable[[], float]
    held: dict[Cause, Held] = field(default_factory=dict)
    _in_a_row: dict[Cause, int] = field(default_factory=dict)

    def failed(
        self, number: int, errors: Iterable[ErrorRecord], source: Address, target: Address
    ) -> tuple[Held | None, bool]:
        """Note a failed try; the cause that lasts now, if it is one, and whether it is news."""
        for error in errors:
            found = cause_of(error, source, target)
            if found is None:
                continue
            cause, is_certain = found
            if (known := self.held.get(cause)) is not None:
                self._probed(known, number)
                return known, False
            self._in_a_row[cause] = self._in_a_row.get(cause, 0) + 1
            if is_certain or self._in_a_row[cause] >= REPEATS:
                probe_at = self.clock() + FIRST_PROBE_SECONDS
                self.held[cause] = held = Held(cause, error, probe_at)
                return held, True
        return None, False

    def worked(
        self, number: int, source: Address, target: Address, *, has_written: bool = True
    ) -> list[Held]:
        """Note a try that met none of the causes; those it shows to be over."""
        for cause in [c for c in self._in_a_row if c.concerns(source, target)]:
            del self._in_a_row[cause]
        over = [
            held
            for cause, held in self.held.items()
            # Who was under way before it began says nothing of it; the disk is everybody's.
            if held.probing == number
            and cause.concerns(source, target)
            and (has_written or cause.kind not in _OVER_BY_WRITING)
        ]
        for held in over:
            del self.held[held.cause]
        self.told_nothing(number)
        return over

    def told_nothing(self, number: int) -> None:
        """A probe came to its end without meeting what it was to find out: the next may go."""
        for held in self.held.values():
            if held.probing == number:
                held.probing = None

    def holding(self, source: Address, target: Address) -> list[Held]:
        """The causes that a copy between these would meet."""
        return [held for c, held in self.held.items() if c.concerns(source, target)]

    def may_start(self, number: int, source: Address, target: Address) -> bool:
        """Whether an item may go; one goes as a probe when its time has come."""
        if self.stopping(source, target) is not None:
            return False
        for held in self.holding(source, target):
            held.probing = number
        return True

    def stopping(self, source: Address, target: Address) -> Cause | None:
        """What nobody may start against yet, of the causes that a copy would meet."""
        causes = (held.cause for held in self.holding(source, target))
        return next((cause for cause in causes if not self.is_due(cause)), None)

    def is_due(self, cause: Cause) -> bool:
        """Whether the time has come to see if a cause that lasts is over."""
        held = self.held[cause]
        return held.probing is None and self.clock() >= held.probe_at

    def gave_up(self, number: int) -> None:
        """A probe failed by itself, or was stopped: the next one goes later."""
        for held in self.held.values():
            self._probed(held, number)

    def _probed(self, held: Held, number: int) -> None:
        if held.probing != number:
            return
        held.probing = None
        held.pause_seconds = min(MOST_PROBE_SECONDS, held.pause_seconds * 2)
        held.probe_at = self.clock() + held.pause_seconds
