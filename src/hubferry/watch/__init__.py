"""A batch again and again: when it is due, and when a webhook says so (ADR 20)."""
