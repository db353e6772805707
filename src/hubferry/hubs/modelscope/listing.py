"""List every path of a model, although one answer never holds more than 3,000 entries.

``repo/files`` cuts its answer at 3,000 entries without a word. So: ask for the
whole tree; an answer at the cap means "maybe more", and then the folder is
asked for once without its subfolders, and each subfolder on its own, whole
first. The requests grow with the oversized folders, not with all folders. A
folder with 3,000 or more direct children cannot be seen in full by any call;
it is named as doubtful.

Source: ``LegacyClient._walk_repo_files`` of modelscope_hub 0.5.1.
"""

from __future__ import annotations

from collections.abc import Callable

from hubferry.errors import ProtocolError, UnavailableError
from hubferry.hubs.modelscope.wire import Page
from hubferry.model import FileEntry
from hubferry.text import T

ReadPage = Callable[[str, bool], Page]
"""One answer: the folder ("" for the root), and whether with everything below it."""


def walk(read_page: ReadPage) -> tuple[list[FileEntry], list[str]]:
    """All files, and the folders that cannot be listed in full.

    Raises:
        UnavailableError: a file changed between two answers.
        ProtocolError: an answer that names things outside the folder asked for.
    """
    found: dict[str, FileEntry] = {}
    doubtful: list[str] = []
    waiting = [""]
    seen = {""}
    while waiting:
        folder = waiting.pop()
        whole = _read(read_page, folder, True, found)
        if not whole.is_cut:
            continue
        direct = _read(read_page, folder, False, found)
        if direct.is_cut:
            doubtful.append(folder)
        # Even below a folder that is cut, what we do see is worth walking.
        inside = {*direct.folders, *(_child(folder, path) for path in _paths(whole))} - {""}
        waiting += sorted(inside - seen, reverse=True)
        seen |= inside
    return list(found.values()), doubtful


def _read(read_page: ReadPage, folder: str, recursive: bool, found: dict[str, FileEntry]) -> Page:
    page = read_page(folder, recursive)
    for path in _paths(page):
        if folder and not path.startswith(folder + "/"):
            raise ProtocolError(T("ModelScope listed another folder than asked: {path}", path=path))
    for entry in page.files:
        if found.setdefault(entry.path, entry) != entry:
            raise UnavailableError(
                T("the repository changed while it was listed: {path}", path=entry.path),
                path=entry.path,
            )
    return page


def _paths(page: Page) -> list[str]:
    return [entry.path for entry in page.files] + list(page.folders)


def _child(folder: str, path: str) -> str:
    """The direct subfolder of ``folder`` on the way to ``path``; "" if there is none."""
    prefix = f"{folder}/" if folder else ""
    head, slash, _ = path[len(prefix) :].partition("/")
    return prefix + head if slash else ""
