"""What is there, and what is wrong with it: the two things every check uses."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from functools import cached_property

from hubferry.inspection.names import folder_of, join
from hubferry.inspection.report import Problem, Severity
from hubferry.model import FileEntry, Listing
from hubferry.text import T, Text

Look = Callable[[str], FileEntry | None]
"""Ask the hub for one path. KeyError: the hub does not let us look."""


class Findings:
    """Problems, each told once."""

    def __init__(self) -> None:
        self._problems: dict[tuple[Severity, str | None, str], Problem] = {}

    def add(
        self, severity: Severity, path: str | None, message: Text, *, is_unchecked: bool = False
    ) -> None:
        """Note a problem; the same words on the same path count once."""
        key = (severity, path, str(message))
        self._problems.setdefault(key, Problem(severity, path, message, is_unchecked))

    def unchecked(self, path: str | None, message: Text) -> None:
        """Note a check that was not done."""
        self.add(Severity.WARNING, path, message, is_unchecked=True)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Missing first, then broken, then warnings; by path."""
        order = list(Severity)
        return tuple(
            sorted(
                self._problems.values(),
                key=lambda problem: (order.index(problem.severity), problem.path or ""),
            )
        )


class Repo:
    """The listing, with a way to ask for what a cut-off folder may hide."""

    def __init__(self, listing: Listing, look: Look) -> None:
        self.listing = listing
        self._look = look
        self._looked: dict[str, FileEntry | None] = {}

    @cached_property
    def names_in(self) -> dict[str, list[str]]:
        """Folder -> the names of the files directly in it."""
        names: dict[str, list[str]] = {}
        for path in self.listing.by_path:
            names.setdefault(folder_of(path), []).append(path.rpartition("/")[2])
        return names

    def get(self, path: str) -> FileEntry | None:
        """The entry of a path; asks the hub where the listing is in doubt.

        Raises:
            KeyError: the hub neither lists the path nor lets us look.
        """
        if (entry := self.listing.by_path.get(path)) is not None:
            return entry
        if not self.listing.is_doubtful(path):
            return None
        if path not in self._looked:
            self._looked[path] = self._look(path)
        return self._looked[path]

    def find(self, folder: str, pattern: str) -> str | None:
        """The first path in ``folder`` whose name matches a glob.

        Raises:
            KeyError: none is listed, but the folder is in doubt.
        """
        if not any(char in pattern for char in "*?["):
            path = join(folder, pattern)
            return None if self.get(path) is None else path
        names = fnmatch.filter(self.names_in.get(folder, ()), pattern)
        if names:
            return join(folder, min(names))
        if self.listing.is_doubtful(join(folder, pattern)):
            raise KeyError(pattern)
        return None

    def require(self, path: str, findings: Findings, message: Text) -> bool:
        """Note ``path`` as missing if it is; True if it is there."""
        try:
            if self.get(path) is not None:
                return True
            findings.add(Severity.MISSING, path, message)
        except KeyError:
            findings.unchecked(path, T("the hub cannot say whether this file is there"))
        return False
