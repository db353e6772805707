"""What pydantic finds wrong with a value, as mistakes with lines and words for people."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from hubferry.manifest import shapes
from hubferry.manifest.fields import kind_of, unquoted
from hubferry.manifest.problems import Problems, Wrong, shown
from hubferry.text import T, Text

ShapeT = TypeVar("ShapeT", bound=shapes.Shape)
Lines = Callable[[tuple[str | int, ...]], int]
"""The line of the part that a path of keys and indexes leads to."""
_PARTS: Mapping[str, type[shapes.Shape]] = {
    "conditions": shapes.ConditionsShape,
    "defaults": shapes.DefaultsShape,
    "hooks": shapes.HookShape,
    "hubs": shapes.HubShape,
    "search": shapes.SearchShape,
    "watch": shapes.WatchShape,
}


def validate(shape: type[ShapeT], value: Any, lines: Lines, problems: Problems) -> ShapeT | None:
    """The value as a shape; None if it has mistakes, which went to ``problems``."""
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        for found in error.errors(include_url=False):
            at = tuple(found["loc"])
            wrong = _wrong(shape, at, found)
            problems.wrong(lines((*at, *wrong.at)), wrong)
        return None


def _wrong(shape: type[shapes.Shape], at: tuple[str | int, ...], found: Mapping[str, Any]) -> Wrong:
    key, value = _key_of(at), found["input"]
    context = found.get("ctx") or {}
    match found["type"]:
        case "value_error" if isinstance(context.get("error"), Wrong):
            return _named(key, context["error"])
        case "extra_forbidden":
            return _unknown(shape, at)
        case "missing":
            return Wrong(
                T("the key {key} is missing", key=shown(at[-1])),
                T("add '{key}: ...'", key=at[-1]),
            )
        case "literal_error":
            return _named(key, _no_choice(str(context["expected"]), value))
        case "bool_type":
            what = T("it must be true or false, and is {kind}", kind=kind_of(value))
            return _named(key, Wrong(what, T("write true or false, without quotation marks")))
        case "int_type" | "int_from_float":
            what = T("it must be a whole number, and is {kind}", kind=kind_of(value))
            return _named(key, Wrong(what, T("write digits only, without quotation marks")))
        case "float_type":
            what = T("it must be a number, and is {kind}", kind=kind_of(value))
            return _named(key, Wrong(what, T("write digits, without quotation marks")))
        case "greater_than_equal" | "less_than_equal" | "finite_number":
            return _named(key, _out_of_range(context, value))
        case "list_type" | "tuple_type":
            what = T("it must be a list, and is {kind}", kind=kind_of(value))
            return _named(key, Wrong(what, T("write a line that begins with '- ' for each")))
        case "union_tag_not_found":
            what = T("it must be an address or a search, and is {kind}", kind=kind_of(value))
            how = unquoted(value) or T("write hf://owner/name, or 'search:' with keys below it")
            return _named(key, Wrong(what, how))
        case "model_type" | "model_attributes_type" | "dict_type":
            what = T("it must be keys with values, and is {kind}", kind=_kind_of(value))
            return _named(key, Wrong(what, T("write 'key: value' lines, indented below it")))
        case other:
            # Not met in any test; pydantic's own words are better than none.
            return _named(
                key, Wrong(T("it is refused ({reason})", reason=str(other)), T("see the schema"))
            )


def _key_of(at: tuple[str | int, ...]) -> str:
    """The innermost key of a path; names of alternatives and indexes are none."""
    names = [step for step in at if isinstance(step, str) and not step.startswith(("as-", "["))]
    return names[-1] if names else ""


def _kind_of(value: object) -> Text:
    # What stands where keys of a hub or a hook are wanted may be the secret itself.
    is_text = isinstance(value, str)
    return T("text") if is_text else kind_of(value)


def _named(key: str, wrong: Wrong) -> Wrong:
    if not key:
        return wrong
    return Wrong(T("{key}: {what}", key=key, what=wrong.what), wrong.how, wrong.at)


def _unknown(shape: type[shapes.Shape], at: tuple[str | int, ...]) -> Wrong:
    key = str(at[-1])
    inside = [step for step in at[:-1] if step in _PARTS]
    if inside:
        shape = _PARTS[str(inside[-1])]
    elif "as-search" in at:
        shape = shapes.SearchHolder
    elif shape is shapes.HeadShape:
        shape = shapes.ManifestShape
    known = shape.key_names()
    what = T("unknown key {key}", key=shown(key))
    near = difflib.get_close_matches(key.lower().replace("_", "-"), known, 1, 0.6)
    if near:
        return Wrong(what, T("did you mean {key}?", key=shown(near[0])))
    if key in shapes.ConditionsShape.key_names() and issubclass(shape, shapes.DefaultsShape):
        return Wrong(what, T("conditions stand below 'conditions:'"))
    return Wrong(
        what, T("the keys here are {names}; your own begin with x-", names=", ".join(known))
    )


def _no_choice(expected: str, value: object) -> Wrong:
    # Pydantic joins them as in "'private' or 'public'".
    names = expected.replace(" or ", ", ").replace("'", "")
    if not isinstance(value, str):
        return Wrong(
            T("it must be one of {names}, and is {kind}", names=names, kind=kind_of(value)),
            T("write one of them"),
        )
    return Wrong(
        T("{value} is none of its values", value=shown(value)),
        T("write one of {names}", names=names),
    )


def other_version(value: object) -> Wrong:
    """What is wrong with a version that is not the one we know."""
    how = T("write 'version: {number}'", number=shapes.VERSION)
    if isinstance(value, int) and not isinstance(value, bool):
        return Wrong(
            T("this Hubferry does not know version {number} of manifests", number=value), how
        )
    return Wrong(T("it must be the number {number}", number=shapes.VERSION), how)


def _out_of_range(context: Mapping[str, Any], value: object) -> Wrong:
    if "ge" in context:
        return Wrong(
            T("{value} is too small", value=value),
            T("{least} is the least", least=f"{context['ge']:g}"),
        )
    if "le" in context:
        return Wrong(
            T("{value} is too large", value=value),
            T("{most} is the most", most=f"{context['le']:g}"),
        )
    return Wrong(T("{value} is no number to count with", value=value), T("write digits"))
