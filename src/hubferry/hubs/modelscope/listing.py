"""List every path of a model, although one answer never holds more than 3,000 entries.

``repo/files`` cuts its answer at 3,000 entries without a word. So: ask for the
whole tree; an answer at the cap means "maybe more", and then the folder is
asked for once without its subfolders, and each subfolder on its own, whole
first, several of them at once. The requests grow with the oversized folders,
not with all folders. A folder with 3,000 or more direct children cannot be seen
in full by any call; it is named as doubtful.

Source: ``LegacyClient._walk_repo_files`` of modelscope_hub 0.5.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from hubferry.errors import ProtocolError, UnavailableError
from hubferry.hubs.modelscope.wire import Page
from hubferry.model import FileEntry
from hubferry.text import T

FOLDERS_AT_ONCE = 8
"""Answers asked for at the same time: ten folders cost two round trips more, not ten."""

ReadPage = Callable[[str, bool], Page]
"""One answer: the folder ("" for the root), and whether with everything below it."""


def walk(read_page: ReadPage, *, width: int = FOLDERS_AT_ONCE) -> tuple[list[FileEntry], list[str]]:
    """All files, and the folders that cannot be listed in full.

    ``read_page`` is called from up to ``width`` threads of this listing's own.

    Raises:
        UnavailableError: a file changed between two answers.
        ProtocolError: an answer that names things outside the folder asked for.
    """
    whole = _read(read_page, "", True)
    if not whole.is_cut:
        return list(_Found().take(whole)), []
    pool = ThreadPoolExecutor(width, thread_name_prefix="listing")
    try:
        return _walk_cut(lambda *asked: pool.submit(_read, read_page, *asked), whole)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _walk_cut(
    ask: Callable[[str, bool], Future[Page]], root: Page
) -> tuple[list[FileEntry], list[str]]:
    found, doubtful, seen = _Found(), list[str](), {""}
    asked: dict[Future[Page], tuple[str, bool]] = {}

    def look_at(page: Page, folder: str, is_whole: bool) -> None:
        found.take(page)
        if page.is_cut and not is_whole:
            doubtful.append(folder)
        if is_whole and not page.is_cut:
            return
        if is_whole:
            asked[ask(folder, False)] = (folder, False)
        # Even below a folder that is cut, what we do see is worth walking.
        inside = {_child(folder, path) for path in _paths(page)} | set(page.folders)
        for child in sorted(name for name in inside - seen if _is_direct(folder, name)):
            seen.add(child)
            asked[ask(child, True)] = (child, True)

    look_at(root, "", True)
    while asked:
        for answered in wait(asked, return_when=FIRST_COMPLETED).done:
            look_at(answered.result(), *asked.pop(answered))
    return list(found.entries.values()), sorted(doubtful)


class _Found:
    """The files of all answers, which must agree."""

    def __init__(self) -> None:
        self.entries: dict[str, FileEntry] = {}

    def take(self, page: Page) -> Iterable[FileEntry]:
        """Add the files of one answer; all there are by now."""
        for entry in page.files:
            if self.entries.setdefault(entry.path, entry) != entry:
                raise UnavailableError(
                    T("the repository changed while it was listed: {path}", path=entry.path),
                    path=entry.path,
                )
        return self.entries.values()


def _read(read_page: ReadPage, folder: str, recursive: bool) -> Page:
    page = read_page(folder, recursive)
    for path in _paths(page):
        if folder and not path.startswith(folder + "/"):
            raise ProtocolError(T("ModelScope listed another folder than asked: {path}", path=path))
    return page


def _paths(page: Page) -> list[str]:
    return [entry.path for entry in page.files] + list(page.folders)


def _child(folder: str, path: str) -> str:
    """The direct subfolder of ``folder`` on the way to ``path``; "" if there is none."""
    prefix = f"{folder}/" if folder else ""
    head, slash, _ = path[len(prefix) :].partition("/")
    return prefix + head if slash else ""


def _is_direct(folder: str, name: str) -> bool:
    return bool(name) and "/" not in name[len(folder) + 1 if folder else 0 :]
