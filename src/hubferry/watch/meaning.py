"""Which of a manifest's entries a repository's name could mean. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase

from hubferry.manifest.values import Collection, Manifest, OwnerPattern, Search
from hubferry.model import Address, RepoId, RepoQuery


class Meaning:
    """Looked up by name in constant time for plain entries; names are compared without case."""

    def __init__(self, manifest: Manifest) -> None:
        self._named: dict[tuple[str, str, str], str] = {}
        self._patterns: defaultdict[tuple[str, str], list[OwnerPattern]] = defaultdict(list)
        self._queries: list[tuple[str, RepoQuery]] = []
        self._hubs_of_collections: set[str] = set()
        for entry in manifest.entries:
            match entry.source:
                case Address(repo=repo):
                    self._named[_key(repo)] = str(repo)
                case OwnerPattern(hub=hub, query=query) as pattern:
                    self._patterns[hub, (query.owner or "").casefold()].append(pattern)
                case Search(hub=hub, query=query):
                    self._queries.append((hub, query))
                case Collection(hub=hub):
                    self._hubs_of_collections.add(hub)

    def repo_of(self, repo: RepoId) -> str | None:
        """The repository as the manifest spells it, or None if no entry can mean it."""
        if found := self._named.get(_key(repo)):
            return found
        # What a collection or a search stands for only their hub knows.
        is_possible = repo.hub in self._hubs_of_collections or any(self._fits(repo))
        return str(repo) if is_possible else None

    def _fits(self, repo: RepoId) -> Iterator[bool]:
        owner, _, name = repo.name.rpartition("/")
        for pattern in self._patterns.get((repo.hub, owner.casefold()), ()):
            is_kind = pattern.query.repo_type is repo.repo_type
            yield is_kind and fnmatchcase(name.casefold(), pattern.name_glob.casefold())
        for hub, query in self._queries:
            is_kind = hub == repo.hub and query.repo_type is repo.repo_type
            yield is_kind and (query.owner or owner).casefold() == owner.casefold()


def _key(repo: RepoId) -> tuple[str, str, str]:
    return repo.hub, repo.repo_type.value, repo.name.casefold()
