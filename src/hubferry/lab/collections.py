"""Collections of the lab's Hugging Face hub: lists of models, datasets and other things."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True)
class CollectionItem:
    """One item; ``type`` is ``model``, ``dataset``, ``space``, ``paper``, ``collection``..."""

    type: str
    id: str
    note: str | None = None


@dataclass
class Collection:
    """A collection; ``slug`` is ``owner/title-id``."""

    slug: str
    title: str
    items: list[CollectionItem]
    is_private: bool = False
    updated_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def owner(self) -> str:
        """Who made it."""
        return self.slug.partition("/")[0]


class Collections:
    """All collections of a hub, by slug."""

    def __init__(self) -> None:
        self._by_slug: dict[str, Collection] = {}

    def put(
        self,
        slug: str,
        items: Iterable[CollectionItem | Mapping[str, str] | str],
        *,
        title: str | None = None,
        is_private: bool = False,
    ) -> Collection:
        """Make or replace a collection; an item that is a text is a model's id.

        Raises:
            ValueError: the slug is not ``owner/title-id``.
        """
        owner, _, name = slug.partition("/")
        if not owner or not name or "/" in name:
            raise ValueError(f"not a slug: {slug}")
        made = Collection(slug, title or name, [_item(item) for item in items], is_private)
        self._by_slug[slug] = made
        return made

    def get(self, slug: str) -> Collection | None:
        """Return a collection, or None."""
        return self._by_slug.get(slug)


def _item(given: CollectionItem | Mapping[str, str] | str) -> CollectionItem:
    if isinstance(given, CollectionItem):
        return given
    return CollectionItem("model", given) if isinstance(given, str) else CollectionItem(**given)
