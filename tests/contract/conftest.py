"""Every hub with the same repository on it, behind the same ports."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.errors import CopyError
from hubferry.hubs import FullHub
from hubferry.hubs.huggingface.hub import HuggingFaceHub
from hubferry.hubs.local import LocalHub
from hubferry.hubs.memory import MemoryHub
from hubferry.hubs.modelscope import ModelScopeHub
from hubferry.lab.config import LabConfig
from hubferry.lab.repos import RepoStore
from hubferry.lab.server import ORGS, USER, Lab
from hubferry.model import AddInline, Blob, GitOid, RepoId, Sha256, Visibility
from hubferry.net.secret import Secret

WEIGHTS = bytes(range(256)) * 1500
FILES: Mapping[str, bytes] = {
    "README.md": b"# a model\n",
    "config.json": b'{"hidden_size": 8}\n',
    "notes/empty.txt": b"",
    "notes/a b/ü+%25#&?=.txt": "Füße\n".encode(),
    "weights/model.safetensors": WEIGHTS,
    "weights/twin.safetensors": WEIGHTS,
}

_numbers = itertools.count()


def sha256_of(data: bytes) -> Sha256:
    """SHA-256 of bytes in memory."""
    return Sha256(hashlib.sha256(data).hexdigest())


def git_oid_of(data: bytes) -> GitOid:
    """Git blob oid of bytes in memory."""
    return GitOid(hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest())


def blob_of(data: bytes) -> Blob:
    """The blob of bytes in memory."""
    return Blob(sha256_of(data), len(data))


def inline(path: str, data: bytes) -> AddInline:
    """A change that adds ``data`` inside the commit."""
    return AddInline(path, data, sha256_of(data), git_oid_of(data))


@dataclass
class Body:
    """A BlobBody from memory; ``error`` is raised after half of the bytes."""

    data: bytes
    error: CopyError | None = None

    @property
    def size_bytes(self) -> int:
        """What ``chunks`` gives."""
        return len(self.data)

    @contextmanager
    def chunks(self) -> Iterator[Iterator[memoryview]]:
        """The bytes in blocks of 64 KiB."""
        yield self._blocks()

    def _blocks(self) -> Iterator[memoryview]:
        for start in range(0, len(self.data), 65536):
            if self.error is not None and start >= len(self.data) // 2:
                raise self.error
            yield memoryview(self.data)[start : start + 65536]


@dataclass
class Ground:
    """One hub under test. ``source`` holds ``FILES``; ``seed`` makes such a repository."""

    hub: FullHub
    source: RepoId
    fresh: RepoId
    """A repository that does not exist, in a namespace that may be written."""
    is_remote: bool
    open_with: Callable[[str], FullHub] | None = None
    """The same hub with another token, where there are tokens."""
    read_token: str = ""
    lone: str = ""
    """An owner of whom ``add`` makes repositories; empty where there are no owners."""
    add: Callable[[str, bool], RepoId] | None = None
    """Makes a public or private repository of ``lone`` with this name, or one more commit."""
    rename: Callable[[RepoId, str], object] | None = None
    """Gives a repository of ``lone`` another name that the old one leads to."""
    delete: Callable[[RepoId], object] | None = None
    collect: Callable[[str, list[str]], object] | None = None
    """Makes a collection of models, where there are collections."""


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """One lab for all contract tests; each uses repositories of its own."""
    with Lab(LabConfig(commits_per_minute=None)) as running:
        yield running


def patience() -> Patience:
    """Few tries and short pauses: nothing in these tests needs more."""
    return Patience(CancelToken(), WaitBudget(5), attempts=3, base_seconds=0.01)


def _memory(lab: Lab, folder: Path, number: int) -> Ground:
    hub = MemoryHub()
    hub.seed("org/source", FILES)

    def add(name: str, is_private: bool) -> RepoId:
        visibility = Visibility.PRIVATE if is_private else Visibility.PUBLIC
        hub.seed(f"lone/{name}", FILES, visibility=visibility)
        return RepoId("memory", f"lone/{name}")

    def collect(slug: str, names: list[str]) -> None:
        hub.collections[slug] = [RepoId("memory", name) for name in names]

    return Ground(
        hub,
        RepoId("memory", "org/source"),
        RepoId("memory", "org/fresh"),
        is_remote=False,
        lone="lone",
        add=add,
        rename=lambda repo, name: hub.rename(repo.name, f"lone/{name}"),
        delete=lambda repo: hub.repos.pop(repo.name),
        collect=collect,
    )


def _local(lab: Lab, folder: Path, number: int) -> Ground:
    source = folder / "source"
    for path, data in FILES.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(data)
    hub = LocalHub(cancel=CancelToken())
    fresh = RepoId("file", str(folder / "fresh"))
    return Ground(hub, RepoId("file", str(source)), fresh, is_remote=False)


def _adding(store: RepoStore, hub: str, owner: str) -> Callable[[str, bool], RepoId]:
    """Each call is a commit a second after the one before: ModelScope tells whole seconds only."""

    def add(name: str, is_private: bool) -> RepoId:
        full = f"{owner}/{name}"
        repo = store.get("model", full) or store.create("model", full, is_private=is_private)
        head = repo.head()
        date = (head.date if head else datetime.now(UTC)) + timedelta(seconds=1)
        repo.commit({**FILES, "number.txt": b"%d" % len(repo.commits)}, date=date)
        return RepoId(hub, full)

    return add


def _huggingface(lab: Lab, folder: Path, number: int) -> Ground:
    lab.hf.repos.create("model", f"your-org/source-{number}").commit(FILES)
    owner = f"lone-{number}"
    orgs = (*ORGS, owner)
    lab.hf.accounts.add(lab.hf.token, USER, orgs=orgs, tier="admin")

    def open_with(token: str) -> FullHub:
        secret, endpoint = Secret(token), lab.hf.endpoint
        return HuggingFaceHub(
            endpoint=endpoint, token=secret, cancel=CancelToken(), patience=patience
        )

    return Ground(
        open_with(lab.hf.token),
        RepoId("hf", f"your-org/source-{number}"),
        RepoId("hf", f"lab-user/fresh-{number}"),
        is_remote=True,
        open_with=open_with,
        read_token=lab.hf.read_token,
        lone=owner,
        add=_adding(lab.hf.repos, "hf", owner),
        rename=lambda repo, name: lab.hf.repos.rename("model", repo.name, f"{owner}/{name}"),
        delete=lambda repo: lab.hf.repos.delete("model", repo.name),
        collect=lambda slug, names: lab.collections.put(slug, names),
    )


def _modelscope(lab: Lab, folder: Path, number: int) -> Ground:
    lab.ms.repos.create("model", f"your-org/source-{number}").commit(FILES)
    owner = f"lone-{number}"
    orgs = (*ORGS, owner)
    lab.ms.accounts.add(lab.ms.token, USER, orgs=orgs, tier="admin")

    def open_with(token: str) -> FullHub:
        secret, endpoint = Secret(token), lab.ms.endpoint
        return ModelScopeHub(
            endpoint=endpoint, token=secret, cancel=CancelToken(), patience=patience
        )

    return Ground(
        open_with(lab.ms.token),
        RepoId("ms", f"your-org/source-{number}"),
        RepoId("ms", f"lab-user/fresh-{number}"),
        is_remote=True,
        open_with=open_with,
        read_token=lab.ms.read_token,
        lone=owner,
        add=_adding(lab.ms.repos, "ms", owner),
        delete=lambda repo: lab.ms.repos.delete("model", repo.name),
    )


HUBS = {
    "memory": _memory,
    "local": _local,
    "huggingface": _huggingface,
    "modelscope": _modelscope,
}


@pytest.fixture(params=HUBS)
def ground(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path) -> Iterator[Ground]:
    """Each hub in turn, seeded."""
    made = HUBS[request.param](lab, tmp_path, next(_numbers))
    yield made
    made.hub.close()
