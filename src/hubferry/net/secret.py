"""A value that does not show itself."""

from __future__ import annotations

import hmac
import re
from typing import NoReturn

from hubferry.errors import InvalidTokenError
from hubferry.net import redact
from hubferry.text import T

# Below this, first and last characters would give too much of it away.
_SHORTEST_TO_HINT = 16
_VISIBLE = re.compile(r"[!-~]*")


class Secret:
    """A token or password: masked when printed, never pickled, redacted in all logs."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        redact.register(value)

    def reveal(self) -> str:
        """The value itself, for a request header and nothing else."""
        return self._value

    @property
    def masked(self) -> str:
        """Enough to recognise the token by: at most the first 3 and last 4 characters."""
        if len(self._value) < _SHORTEST_TO_HINT:
            return "…"
        return f"{self._value[:3]}…{self._value[-4:]}"

    def __repr__(self) -> str:
        return f"Secret({self.masked})"

    def __str__(self) -> str:
        return self.masked

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is not pickled or copied")


def as_token(found: Secret, hub: str) -> Secret:
    """The same without the spaces and line ends that copying adds; may be empty.

    Raises:
        InvalidTokenError: it holds what no HTTP header can carry. Found here,
            it is a mistake of copying; found later, a broken connection.
    """
    value = found.reveal().strip()
    if not _VISIBLE.fullmatch(value):
        raise InvalidTokenError(
            T(
                "the token for {hub} holds characters that no token has: "
                "spaces, line ends or other scripts",
                hub=hub,
            ),
            hint=T("copy it again, without quotation marks or anything else around it"),
        )
    return found if value == found.reveal() else Secret(value)
