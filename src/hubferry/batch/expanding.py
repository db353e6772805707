"""From a manifest to the repositories it means.

Sources that stand for several become items by list calls; so do explicit
sources and targets of owners that are named often enough, because one list
answers for all of them. What cannot be had from a list is asked in an item's
own turn. Two items for one target branch end everything before it began.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from hubferry.batch.catalogue import LIST_FROM, Catalogue, owner_key
from hubferry.batch.judging import is_half_done, was_copied
from hubferry.batch.records import GONE
from hubferry.batch.values import Item, LeftOut, Notice
from hubferry.control import call
from hubferry.errors import (
    AccessError,
    ConflictError,
    CopyError,
    NotFoundError,
    Side,
    UncheckedError,
    UsageError,
)
from hubferry.history import error_of_row, error_row
from hubferry.ledger import Ledger, RepoRecord
from hubferry.manifest.values import Collection as CollectionSource
from hubferry.manifest.values import Entry, Manifest, OwnerPattern, Search
from hubferry.model import Address, RepoId, RepoSummary, RepoType, Visibility
from hubferry.outcome import ErrorRecord
from hubferry.text import T, Text

Fill = Callable[[str, Address, str | None], Address]
"""A target template, the source and the revision: the target's address."""


@dataclass
class Expanded:
    """The items of a manifest, in its order, and what is to be told of the rest."""

    items: list[Item] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    errors: list[CopyError] = field(default_factory=list)
    """Of entries that could not be expanded; the other entries go on."""


@dataclass(frozen=True, slots=True)
class _Found:
    """One source of an entry."""

    address: Address
    summary: RepoSummary | None = None


@dataclass(frozen=True, slots=True)
class _Revision:
    """``source`` None: the default branch, whatever it is called at the target."""

    source: str | None
    tags: tuple[str, ...] = ()


class Expander:
    """Expands one manifest; one use."""

    def __init__(
        self, sources: Catalogue, targets: Catalogue, ledger: Ledger, fill: Fill, now: float
    ) -> None:
        self._sources = sources
        self._targets = targets
        self._ledger = ledger
        self._fill = fill
        self._now = now
        self._out = Expanded()

    def expand(self, manifest: Manifest, only: Collection[str] | None = None) -> Expanded:
        """Every repository that the manifest means; ``only`` names the sources that count.

        Raises:
            ConflictError: two items for one target branch.
            UnavailableError, InvalidTokenError: a hub cannot be asked at all.
        """
        if only is None:
            self._list_explicit_owners(manifest.entries)
        for entry in manifest.entries:
            try:
                for found in self._found(entry, only):
                    for item in self._items(entry, found):
                        self._out.items.append(item)
            except CopyError as error:
                if not _is_of_entry(error):
                    raise _of_entry(error, entry) from error.__cause__
                self._out.errors.append(_of_entry(error, entry))
        self._refuse_shared_targets()
        self._list_target_owners()
        self._out.items = [self._with_target(item) for item in self._out.items]
        if only is None:
            self._tell_of_lost(manifest.entries)
        return self._out

    # --- sources ------------------------------------------------------------------

    def _list_explicit_owners(self, entries: Sequence[Entry]) -> None:
        counts: Counter[tuple[str, RepoType, str]] = Counter()
        for entry in entries:
            if isinstance(entry.source, Address):
                counts[owner_key(entry.source.repo)] += 1
        for (hub, repo_type, owner), count in counts.items():
            if owner and count >= LIST_FROM:
                self._sources.owner(hub, repo_type, owner)

    def _found(self, entry: Entry, only: Collection[str] | None) -> Iterator[_Found]:
        source = entry.source
        match source:
            case Address():
                if only is None or str(source.repo) in only:
                    yield _Found(source, self._sources.known(source.repo)[0])
            case OwnerPattern():
                yield from self._of_owner(source, only)
            case CollectionSource():
                listed = self._sources.collection(source.hub, source.slug)
                yield from _chosen(listed.summaries, only)
            case Search():
                yield from self._of_search(source, only)

    def _of_owner(self, source: OwnerPattern, only: Collection[str] | None) -> Iterator[_Found]:
        query = source.query
        if only is not None:
            yield from self._of_owner_one_by_one(source, only)
            return
        owned = self._sources.owner(source.hub, query.repo_type, query.owner or "")
        if owned is None:
            # Ask once more, so that the hub itself says why not.
            self._sources.search(source.hub, query)
            return
        if owned.is_cut:
            hint = T("name the repositories one by one, or by several patterns")
            raise _cut(str(query.owner), len(owned.by_name), owned.total, hint)
        chosen = [
            summary
            for name, summary in sorted(owned.by_name.items())
            if fnmatch.fnmatchcase(name.rpartition("/")[2], source.name_glob)
        ]
        if not chosen:
            raise NotFoundError(
                T("no repository fits {pattern}", pattern=str(source)),
                hint=T("check the owner's name, and whether the token may see its repositories"),
            )
        yield from _chosen(chosen, None)

    def _of_owner_one_by_one(self, source: OwnerPattern, only: Collection[str]) -> Iterator[_Found]:
        owner = source.query.owner or ""
        for name in sorted(only):
            repo = _repo_named(name, source.hub, source.query.repo_type)
            if repo is None or repo.name.rpartition("/")[0] != owner:
                continue
            if fnmatch.fnmatchcase(repo.name.rpartition("/")[2], source.name_glob):
                yield _Found(Address(repo))

    def _of_search(self, source: Search, only: Collection[str] | None) -> Iterator[_Found]:
        listed = self._sources.search(source.hub, source.query)
        if not listed.is_complete:
            hint = T("narrow it: by owner, task, library, tags or a word of the name")
            raise _cut(str(source), len(listed.summaries), listed.total, hint)
        for summary in listed.summaries:
            reason = _narrowed(source, summary, self._now)
            if reason is not None:
                self._out.left_out.append(LeftOut(str(summary.repo), "", *reason))
            elif only is None or str(summary.repo) in only:
                yield _Found(Address(summary.repo), summary)

    # --- items --------------------------------------------------------------------

    def _items(self, entry: Entry, found: _Found) -> Iterator[Item]:
        summary, address = found.summary, found.address
        if summary is not None and summary.is_disabled:
            repo = str(summary.repo)
            self._out.notices.append(Notice("disabled", repo, T("the hub has disabled it")))
            if not isinstance(entry.source, Address):
                reason = T("the hub has disabled it")
                self._out.left_out.append(LeftOut(repo, entry.target, "disabled", reason))
                return
        for wanted in self._revisions(entry, address):
            source = replace(address, revision=wanted.source) if wanted.source else address
            try:
                target = self._target(entry, source, wanted.source)
            except UsageError as error:
                # A name that the target's hub does not take is no reason to leave out the rest.
                self._out.errors.append(_of_entry(error, entry))
                continue
            number = len(self._out.items) + 1
            yield Item(number, entry, source, target, summary, tags=wanted.tags)

    def _target(self, entry: Entry, source: Address, revision: str | None) -> Address:
        """Where ``source`` goes; ``revision`` None: the default branch, or the address's own.

        Raises:
            UsageError: it makes no name of a repository.
        """
        has_own_repo = _has_own_repo(entry)
        if revision is None and source.revision is None and has_own_repo:
            # Only here: as a branch it is the target's own default one, whatever its name.
            revision = self._sources.hub_of(source.repo.hub).traits.default_branch
        target = self._fill(entry.target, source, revision)
        if revision and target.revision is None and not has_own_repo:
            return replace(target, revision=revision)
        return target

    def _revisions(self, entry: Entry, address: Address) -> Sequence[_Revision]:
        """The branches to copy, and the tags that name the state of one of them."""
        if not entry.revisions or address.revision is not None:
            return [_Revision(None)]
        hub, repo = self._sources.hub_of(address.repo.hub), address.repo
        refs = call(self._sources.patience(Side.SOURCE), lambda: hub.list_refs(repo))
        names = [*refs.branches, *refs.tags]
        for glob in entry.revisions:
            if not any(fnmatch.fnmatchcase(name, glob) for name in names):
                raise NotFoundError(
                    T("{repo} has no branch or tag {glob}", repo=repo, glob=glob), what="revision"
                )
        branches, tags = (
            [n for n in some if any(fnmatch.fnmatchcase(n, g) for g in entry.revisions)]
            for some in (refs.branches, refs.tags)
        )
        default = hub.traits.default_branch
        if _has_own_repo(entry):
            return [_Revision(None if name == default else name) for name in (*branches, *tags)]
        kept = self._tags(entry, address, tags, default) if tags else ()
        others = [_Revision(name) for name in branches if name != default]
        has_default = default in branches or bool(kept)
        return [_Revision(None, kept), *others] if has_default else others

    def _tags(
        self, entry: Entry, address: Address, tags: Sequence[str], default: str
    ) -> tuple[str, ...]:
        """The tags that name the default branch's present state; a target can make no others."""
        hub, repo = self._sources.hub_of(address.repo.hub), address.repo
        head, *commits = (
            call(self._sources.patience(Side.SOURCE), partial(hub.resolve, repo, name)).commit
            for name in (default, *tags)
        )
        kept: list[str] = []
        for name, commit in zip(tags, commits, strict=True):
            if head is not None and commit == head:
                kept.append(name)
                continue
            reason = T("the tag names an older state: a target can only be given its present one")
            source = str(replace(address, revision=name))
            self._out.left_out.append(LeftOut(source, entry.target, "revisions", reason))
        return tuple(kept)

    def _refuse_shared_targets(self) -> None:
        taken: dict[str, Item] = {}
        for item in self._out.items:
            branch = (
                item.target.revision
                or self._targets.hub_of(item.target.repo.hub).traits.default_branch
            )
            key = f"{item.target.repo}@{branch}"
            other = taken.setdefault(key, item)
            if other is not item:
                raise ConflictError(
                    T(
                        "{first} ({place}) and {second} ({other}) would go to the same target "
                        "{target}",
                        first=str(other.source),
                        place=str(other.entry.place),
                        second=str(item.source),
                        other=str(item.entry.place),
                        target=key,
                    ),
                    step="expand",
                    hint=T("give each its own target, or leave one out; nothing was started"),
                )

    # --- targets ------------------------------------------------------------------

    def _list_target_owners(self) -> None:
        counts = Counter(owner_key(item.target.repo) for item in self._out.items)
        for (hub, repo_type, owner), count in counts.items():
            if owner and count >= LIST_FROM:
                self._targets.owner(hub, repo_type, owner)

    def _with_target(self, item: Item) -> Item:
        summary, is_known = self._targets.known(item.target.repo)
        return replace(item, target_summary=summary, is_target_known=is_known)

    # --- what was there before ------------------------------------------------------

    def _tell_of_lost(self, entries: Sequence[Entry]) -> None:
        """Sources of an owner pattern that were copied before and are not listed any more."""
        here = {str(item.source.repo) for item in self._out.items}
        for entry in entries:
            source = entry.source
            if not isinstance(source, OwnerPattern):
                continue
            repo = RepoId(source.hub, f"{source.query.owner}/", source.query.repo_type)
            for record in self._ledger.recall_sources(str(repo)):
                address, _, _revision = record.source.partition("@")
                name = address.rpartition("/")[2]
                if address in here or not fnmatch.fnmatchcase(name, source.name_glob):
                    continue
                if not (was_copied(record) or is_half_done(record)):
                    continue  # nothing is left of it anywhere
                here.add(address)
                if (notice := self._lost(record, address, source)) is not None:
                    self._out.notices.append(notice)

    def _lost(self, record: RepoRecord, address: str, source: OwnerPattern) -> Notice | None:
        if record.state == GONE and record.error:
            return Notice("gone", address, error_of_row(record.error).message)
        repo = _repo_named(address, source.hub, source.query.repo_type)
        if repo is None:
            return None
        try:
            summary = self._sources.summary(repo)
        except NotFoundError:
            text = T("it was copied before and is not there any more; its target was left alone")
            kind = "gone"
        except AccessError:
            text = T("it was copied before and cannot be read any more; its target was left alone")
            kind = "gone"
        else:
            if summary.repo.name == repo.name:
                return None  # a list may lag behind
            text = T("it is called {name} now; its target keeps its name", name=summary.repo.name)
            kind = "renamed"
        error = NotFoundError(text, side=Side.SOURCE, step="expand", repo=address)
        kept = error_row(ErrorRecord.of(error))
        self._ledger.remember(replace(record, state=GONE, error=kept))
        return Notice(kind, address, text)


def audience_notice(record: RepoRecord | None, summary: RepoSummary | None) -> Notice | None:
    """A source whose readers have become fewer since it was copied."""
    if record is None or summary is None or record.visibility != Visibility.PUBLIC.value:
        return None
    if summary.visibility is Visibility.GATED:
        return Notice("gated", str(summary.repo), T("it is gated now, and was public when copied"))
    if summary.visibility is Visibility.PRIVATE:
        text = T("it is private now, and was public when copied")
        return Notice("private", str(summary.repo), text)
    return None


def rename_notice(asked: RepoId, summary: RepoSummary | None) -> Notice | None:
    """A source that answers under another name."""
    if summary is None or summary.repo.name == asked.name:
        return None
    text = T("it is called {name} now; mend the manifest", name=summary.repo.name)
    return Notice("renamed", str(asked), text)


def _chosen(summaries: Sequence[RepoSummary], only: Collection[str] | None) -> Iterator[_Found]:
    for summary in summaries:
        if only is None or str(summary.repo) in only:
            yield _Found(Address(summary.repo), summary)


def _cut(what: str, count: int, total: int | None, hint: Text) -> UncheckedError:
    """A list that does not show everything must not be taken for everything."""
    if total is None:
        text = T("{owner} has more repositories than the {count} that the hub lists")
    else:
        text = T("{owner} has {total} repositories and the hub lists only {count} of them")
    values = {"owner": what, "total": total, "count": count}
    return UncheckedError(Text(text.template, values), hint=hint)


def _has_own_repo(entry: Entry) -> bool:
    """Whether each revision goes to a repository of its own, and not to a branch."""
    return "{revision}" in entry.target and not entry.target.endswith("@{revision}")


def _narrowed(source: Search, summary: RepoSummary, now: float) -> tuple[str, Text] | None:
    least, since = source.min_downloads, source.updated_since
    if source.updated_within_seconds is not None:
        since = max(since or 0, int(now - source.updated_within_seconds))
    if least is not None and (summary.downloads or 0) < least:
        return "min-downloads", T("it has {count} downloads", count=summary.downloads or 0)
    if since is not None and (summary.modified_at or 0) < since:
        return "updated-since", T("it was not changed since")
    return None


def _repo_named(name: str, hub: str, repo_type: RepoType) -> RepoId | None:
    prefix = str(RepoId(hub, "", repo_type))
    return RepoId(hub, name.removeprefix(prefix), repo_type) if name.startswith(prefix) else None


def _is_of_entry(error: CopyError) -> bool:
    """Whether other entries can go on: nobody else's token, network or limit is concerned."""
    return isinstance(error, NotFoundError | UncheckedError) or (
        isinstance(error, AccessError) and error.code == "access"
    )


def placed(error: CopyError, entry: Entry) -> CopyError:
    """Say which line of the manifest it is about, once."""
    if not str(error.message).startswith(f"{entry.place}: "):
        error.message = T("{place}: {message}", place=str(entry.place), message=error.message)
    return error


def _of_entry(error: CopyError, entry: Entry) -> CopyError:
    return placed(error, entry).at(side=Side.SOURCE, step="expand", repo=str(entry.source))


def listing_notices(catalogues: Iterable[Catalogue]) -> list[Notice]:
    """Owners whose lists do not show everything, so that repositories were asked for alone."""
    return [
        Notice(
            "listing",
            owner,
            T(
                "its list does not show all repositories: {count} were asked for one by one",
                count=count,
            ),
        )
        for catalogue in catalogues
        for owner, count in catalogue.cut_lists().items()
    ]
