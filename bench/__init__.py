"""Hubferry beside its alternatives, on the lab: ``python -m bench.run``."""
