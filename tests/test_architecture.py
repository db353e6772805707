"""Import directions decay silently, so they are kept by a test.

Each room names what it may import of ours; ``model`` means the three rooms of
nouns that everything may use. See docs/design.md for the table in prose.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "hubferry"

NOUNS = {"text", "errors", "model"}
MAY_IMPORT: dict[str, set[str]] = {
    "text": set(),
    "errors": {"text"},
    "model": {"text"},
    "control": {"errors", "text"},
    "events": {*NOUNS},
    "plan": {*NOUNS},
    "governor.ports": {*NOUNS, "control"},
    "governor": {*NOUNS, "control", "net", "governor.ports"},
    "climbing": set(),
    "processors": set(),
    "lanes": {"climbing", "processors"},
    "stream": {*NOUNS, "control", "throttle"},
    "stalls": {"control", "stream"},
    "shelf": {*NOUNS, "spool", "stream"},
    "window": {
        *NOUNS,
        *("control", "lanes", "shelf", "spool", "stalls", "stream", "throttle"),
    },
    "packing": {*NOUNS, "plan"},
    "spool": {*NOUNS},
    "ledger": {*NOUNS},
    "compare": {*NOUNS, "plan"},
    "outcome": {*NOUNS, "plan", "compare"},
    "guards": {*NOUNS, "plan", "outcome", "survey", "preflight"},
    "locks": {*NOUNS, "control"},
    "throttle": {*NOUNS, "control"},
    "runcontrol": {*NOUNS, "control", "throttle"},
    "savedplan": {*NOUNS, "plan", "outcome"},
    "net": {"errors", "text", "control"},
    "hubs.base": {*NOUNS},
    "hubs.memory": {*NOUNS, "hubs.base"},
    "hubs.local": {*NOUNS, "control", "hubs.base"},
    "hubs.huggingface": {*NOUNS, "control", "net", "hubs.base"},
    "hubs.modelscope": {*NOUNS, "control", "net", "hubs.base"},
    "hubs": {
        *NOUNS,
        "control",
        "net",
        "hubs.base",
        *(f"hubs.{n}" for n in ("huggingface", "modelscope", "local")),
    },
    "engines.base": {"control"},
    "engines.serial": {"control", "engines.base"},
    "engines.threads": {"control", "engines.base"},
    "engines": {"engines.base", "engines.serial", "engines.threads"},
    "inspection": {*NOUNS, "control", "hubs.base"},
    "survey": {
        *NOUNS,
        "control",
        "events",
        "plan",
        "climbing",
        "governor.ports",
        "lanes",
        "spool",
        "stream",
        "throttle",
        "ledger",
        "hubs.base",
        "engines.base",
    },
    "preflight": {*NOUNS, "plan", "outcome", "survey", "hubs.base"},
    "reading": {
        *NOUNS,
        *("control", "events", "spool", "stream", "survey", "window", "hubs.base"),
    },
    "learning": {
        *NOUNS,
        *("control", "events", "plan", "reading", "stream", "survey", "engines.base"),
    },
    "sending": {*NOUNS, "control", "events", "reading", "stream", "survey", "hubs.base"},
    "committing": {*NOUNS, "control", "events", "plan", "survey", "sending"},
    "delivery": {
        *NOUNS,
        *("events", "engines.base", "packing", "plan", "reading", "survey", "sending"),
        "committing",
    },
    "confirming": {*NOUNS, "control", "events", "plan", "compare", "survey"},
    "transfer": {
        "confirming",
        "learning",
        "reading",
        *NOUNS,
        "control",
        "events",
        "plan",
        "outcome",
        "survey",
        "preflight",
        "compare",
        "guards",
        "committing",
        "delivery",
    },
    "verify": {
        *NOUNS,
        "learning",
        "compare",
        "control",
        "events",
        "plan",
        "outcome",
        "stream",
        "survey",
        "transfer",
        "hubs.base",
    },
    "addresses": {*NOUNS, "hubs"},
    "quantities": set(),
    "manifest.values": {*NOUNS, "plan"},
    "manifest": {
        *NOUNS,
        *("addresses", "hubs", "manifest.values", "net", "plan", "quantities", "throttle"),
    },
    "i18n": {*NOUNS},
    "report": {
        *NOUNS,
        *("batch.values", "compare", "events", "history", "i18n", "inspection", "outcome", "plan"),
    },
    "batch.values": {*NOUNS, "manifest.values", "outcome"},
    "batch": {
        *NOUNS,
        *("batch.values", "control", "events", "history", "ledger", "manifest.values", "outcome"),
        *("plan", "hubs.base", "engines.base"),
    },
    "history": {*NOUNS, "outcome", "plan"},
    "settings": {"spool", "throttle"},
    "pastruns": {"control", "history", "ledger", "net", "runcontrol", "settings"},
    "hooks": {
        *NOUNS,
        *("batch.values", "control", "events", "i18n", "manifest", "manifest.values"),
        *("net", "outcome", "report"),
    },
    "watch": {*NOUNS, "batch.values", "control", "events", "manifest.values"},
    "lab": {""},
}
"""Rooms not named here (app, cli, config, guide, demo) may import what they like, but see below."""

CORE = {
    "batch",
    "batch.values",
    "model",
    "plan",
    "stream",
    "spool",
    "climbing",
    "processors",
    "lanes",
    "stalls",
    "shelf",
    "window",
    "reading",
    "learning",
    "packing",
    "throttle",
    "ledger",
    "survey",
    "preflight",
    "delivery",
    "sending",
    "committing",
    "compare",
    "guards",
    "confirming",
    "transfer",
    "verify",
    "outcome",
    "events",
    "control",
    "engines",
    "hubs.base",
}
HUB_WORDS = ("huggingface", "modelscope", '"hf"', '"ms"', "'hf'", "'ms'")


def room_of(module: str) -> str:
    """The room of a dotted module below ``hubferry``."""
    for name in sorted(MAY_IMPORT, key=len, reverse=True):
        if module == name or module.startswith(name + "."):
            return name
    return module


def imports_of(path: Path) -> set[str]:
    """Every module of ours that a file imports, wherever the statement stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name for name in names if name.startswith("hubferry.")}
    return {name.removeprefix("hubferry.") for name in found}


def modules() -> list[tuple[str, Path]]:
    """Dotted name (below ``hubferry``) and file of every module."""
    found = []
    for path in sorted(SRC.rglob("*.py")):
        parts = list(path.relative_to(SRC).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found.append((".".join(parts), path))
    return found


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: str(value))
def test_a_room_imports_only_what_it_may(module: str, path: Path) -> None:
    room = room_of(module)
    if room not in MAY_IMPORT:
        return
    allowed = MAY_IMPORT[room] | {room}
    rooms = {room_of(name) for name in imports_of(path)} - {"__version__"}
    assert not {name for name in rooms if name and name not in allowed}, (
        f"{module} imports too much"
    )


def test_the_cli_knows_no_hub_net_or_ledger() -> None:
    for module, path in modules():
        if module.startswith("cli"):
            wrong = [n for n in imports_of(path) if n.split(".")[0] in {"hubs", "net", "ledger"}]
            assert not wrong, f"{module}: {wrong}"


def test_the_core_names_no_hub_and_no_engine() -> None:
    for module, path in modules():
        if room_of(module) not in CORE:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.id.lower() for node in ast.walk(tree) if isinstance(node, ast.Name)}
        texts = {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and node.value in {"hf", "ms", "huggingface", "modelscope", "serial", "threads"}
        }
        wrong = {name for name in names if "huggingface" in name or "modelscope" in name}
        assert not wrong, f"{module} names a hub: {wrong}"
        assert not texts, f"{module} names a hub or an engine: {texts}"


def test_every_room_of_the_table_exists() -> None:
    known = {module for module, _ in modules()}
    missing = {room for room in MAY_IMPORT if room not in known}
    assert not missing
