"""A process that shares a governor with the tests; run as a program, driven over its streams.

Reads one command a line and answers each with one line. Imports no test tools: it has
to be quick to start.

    lock FILE OFFSET        -> had | refused
    release FILE OFFSET     -> ok
    turn FOLDER KIND        -> passed SECONDS   (waits for a hold, as a request would)
    refuse FOLDER KIND S    -> ok               (a request that the hub refuses for S seconds)
    probe FOLDER KIND       -> probing          (a request that is not answered until ``answer``)
    answer                  -> ok
    claim FOLDER DIGEST     -> had | late       (waits for it, and keeps it)
    slot FOLDER             -> had              (waits for it, and keeps it)
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path

from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.governor import Account, Governor
from hubferry.governor.byte_locks import ByteLocks
from hubferry.model import Sha256
from hubferry.net.secret import Secret

CANCEL = CancelToken()
SLOTS = 2


def patience() -> Patience:
    """Waits as long as it takes."""
    return Patience(CANCEL, WaitBudget(3600.0))


class Child:
    """What the commands work on."""

    def __init__(self) -> None:
        self.locks: dict[str, ByteLocks] = {}
        self.accounts: dict[str, Account] = {}
        self.kept = ExitStack()

    def account(self, folder: str) -> Account:
        if folder not in self.accounts:
            account = Governor(Path(folder), level=lambda: SLOTS, most=SLOTS).account("hub")
            account.bind("https://hub.example", Secret("a-token-of-the-tests"))
            self.accounts[folder] = account
        return self.accounts[folder]

    def obey(self, command: str, *words: str) -> str:
        match command, *words:
            case "lock", file, offset:
                locks = self.locks.setdefault(file, ByteLocks(Path(file)))
                return "had" if locks.try_acquire(int(offset)) else "refused"
            case "release", file, offset:
                self.locks[file].release(int(offset))
            case "turn", folder, kind:
                began = time.monotonic()
                with self.account(folder).turn(kind, patience):
                    return f"passed {time.monotonic() - began:.3f}"
            case "refuse", folder, kind, seconds:
                with self.account(folder).turn(kind, patience) as refused:
                    refused(float(seconds))
            case "probe", folder, kind:
                self.kept.enter_context(self.account(folder).turn(kind, patience))
                return "probing"
            case "answer", *_:
                self.kept.close()
            case "claim", folder, digest:
                claim = self.account(folder).claims.holding(Sha256(digest), CANCEL, lambda: None)
                return "late" if self.kept.enter_context(claim) else "had"
            case "slot", folder:
                turn = self.account(folder).slots.turn(object(), CANCEL, lambda text: None)
                self.kept.enter_context(turn)
                return "had"
            case _:
                raise ValueError(command)
        return "ok"


def main() -> None:
    child = Child()
    print("ready", flush=True)
    for line in sys.stdin:
        print(child.obey(*line.split()), flush=True)


if __name__ == "__main__":
    main()
