"""Manifests: what tells a batch what to move where. See ``load_manifest`` and ``values``.

Everybody who only names what a manifest holds imports ``values``; how manifests are read is
loaded by whoever reads one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubferry.manifest.entries import Defaults
    from hubferry.manifest.load import load_manifest
    from hubferry.manifest.problems import ManifestError, Problem

__all__ = ["Defaults", "ManifestError", "Problem", "load_manifest"]

_PLACES = {
    "Defaults": "entries",
    "ManifestError": "problems",
    "Problem": "problems",
    "load_manifest": "load",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
