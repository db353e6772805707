"""What can go wrong, as classes; whether to try again is a property of the class.

Foreign exceptions become one of these at the edge (``net``, ``hubs``,
``ledger``), with ``raise ... from exc``. A message says what failed, the
``hint`` what the user can do next; neither may hold a secret or a signed URL.

``headline`` is the short English line that people search for; it is never
translated and is printed first, as ``Error: <headline>``.
"""

from __future__ import annotations

import copy
from enum import StrEnum
from typing import ClassVar

from hubferry.text import T, Text


class Side(StrEnum):
    """Which end of the copy failed."""

    SOURCE = "source"
    TARGET = "target"
    LOCAL = "local"


class ExitCode:
    """The process exit codes; documented in ``docs/exit-codes.md``."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    PARTIAL = 3
    CONFLICT = 4
    LIMITED = 5
    NOT_FOUND = 10
    ACCESS = 11
    INTEGRITY = 12
    LEDGER = 13
    CANCELLED = 130


class CopyError(Exception):
    """Base of everything Hubferry raises on purpose.

    Hubs raise without ``side``, ``step`` or ``repo`` where they cannot know
    them; the rooms above fill the gaps with :meth:`at`.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = ExitCode.UNEXPECTED
    retryable: ClassVar[bool] = False
    default_headline: ClassVar[str] = "Unexpected error"
    default_hint: ClassVar[Text | None] = None

    def __init__(
        self,
        message: Text | str,
        *,
        side: Side | None = None,
        step: str | None = None,
        repo: str | None = None,
        path: str | None = None,
        hint: Text | None = None,
        request_id: str | None = None,
        headline: str | None = None,
    ) -> None:
        self.message = message if isinstance(message, Text) else Text(message)
        super().__init__(str(self.message))
        self.side = side
        self.step = step
        self.repo = repo
        self.path = path
        self.hint = hint or self.default_hint
        self.request_id = request_id
        self.headline = headline or self.default_headline
        self.is_final = False
        """Set when a patience ran out, so that no layer above starts over."""

    def at(
        self,
        *,
        side: Side | None = None,
        step: str | None = None,
        repo: str | None = None,
        path: str | None = None,
    ) -> CopyError:
        """Fill in what the raiser could not know; what is known stays."""
        self.side = self.side or side
        self.step = self.step or step
        self.repo = self.repo or repo
        self.path = self.path or path
        return self

    def of(self, path: str) -> CopyError:
        """The same failure told of ``path``: what ten paths wanted fails for each of them."""
        if self.path in (None, path):
            return self.at(path=path)
        twin = copy.copy(self)
        twin.path = path
        return twin


class UsageError(CopyError):
    """The request is wrong; nothing was tried."""

    code = "usage"
    exit_code = ExitCode.USAGE
    default_headline = "Wrong usage"


class ConflictError(CopyError):
    """The target differs, or a guard says stop."""

    code = "conflict"
    exit_code = ExitCode.CONFLICT
    default_headline = "Stopped by a guard"


class RefusedError(ConflictError):
    """The target is known to refuse this (a proven limit, an impossible path)."""

    code = "refused"
    default_headline = "The target cannot take this"


class RefusedPathError(RefusedError):
    """One path may not be written; the rest of the repository goes on."""

    code = "refused_path"
    exit_code = ExitCode.PARTIAL
    default_headline = "A path cannot be copied"


class HubError(CopyError):
    """A hub said no."""

    code = "hub"
    default_headline = "The hub refused"


class NotFoundError(HubError):
    """``what`` is ``repo``, ``revision`` or ``path``."""

    code = "not_found"
    exit_code = ExitCode.NOT_FOUND
    default_headline = "Repository not found"

    def __init__(self, message: Text | str, *, what: str = "repo", **where: object) -> None:
        self.what = what
        if what == "revision" and not where.get("hint"):
            where["hint"] = T("check the name of the branch, tag or commit")
        if "headline" not in where and what != "repo":
            where["headline"] = "Revision not found" if what == "revision" else "File not found"
        super().__init__(message, **where)  # type: ignore[arg-type]


class AccessError(HubError):
    """Unauthenticated, forbidden or gated."""

    code = "access"
    exit_code = ExitCode.ACCESS
    default_headline = "You don't have permission to access this repository"


class InvalidTokenError(AccessError):
    """The hub does not know this token."""

    code = "invalid_token"
    default_headline = "Invalid token"


class QuotaError(HubError):
    """Storage or account quota is used up: final until someone makes room."""

    code = "quota"
    exit_code = ExitCode.LIMITED
    default_headline = "Quota exceeded"
    default_hint = T("make room at the hub or ask for more, then run the same command again")


class TooLargeError(HubError):
    """The hub refuses this size (413): final for this object."""

    code = "too_large"
    exit_code = ExitCode.CONFLICT
    default_headline = "File too large for the target"
    default_hint = T(
        "the hub takes nothing this large: leave the file out with --exclude, "
        "or split it and upload the parts"
    )


class RateLimitedError(HubError):
    """The hub asks us to wait; ``retry_after_seconds`` is its own word, if it gave one."""

    code = "rate_limited"
    exit_code = ExitCode.LIMITED
    retryable = True
    default_headline = "Rate limit reached"
    default_hint = T("run the same command again later: it goes on where it stopped")

    def __init__(
        self, message: Text | str, *, retry_after_seconds: float | None = None, **where: object
    ) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message, **where)  # type: ignore[arg-type]


class UnavailableError(HubError):
    """Network, timeout or 5xx: worth another try.

    ``ambiguous`` is true when the hub may have done the work although we did
    not hear so (a lost answer): ask before doing it again.
    """

    code = "unavailable"
    retryable = True
    default_headline = "Connection failed"
    default_hint = T(
        "check the network, then run the same command again: it goes on where it stopped; "
        "each hub can have its own proxy and endpoint (see `hubferry copy --help`)"
    )

    def __init__(self, message: Text | str, *, ambiguous: bool = False, **where: object) -> None:
        self.ambiguous = ambiguous
        super().__init__(message, **where)  # type: ignore[arg-type]


class TimedOutError(UnavailableError):
    """No answer in time."""

    code = "timeout"
    default_headline = "Connection timeout"


class ProtocolError(HubError):
    """An answer we do not understand; never read as "empty"."""

    code = "protocol"
    default_headline = "Unexpected answer from the hub"
    default_hint = T("if it stays so, report it with a log made by --log-level DEBUG --log-file")


class UncheckedError(HubError):
    """The hub does not let us list or check; what was done may well be right."""

    code = "unchecked"
    exit_code = ExitCode.PARTIAL
    default_headline = "Not everything could be checked"


class IntegrityError(CopyError):
    """The bytes or the listing are not what was promised."""

    code = "integrity"
    exit_code = ExitCode.INTEGRITY
    default_headline = "Content check failed"


class CorruptReadError(IntegrityError):
    """The source sent other bytes than promised, this time; a fresh read may be good."""

    code = "corrupt_read"
    retryable = True


class CorruptWriteError(IntegrityError):
    """The target says that it got other bytes than were sent, this time."""

    code = "corrupt_write"
    retryable = True


class LedgerError(CopyError):
    """The local record is locked or unreadable."""

    code = "ledger"
    exit_code = ExitCode.LEDGER
    default_headline = "The local ledger cannot be used"


class LocalError(CopyError):
    """The local disk or file system said no."""

    code = "local"
    default_headline = "Local file error"


class NoSpaceError(LocalError):
    """The local disk is full."""

    code = "no_space"
    default_headline = "No space left on device"
    default_hint = T("make room on the disk, then run the same command again")


class SpoolError(LocalError):
    """The spool's disk is full or broken; never the end of a copy, which goes on without it."""

    code = "spool"


class CancelledError(CopyError):
    """Asked to stop."""

    code = "cancelled"
    exit_code = ExitCode.CANCELLED
    default_headline = "Stopped"


def unexpected(error: Exception) -> CopyError:
    """A surprise as an error that reports can tell; one of ours stays what it is."""
    if isinstance(error, CopyError):
        return error
    return CopyError(
        T("{kind}: {message}", kind=type(error).__name__, message=str(error)),
        hint=T("run again with --log-level DEBUG --log-file FILE and report it"),
    )


def is_retryable(code: str) -> bool:
    """Whether errors with this ``code`` may be gone at a later try, also of a whole repository.

    Beside what a request may be repeated for: what a fresh look at both ends may mend.
    """
    return code in _RETRYABLE


def _codes(kind: type[CopyError]) -> set[str]:
    own = {kind.code} if kind.retryable else set()
    return own.union(*(_codes(sub) for sub in kind.__subclasses__()))


_RETRYABLE = _codes(CopyError) | {ProtocolError.code, UncheckedError.code, IntegrityError.code}
