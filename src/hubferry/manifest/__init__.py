"""Manifests: what tells a batch what to move where. See ``load_manifest`` and ``values``."""

from hubferry.manifest.entries import Defaults
from hubferry.manifest.load import load_manifest
from hubferry.manifest.problems import ManifestError, Problem

__all__ = ["Defaults", "ManifestError", "Problem", "load_manifest"]
