"""What is wrong between entries: shared targets, and copies that go in a circle. Pure.

Only what is sure without asking a hub. Whether two patterns meet in one target is
known when they have been expanded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from hubferry.hubs import HUBS
from hubferry.manifest.entries import Destined, Endpoints
from hubferry.manifest.problems import Problems
from hubferry.manifest.templates import target_of
from hubferry.manifest.values import Entry, OwnerPattern
from hubferry.model import Address, RepoId
from hubferry.text import T

_ALL = "*"
_MAX_STEPS_SHOWN = 4
_MAX_TEMPLATES = 20
"""Of one owner, that each of its repositories is tried with; expanding finds what is beyond."""


def check_entries(made: Sequence[Destined], endpoints: Endpoints, problems: Problems) -> None:
    """Note every shared target and every circle."""
    _check_targets(made, problems)
    _check_patterns(made, endpoints, problems)
    _check_circles(_copies(made), problems)
    _check_circles(_pattern_copies(made, endpoints), problems)


# --- shared targets ---------------------------------------------------------------


def _check_targets(made: Sequence[Destined], problems: Problems) -> None:
    taken: dict[tuple[RepoId, str], Entry] = {}
    for one in made:
        for target in one.targets:
            key = (target.repo, target.revision or HUBS[target.repo.hub].default_branch)
            first = taken.setdefault(key, one.entry)
            if first is not one.entry:
                _shared(target, first, one.entry, problems)
                break


def _shared(target: Address, first: Entry, second: Entry, problems: Problems) -> None:
    if first.source == second.source:
        problems.add(
            second.place.line,
            T("the same copy stands at {place} already", place=str(first.place)),
            T("remove one of the two"),
        )
        return
    problems.add(
        second.place.line,
        T("{target} is the target at {place} already", target=target, place=str(first.place)),
        T("give one of the two another target, or another branch of it (@branch)"),
    )


def _check_patterns(made: Sequence[Destined], endpoints: Endpoints, problems: Problems) -> None:
    patterns = _Patterns()
    others: dict[tuple[object, str], Entry] = {}
    for one in made:
        entry = one.entry
        if isinstance(entry.source, OwnerPattern):
            first = patterns.add(entry, entry.source)
        elif not isinstance(entry.source, Address):
            first = others.setdefault((entry.source, entry.target), entry)
        else:
            continue
        if first is not entry:
            _both_mean(first, entry, problems)
    for one in made:
        if isinstance(one.entry.source, Address) and not one.entry.revisions:
            _check_covered(one, one.entry.source, patterns, endpoints, problems)


def _both_mean(first: Entry, second: Entry, problems: Problems) -> None:
    problems.add(
        second.place.line,
        T(
            "{first} at {place} and {second} mean the same repositories, for the same target",
            first=first.source,
            place=str(first.place),
            second=second.source,
        ),
        T("remove one of the two, or give it another target"),
    )


class _Patterns:
    """Owner patterns, found without comparing each with each."""

    def __init__(self) -> None:
        self._of_owner: dict[tuple[str, str], dict[str, dict[str, Entry]]] = {}
        """By owner, target and glob."""

    def add(self, entry: Entry, source: OwnerPattern) -> Entry:
        """An earlier entry that is sure to meet this one in a target, else ``entry`` itself."""
        owned = self._of_owner.setdefault((source.hub, source.query.owner or ""), {})
        globs = owned.setdefault(entry.target, {})
        known = globs.get(source.name_glob) or globs.get(_ALL)
        if known is None and source.name_glob == _ALL and globs:
            known = next(iter(globs.values()))
        globs.setdefault(source.name_glob, entry)
        return known or entry

    def meeting(
        self, source: RepoId, targets: Sequence[Address], endpoints: Endpoints
    ) -> Entry | None:
        """The pattern by which ``source`` is copied to one of ``targets`` as well."""
        owner, _, name = source.name.rpartition("/")
        owned = self._of_owner.get((source.hub, owner), {})
        if len(owned) > _MAX_TEMPLATES:
            return None
        for template, globs in owned.items():
            if target_of(template, Address(source), None, endpoints) not in targets:
                continue
            for glob, entry in globs.items():
                if not entry.revisions and fnmatchcase(name, glob):
                    return entry
        return None


def _check_covered(
    one: Destined, source: Address, patterns: _Patterns, endpoints: Endpoints, problems: Problems
) -> None:
    pattern = patterns.meeting(source.repo, one.targets, endpoints)
    if pattern is not None:
        problems.add(
            one.entry.place.line,
            T(
                "{source} is copied to {target} by {pattern} at {place} already",
                source=source,
                target=one.targets[0],
                pattern=pattern.source,
                place=str(pattern.place),
            ),
            T("remove this entry, give it another target, or narrow the pattern"),
        )


# --- circles ------------------------------------------------------------------------

_Copy = tuple[str, str, Entry]
"""From, to, and the entry that says so."""


def _copies(made: Sequence[Destined]) -> Iterator[_Copy]:
    for one in made:
        if isinstance(one.entry.source, Address):
            for repo in {target.repo for target in one.targets}:
                yield str(one.entry.source.repo), str(repo), one.entry


def _pattern_copies(made: Sequence[Destined], endpoints: Endpoints) -> Iterator[_Copy]:
    """Whole owners: ``hf://a/*`` to ``ms://b/{name}`` and back is a circle for every name."""
    for one in made:
        source = one.entry.source
        if not isinstance(source, OwnerPattern) or source.name_glob != _ALL:
            continue
        probe = Address(RepoId(source.hub, f"{source.query.owner}/name"), "revision")
        target = target_of(one.entry.target, probe, None, endpoints).repo
        owner, _, name = target.name.rpartition("/")
        if name == "name":
            yield f"{source.hub}://{source.query.owner}/*", f"{target.hub}://{owner}/*", one.entry


def _check_circles(copies: Iterator[_Copy], problems: Problems) -> None:
    """Depth first, without recursion: a chain of copies may be long."""
    onward: dict[str, list[_Copy]] = {}
    for copy in copies:
        onward.setdefault(copy[0], []).append(copy)
    done: set[str] = set()
    for start, first in onward.items():
        if start in done:
            continue
        path: list[_Copy] = []
        here = {start: 0}
        waiting = [iter(first)]
        while waiting:
            step = next(waiting[-1], None)
            if step is None:
                waiting.pop()
                left = path.pop()[1] if path else start
                here.pop(left, None)
                done.add(left)
                continue
            target = step[1]
            if target in here:
                _circle([*path[here[target] :], step], problems)
            elif target in onward and target not in done:
                path.append(step)
                here[target] = len(path)
                waiting.append(iter(onward[target]))


def _circle(copies: Sequence[_Copy], problems: Problems) -> None:
    last = max(copies, key=lambda copy: copy[2].place.line)
    steps = [copies[0][0], *(copy[1] for copy in copies)]
    if len(steps) > _MAX_STEPS_SHOWN + 1:
        steps = [*steps[:_MAX_STEPS_SHOWN], "…", steps[-1]]
    others = [str(copy[2].place) for copy in copies if copy is not last][:_MAX_STEPS_SHOWN]
    problems.add(
        last[2].place.line,
        T(
            "this copy and {places} go in a circle: {steps}",
            places=", ".join(others),
            steps=" -> ".join(steps),
        ),
        T("remove one of them"),
    )
