"""Hubferry moves model and dataset repositories between hubs."""

__version__ = "0.1.0"
