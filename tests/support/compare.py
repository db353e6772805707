"""Whether a target repository of a lab holds what its source holds, byte for byte."""

from __future__ import annotations

from hubferry.lab.content import KnownContent
from hubferry.lab.repos import Repo, TreeFile


def differences(source: Repo, target: Repo | None, revision: str | None = None) -> list[str]:
    """Every way in which ``target`` is not ``source``; files only at the target are none.

    The stored bytes themselves are hashed, not only the names of blobs compared.
    """
    if target is None:
        return ["the target does not exist"]
    shown = target.tree()
    return [
        f"{path}: {problem}"
        for path, file in sorted(source.tree(revision).items())
        if (problem := _problem(target, file, shown.get(path))) is not None
    ]


def _problem(target: Repo, wanted: TreeFile, shown: TreeFile | None) -> str | None:
    if shown is None:
        return "missing"
    if (shown.size, shown.sha256) != (wanted.size, wanted.sha256):
        return "another content is named"
    return rot(target, shown)


def rot(repo: Repo, file: TreeFile) -> str | None:
    """What is wrong with the stored bytes of a file that a tree names, or None."""
    content = repo.store.blobs.get(file.sha256)
    if content is None:
        return "its blob is not stored"
    if not isinstance(content, KnownContent) and content.sha256 != file.sha256:
        return "other bytes are stored under its digest"
    return None


def rotten_files(repo: Repo | None) -> list[str]:
    """Paths in any commit of ``repo`` whose bytes are lost or wrong."""
    if repo is None:
        return []
    trees = [commit.tree for commit in repo.commits.values()]
    return sorted({path for tree in trees for path, file in tree.items() if rot(repo, file)})
