"""The shared fixtures."""

from tests.support.fixtures import bench, clean_environment, lab, quick_waits, short_timeouts

__all__ = ["bench", "clean_environment", "lab", "quick_waits", "short_timeouts"]
