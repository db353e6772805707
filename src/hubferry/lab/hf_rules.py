"""How the Hugging Face hub wants each file of an upload: regular, LFS, or not at all.

Source: huggingface/hub-docs, ``repositories-getting-started.md`` (files above 10 MB need LFS) and
huggingface/huggingface_hub#657 (binary files above about 1 MB must not be regular); the patterns
are those of the repository's own ``.gitattributes`` and ``.gitignore``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from hubferry.lab.policy import GITATTRIBUTES
from hubferry.lab.repos import Commit, Repo

REGULAR_LIMIT_BYTES = 10_000_000

_BINARY_LIMIT_BYTES = 1_000_000
_MAX_RULES_BYTES = 1 << 20


class UploadRules:
    """The patterns in force at one commit; ``gitignore`` of the request goes first."""

    def __init__(self, repo: Repo, commit: Commit | None, gitignore: str | None) -> None:
        self._lfs = lfs_patterns(_text(repo, commit, ".gitattributes") or GITATTRIBUTES)
        ignored = _text(repo, commit, ".gitignore") if gitignore is None else gitignore
        self._ignored = _lines(ignored)

    def is_lfs(self, path: str, size_bytes: int, sample: bytes) -> bool:
        """Tell whether a file goes to LFS; ``sample`` is its first 512 bytes.

        Empty files are always regular: the storage refuses an empty upload.
        """
        if size_bytes == 0:
            return False
        limit = _BINARY_LIMIT_BYTES if b"\0" in sample else REGULAR_LIMIT_BYTES
        return size_bytes > limit or matches(path, self._lfs)

    def is_ignored(self, path: str) -> bool:
        """Tell whether ``.gitignore`` keeps a file out; the last pattern that fits decides."""
        ignored = False
        for pattern in self._ignored:
            if matches(path, [pattern.removeprefix("!")]):
                ignored = not pattern.startswith("!")
        return ignored


def lfs_patterns(attributes: str) -> list[str]:
    """Return the patterns a ``.gitattributes`` gives to LFS."""
    rows = [line.split() for line in _lines(attributes)]
    return [row[0] for row in rows if "filter=lfs" in row[1:]]


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Tell whether Git's patterns name a path: by any name on it, or from the root with a slash."""
    names = path.split("/")
    return any(_fits(path, names, pattern) for pattern in patterns)


def _fits(path: str, names: Sequence[str], pattern: str) -> bool:
    bare = pattern.rstrip("/")
    if "/" not in bare:
        # A pattern for a folder ("build/") cannot name the file itself.
        candidates = names[:-1] if pattern.endswith("/") else names
        return any(fnmatchcase(name, bare) for name in candidates)
    rooted = bare.lstrip("/").replace("**/", "*")
    return fnmatchcase(path, rooted) or fnmatchcase(path, f"{rooted}/*")


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _text(repo: Repo, commit: Commit | None, path: str) -> str:
    file = commit.tree.get(path) if commit else None
    content = repo.store.blobs.get(file.sha256) if file else None
    if content is None or content.size > _MAX_RULES_BYTES:
        return ""
    return bytes(content.read(0, content.size)).decode("utf-8", "replace")
