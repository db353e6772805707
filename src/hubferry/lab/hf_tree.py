"""A commit seen as folders and files, with the Git id of every folder.

A listing is computed once per commit: clients page through it with a request per thousand entries.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

from hubferry.lab.repos import Commit, Repo, TreeFile

_KEPT_COMMITS = 16
_DIRECTORY_MODE, _FILE_MODE = b"40000", b"100644"


@dataclass
class Folder:
    """A folder; ``path`` is empty for the root, ``last_commit`` the newest below it."""

    path: str
    folders: dict[str, Folder] = field(default_factory=dict)
    files: dict[str, TreeFile] = field(default_factory=dict)
    oid: str = ""
    last_commit: str = ""


Entry = tuple[str, Folder | TreeFile]
"""A path and what is there."""


class Trees:
    """The folders of recently asked commits."""

    def __init__(self) -> None:
        self._by_commit: OrderedDict[str, dict[str, Folder]] = OrderedDict()

    def folder(self, repo: Repo, commit: Commit, path: str) -> Folder | None:
        """Return the folder at ``path`` (empty for the root), or None."""
        folders = self._by_commit.get(commit.id)
        if folders is None:
            folders = self._by_commit[commit.id] = _build(repo, commit)
            while len(self._by_commit) > _KEPT_COMMITS:
                self._by_commit.popitem(last=False)
        return folders.get(path)


def entries_of(folder: Folder, *, is_recursive: bool) -> list[Entry]:
    """Return what a folder holds: its folders, then its files, by name; or all below it."""
    found: list[Entry] = []
    for name in sorted(folder.folders):
        child = folder.folders[name]
        found.append((child.path, child))
        if is_recursive:
            found += entries_of(child, is_recursive=True)
    prefix = f"{folder.path}/" if folder.path else ""
    found += [(prefix + name, folder.files[name]) for name in sorted(folder.files)]
    return found


def _build(repo: Repo, commit: Commit) -> dict[str, Folder]:
    folders = {"": Folder("")}
    for path, file in commit.tree.items():
        parent, _, name = path.rpartition("/")
        _folder(folders, parent).files[name] = file
    _finish(folders[""], repo)
    return folders


def _folder(folders: dict[str, Folder], path: str) -> Folder:
    found = folders.get(path)
    if found is None:
        found = folders[path] = Folder(path)
        parent, _, name = path.rpartition("/")
        _folder(folders, parent).folders[name] = found
    return found


def _finish(folder: Folder, repo: Repo) -> None:
    """Fill in ids and newest commits, children first."""
    for child in folder.folders.values():
        _finish(child, repo)
    folder.oid = _tree_oid(folder)
    below = [child.last_commit for child in folder.folders.values()]
    below += [file.last_commit for file in folder.files.values()]
    dated = [repo.commits[commit_id] for commit_id in below if commit_id in repo.commits]
    folder.last_commit = max(dated, key=lambda commit: commit.date).id if dated else ""


def _tree_oid(folder: Folder) -> str:
    """Return the id Git gives the folder.

    Source: Git's ``tree.c`` (``base_name_compare``): a folder sorts as if its name ended in "/".
    """
    rows = [
        (_bytes(name) + b"/", _DIRECTORY_MODE, _bytes(name), child.oid)
        for name, child in folder.folders.items()
    ]
    rows += [
        (_bytes(name), _FILE_MODE, _bytes(name), file.oid) for name, file in folder.files.items()
    ]
    body = b"".join(
        mode + b" " + name + b"\0" + bytes.fromhex(oid) for _, mode, name, oid in sorted(rows)
    )
    head = b"tree %d\0" % len(body)
    return hashlib.sha1(head + body, usedforsecurity=False).hexdigest()


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")
