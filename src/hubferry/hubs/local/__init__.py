"""A local folder as source and target."""

from hubferry.hubs.local.hub import TRAITS, LocalHub

__all__ = ["TRAITS", "LocalHub"]
