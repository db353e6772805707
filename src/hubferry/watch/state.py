"""What a watch remembers over a restart, in a small file; and its lock, one watch a manifest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import filelock

from hubferry.errors import ConflictError, LocalError, Side
from hubferry.text import T
from hubferry.watch.looks import ALL, Wanted

_VERSION = 1
_END_OF_TIME = 1e11


@dataclass(slots=True)
class WatchState:
    """Moments are Unix seconds. ``last_slot``: of the last cycle of everything that ended.

    ``pending`` and ``is_all_pending``: looks that were asked for and have not taken place.
    """

    last_slot: float | None = None
    last_cycle_at: float | None = None
    last_ok_at: float | None = None
    cycles: int = 0
    pending: list[str] = field(default_factory=list)
    is_all_pending: bool = False
    seen: dict[str, float] = field(default_factory=dict)

    @property
    def wanted(self) -> Wanted:
        """The looks that have not taken place."""
        return ALL if self.is_all_pending else Wanted(frozenset(self.pending))

    def keep_wanted(self, wanted: Wanted) -> None:
        """Note what has not been looked at."""
        self.pending = sorted(wanted.repos)
        self.is_all_pending = wanted.is_all


class StateFile:
    """``<folder>/<digest of the manifest's path>.json``, replaced as a whole."""

    def __init__(self, folder: Path, manifest: Path) -> None:
        digest = hashlib.sha256(os.fsencode(manifest.resolve())).hexdigest()[:32]
        self._folder = folder
        self._manifest = manifest
        self.path = folder / f"{digest}.json"
        self._lock_path = folder / f"{digest}.lock"

    def load(self) -> WatchState:
        """What was kept; a file that is missing or damaged is as good as a first start."""
        try:
            raw = json.loads(self.path.read_text(encoding="utf-8"))
            return _checked(raw)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return WatchState()

    def save(self, state: WatchState) -> None:
        """Keep it.

        Raises:
            LocalError: the disk says no; what was kept before is still there.
        """
        beside = self.path.with_suffix(".new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with beside.open("w", encoding="utf-8") as file:
                json.dump({"version": _VERSION, **asdict(state)}, file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError as exc:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise _unusable(self._folder, exc) from exc

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only watch of this manifest on this computer.

        Raises:
            ConflictError: another process is.
            LocalError: the lock file cannot be made.
        """
        lock = filelock.FileLock(self._lock_path, timeout=0)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except filelock.Timeout:
            raise ConflictError(
                T("another process watches {manifest} already", manifest=str(self._manifest)),
                side=Side.LOCAL,
                step="watch",
                hint=T("stop that one first; 'kill -HUP' makes it read the manifest again"),
            ) from None
        except (OSError, NotImplementedError) as exc:  # the latter: a file system without locks
            raise _unusable(self._folder, exc) from exc
        try:
            yield
        finally:
            lock.release()


def _unusable(folder: Path, cause: Exception) -> LocalError:
    return LocalError(
        T("the folder {folder} cannot be used: {cause}", folder=str(folder), cause=str(cause)),
        side=Side.LOCAL,
        hint=T("name a folder you can write to with HUBFERRY_STATE_DIR"),
    )


def _checked(raw: dict[str, Any]) -> WatchState:
    if raw["version"] != _VERSION:
        raise ValueError("another version")
    return WatchState(
        last_slot=_moment(raw["last_slot"]),
        last_cycle_at=_moment(raw["last_cycle_at"]),
        last_ok_at=_moment(raw["last_ok_at"]),
        cycles=int(raw["cycles"]),
        pending=[str(repo) for repo in raw["pending"]],
        is_all_pending=bool(raw["is_all_pending"]),
        seen={str(digest): float(at) for digest, at in raw["seen"].items()},
    )


def _moment(value: Any) -> float | None:
    if value is None:
        return None
    moment = float(value)
    if not 0.0 <= moment < _END_OF_TIME:
        raise ValueError("no moment")
    return moment
