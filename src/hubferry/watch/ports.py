"""What the watch needs of the rest of the house."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from hubferry.batch.values import BatchReport
from hubferry.control import CancelToken
from hubferry.manifest.values import Manifest

Load = Callable[[], Manifest]
"""Reads the manifest afresh; raises CopyError while it is wrong."""


class Cycle(Protocol):
    """One batch.

    ``only``: ids of source repositories (``str(RepoId)``) to look at, None for
    all. While ``may_start()`` is False the batch takes up no further
    repository and ends with what is left as STOPPED, which is no failure.

    Raises:
        CancelledError: ``cancel`` was set.
        CopyError: nothing could be done at all.
    """

    def __call__(
        self,
        manifest: Manifest,
        *,
        only: Collection[str] | None,
        cancel: CancelToken,
        may_start: Callable[[], bool],
    ) -> BatchReport:
        """Run it to its end."""
        ...
