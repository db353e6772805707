"""Many threads that ask a lab's ModelScope hub, as several copies would; also a program.

As a program: ``storm_child.py ENDPOINT TOKEN_FILE FOLDER THREADS REQUESTS``; says ``ready`` and
begins when a line comes.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hubferry.control import CancelToken, Patience, WaitBudget, call
from hubferry.governor import Governor
from hubferry.hubs import HUBS, Connection
from hubferry.hubs.base import TargetHub
from hubferry.model import RepoId
from hubferry.net.secret import Secret

REPO = RepoId("ms", "your-org/model")


class Asker:
    """One hub that shares its account's budgets below ``folder``; None: shares nothing."""

    def __init__(self, endpoint: str, token: str, folder: Path | None) -> None:
        self._cancel = CancelToken()
        self._waits = WaitBudget(600.0)
        shared = Governor(folder, level=lambda: 16, most=16) if folder else None
        self.hub: TargetHub = HUBS["ms"].open(
            Connection(
                self._cancel,
                self._patience,
                endpoint,
                Secret(token),
                brakes=shared.account("ms") if shared else None,
            )
        )

    def _patience(self) -> Patience:
        return Patience(self._cancel, self._waits)

    def ask(self, count: int) -> None:
        """So many requests, one after the other, each until it is answered."""
        for _ in range(count):
            call(self._patience(), lambda: self.hub.resolve(REPO, None))

    def storm(self, threads: int, requests: int) -> None:
        """So many threads that each ask so often."""
        with ThreadPoolExecutor(threads) as pool:
            for one in [pool.submit(self.ask, requests) for _ in range(threads)]:
                one.result(120)


def main() -> None:
    endpoint, token_file, folder, threads, requests = sys.argv[1:]
    asker = Asker(endpoint, Path(token_file).read_text(), Path(folder))
    print("ready", flush=True)
    sys.stdin.readline()
    asker.storm(int(threads), int(requests))


if __name__ == "__main__":
    main()
