"""Acceptance: whole copies over the real protocols."""
