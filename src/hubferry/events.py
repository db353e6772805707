"""What a run tells its observers; frozen values, sizes in bytes, times in seconds.

An observer is any callable that takes one event. It may be called from worker
threads, one call at a time (``Broadcast`` serialises them). It must not raise.
Progress of a file may go backwards: a retry starts where it can.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hubferry.errors import CopyError, Side
from hubferry.model import Address, RepoInfo
from hubferry.text import Text


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A command begins."""

    run_id: str
    command: str
    source: Address
    target: Address | None


@dataclass(frozen=True, slots=True)
class StepStarted:
    """The run enters a step: resolve, list, plan, read, blobs, commit, verify."""

    step: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """A revision became a commit."""

    side: Side
    info: RepoInfo


@dataclass(frozen=True, slots=True)
class Listed:
    """A listing is complete."""

    side: Side
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Planned:
    """What will move. ``send_bytes`` may shrink when the target turns out to hold blobs."""

    files: int
    total_bytes: int
    send_files: int
    send_bytes: int


@dataclass(frozen=True, slots=True)
class FileStarted:
    """A worker took up a file."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FileProgress:
    """``done_bytes`` of the file are through."""

    path: str
    done_bytes: int


@dataclass(frozen=True, slots=True)
class FileFinished:
    """A file's bytes are at the target, or were there already (``reused``), or failed."""

    path: str
    size_bytes: int
    is_reused: bool = False
    error: CopyError | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The run pauses; ``until_unix`` 0.0 means the pause is over."""

    side: Side
    reason: Text
    until_unix: float


@dataclass(frozen=True, slots=True)
class Paused:
    """Someone paused the run, or let it go on again (``is_over``)."""

    run_id: str
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """One commit is at the target."""

    number: int
    files: int
    commit: str | None


@dataclass(frozen=True, slots=True)
class Verified:
    """The target's own listing was compared; ``differences`` 0 means equal."""

    files: int
    differences: int
    unchecked: int


@dataclass(frozen=True, slots=True)
class Note:
    """Something the user should know; level is ``info`` or ``warning``."""

    level: str
    text: Text


@dataclass(frozen=True, slots=True)
class BatchStarted:
    """A batch knows what it is about: ``repos`` have to be looked at, of ``listed`` in all."""

    run_id: str
    manifest: str
    listed: int
    repos: int


@dataclass(frozen=True, slots=True)
class RepoStarted:
    """A repository of the batch is taken up. ``number`` names it in the batch, from 1."""

    number: int
    source: Address
    target: Address
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class RepoFinished:
    """A repository's turn is over; ``state`` is an ``ItemState`` value.

    It may come up again (``will_retry``): a later attempt, or when what holds it up is over.
    """

    number: int
    source: Address
    target: Address
    state: str
    sent_bytes: int = 0
    seconds: float = 0.0
    error: Text | None = None
    will_retry: bool = False


@dataclass(frozen=True, slots=True)
class HeldUp:
    """What several repositories meet stopped them once and for all of them.

    ``cause`` names it (``outage target``); ``repos`` wait for its end.
    ``is_over`` says that they go on.
    """

    cause: str
    text: Text
    repos: int
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class InRepo:
    """An event of one repository's copy, told by a batch that has several on their way."""

    number: int
    event: RepoEvent


RepoEvent = (
    StepStarted
    | Resolved
    | Listed
    | Planned
    | FileStarted
    | FileProgress
    | FileFinished
    | Waiting
    | Committed
    | Verified
    | Note
)

Event = (
    RunStarted
    | BatchStarted
    | RepoStarted
    | RepoFinished
    | HeldUp
    | InRepo
    | StepStarted
    | Resolved
    | Listed
    | Planned
    | FileStarted
    | FileProgress
    | FileFinished
    | Waiting
    | Paused
    | Committed
    | Verified
    | Note
)

Observer = Callable[[Event], None]


def silent(event: Event) -> None:
    """The default observer: says nothing."""


class Broadcast:
    """Hands each event to every observer, one event at a time."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            for observer in self._observers:
                observer(event)

    @contextmanager
    def also(self, observer: Observer) -> Iterator[None]:
        """Tell one more for a while."""
        with self._lock:
            self._observers = (*self._observers, observer)
        try:
            yield
        finally:
            with self._lock:
                self._observers = tuple(o for o in self._observers if o is not observer)
