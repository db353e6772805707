"""The text list of the guide: ``SOURCE TARGET`` a line, ``#`` comments, blank lines."""

from __future__ import annotations

from hubferry.manifest.entries import Defaults, EntryMaker
from hubferry.manifest.problems import Problems, shown
from hubferry.text import T

_LOCAL_START = (".", "/", "~", "\\", "file:")


def read_text_list(text: str, problems: Problems, make: EntryMaker, defaults: Defaults) -> None:
    """Add an entry for each line; a line without a target needs a default one."""
    for number, line in enumerate(text.split("\n"), 1):
        words = _words(line)
        if len(words) == 2 or (len(words) == 1 and defaults.target is not None):
            make.add_plain(number, words[0], words[1] if len(words) == 2 else None)
        elif len(words) == 1:
            problems.add(
                number,
                T("{source} has no target", source=shown(words[0])),
                T("write SOURCE TARGET, such as org/name my-org/name"),
            )
        elif words:
            problems.add(
                number,
                T(
                    "{count} columns instead of two: {line}",
                    count=len(words),
                    line=shown(line.strip()),
                ),
                T("write SOURCE TARGET; for more, or for paths with spaces, use CSV or YAML"),
            )


def _words(line: str) -> list[str]:
    """The columns of a line, without its comment.

    No address of a hub holds a '#', so it begins a comment there even without a
    space before it, as in ``scripts/batch_transfer.sh``; a folder's name may hold one.
    """
    if "#" not in line:
        return line.split()
    found = []
    for word in line.split():
        if word.startswith("#"):
            break
        if "#" in word and not word.startswith(_LOCAL_START):
            found.append(word.partition("#")[0])
            break
        found.append(word)
    return found
