"""What the core asks of a governor; and what it gets where nothing is shared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from hubferry.control import CancelToken
from hubferry.model import Sha256
from hubferry.text import Text

Tell = Callable[[Text], None]
"""Told, once, what is waited for."""


class Slots(Protocol):
    """Places for transfers side by side."""

    def turn(self, party: object, cancel: CancelToken, tell: Tell) -> AbstractContextManager[None]:
        """Wait for a place; it is held inside the block.

        Args:
            party: whom the place is for, one repository's delivery: parties that
                wait get equal shares.

        Raises:
            CancelledError: someone asked to stop.
        """


class Claims(Protocol):
    """Who sends which content to a target, so that it crosses once."""

    def holding(
        self, sha256: Sha256, cancel: CancelToken, tell: Callable[[], None]
    ) -> AbstractContextManager[bool]:
        """Be the only one to send this content while inside the block.

        Tells whether another one had it first: the target may hold the content now.
        A thread holds one claim at most, and waits for it without holding a slot.

        Raises:
            CancelledError: someone asked to stop.
        """


class FreeSlots:
    """As many transfers as there are workers."""

    @contextmanager
    def turn(self, party: object, cancel: CancelToken, tell: Tell) -> Iterator[None]:
        """Go at once."""
        yield


class FreeClaims:
    """Nobody else sends to this target."""

    @contextmanager
    def holding(
        self, sha256: Sha256, cancel: CancelToken, tell: Callable[[], None]
    ) -> Iterator[bool]:
        """Go at once."""
        yield False
