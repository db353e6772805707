"""The two ways a file's own content can stop a check."""

from __future__ import annotations

from hubferry.errors import CopyError, IntegrityError


class BrokenContentError(IntegrityError):
    """A file is not what its name and its hub say it is."""

    code = "broken_content"


class NotCheckedError(CopyError):
    """A check was left undone: a cap, the traffic budget, or no leave to read."""

    code = "not_checked"
