"""From what one entry says to an :class:`Entry`: the same for every format. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hubferry.errors import CopyError, UsageError
from hubferry.hubs import DEFAULT_SOURCE, HUBS
from hubferry.manifest.problems import Problems, Wrong, shown
from hubferry.manifest.sources import parse_source
from hubferry.manifest.templates import placeholders_of, target_of
from hubferry.manifest.values import (
    CardPolicy,
    Conditions,
    Entry,
    GatedWish,
    OwnerPattern,
    Place,
    Search,
    Source,
)
from hubferry.model import Address, RepoId, RepoQuery, Visibility
from hubferry.plan import OnConflict, Policy
from hubferry.text import T

if TYPE_CHECKING:
    from hubferry.manifest.shapes import ConditionsShape, DefaultsShape, EntryShape, SearchShape

Endpoints = Mapping[str, str | None]
Lines = Callable[[tuple[str | int, ...]], int]
"""The line of the part of an entry that a path of keys leads to."""
_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a manifest is silent: the options of the command line.

    The manifest's own ``defaults`` come before these, an entry before both.
    ``target`` lets a text list have one column.
    """

    target: str | None = None
    policy: Policy = Policy()  # noqa: RUF009 - frozen
    conditions: Conditions = Conditions()  # noqa: RUF009 - frozen
    revisions: tuple[str, ...] = ()
    card: CardPolicy = CardPolicy.KEEP


@dataclass(frozen=True, slots=True)
class Destined:
    """An entry and the targets it is sure to have, as far as they are known without a hub.

    The revision of a target is a branch, or None for its hub's default one; that of a
    glob is the glob.
    """

    entry: Entry
    targets: tuple[Address, ...]


class EntryMaker:
    """Makes entries of one file; mistakes go to ``problems``."""

    def __init__(self, problems: Problems, defaults: Defaults, endpoints: Endpoints) -> None:
        self._problems = problems
        self._defaults = defaults
        self.endpoints = endpoints
        self.made: list[Destined] = []
        self.has_bad_defaults = False
        """The defaults have mistakes, so that what an entry lacks may only be lost with them."""

    def add_plain(self, line: int, source: str, target: str | None) -> None:
        """An entry that says no more than from where to where."""
        target = self._defaults.target if target is None else target
        self._add(line, lambda at: line, lambda: self._source(source), self._defaults, target)

    def add(self, shape: EntryShape, lines: Lines) -> None:
        """An entry of a shape that was checked."""
        try:
            values = applied(self._defaults, shape)
            _check_conditions(values.conditions)
        except Wrong as wrong:
            self._problems.wrong(lines(wrong.at), wrong)
            return
        self._add(lines(()), lines, lambda: self._source_of(shape), values, values.target)

    def _add(
        self,
        line: int,
        lines: Lines,
        read: Callable[[], Source],
        values: Defaults,
        target: str | None,
    ) -> None:
        source = None
        try:
            source = read()
        except CopyError as error:
            self._problems.wrong(lines(("source",)), Wrong.of(error))
        try:
            if target is None and self.has_bad_defaults:
                return
            if target is None:
                raise UsageError(
                    T("the entry has no target"),
                    hint=T("say where to copy to, such as ms://my-org/{field}", field="{name}"),
                )
            found = self._targets(source, target, values.revisions)
        except CopyError as error:
            self._problems.wrong(lines(("target",)), Wrong.of(error))
            return
        if source is None:
            return
        place = Place(self._problems.file, line)
        entry = Entry(
            place,
            source,
            target,
            values.policy,
            values.conditions,
            values.revisions,
            values.card,
        )
        self.made.append(Destined(entry, found))

    def _source_of(self, shape: EntryShape) -> Source:
        if isinstance(shape.source, str):
            source = self._source(shape.source)
            if (
                isinstance(source, Address)
                and source.revision is not None
                and "revisions" in shape.model_fields_set
            ):
                raise UsageError(
                    T("{source} and 'revisions' both name revisions", source=source),
                    hint=T("leave one of them out"),
                )
            return source
        return _search(shape.source.search)

    def _source(self, text: str) -> Source:
        return parse_source(text, self.endpoints)

    def _targets(
        self, source: Source | None, target: str, revisions: tuple[str, ...]
    ) -> tuple[Address, ...]:
        if isinstance(source, Address):
            return self._targets_of(source, target, revisions)
        first, second = (_probe(source, name) for name in ("first", "second"))
        found = self._targets_of(first, target, revisions)
        if source is not None:
            if found == self._targets_of(second, target, revisions):
                raise UsageError(
                    T("{target} would be the target of several repositories", target=shown(target)),
                    hint=T(
                        "put {field} into it, such as ms://my-org/{field}, or end it in '/'",
                        field="{name}",
                    ),
                )
            _refuse_onto_itself(first, found, str(source))
        return ()

    def _targets_of(
        self, source: Address, target: str, revisions: tuple[str, ...]
    ) -> tuple[Address, ...]:
        if not revisions or source.revision is not None:
            found: tuple[Address, ...] = (target_of(target, source, None, self.endpoints),)
        else:
            is_template = "{revision}" in target
            globs = {name for name in revisions if _GLOB & set(name)}
            if is_template and globs:
                # What they stand for is not known yet; a glob is no part of a repository's name.
                target_of(target, source, "revision", self.endpoints)
                revisions = tuple(name for name in revisions if name not in globs)
            found = tuple(self._branch_of(source, target, name) for name in revisions)
            is_fixed = not is_template and "@" in target.rpartition("/")[2]
            if is_fixed and (globs or len(revisions) > 1):
                raise UsageError(
                    T(
                        "{target} would be the target of several revisions",
                        target=shown(str(found[0])),
                    ),
                    hint=T(
                        "leave out what follows '@': each goes to the branch of its own name, and "
                        "the default branch to the target's"
                    ),
                )
        _refuse_onto_itself(source, found, str(source))
        return found

    def _branch_of(self, source: Address, target: str, revision: str) -> Address:
        """Where one revision goes: as ``batch`` does it, the default branch to the default one."""
        found = target_of(target, source, revision, self.endpoints)
        is_default = revision == HUBS[source.repo.hub].default_branch
        # A revision that is a part of the target's name has a repository of its own.
        if found.revision is not None or is_default or "{revision}" in target:
            return found
        return replace(found, revision=revision)


def _refuse_onto_itself(source: Address, targets: tuple[Address, ...], name: str) -> None:
    if any(target.repo == source.repo for target in targets):
        raise UsageError(
            T("{source} would be copied onto itself", source=name),
            hint=T("name another target"),
        )


def _probe(source: Source | None, name: str) -> Address:
    """A repository such as ``source`` may stand for."""
    owner = "owner"
    if isinstance(source, OwnerPattern):
        owner = source.query.owner or owner
    hub = getattr(source, "hub", DEFAULT_SOURCE)
    return Address(RepoId(hub, f"{owner}/{name}"))


def _search(shape: SearchShape) -> Search:
    given = shape.model_fields_set

    def get(name: str) -> Any:
        return getattr(shape, name) if name in given else None

    query = RepoQuery(
        owner=get("author"),
        search=get("text"),
        task=get("task"),
        library=get("library"),
        tags=get("tags") or (),
    )
    since = get("updated_since")
    return Search(
        get("hub") or DEFAULT_SOURCE,
        query,
        get("min_downloads"),
        since.at if since else None,
        since.within_seconds if since else None,
    )


def applied(defaults: Defaults, shape: DefaultsShape) -> Defaults:
    """The defaults with what a shape says in their place; conditions key by key.

    Raises:
        Wrong: it asks for what cannot be done yet.
    """
    given = shape.model_fields_set
    if "repo_type" in given and shape.repo_type != "model":
        raise Wrong(
            T("datasets cannot be copied yet"),
            T("this version copies model repositories; datasets come next"),
            ("repo-type",),
        )
    changes: dict[str, Any] = {
        name: getattr(shape, name) for name in ("target", "revisions") if name in given
    }
    if "card" in given:
        changes["card"] = CardPolicy(shape.card)
    policy = _policy_changes(shape)
    if policy:
        changes["policy"] = replace(defaults.policy, **policy)
    if "conditions" in given:
        changes["conditions"] = replace(defaults.conditions, **_condition_changes(shape.conditions))
    return replace(defaults, **changes) if changes else defaults


def _policy_changes(shape: DefaultsShape) -> dict[str, Any]:
    given = shape.model_fields_set
    names = ("include", "exclude", "license", "max_delete", "commit_message")
    changes: dict[str, Any] = {name: getattr(shape, name) for name in names if name in given}
    if "visibility" in given:
        changes["visibility"] = Visibility(shape.visibility)
    if "on_conflict" in given:
        changes["on_conflict"] = OnConflict(shape.on_conflict)
    if "delete" in given:
        changes["is_mirror"] = shape.delete
    return changes


_CONDITIONS = {
    "min_size": "min_size_bytes",
    "max_size": "max_size_bytes",
    "license_allow": "license_allow",
    "license_deny": "license_deny",
    "task": "tasks",
    "family": "families",
    "only_new": "only_new",
    "only_changed": "only_changed",
}


def _condition_changes(shape: ConditionsShape) -> dict[str, Any]:
    given = shape.model_fields_set
    changes: dict[str, Any] = {
        field: getattr(shape, name) for name, field in _CONDITIONS.items() if name in given
    }
    if "gated" in given:
        changes["gated"] = GatedWish(shape.gated)
    if "updated_after" in given:
        changes["updated_after"] = shape.updated_after.at
        changes["updated_within_seconds"] = shape.updated_after.within_seconds
    return changes


def _check_conditions(conditions: Conditions) -> None:
    """Raise Wrong for conditions that nothing can fulfil."""
    if conditions.only_new and conditions.only_changed:
        raise Wrong(
            T("'only-new' and 'only-changed' exclude each other: nothing is both"),
            T("remove one, or write two entries"),
            ("conditions", "only-changed"),
        )
    least, most = conditions.min_size_bytes, conditions.max_size_bytes
    if least is not None and most is not None and least > most:
        raise Wrong(
            T("'min-size' is larger than 'max-size': nothing is both"),
            T("exchange the two"),
            ("conditions", "min-size"),
        )


def check_defaults(problems: Problems, defaults: Defaults, lines: Lines) -> None:
    """Note what is wrong with defaults whether or not an entry uses them."""
    if defaults.target is None:
        return
    try:
        placeholders_of(defaults.target)
    except UsageError as error:
        problems.wrong(lines(("target",)), Wrong.of(error))
