"""Leave to read from Xet storage: one token for each repository and commit, for all streams."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from hubferry.model import RepoId
from hubferry.net.secret import Secret

SPARE_SECONDS = 60.0
"""A token is dropped this long before it expires, as the official client does. hf_xet refuses
one with less than half a minute left (observed, hf_xet 1.8)."""


@dataclass(frozen=True, slots=True)
class XetToken:
    """A token of the storage at ``cas_url``; good for one repository and commit."""

    access: Secret
    expires_unix: int
    cas_url: str


@dataclass
class _Slot:
    lock: threading.Lock = field(default_factory=threading.Lock)
    token: XetToken | None = None


class TokenCache:
    """Tokens by repository and commit; whoever comes while one is fetched waits for that one.

    Thread-safe.

    Args:
        fetch: asks the hub; its errors come out of :meth:`get`.
        clock: Unix time in seconds.
    """

    def __init__(
        self, fetch: Callable[[RepoId, str], XetToken], clock: Callable[[], float] = time.time
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: defaultdict[tuple[RepoId, str], _Slot] = defaultdict(_Slot)

    def get(self, repo: RepoId, commit: str, refused: XetToken | None = None) -> XetToken:
        """A token with some time left, and another one than ``refused``."""
        with self._lock:
            slot = self._slots[repo, commit]
        with slot.lock:
            token = slot.token
            if token is None or token is refused or self._is_old(token):
                slot.token = token = self._fetch(repo, commit)
            return token

    def _is_old(self, token: XetToken) -> bool:
        return token.expires_unix - SPARE_SECONDS <= self._clock()
