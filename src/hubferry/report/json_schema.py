"""The published schemas of ``--json``: ``python -m hubferry.report.json_schema docs/schema``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from hubferry.report import batch_shapes, shapes, watch_shapes

SHAPES: Mapping[str, type] = {
    "report": shapes.Run,
    "plan": shapes.PlanShape,
    "inspect": shapes.InspectShape,
    "auth": shapes.AuthShape,
    "runs": shapes.RunsShape,
    "hook": shapes.HookShape,
    "ledger": shapes.LedgerShape,
    "lab": shapes.LabShape,
    "batch": batch_shapes.BatchShape,
    "batch_plan": batch_shapes.BatchPlanShape,
    "batch_check": batch_shapes.BatchCheckShape,
    "watch": watch_shapes.WatchShape,
}
"""By file name. A command that fails before it has an answer prints a ``report``."""
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of one shape. Every field is always there, whatever its default."""
    schema = TypeAdapter(SHAPES[name]).json_schema(mode="serialization")
    return {"$schema": _DIALECT, **_complete(schema), "title": f"hubferry {name}"}


def _complete(schema: dict[str, Any]) -> dict[str, Any]:
    # Pydantic leaves fields with a default out of `required`; the program always prints them.
    for part in (schema, *schema.get("$defs", {}).values()):
        if "properties" in part:
            part["required"] = list(part["properties"])
    return schema


def schema_text(name: str) -> str:
    """The schema as it is published."""
    return json.dumps(schema_of(name), indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path) -> None:
    """Write ``<name>.schema.json`` for every shape."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SHAPES:
        (folder / f"{name}.schema.json").write_text(schema_text(name), encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
