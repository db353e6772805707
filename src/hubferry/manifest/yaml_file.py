"""The YAML manifest, version 1."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hubferry.manifest.entries import Defaults, Endpoints, EntryMaker, applied, check_defaults
from hubferry.manifest.problems import Problems, Wrong
from hubferry.manifest.shapes import (
    HOOK_KINDS,
    VERSION,
    DefaultsShape,
    EntryShape,
    HeadShape,
    HookShape,
    HubShape,
    WatchShape,
)
from hubferry.manifest.validating import other_version, validate
from hubferry.manifest.values import Hook, HubAccess, WatchSettings
from hubferry.manifest.yaml_nodes import YamlList, YamlMap, line_of, read_yaml
from hubferry.text import T


@dataclass(frozen=True)
class Head:
    """What a manifest says beside its entries."""

    hubs: dict[str, HubAccess] = field(default_factory=dict)
    verify_days: float | None = None
    repos_at_once: int | None = None
    hooks: tuple[Hook, ...] = ()
    watch: WatchSettings = WatchSettings()  # noqa: RUF009 - frozen


def read_yaml_file(
    text: str, problems: Problems, defaults: Defaults, endpoints: Endpoints
) -> tuple[Head, EntryMaker]:
    """The head and a maker that holds the entries; mistakes go to ``problems``."""
    nothing = Head(), EntryMaker(problems, defaults, endpoints)
    document = read_yaml(text, problems)
    if len(problems) and not isinstance(document, YamlMap):
        return nothing
    if not isinstance(document, YamlMap):
        _refuse_shape(document, problems)
        return nothing
    if not _has_version(document, problems):
        return nothing
    entries = document.pop("entries", None)
    own_defaults = document.pop("defaults", None)
    shape = validate(HeadShape, document, lambda at: line_of(document, at), problems)
    head = _head(shape) if shape else Head()
    own = {hub: access.endpoint for hub, access in head.hubs.items() if access.endpoint}
    endpoints = {**own, **{hub: url for hub, url in endpoints.items() if url}}
    applied_defaults: Defaults | None = defaults
    if "defaults" in document.key_lines:
        applied_defaults = _defaults(own_defaults, document, problems, defaults)
    make = EntryMaker(problems, applied_defaults or defaults, endpoints)
    make.has_bad_defaults = applied_defaults is None
    _read_entries(entries, document, problems, make)
    return head, make


def _refuse_shape(document: Any, problems: Problems) -> None:
    what = T("a YAML manifest is keys with values, such as 'version: 1'")
    if document is None:
        what = T("the file is empty")
    how = T(
        "begin with 'version: {number}' and 'entries:'; a list of 'SOURCE TARGET' lines belongs "
        "into a .txt file",
        number=VERSION,
    )
    problems.add(document.line if isinstance(document, YamlList) else 1, what, how)


def _has_version(document: YamlMap, problems: Problems) -> bool:
    if "version" not in document:
        how = T("add the line 'version: {number}'", number=VERSION)
        problems.add(document.line, T("the manifest does not say its version"), how)
        return False
    found = document["version"]
    if found == VERSION and type(found) is int:
        return True
    # What another version means nobody knows: only this mistake is told.
    wrong = other_version(found)
    problems.add(
        document.key_lines["version"], T("{key}: {what}", key="version", what=wrong.what), wrong.how
    )
    return False


def _read_entries(entries: Any, document: YamlMap, problems: Problems, make: EntryMaker) -> None:
    line = document.key_lines.get("entries", document.line)
    if not isinstance(entries, YamlList):
        what = T("'entries' must be a list of what to copy")
        if "entries" not in document.key_lines:
            what = T("the key 'entries' is missing")
        problems.add(line, what, T("write '- source: ...' and '  target: ...' below 'entries:'"))
        return
    for number, entry in enumerate(entries):
        lines = _EntryLines(entries.lines[number], entry)
        shape = validate(EntryShape, entry, lines, problems)
        if shape is not None:
            make.add(shape, lines)


@dataclass(frozen=True, slots=True)
class _EntryLines:
    line: int
    entry: Any

    def __call__(self, at: tuple[str | int, ...]) -> int:
        # An alias stands in its own line, its keys in those of its anchor.
        found = line_of(self.entry, at) if isinstance(self.entry, YamlMap) else self.line
        return self.line if found == getattr(self.entry, "line", None) else found


def _defaults(
    value: Any, document: YamlMap, problems: Problems, defaults: Defaults
) -> Defaults | None:
    """The defaults with the manifest's own in their place; None if these have mistakes."""
    line = document.key_lines["defaults"]

    def lines(at: tuple[str | int, ...]) -> int:
        # In their own line unless they are written out below it.
        return line_of(value, at) if at and isinstance(value, YamlMap) else line

    shape = validate(DefaultsShape, value, lines, problems)
    if shape is None:
        return None
    before = len(problems)
    try:
        found = applied(defaults, shape)
    except Wrong as wrong:
        problems.wrong(lines(wrong.at), wrong)
        return None
    check_defaults(problems, found, lines)
    return found if len(problems) == before else None


def _head(shape: HeadShape) -> Head:
    given = shape.model_fields_set
    hubs = shape.hubs if "hubs" in given else {}
    return Head(
        {hub: _access(access) for hub, access in hubs.items()},
        float(shape.verify_days) if "verify_days" in given else None,
        shape.repos_at_once if "repos_at_once" in given else None,
        tuple(_hook(hook) for hook in shape.hooks) if "hooks" in given else (),
        _watch(shape.watch) if "watch" in given else WatchSettings(),
    )


def _given(shape: Any, **names: str) -> dict[str, Any]:
    """What a shape says, by the names that the values have."""
    wanted = {**{name: name for name in type(shape).model_fields}, **names}
    return {wanted[name]: getattr(shape, name) for name in shape.model_fields_set}


def _access(shape: HubShape) -> HubAccess:
    return HubAccess(**_given(shape))


def _hook(shape: HookShape) -> Hook:
    kind = next(kind for kind in HOOK_KINDS if kind in shape.model_fields_set)
    values = {name: value for name, value in _given(shape).items() if name in ("on", "secret")}
    return Hook(kind, getattr(shape, kind), **values)


def _watch(shape: WatchShape) -> WatchSettings:
    return WatchSettings(**_given(shape, every="every_seconds", jitter="jitter_seconds"))
