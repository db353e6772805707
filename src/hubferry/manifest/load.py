"""Reads a manifest, whatever its format: all of its mistakes at once, before anything starts."""

from __future__ import annotations

import re
from pathlib import Path

from hubferry.errors import UsageError
from hubferry.manifest.checks import check_entries
from hubferry.manifest.entries import Defaults, Endpoints, EntryMaker
from hubferry.manifest.problems import ManifestError, Problem, Problems
from hubferry.manifest.text_list import read_text_list
from hubferry.manifest.values import Manifest, Place
from hubferry.text import T

MAX_BYTES = 64 * 1024 * 1024
"""Of a manifest: about a million lines."""
STDIN = "stdin"
_FORMATS = {".txt": "text", ".csv": "csv", ".yaml": "yaml", ".yml": "yaml"}
_YAML_START = re.compile(r"---(\s|$)|%YAML\s|\{|[\w-]+\s*:(\s|$)|-\s")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def load_manifest(
    path: Path | None,
    *,
    text: str | None = None,
    endpoints: Endpoints | None = None,
    defaults: Defaults | None = None,
) -> Manifest:
    """The manifest in a file, or in ``text`` (standard input; ``path`` then only names it).

    Asks no hub and starts nothing. ``.txt``, ``.csv``, ``.yaml`` and ``.yml`` say what
    they are; of other files the first line does. ``endpoints`` are custom ones by
    scheme, so that links to them are known; they come before the manifest's own.
    ``defaults`` hold where the manifest is silent. Memory grows with the number
    of entries, by about 1 kB each.

    Raises:
        ManifestError: it has mistakes; all of them.
        UsageError: the file cannot be read.
    """
    file = STDIN if path is None else str(path)
    if text is None:
        if path is None:
            raise UsageError(T("there is no manifest"), hint=T("name a file"))
        text = _read(path)
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    problems = Problems(file)
    if wrong := _SURROGATE.search(text):
        raise ManifestError(file, [_not_utf8(file, text.count("\n", 0, wrong.start()) + 1)])
    suffix = "" if path is None else path.suffix.lower()
    kind = _FORMATS.get(suffix) or _sniffed(text)
    manifest = _READERS[kind](text, problems, defaults or Defaults(), endpoints or {})
    problems.check()
    return manifest


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise UsageError(
            T("the manifest {path} cannot be read: {reason}", path=str(path), reason=reason),
            hint=T("check its name and who may read it"),
        ) from exc
    if len(content) > MAX_BYTES:
        raise UsageError(
            T(
                "the manifest {path} is larger than {size} MiB",
                path=str(path),
                size=MAX_BYTES // 1024**2,
            ),
            hint=T("check that it is the right file; else divide it"),
        )
    return _decoded(str(path), content)


def _decoded(file: str, content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        place = Place(file, 1)
        what = T("the file is UTF-16 text")
        raise ManifestError(file, [Problem(place, what, T("save it as UTF-8"))])
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ManifestError(file, [_not_utf8(file, line)]) from None


def _not_utf8(file: str, line: int) -> Problem:
    return Problem(Place(file, line), T("this line is no UTF-8 text"), T("save the file as UTF-8"))


def _sniffed(text: str) -> str:
    """The format by the first line that says something."""
    for line in text.split("\n"):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if _YAML_START.match(stripped):
            return "yaml"
        cells = {cell.strip().strip('"').lower() for cell in stripped.split(",")}
        return "csv" if "source" in cells and "," in stripped else "text"
    return "text"


def _text_manifest(
    text: str, problems: Problems, defaults: Defaults, endpoints: Endpoints
) -> Manifest:
    make = EntryMaker(problems, defaults, endpoints)
    read_text_list(text, problems, make, defaults)
    return _checked(make, endpoints, problems)


def _csv_manifest(
    text: str, problems: Problems, defaults: Defaults, endpoints: Endpoints
) -> Manifest:
    from hubferry.manifest.csv_list import read_csv  # pydantic: no need of it for a text list

    make = EntryMaker(problems, defaults, endpoints)
    read_csv(text, problems, make)
    return _checked(make, endpoints, problems)


def _yaml_manifest(
    text: str, problems: Problems, defaults: Defaults, endpoints: Endpoints
) -> Manifest:
    from hubferry.manifest.yaml_file import read_yaml_file  # PyYAML and pydantic, as above

    head, make = read_yaml_file(text, problems, defaults, endpoints)
    found = _checked(make, make.endpoints, problems)
    return Manifest(
        found.file,
        found.entries,
        head.hubs,
        head.verify_days,
        head.repos_at_once,
        head.hooks,
        head.watch,
    )


def _checked(make: EntryMaker, endpoints: Endpoints, problems: Problems) -> Manifest:
    check_entries(make.made, endpoints, problems)
    return Manifest(problems.file, tuple(one.entry for one in make.made))


_READERS = {"text": _text_manifest, "csv": _csv_manifest, "yaml": _yaml_manifest}
