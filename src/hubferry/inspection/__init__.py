"""What is in a repository and is it whole, told from headers and indexes alone."""

from hubferry.inspection.families import Evidence, Family, FamilyMatch
from hubferry.inspection.inspect import InspectObserver, inspect_repo
from hubferry.inspection.report import (
    InspectReport,
    Need,
    Problem,
    SecuritySummary,
    Severity,
    Verdict,
)

__all__ = [
    "Evidence",
    "Family",
    "FamilyMatch",
    "InspectObserver",
    "InspectReport",
    "Need",
    "Problem",
    "SecuritySummary",
    "Severity",
    "Verdict",
    "inspect_repo",
]
