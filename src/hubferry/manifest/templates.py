"""Targets of sources that stand for several repositories: ``ms://my-org/{name}``. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from hubferry.addresses import resolve_target
from hubferry.errors import UsageError
from hubferry.model import Address
from hubferry.text import T

PLACEHOLDERS = ("name", "owner", "revision")
_FIELD = re.compile(r"\{([^{}]*)\}")
_REVISION_SUFFIX = "@{revision}"
# A name goes into addresses and, for local targets, into paths.
_UNSAFE = re.compile(r"(^|/)\.{1,2}(/|$)|^/|//|[\x00-\x1f\x7f\\]")


def target_of(
    template: str,
    source: Address,
    revision: str | None = None,
    endpoints: Mapping[str, str | None] | None = None,
) -> Address:
    """The target's address for one source.

    ``{name}`` and ``{owner}`` are those of the source's id, ``{revision}`` is
    ``revision``, else the source's own; where there is none, a target that ends
    in ``@{revision}`` means the target's default branch. A target ``owner/``
    keeps the source's name. ``endpoints`` as for ``parse_address``.

    Raises:
        UsageError: an unknown placeholder, one that this source cannot fill, or no address.
    """
    if "{" in template or "}" in template:
        template = _filled(template, source, revision or source.revision)
    return resolve_target(template, source, endpoints)


def placeholders_of(template: str) -> frozenset[str]:
    """The placeholders of a target.

    Raises:
        UsageError: an unknown one, or a brace that belongs to none.
    """
    found = _FIELD.findall(template)
    for name in found:
        if name not in PLACEHOLDERS:
            raise _bad_placeholder("{" + name + "}")
    rest = _FIELD.sub("", template)
    for brace in "{}":
        if brace in rest:
            raise _bad_placeholder(brace)
    return frozenset(found)


def _filled(template: str, source: Address, revision: str | None) -> str:
    wanted = placeholders_of(template)
    if revision is None and template.endswith(_REVISION_SUFFIX):
        template = template.removesuffix(_REVISION_SUFFIX)
        wanted = placeholders_of(template)
    values = _values(source, revision)
    for name in sorted(wanted):
        if not values[name]:
            raise _empty(name, source)
        if _UNSAFE.search(values[name]):
            raise UsageError(
                T("{value} cannot be a part of a target", value=repr(values[name])),
                hint=T("give {source} an entry with a target of its own", source=str(source)),
            )
    return _FIELD.sub(lambda found: values[found[1]], template)


def _values(source: Address, revision: str | None) -> dict[str, str]:
    # A folder's path is no id: its name is known, an owner it has none.
    owner, _, name = source.repo.name.rpartition("/")
    path = Path(source.repo.name)
    if path.is_absolute():
        owner, name = "", path.name
    return {"name": name, "owner": owner, "revision": revision or ""}


def _empty(name: str, source: Address) -> UsageError:
    if name == "owner":
        return UsageError(
            T("{source} has no owner to put in place of {field}", source=source, field="{owner}"),
            hint=T("write the owner into the target, such as ms://my-org/{field}", field="{name}"),
        )
    if name == "revision":
        return UsageError(
            T(
                "{source} names no revision to put in place of {field}",
                source=source,
                field="{revision}",
            ),
            hint=T("name it as in hf://owner/name@main, or give 'revisions'"),
        )
    return UsageError(
        T("{source} has no name to put in place of {field}", source=source, field=name)
    )


def _bad_placeholder(text: str) -> UsageError:
    known = ", ".join("{" + name + "}" for name in PLACEHOLDERS)
    return UsageError(
        T("{text} is no placeholder of a target", text=repr(text)),
        hint=T("the placeholders are {known}", known=known),
    )
