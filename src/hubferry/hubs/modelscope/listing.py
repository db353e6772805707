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

import queue
import threading
from collections.abc import Callable, Iterable

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
    readers = _Readers(read_page, width)
    try:
        return _walk_cut(readers, whole)
    finally:
        readers.stop()


class _Readers:
    """Up to ``width`` threads that read pages; used by one thread.

    They are daemons: a process that ends must not wait for an answer nobody wants
    any more, as it would for the threads of ``concurrent.futures``.
    """

    def __init__(self, read_page: ReadPage, width: int) -> None:
        self._read_page = read_page
        self._width = width
        self._todo: queue.SimpleQueue[tuple[str, bool] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Page | BaseException, str, bool]] = queue.SimpleQueue()
        self._started = 0
        self.in_flight = 0

    def ask(self, folder: str, is_whole: bool) -> None:
        """Have a page read as soon as a thread is free."""
        self._todo.put((folder, is_whole))
        self.in_flight += 1
        if self._started < min(self.in_flight, self._width):
            self._started += 1
            name = f"listing-{self._started}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def answer(self) -> tuple[Page, str, bool]:
        """The next page that is there, and what was asked for; raises what reading it raised."""
        page, folder, is_whole = self._done.get()
        self.in_flight -= 1
        if isinstance(page, BaseException):
            raise page
        return page, folder, is_whole

    def stop(self) -> None:
        """Ask for nothing more; what is on its way is not waited for."""
        try:
            while True:
                self._todo.get_nowait()
        except queue.Empty:
            pass
        for _ in range(self._started):
            self._todo.put(None)

    def _work(self) -> None:
        while (asked := self._todo.get()) is not None:
            try:
                self._done.put((_read(self._read_page, *asked), *asked))
            except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
                self._done.put((error, *asked))


def _walk_cut(readers: _Readers, root: Page) -> tuple[list[FileEntry], list[str]]:
    found, doubtful, seen = _Found(), list[str](), {""}

    def look_at(page: Page, folder: str, is_whole: bool) -> None:
        found.take(page)
        if page.is_cut and not is_whole:
            doubtful.append(folder)
        if is_whole and not page.is_cut:
            return
        if is_whole:
            readers.ask(folder, False)
        # Even below a folder that is cut, what we do see is worth walking.
        inside = {_child(folder, path) for path in _paths(page)} | set(page.folders)
        for child in sorted(name for name in inside - seen if _is_direct(folder, name)):
            seen.add(child)
            readers.ask(child, True)

    look_at(root, "", True)
    while readers.in_flight:
        look_at(*readers.answer())
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
