"""The shared fixtures."""

from tests.support.fixtures import bench, clean_environment, lab

__all__ = ["bench", "clean_environment", "lab"]
