"""The small files that describe a repository, read once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from hubferry.errors import IntegrityError, NotFoundError
from hubferry.inspection.bounded_json import load_list, load_object
from hubferry.inspection.faults import BrokenContentError, NotCheckedError
from hubferry.inspection.reader import RangeReader
from hubferry.inspection.repo import Findings, Repo
from hubferry.inspection.report import Severity
from hubferry.model import FileEntry
from hubferry.text import T

R = TypeVar("R")
Json = dict[str, object]

DOCUMENTS = (
    "config.json",
    "model_index.json",
    "modules.json",
    "tokenizer_config.json",
    "adapter_config.json",
    "configuration.json",
    "chat_template.json",
)
_CAP_BYTES = 4_000_000

POINTER_MAX_BYTES = 1024
_POINTER_START = b"version https://git-lfs.github.com/spec/"


@dataclass
class Documents:
    """The parsed documents by path; one that is absent or unreadable is not in it."""

    objects: dict[str, Json] = field(default_factory=dict)
    modules: list[object] | None = None
    unread: set[str] = field(default_factory=set)
    """Paths that are there and could not be read."""

    def get(self, path: str) -> Json:
        """The document, empty if it is not there."""
        return self.objects.get(path, {})


def read_documents(
    repo: Repo, reader: RangeReader, findings: Findings, on_file: Callable[[str], None]
) -> Documents:
    """Read what there is of ``DOCUMENTS``."""
    documents = Documents()
    for path in DOCUMENTS:
        entry = repo.listing.by_path.get(path)
        if entry is None:
            continue
        on_file(path)
        value = guarded(findings, entry, partial(_read, reader))
        if isinstance(value, list):
            documents.modules = value
        elif value is not None:
            documents.objects[path] = value
        else:
            documents.unread.add(path)
    return documents


def _read(reader: RangeReader, entry: FileEntry) -> Json | list[object]:
    content = reader.read_whole(entry, _CAP_BYTES)
    refuse_pointer(content)
    if entry.path == "modules.json":
        return load_list(content)
    return load_object(content, is_strict=False)


def refuse_pointer(content: bytes) -> None:
    """Raise if a file's content is the text of a Git LFS pointer.

    Someone committed the pointer instead of the file: the bytes exist nowhere
    in this repository. Pointers are shorter than 1,024 bytes.

    Raises:
        BrokenContentError: it is one.

    Source: ``docs/spec.md`` in git-lfs/git-lfs.
    """
    if len(content) < POINTER_MAX_BYTES and content.startswith(_POINTER_START):
        raise BrokenContentError(
            T("it holds the text of a Git LFS pointer, not the file: a broken mirror")
        )


def guarded(findings: Findings, entry: FileEntry, work: Callable[[FileEntry], R]) -> R | None:
    """Run a check on one file; what it finds out becomes a problem, and None is returned.

    Raises:
        CopyError: the hub is down or limits us: that says nothing of the file.
    """
    try:
        return work(entry)
    except NotCheckedError as error:
        findings.unchecked(entry.path, T("not checked: {reason}", reason=error.message))
    except IntegrityError as error:
        findings.add(Severity.BROKEN, entry.path, error.message)
    except NotFoundError:
        findings.add(Severity.BROKEN, entry.path, T("the hub lists this file but does not have it"))
    return None


def chat_template_of(repo: Repo, documents: Documents) -> bool | None:
    """Whether a chat template is there; None if the file that may hold it was not readable."""
    paths = repo.listing.by_path
    if "chat_template.jinja" in paths:
        return True
    if any(path.startswith("additional_chat_templates/") for path in paths):
        return True
    for name in ("tokenizer_config.json", "chat_template.json"):
        template = documents.get(name).get("chat_template")
        # A string, or a list of {name, template}.
        if isinstance(template, str | list) and template:
            return True
    unread = documents.unread & {"tokenizer_config.json", "chat_template.json"}
    return None if unread else False
