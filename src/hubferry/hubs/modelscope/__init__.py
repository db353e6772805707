"""ModelScope as source and target."""

from hubferry.hubs.modelscope.hub import TRAITS, ModelScopeHub

__all__ = ["TRAITS", "ModelScopeHub"]
