"""What an inspection found: frozen values, ready to be printed.

A problem is one of three: something a complete repository of its family needs
is ``missing``, something that is there is ``broken``, or there is a
``warning``. Checks that were not done are warnings too, and keep the verdict
at ``UNKNOWN``: nothing that was not looked at is called complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hubferry.inspection.families import FamilyMatch
from hubferry.model import RepoInfo, Visibility
from hubferry.text import Text


class Severity(StrEnum):
    """How bad a problem is."""

    MISSING = "missing"
    BROKEN = "broken"
    WARNING = "warning"


class Verdict(StrEnum):
    """Whether the repository is whole.

    ``UNKNOWN``: nothing is known to be wrong, but not every check was done.
    """

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding; ``path`` None: about the repository as a whole.

    ``is_unchecked``: a check that could not be done, not a fault that was seen.
    """

    severity: Severity
    path: str | None
    message: Text
    is_unchecked: bool = False


@dataclass(frozen=True, slots=True)
class SecuritySummary:
    """The hub's own scan, in the hub's own words. Files it says nothing of are not counted."""

    counts: Mapping[str, int] = field(default_factory=dict)
    flagged: tuple[tuple[str, str], ...] = ()
    """(path, status) of every file the hub warns of."""


@dataclass(frozen=True, slots=True)
class Need:
    """Something a complete repository of this kind holds, and the path that meets it."""

    what: Text
    looked_for: tuple[str, ...]
    found: str | None


@dataclass(frozen=True)
class InspectReport:
    """What is in a repository and whether it is whole.

    ``parameters`` counts each model once (not every variant or quantisation
    of it) and is None where headers do not tell it; ``dtypes`` splits the same
    count by the hub formats' own dtype names. ``has_chat_template`` is None
    when the files that could hold one could not be read.
    """

    info: RepoInfo
    files: int
    size_bytes: int
    families: tuple[FamilyMatch, ...]
    needs: tuple[Need, ...]
    has_chat_template: bool | None
    parameters: int | None
    parameters_note: Text | None
    dtypes: Mapping[str, int]
    security: SecuritySummary
    problems: tuple[Problem, ...]
    traffic_bytes: int
    budget_bytes: int
    requests: int

    @property
    def license(self) -> str | None:
        """The licence as the hub tells it."""
        return self.info.license

    @property
    def visibility(self) -> Visibility:
        """Who may read the repository."""
        return self.info.visibility

    @property
    def is_gated(self) -> bool:
        """True if readers must accept terms first."""
        return self.info.visibility is Visibility.GATED

    @property
    def verdict(self) -> Verdict:
        """Whether the repository is whole, as far as the checks went."""
        if any(problem.severity is not Severity.WARNING for problem in self.problems):
            return Verdict.INCOMPLETE
        if any(problem.is_unchecked for problem in self.problems):
            return Verdict.UNKNOWN
        return Verdict.COMPLETE

    @property
    def is_complete(self) -> bool:
        """True only if every check was done and nothing is missing or broken."""
        return self.verdict is Verdict.COMPLETE
