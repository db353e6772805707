"""Many repositories: which of them, whether anything is to be done, and doing it."""
