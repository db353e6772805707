"""Budgets shared by all repositories and all processes of a machine (ADR 18)."""

from hubferry.governor.accounts import Account, Governor

__all__ = ["Account", "Governor"]
