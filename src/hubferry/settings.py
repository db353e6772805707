"""What a user can set, and where things live on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from hubferry.spool import SpoolMode
from hubferry.throttle import UNLIMITED, Timetable

DEFAULT_WORKERS = 16


@dataclass(frozen=True, slots=True)
class HubSettings:
    """How to reach one hub. ``token`` None: as the official client finds it; "": anonymous."""

    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    proxy: str | None = None
    find_token: Callable[[], str | None] | None = field(default=None, repr=False)
    """Looks again where ``token`` was found, for a run whose token is refused; raises CopyError."""


@dataclass(frozen=True)
class Settings:
    """What a user can set, apart from what one copy is about."""

    hubs: Mapping[str, HubSettings] = field(default_factory=dict)
    workers: int = DEFAULT_WORKERS
    """Most blobs that travel at the same time; how many help is found by trying."""
    transport: str = "auto"
    """How large files are read from a hub that knows several ways: ``auto``, ``http``, ``xet``."""
    wait_on_limit_seconds: float = 6 * 3600.0
    wait_lock_seconds: float = 600.0
    ledger_path: Path | None = None
    state_dir: Path | None = None
    bwlimit: Timetable = UNLIMITED
    spool_mode: SpoolMode = SpoolMode.AUTO
    spool_dir: Path | None = None
    spool_limit_bytes: int | None = None
    keep_days: float = 90.0
    """How long the ledger keeps the history of runs."""

    @property
    def state_folder(self) -> Path:
        """Where the ledger and the locks live."""
        return self.state_dir or Path(platformdirs.user_state_dir("hubferry"))

    @property
    def runs_folder(self) -> Path:
        """Where runs on their way can be seen and controlled."""
        return self.state_folder / "runs"

    @property
    def ledger_file(self) -> Path:
        """The ledger."""
        return self.ledger_path or self.state_folder / "ledger.sqlite3"

    @property
    def spool_folder(self) -> Path:
        """Where the spool lives: a cache, for losing it costs time alone (ADR 12)."""
        cache = platformdirs.user_cache_path("hubferry", appauthor=False)
        return self.spool_dir or cache / "spool"
