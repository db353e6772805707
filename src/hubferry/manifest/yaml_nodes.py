"""Reads YAML into plain values that know their lines.

Stricter than YAML where YAML surprises: every key is text (``on:`` is no truth
value), plain words are read by the rules of YAML 1.2 (``22:00`` is text, ``no`` is
text, only ``true`` and ``false`` are truth values), keys must not repeat, no tag
makes an object. Aliases are shared, not copied, and what they stand for is
counted, so a few lines cannot become millions.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import yaml

from hubferry.manifest.problems import Problems, Wrong, shown
from hubferry.text import T, Text

MAX_NODES = 5_000_000
"""Of a whole file, aliases written out: ten times what 100,000 entries need."""
MAX_DEPTH = 40
FREE_PREFIX = "x-"
_STR = "tag:yaml.org,2002:str"
_CORE = frozenset(f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "int", "null"))
_MAP, _SEQ = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
_MERGE = "<<"
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?[0-9]{1,300}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# YAML 1.1 ends lines at these, editors and YAML 1.2 do not: lines would be counted wrongly.
_OTHER_LINE_END = re.compile("[\x85\u2028\u2029]")
_Loader: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class YamlMap(dict[str, Any]):
    """A mapping; ``key_lines`` says where each key stands, ``line`` where it begins."""

    __slots__ = ("key_lines", "line")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.key_lines: dict[str, int] = {}


class YamlList(list[Any]):
    """A list; ``lines`` says where each item begins."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []


def line_of(value: object, at: tuple[str | int, ...]) -> int:
    """The line of the part of ``value`` that ``at`` leads to, as far as it leads.

    Steps that are no key or index (names that pydantic gives to alternatives) are passed over.
    """
    line = value.line if isinstance(value, YamlMap | YamlList) else 1
    for step in at:
        if isinstance(value, YamlMap) and step in value.key_lines:
            line, value = value.key_lines[str(step)], value[str(step)]
        elif isinstance(value, YamlList) and isinstance(step, int) and step < len(value):
            line, value = value.lines[step], value[step]
    return line


class _Stop(Exception):
    def __init__(self, line: int, wrong: Wrong) -> None:
        super().__init__()
        self.line = line
        self.wrong = wrong


def read_yaml(text: str, problems: Problems) -> Any:
    """The one document of a YAML text; mistakes go to ``problems``.

    Keys that start with ``x-`` are left out of the result; anchors below them count.
    None if the text is empty or cannot be read to its end.
    """
    if other := _OTHER_LINE_END.search(text):
        problems.add(*_bad_character(text, other.start(), ord(other[0])))
        return None
    try:
        return _Composer(text, problems).document()
    except _Stop as stop:
        problems.wrong(stop.line, stop.wrong)
    except yaml.MarkedYAMLError as error:
        line, wrong = _syntax(error, text)
        problems.wrong(line, wrong)
    except yaml.reader.ReaderError as error:
        problems.add(*_bad_character(text, error.position, _code(error.character)))
    return None


def _bad_character(text: str, position: int, code: int) -> tuple[int, Text, Text]:
    return (
        text.count("\n", 0, position) + 1,
        T("a character that a manifest cannot hold: {code}", code=f"U+{code:04X}"),
        T("remove it, or write it as an escape in double quotes"),
    )


def _code(character: object) -> int:
    return character if isinstance(character, int) else ord(str(character)[:1] or "\0")


class _Composer:
    """Builds values from the parser's events; one use."""

    def __init__(self, text: str, problems: Problems) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=_Loader)
        self._problems = problems
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._open: set[str] = set()
        self._count = 0

    def document(self) -> Any:
        next(self._events)  # the stream's start
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self._node(next(self._events), 0)
        next(self._events)  # the document's end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise _Stop(
                _line(event),
                Wrong(T("a second document begins"), T("write one manifest a file, without '---'")),
            )
        return value

    def _node(self, event: Any, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if depth > MAX_DEPTH:
            raise _Stop(_line(event), Wrong(T("this is nested deeper than any manifest")))
        before, anchor = self._count, event.anchor
        self._add(event, 1)
        if anchor is not None:
            self._open.add(anchor)
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._list(event, depth)
        else:
            value = self._map(event, depth)
        if anchor is not None:
            self._open.discard(anchor)
            self._anchors[anchor] = (value, self._count - before)
        return value

    def _add(self, event: Any, nodes: int) -> None:
        self._count += nodes
        if self._count > MAX_NODES:
            raise _Stop(
                _line(event),
                Wrong(
                    T("written out, this file holds more than {count} values", count=MAX_NODES),
                    T("use fewer aliases (*name), or several manifests"),
                ),
            )

    def _alias(self, event: Any) -> Any:
        name = event.anchor
        if name in self._open:
            raise _Stop(
                _line(event),
                Wrong(
                    T("the alias {name} stands inside what it stands for", name=shown(f"*{name}")),
                    T("a value cannot hold itself: remove the alias"),
                ),
            )
        if name not in self._anchors:
            raise _Stop(
                _line(event),
                Wrong(
                    T("the alias {name} stands for nothing", name=shown(f"*{name}")),
                    T("define it above with '&', or quote text that begins with '*'"),
                ),
            )
        value, size = self._anchors[name]
        self._add(event, size)
        return value

    def _scalar(self, event: Any) -> Any:
        tag, text = event.tag, event.value
        if tag is None:
            return _plain(text) if event.implicit[0] else text
        if tag in _CORE:
            return _plain(text)
        if tag in (_STR, "!"):
            return text
        raise _tagged(event)

    def _list(self, event: Any, depth: int) -> YamlList:
        if event.tag not in (None, "!", _SEQ):
            raise _tagged(event)
        found = YamlList(_line(event))
        for item in self._events:
            if isinstance(item, yaml.SequenceEndEvent):
                break
            found.lines.append(_line(item))
            found.append(self._node(item, depth + 1))
        return found

    def _map(self, event: Any, depth: int) -> YamlMap:
        if event.tag not in (None, "!", _MAP):
            raise _tagged(event)
        found = YamlMap(_line(event))
        free: set[str] = set()
        merged: list[YamlMap] = []
        for key_event in self._events:
            if isinstance(key_event, yaml.MappingEndEvent):
                break
            key, line = self._key(key_event, depth), _line(key_event)
            value = self._node(next(self._events), depth + 1)
            if key == _MERGE:
                merged += self._merged(value, line)
            elif key in found or key in free:
                self._repeated(key, line, found.key_lines.get(key))
            elif key.startswith(FREE_PREFIX):
                free.add(key)
            else:
                found[key] = value
                found.key_lines[key] = line
        for other in merged:
            self._add(event, len(other))
            for key, value in other.items():
                if key not in found:
                    found[key] = value
                    found.key_lines[key] = other.key_lines[key]
        return found

    def _key(self, event: Any, depth: int) -> str:
        if isinstance(event, yaml.ScalarEvent):
            self._add(event, 1)
            if event.anchor is not None:
                self._anchors[event.anchor] = (event.value, 1)
            return sys.intern(str(event.value))
        value = self._node(event, depth + 1)
        if isinstance(value, str):
            return value
        raise _Stop(
            _line(event),
            Wrong(
                T("a key must be a word"),
                T("put text that begins with a brace or a bracket in quotation marks"),
            ),
        )

    def _merged(self, value: Any, line: int) -> list[YamlMap]:
        values = value if isinstance(value, YamlList) else [value]
        if all(isinstance(one, YamlMap) for one in values):
            return list(values)
        self._problems.add(
            line,
            T("'<<' takes over keys from something that has none"),
            T("write it like '<<: *name', where 'name' stands for keys with values"),
        )
        return []

    def _repeated(self, key: str, line: int, first: int | None) -> None:
        if first is None:
            what = T("the key {key} stands here twice", key=shown(key))
        else:
            what = T("the key {key} stands in line {line} already", key=shown(key), line=first)
        self._problems.add(line, what, T("remove one of the two"))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _tagged(event: Any) -> _Stop:
    return _Stop(
        _line(event),
        Wrong(
            T("a manifest has no use for the tag {tag}", tag=shown(event.tag)),
            T("remove it, or quote text that begins with '!'"),
        ),
    )


def _plain(text: str) -> Any:
    """A scalar without quotation marks, by the core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) or _SPECIAL.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


_PROBLEMS: tuple[tuple[str, str | None, Text, Text], ...] = (
    (
        "mapping values are not allowed",
        None,
        T("a ':' where no key can be"),
        T("indent keys of one level alike, and quote text that holds ': ' or ends in ':'"),
    ),
    (
        "did not find expected alphabetic or numeric character",
        "alias",
        T("YAML takes text that begins with '*' for an alias"),
        T("put it in quotation marks, such as '*.json'"),
    ),
    (
        "did not find expected alphabetic or numeric character",
        "anchor",
        T("YAML takes text that begins with '&' for an anchor"),
        T("put it in quotation marks"),
    ),
    (
        "did not find expected ',' or '}'",
        None,
        T("a list of keys in braces does not end as it should"),
        T("quote text that holds braces, such as 'ms://my-org/{name}', or a comma is missing"),
    ),
    (
        "did not find expected ',' or ']'",
        None,
        T("a list in brackets does not end as it should"),
        T("a comma or the closing bracket is missing"),
    ),
    (
        "found unexpected end of stream",
        "quoted scalar",
        T("a quotation mark is never closed"),
        T("close it, or leave it out"),
    ),
    (
        "did not find expected key",
        None,
        T("a line does not stand under the keys above it"),
        T("indent keys of one level alike, with spaces"),
    ),
    (
        "did not find expected '-' indicator",
        None,
        T("a line does not stand under the list above it"),
        T("begin each item with '- ', all of them indented alike"),
    ),
    (
        "did not find expected <document start>",
        None,
        T("a line that is indented less than the first one"),
        T("indent keys of one level alike"),
    ),
    (
        "could not find expected ':'",
        None,
        T("a key without ':'"),
        T("write 'key: value'; text over several lines needs quotation marks"),
    ),
)


def _syntax(error: yaml.MarkedYAMLError, text: str) -> tuple[int, Wrong]:
    """Where YAML gave up, and why, in words for who has never seen its grammar."""
    context, problem = error.context or "", error.problem or ""
    mark = error.problem_mark or error.context_mark
    line = int(mark.line) + 1 if mark else 1
    if "quoted scalar" in context and error.context_mark is not None:
        line = int(error.context_mark.line) + 1
    lines = text.split("\n")
    written = lines[line - 1] if line <= len(lines) else ""
    if "\t" in written[: len(written) - len(written.lstrip())]:
        return line, Wrong(
            T("a tab at the start of the line"), T("YAML wants spaces: put two for each level")
        )
    if "cannot start any token" in problem:
        return line, Wrong(
            T("text that begins with @, %, a backquote or a tab"), T("put it in quotation marks")
        )
    for phrase, about, what, how in _PROBLEMS:
        if phrase in problem and (about is None or about in context):
            return line, Wrong(what, how)
    return line, Wrong(
        T("YAML does not understand this line: {problem}", problem=problem or context),
        T("check its indentation, colons and quotation marks"),
    )
