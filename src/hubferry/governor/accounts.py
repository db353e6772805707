"""Whose budget it is: one folder for each hub, endpoint and account.

::

    <state>/governor/salt                 random, for this machine and user alone
                     <account>/slots      bytes of it are locked, none is written
                               probes
                               <kind>.hold, <kind>.gap
                     <target>/claims

The names of the folders are keyed digests: without the salt nobody can try out
which token is behind one. Nothing is made before there is something to share.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hubferry.control import Patience
from hubferry.governor.byte_locks import ByteLocks
from hubferry.governor.claims import ByteClaims
from hubferry.governor.holds import Holds, Refused
from hubferry.governor.notes import sweep
from hubferry.governor.slots import ByteSlots
from hubferry.governor.spacing import SharedGap
from hubferry.net.secret import Secret
from hubferry.text import T, Text

NOTE_SECONDS = 86_400.0
"""Longer than any hold or distance is believed."""
_SALT_BYTES = 32
_PROCESS_KEY = secrets.token_bytes(_SALT_BYTES)
"""For names inside this process alone."""


class Governor:
    """What this process shares with the others of the machine. Thread-safe.

    Args:
        folder: for all processes of this user.
        level: how many transfers of this process may be on their way now.
        waited: told how long somebody had to wait for that level, in seconds.
        most: how many of all processes together, for one account.
        tell: told, once, that processes cannot share and why.
    """

    def __init__(
        self,
        folder: Path,
        *,
        level: Callable[[], int],
        most: int,
        waited: Callable[[float], None] = lambda seconds: None,
        tell: Callable[[Text], None] = lambda text: None,
    ) -> None:
        self._folder = folder
        self._level = level
        self._most = most
        self._waited = waited
        self._tell = tell
        self._has_told = False
        self._lock = threading.RLock()
        self._salt: bytes | None = None
        self._locks: dict[Path, ByteLocks] = {}
        self._budgets: dict[str, _Budget] = {}
        self._swept: set[Path] = set()

    def account(self, scheme: str) -> Account:
        """The account that a hub of this scheme will turn out to use: see ``Account.bind``."""
        return Account(self, scheme)

    def close(self) -> None:
        """Let go of the files; what is held stays so until its block ends. Safe to repeat."""
        with self._lock:
            for locks in self._locks.values():
                locks.close()

    # --- for the accounts -----------------------------------------------------------

    def budget(self, scheme: str, endpoint: str, token: Secret | None) -> _Budget:
        """The shared part of an account: the same object for equal arguments."""
        who = _Who(scheme, endpoint, token)
        name = _named(who.account_parts(), _PROCESS_KEY)
        with self._lock:
            if name not in self._budgets:
                self._budgets[name] = _Budget(self, who)
            return self._budgets[name]

    def slots(self, locks: Callable[[], ByteLocks | None]) -> ByteSlots:
        """Slots over these locks; None: other processes do not see them."""
        return ByteSlots(locks, self._level, self._most, waited=self._waited)

    def folder_of(self, parts: tuple[str, ...], to_keep: bool) -> Path | None:
        """The folder named by ``parts``; None if nothing was ever kept and ``to_keep`` is False.

        Raises:
            OSError: it cannot be made.
        """
        salt = self._find_salt(to_keep)
        if salt is None:
            return None
        folder = self._folder / _named(parts, salt)
        if to_keep:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._sweep_once(folder)
        return folder

    def locks_of(self, parts: tuple[str, ...], name: str) -> ByteLocks:
        """The locks called ``name`` in that folder."""
        try:
            folder = self.folder_of(parts, True)
        except OSError as error:
            self.cannot_share(error)
            folder = None
        # Where no folder can be had the locks find that out by themselves, and hold in this
        # process: so the name must be the same each time.
        path = (folder or self._folder / _named(parts, _PROCESS_KEY)) / name
        with self._lock:
            if path not in self._locks:
                self._locks[path] = ByteLocks(path, tell=self.cannot_share)
            return self._locks[path]

    def cannot_share(self, error: OSError) -> None:
        """Say, once, that this process goes on alone."""
        with self._lock:
            if self._has_told:
                return
            self._has_told = True
        self._tell(
            T(
                "limits cannot be shared with other processes ({cause}); this one goes on alone",
                cause=error.strerror or type(error).__name__,
            )
        )

    def _sweep_once(self, folder: Path) -> None:
        with self._lock:
            is_swept = folder in self._swept
            self._swept.add(folder)
        if not is_swept:
            sweep(folder, NOTE_SECONDS, time.time())

    def _find_salt(self, to_keep: bool) -> bytes | None:
        with self._lock:
            if self._salt is None:
                path = self._folder / "salt"
                found = _read_salt(path)
                if found is None and to_keep:
                    found = _make_salt(path)
                self._salt = found
            return self._salt


@dataclass(frozen=True, slots=True)
class _Who:
    """An account. The token stays in its masked type until a name is made of it."""

    scheme: str
    endpoint: str
    token: Secret | None

    def target_parts(self) -> tuple[str, ...]:
        return self.scheme, self.endpoint

    def account_parts(self) -> tuple[str, ...]:
        return self.scheme, self.endpoint, self.token.reveal() if self.token else ""


class _Budget:
    """What everybody shares who uses the same account."""

    def __init__(self, governor: Governor, who: _Who) -> None:
        self._governor = governor
        self._who = who
        self._gaps: dict[str, SharedGap] = {}
        self._named: dict[str, ByteLocks] = {}
        self._lock = threading.Lock()
        self.slots = governor.slots(partial(self._locks, "slots"))
        self.claims = ByteClaims(partial(self._locks, "claims"))
        self.holds = Holds(self._folder, partial(self._locks, "probes"), governor.cannot_share)

    def gap(self, name: str) -> SharedGap:
        """The turns of one kind of request."""
        with self._lock:
            if name not in self._gaps:
                self._gaps[name] = SharedGap(
                    name,
                    self._folder,
                    partial(self._locks, "probes"),
                    self._governor.cannot_share,
                )
            return self._gaps[name]

    def _folder(self, to_keep: bool) -> Path | None:
        return self._governor.folder_of(self._who.account_parts(), to_keep)

    def _locks(self, name: str) -> ByteLocks:
        who = self._who
        with self._lock:
            if name not in self._named:
                # A content is the target's, whoever sends it.
                parts = who.target_parts() if name == "claims" else who.account_parts()
                self._named[name] = self._governor.locks_of(parts, name)
            return self._named[name]


class Account:
    """One hub's part in the budgets of its account; a ``net.pacing.Brakes``. Thread-safe.

    Which account it is the hub knows, as it finds its token; so it says so when it
    is made. A hub that never does (a folder) shares nothing with other processes.
    """

    def __init__(self, governor: Governor, scheme: str) -> None:
        self._governor = governor
        self._scheme = scheme
        self._budget: _Budget | None = None
        self._own_slots = governor.slots(lambda: None)

    def bind(self, endpoint: str, token: Secret | None) -> None:
        """Say whose account it is; None: nobody's, and what an address may do is shared."""
        self._budget = self._governor.budget(self._scheme, endpoint.rstrip("/").lower(), token)

    def turn(self, kind: str, patience: Callable[[], Patience]) -> AbstractContextManager[Refused]:
        """Wait until a request of this kind may be sent; see ``Holds.turn``."""
        return self._bound.holds.turn(kind, patience)

    def gap(self, kind: str) -> SharedGap:
        """The turns of requests that keep a distance."""
        return self._bound.gap(kind)

    @property
    def slots(self) -> ByteSlots:
        """Transfers side by side."""
        return self._budget.slots if self._budget else self._own_slots

    @property
    def claims(self) -> ByteClaims:
        """Contents on their way."""
        return self._budget.claims if self._budget else ByteClaims(lambda: None)

    @property
    def _bound(self) -> _Budget:
        assert self._budget is not None, "the hub says first whose account it uses"
        return self._budget


def _named(parts: tuple[str, ...], key: bytes) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), key=key, digest_size=16).hexdigest()


def _read_salt(path: Path) -> bytes | None:
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return None
    return found if len(found) == _SALT_BYTES else None


def _make_salt(path: Path) -> bytes:
    """Make the salt, or take the one that another process made in the same moment.

    Raises:
        OSError: it cannot be kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"salt.{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_SALT_BYTES))
        if path.exists() and _read_salt(path) is None:
            path.unlink()  # a broken one
        try:
            path.hardlink_to(fresh)  # fails if another one is there: a rename would not
        except FileExistsError:
            pass
        except OSError:
            fresh.replace(path)  # a file system without links
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
    found = _read_salt(path)
    if found is None:
        raise OSError(0, "the salt cannot be kept")
    return found
