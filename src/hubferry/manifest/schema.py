"""The published schema of YAML manifests: ``python -m hubferry.manifest.schema docs/schema``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hubferry.manifest.shapes import HOOK_KINDS, REMOTE_HUBS, ManifestShape
from hubferry.manifest.yaml_nodes import FREE_PREFIX

FILE_NAME = "manifest.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema: what can be said without knowing YAML's lines or other entries."""
    schema = ManifestShape.model_json_schema(by_alias=True, mode="validation")
    for part in (schema, *schema.get("$defs", {}).values()):
        if "properties" in part:
            part["patternProperties"] = {f"^{FREE_PREFIX}": True}
    _untitled(schema)
    parts = schema["$defs"]
    parts["HookShape"]["oneOf"] = [{"required": [kind]} for kind in HOOK_KINDS]
    words = ("author", "text", "task", "library", "tags")
    parts["SearchShape"]["anyOf"] = [{"required": [name]} for name in words]
    parts["WatchShape"]["not"] = {"required": ["every", "cron"]}
    both = {"required": ["only-new", "only-changed"]}
    both["properties"] = {name: {"const": True} for name in both["required"]}  # type: ignore[assignment]
    parts["ConditionsShape"]["not"] = both
    schema["properties"]["hubs"] = {
        "type": "object",
        "description": schema["properties"]["hubs"]["description"],
        "properties": {hub: {"$ref": "#/$defs/HubShape"} for hub in REMOTE_HUBS},
        "patternProperties": {f"^{FREE_PREFIX}": True},
        "additionalProperties": False,
    }
    return {"$schema": _DIALECT, **schema, "title": "hubferry manifest"}


def _untitled(part: Any) -> None:
    """Drop the titles that pydantic makes of names: editors show them instead of the key."""
    if isinstance(part, dict):
        if isinstance(part.get("title"), str):
            del part["title"]
        for value in part.values():
            _untitled(value)
    elif isinstance(part, list):
        for value in part:
            _untitled(value)


def schema_text() -> str:
    """The schema as it is published."""
    return json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (Path(sys.argv[1]) / FILE_NAME).write_text(schema_text(), encoding="utf-8")
