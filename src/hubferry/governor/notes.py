"""Small files that several processes read and replace: JSON objects, whole or not at all."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

Stamp = tuple[int, int, int]
"""Names one state of a file: inode, time of change in ns, size."""
_MOST_BYTES = 4096
_NOTE = re.compile(r"\.(hold|gap)(\.[\d-]+)?$")


def stamp_of(path: Path) -> Stamp | None:
    """The present state of a file; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read_numbers(path: Path) -> dict[str, float]:
    """The numbers of a note; empty if it is not there or not one of ours."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {
        name: float(value)
        for name, value in data.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def sweep(folder: Path, older_than_seconds: float, now: float) -> None:
    """Remove the notes of a folder that nobody has written for so long; ``now`` is Unix time.

    A repository whose commits were limited once leaves one behind, and so does a process that is
    killed while it writes.
    """
    for path in folder.iterdir():
        if not _NOTE.search(path.name):
            continue
        with suppress(OSError):
            if now - path.stat().st_mtime > older_than_seconds:
                path.unlink()


def write_note(path: Path, note: Mapping[str, float | str]) -> None:
    """Put a note in place of the one before, atomically.

    Raises:
        OSError: the disk says no; what was there stays.
    """
    fresh = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh.write_text(json.dumps(dict(note)), encoding="utf-8")
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
