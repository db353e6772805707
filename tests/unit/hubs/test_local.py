"""The local folder as a hub: what only a file system can get wrong."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hubferry.control import CancelToken
from hubferry.errors import (
    CancelledError,
    CorruptReadError,
    LocalError,
    NoSpaceError,
    NotFoundError,
    RefusedError,
)
from hubferry.hubs.local import LocalHub, files, names
from hubferry.hubs.local import hub as hub_module
from hubferry.model import (
    Access,
    AddBlob,
    AddInline,
    Blob,
    CommitChange,
    Delete,
    FileEntry,
    GitOid,
    RepoId,
    RepoInfo,
    Sha256,
    Visibility,
)

DATA = b"weights " * 20_000


class Body:
    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size_bytes(self) -> int:
        return len(self._data)

    @contextmanager
    def chunks(self) -> Iterator[Iterator[memoryview]]:
        yield iter([memoryview(self._data)])


def blob_of(data: bytes) -> Blob:
    return Blob(Sha256(hashlib.sha256(data).hexdigest()), len(data))


def inline(path: str, data: bytes) -> AddInline:
    git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    return AddInline(path, data, blob_of(data).sha256, GitOid(git))


@pytest.fixture
def hub() -> LocalHub:
    return LocalHub(cancel=CancelToken())


@pytest.fixture
def info(hub: LocalHub, tmp_path: Path) -> RepoInfo:
    repo = RepoId("file", str(tmp_path / "repo"))
    hub.create_repo(repo, Visibility.PRIVATE, None)
    return hub.resolve(repo, None)


@pytest.fixture
def root(info: RepoInfo) -> Path:
    return Path(info.repo.name)


def put(hub: LocalHub, info: RepoInfo, data: bytes) -> Blob:
    blob = blob_of(data)
    for ticket in hub.missing_blobs(info, [blob]).values():
        hub.put_blob(info, ticket, Body(data))
    return blob


def paths(hub: LocalHub, info: RepoInfo) -> list[str]:
    return [entry.path for entry in hub.list_files(info).entries]


def test_a_file_is_not_a_repository(hub: LocalHub, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(LocalError, match="is a file, not a folder"):
        hub.resolve(RepoId("file", str(tmp_path / "file")), None)


def test_a_listing_has_both_digests_of_each_file(hub: LocalHub, info: RepoInfo, root: Path) -> None:
    (root / "a.txt").write_bytes(b"hi\n")
    entry = hub.list_files(info).by_path["a.txt"]
    assert entry.sha256 == blob_of(b"hi\n").sha256
    # `printf 'hi\n' | git hash-object --stdin`
    assert entry.git_oid == GitOid("45b983be36b73c0788dc9cbcb76cbb80fc7bb057")


def test_tools_own_files_are_not_listed(hub: LocalHub, info: RepoInfo, root: Path) -> None:
    for name in (".git/config", "sub/.git/HEAD", ".hubferry/blobs/x", ".cache/huggingface/x"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / ".gitattributes").write_bytes(b"x")
    (root / ".cache" / "other").write_bytes(b"x")
    assert paths(hub, info) == [".cache/other", ".gitattributes"]


def test_links_out_of_the_folder_are_refused_by_name(
    hub: LocalHub, info: RepoInfo, root: Path
) -> None:
    outside = root.parent / "secret"
    outside.write_bytes(b"secret")
    (root / "good").write_bytes(b"good")
    (root / "inside").symlink_to("good")
    (root / "outside").symlink_to(outside)
    (root / "broken").symlink_to("nowhere")
    (root / "folder").symlink_to(root.parent)
    listing = hub.list_files(info)
    assert [entry.path for entry in listing.entries] == ["good", "inside"]
    assert [item.path for item in listing.refused] == ["broken", "folder", "outside"]
    with pytest.raises(RefusedError):
        hub.open(info, FileEntry("outside", 6))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_refused_and_not_read(hub: LocalHub, info: RepoInfo, root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert [item.path for item in hub.list_files(info).refused] == ["pipe"]


def test_unchanged_files_are_hashed_once(
    hub: LocalHub, info: RepoInfo, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a").write_bytes(b"old")
    os.utime(root / "a", (1, 1))
    first = hub.list_files(info)
    read = files.Digests._read
    monkeypatch.setattr(files.Digests, "_read", lambda *_: pytest.fail("read again"))
    assert hub.list_files(info) == first
    monkeypatch.setattr(files.Digests, "_read", read)
    (root / "a").write_bytes(b"new")
    assert hub.list_files(info).by_path["a"].sha256 == blob_of(b"new").sha256


def test_a_fresh_file_is_not_trusted_by_its_time(hub: LocalHub, info: RepoInfo, root: Path) -> None:
    (root / "a").write_bytes(b"old")
    hub.list_files(info)
    status = (root / "a").stat()
    (root / "a").write_bytes(b"new")
    os.utime(root / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert hub.list_files(info).by_path["a"].sha256 == blob_of(b"new").sha256


def test_a_file_that_changed_since_the_listing_is_corrupt(
    hub: LocalHub, info: RepoInfo, root: Path
) -> None:
    (root / "a").write_bytes(b"longer")
    with pytest.raises(CorruptReadError):
        hub.open(info, FileEntry("a", 3))
    with pytest.raises(NotFoundError):
        hub.open(info, FileEntry("gone", 3))


def test_a_commit_leaves_nothing_but_files(hub: LocalHub, info: RepoInfo, root: Path) -> None:
    blob = put(hub, info, DATA)
    assert (root / ".hubferry" / "blobs" / blob.sha256.hex).is_file()
    changes: list[CommitChange] = [
        AddBlob("w/a.bin", blob),
        AddBlob("w/b.bin", blob),
        inline("c/d/e.txt", b"e"),
    ]
    hub.commit(info, changes, "message")
    assert sorted(p.relative_to(root).as_posix() for p in root.rglob("*")) == [
        *("c", "c/d", "c/d/e.txt", "w", "w/a.bin", "w/b.bin")
    ]
    assert (root / "w/a.bin").read_bytes() == (root / "w/b.bin").read_bytes() == DATA
    assert (root / "w/a.bin").stat().st_ino != (root / "w/b.bin").stat().st_ino


def test_content_already_in_the_folder_is_not_asked_for(
    hub: LocalHub, info: RepoInfo, root: Path
) -> None:
    (root / "old.bin").write_bytes(DATA)
    os.utime(root / "old.bin", (1, 1))
    hub.list_files(info)
    blob = blob_of(DATA)
    assert hub.missing_blobs(info, [blob]) == {}
    # The old holder goes in the same commit: the content must be saved first.
    hub.commit(info, [Delete("old.bin"), AddBlob("new.bin", blob)], "rename")
    assert paths(hub, info) == ["new.bin"]
    assert (root / "new.bin").read_bytes() == DATA


def test_content_that_changed_is_asked_for(hub: LocalHub, info: RepoInfo, root: Path) -> None:
    (root / "old.bin").write_bytes(DATA)
    os.utime(root / "old.bin", (1, 1))
    hub.list_files(info)
    (root / "old.bin").write_bytes(DATA[::-1])
    assert blob_of(DATA).sha256 in hub.missing_blobs(info, [blob_of(DATA)])


def test_a_blob_that_is_gone_stops_the_commit_before_any_change(
    hub: LocalHub, info: RepoInfo, root: Path
) -> None:
    (root / "keep").write_bytes(b"keep")
    with pytest.raises(LocalError):
        hub.commit(info, [Delete("keep"), AddBlob("x", blob_of(DATA))], "no")
    assert (root / "keep").is_file()


def test_deleting_takes_emptied_folders_along(hub: LocalHub, info: RepoInfo, root: Path) -> None:
    hub.commit(info, [inline("a/b/c.txt", b"c"), inline("a/d.txt", b"d")], "first")
    hub.commit(info, [Delete("a/b/c.txt"), Delete("never/there")], "second")
    assert sorted(p.name for p in root.rglob("*")) == ["a", "d.txt"]
    hub.commit(info, [Delete("a/d.txt"), inline("a", b"now a file")], "third")
    assert (root / "a").read_bytes() == b"now a file"


@pytest.mark.parametrize("path", ["../up", "/abs", "a/../b", ".git/hooks/x", ".hubferry/x"])
def test_a_commit_never_writes_outside_or_into_tools_files(
    hub: LocalHub, info: RepoInfo, root: Path, path: str
) -> None:
    for change in (inline(path, b"x"), AddBlob(path, put(hub, info, DATA))):
        with pytest.raises(RefusedError):
            hub.commit(info, [inline("good", b"x"), change], "no")
    assert not (root / "good").exists()


def test_a_commit_does_not_follow_links_out_of_the_folder(
    hub: LocalHub, info: RepoInfo, root: Path
) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"precious")
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "precious")
    with pytest.raises(RefusedError):
        hub.commit(info, [inline("link/precious", b"x")], "no")
    with pytest.raises(RefusedError):
        hub.commit(info, [Delete("link/precious")], "no")
    hub.commit(info, [inline("file", b"mine")], "the link itself is replaced")
    assert (outside / "precious").read_bytes() == b"precious"
    assert (root / "file").read_bytes() == b"mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device to write to")
def test_a_full_disk_has_its_own_error(
    hub: LocalHub, info: RepoInfo, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "_opened", lambda place: io.FileIO("/dev/full", "w"))
    with pytest.raises(NoSpaceError):
        put(hub, info, DATA)
    assert blob_of(DATA).sha256 in hub.missing_blobs(info, [blob_of(DATA)])


def test_a_blob_larger_than_the_disk_is_refused_at_once(
    hub: LocalHub, info: RepoInfo, root: Path
) -> None:
    huge = Blob(Sha256("ab" * 32), 1 << 60)
    ticket = hub.missing_blobs(info, [huge])[huge.sha256]
    with pytest.raises(NoSpaceError):
        hub.put_blob(info, ticket, Body(b""))


def test_what_killed_processes_left_is_tidied_up(hub: LocalHub, info: RepoInfo, root: Path) -> None:
    (root / ".hubferry").mkdir()
    (root / ".hubferry" / "1-0.part").write_bytes(b"half")
    hub.commit(info, [inline("a", b"a")], "first")
    assert not (root / ".hubferry").exists()


def test_a_stop_is_heard_while_hashing_and_writing(tmp_path: Path) -> None:
    cancel = CancelToken()
    hub = LocalHub(cancel=cancel)
    repo = RepoId("file", str(tmp_path))
    info = hub.resolve(repo, None)
    (tmp_path / "a").write_bytes(DATA)
    cancel.cancel()
    with pytest.raises(CancelledError):
        hub.list_files(info)
    with pytest.raises(CancelledError):
        hub.commit(info, [inline("b", b"b")], "no")
    assert not (tmp_path / "b").exists()


def test_write_access_is_what_the_file_system_says(hub: LocalHub, tmp_path: Path) -> None:
    assert hub.write_access(RepoId("file", str(tmp_path / "not" / "yet"))) is Access.YES
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(LocalError, match="cannot be written to"):
        hub.write_access(RepoId("file", str(tmp_path / "file" / "below")))


@pytest.mark.parametrize(
    ("path", "is_windows", "is_fine"),
    [
        ("a/b.txt", True, True),
        ("a\\b.txt", False, True),
        ("a\\b.txt", True, False),
        ("what?.txt", True, False),
        ("what?.txt", False, True),
        ("sub/con.txt", True, False),
        ("console.txt", True, True),
        ("dot.", True, False),
        ("x" * 255, False, True),
        ("x" * 256, False, False),
        ("ü" * 128, False, False),
        (".hubferry/x", False, False),
        ("sub/.hubferry", False, True),
    ],
)
def test_names_a_file_system_cannot_hold(path: str, is_windows: bool, is_fine: bool) -> None:
    assert (names.name_problem(path, is_windows=is_windows) is None) is is_fine


def test_case_collisions_matter_where_case_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = ["a/B.txt", "a/b.txt", "c"]
    monkeypatch.setattr(names, "ignores_case", lambda folder: True)
    assert [item.path for item in names.collisions(tmp_path, pair)] == ["a/b.txt"]
    hub = LocalHub(cancel=CancelToken())
    info = hub.resolve(RepoId("file", str(tmp_path)), None)
    with pytest.raises(RefusedError):
        hub.commit(info, [inline(path, b"x") for path in pair], "no")
    monkeypatch.setattr(names, "ignores_case", lambda folder: False)
    assert names.collisions(tmp_path, pair) == ()
    hub.commit(info, [inline(path, b"x") for path in pair], "yes")
    assert paths(hub, info) == sorted(pair)


def test_the_probe_for_case_agrees_with_the_file_system(tmp_path: Path) -> None:
    (tmp_path / "probe").write_bytes(b"x")
    assert names.ignores_case(tmp_path) == (tmp_path / "PROBE").exists()
