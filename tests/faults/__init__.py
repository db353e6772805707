"""Faults: what goes wrong on the way, one at a time."""
