"""Which names a local file system can hold, and which it takes for the same."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from hubferry.model import RefusedPath
from hubferry.text import T, Text

WORKSHOP = ".hubferry"
"""Folder below the root for blobs that wait for their commit; never part of a listing."""

_LONGEST_NAME_BYTES = 255  # NAME_MAX of ext4, XFS, APFS; NTFS counts 255 UTF-16 units
_WINDOWS_CHARACTERS = re.compile(r'[<>:"|?*\\]')
_WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


def is_private(path: str) -> bool:
    """True for what belongs to tools, not to the repository: Git, Hubferry, download records.

    ``.cache/huggingface`` is where ``hf download --local-dir`` keeps its own
    state; the official upload passes it over too.
    """
    parts = path.split("/")
    return (
        parts[0] == WORKSHOP
        or any(part.lower() == ".git" for part in parts)
        or parts[:2] == [".cache", "huggingface"]
    )


def name_problem(path: str, *, is_windows: bool = os.name == "nt") -> Text | None:
    """Why a local file system cannot hold ``path``, or None.

    Windows rules: "Naming Files, Paths, and Namespaces", Microsoft Learn.
    """
    if is_private(path):
        return T("this name is kept for a tool's own files")
    for name in path.split("/"):
        if len(name.encode("utf-8", "surrogatepass")) > _LONGEST_NAME_BYTES:
            return T("a name in the path is longer than 255 bytes")
        if is_windows and (found := _windows_problem(name)) is not None:
            return found
    return None


def _windows_problem(name: str) -> Text | None:
    if _WINDOWS_CHARACTERS.search(name):
        return T("the path holds a character that Windows does not allow")
    if _WINDOWS_DEVICES.fullmatch(name):
        return T("the path holds a name that Windows keeps for a device")
    if name.endswith((" ", ".")):
        return T("a name in the path ends with a space or a dot, which Windows drops")
    return None


def ignores_case(folder: Path) -> bool:
    """True if the file system below ``folder`` takes ``A`` and ``a`` for the same; asks it.

    Judged by the last part of the folder's own name that has letters; a folder
    that does not exist is judged by its nearest parent.
    """
    for place in (folder, *folder.parents):
        other = place.with_name(place.name.swapcase()) if place.name else place
        if other == place or not place.exists():
            continue
        try:
            return other.exists() and other.samefile(place)
        except OSError:
            return False
    return False


def collisions(folder: Path, paths: Iterable[str]) -> tuple[RefusedPath, ...]:
    """The paths that would overwrite an earlier one because they differ in case only."""
    if not ignores_case(folder):
        return ()
    first: dict[str, str] = {}
    refused = []
    for path in sorted(paths):
        key = unicodedata.normalize("NFC", path).casefold()
        if first.setdefault(key, path) != path:
            reason = T("here it is the same file as {other}", other=first[key])
            refused.append(RefusedPath(path, reason))
    return tuple(refused)
