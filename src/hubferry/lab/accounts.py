"""Who a request speaks for: tokens, their tiers, and who may read or write a repository.

A hub module turns the credential of a request into an :class:`Identity` with
``accounts.find(token)`` (``None`` for no or an unknown token; the module tells the two apart) and
then asks ``can_read`` / ``can_write`` / ``can_delete``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hubferry.lab.repos import Repo

Tier = Literal["read", "write", "admin"]


@dataclass(frozen=True)
class Identity:
    """The owner of one token, and what the token may do."""

    user: str
    orgs: tuple[str, ...]
    tier: Tier

    def owns(self, namespace: str) -> bool:
        """Tell whether ``namespace`` is the user or one of their organisations."""
        return namespace == self.user or namespace in self.orgs

    def can_read(self, repo: Repo) -> bool:
        """Tell whether the repository is visible to this identity (gating not considered)."""
        return not repo.is_private or self.owns(repo.namespace)

    def can_write(self, namespace: str) -> bool:
        """Tell whether the token may create and change repositories below ``namespace``."""
        return self.tier != "read" and self.owns(namespace)

    def can_delete(self, namespace: str) -> bool:
        """Tell whether the token may delete repositories below ``namespace``."""
        return self.tier == "admin" and self.owns(namespace)


class Accounts:
    """The tokens one hub knows."""

    def __init__(self) -> None:
        self._by_token: dict[str, Identity] = {}

    def add(
        self, token: str, user: str, *, orgs: tuple[str, ...] = (), tier: Tier = "admin"
    ) -> None:
        """Make ``token`` speak for ``user``."""
        self._by_token[token] = Identity(user, orgs, tier)

    def revoke(self, token: str) -> None:
        """Forget ``token``; unknown ones are ignored."""
        self._by_token.pop(token, None)

    def find(self, token: str | None) -> Identity | None:
        """Return whom ``token`` speaks for."""
        return self._by_token.get(token) if token else None

    def is_namespace(self, name: str) -> bool:
        """Tell whether any user or organisation has this name."""
        return any(identity.owns(name) for identity in self._by_token.values())
