"""What every hub promises to the core, asked of every hub.

The memory hub is the reference. A new hub adds a line to ``HUBS`` in conftest.
"""

from __future__ import annotations

import threading

import pytest

from hubferry.errors import AccessError, CopyError, CorruptReadError, HubError, NotFoundError
from hubferry.hubs.base import ByteStream, SourceHub, TargetHub, UploadTicket
from hubferry.model import (
    Access,
    AddBlob,
    Delete,
    FileEntry,
    RepoInfo,
    Visibility,
    path_problem,
)

from .conftest import FILES, WEIGHTS, Body, Ground, blob_of, git_oid_of, inline, sha256_of

WEIGHTS_PATH = "weights/model.safetensors"


def read_all(stream: ByteStream, piece_bytes: int = 100_000) -> bytes:
    buffer, parts = memoryview(bytearray(piece_bytes)), bytearray()
    try:
        while count := stream.readinto(buffer):
            parts += buffer[:count]
    finally:
        stream.close()
    return bytes(parts)


def source_info(ground: Ground) -> RepoInfo:
    return ground.hub.resolve(ground.source, None)


def entry_of(ground: Ground, path: str) -> FileEntry:
    return ground.hub.list_files(source_info(ground)).by_path[path]


def new_repo(ground: Ground) -> RepoInfo:
    ground.hub.create_repo(ground.fresh, Visibility.PRIVATE, "mit")
    return ground.hub.resolve(ground.fresh, None)


def listed(ground: Ground) -> dict[str, FileEntry]:
    """What the fresh repository holds now, without the files that the hub made itself."""
    info = ground.hub.resolve(ground.fresh, None)
    made = {".gitattributes", "README.md"}
    return {e.path: e for e in ground.hub.list_files(info).entries if e.path not in made}


def put(ground: Ground, info: RepoInfo, data: bytes) -> UploadTicket:
    ticket = ground.hub.missing_blobs(info, [blob_of(data)])[sha256_of(data)]
    ground.hub.put_blob(info, ticket, Body(data))
    return ticket


def test_a_hub_is_source_and_target(ground: Ground) -> None:
    source: SourceHub = ground.hub
    target: TargetHub = ground.hub
    assert source.traits is target.traits


def test_traits_are_constant_and_complete(ground: Ground) -> None:
    traits = ground.hub.traits
    assert traits.name == ground.source.hub
    assert traits.title
    assert traits.commit_max_changes > 1
    assert traits.blob_query_size > 1
    known = {"file_bytes", "files", "folder_files", "folder_listing", "regular_bytes"}
    assert {limit.kind for limit in traits.limits} <= known


def test_resolve_pins_what_the_traits_promise(ground: Ground) -> None:
    info = source_info(ground)
    assert info.repo == ground.source
    assert info.revision == ground.hub.traits.default_branch
    if ground.hub.traits.tells_head:
        assert info.commit
        assert ground.hub.resolve(ground.source, info.commit).commit == info.commit


def test_a_missing_repository_is_not_found(ground: Ground) -> None:
    with pytest.raises(NotFoundError) as caught:
        ground.hub.resolve(ground.fresh, None)
    assert caught.value.what == "repo"


def test_a_missing_revision_is_not_found(ground: Ground) -> None:
    with pytest.raises(NotFoundError) as caught:
        ground.hub.resolve(ground.source, "no-such-branch")
    assert caught.value.what == "revision"


def test_a_listing_is_complete_and_true(ground: Ground) -> None:
    listing = ground.hub.list_files(source_info(ground))
    found = {path: entry for path, entry in listing.by_path.items() if path in FILES}
    assert set(found) == set(FILES)
    assert not listing.doubtful_folders
    assert not listing.refused
    for path, entry in found.items():
        data = FILES[path]
        assert entry.size_bytes == len(data)
        assert entry.sha256 or entry.git_oid, path
        assert entry.sha256 in (None, sha256_of(data)), path
    assert found[WEIGHTS_PATH].sha256 == sha256_of(WEIGHTS)


def test_git_oids_are_of_the_content(ground: Ground) -> None:
    for entry in ground.hub.list_files(source_info(ground)).entries:
        if entry.path in FILES and entry.git_oid is not None:
            assert entry.git_oid == git_oid_of(FILES[entry.path]), entry.path


@pytest.mark.parametrize("path", FILES)
def test_every_file_reads_back(ground: Ground, path: str) -> None:
    stream = ground.hub.open(source_info(ground), entry_of(ground, path))
    assert read_all(stream) == FILES[path]


@pytest.mark.parametrize("path", ["README.md", WEIGHTS_PATH])
@pytest.mark.parametrize(("start", "end"), [(0, 5), (3, None), (3, 7), (0, None), (5, 5)])
def test_ranges_are_exact(ground: Ground, path: str, start: int, end: int | None) -> None:
    stream = ground.hub.open(source_info(ground), entry_of(ground, path), start, end)
    assert read_all(stream, piece_bytes=4) == FILES[path][start:end]


def test_a_range_at_the_end_is_empty(ground: Ground) -> None:
    entry = entry_of(ground, WEIGHTS_PATH)
    stream = ground.hub.open(source_info(ground), entry, entry.size_bytes)
    assert read_all(stream) == b""


def test_another_size_than_listed_is_corrupt(ground: Ground) -> None:
    if ground.source.hub == "memory":
        pytest.skip("the reference cannot disagree with itself")
    path = WEIGHTS_PATH
    wrong = FileEntry(path, 5_000_000, sha256=sha256_of(WEIGHTS))
    with pytest.raises(CorruptReadError):
        read_all(ground.hub.open(source_info(ground), wrong))


def test_close_is_safe_to_repeat_and_from_another_thread(ground: Ground) -> None:
    stream = ground.hub.open(source_info(ground), entry_of(ground, WEIGHTS_PATH))
    stream.readinto(memoryview(bytearray(100)))
    other = threading.Thread(target=stream.close)
    other.start()
    other.join(5)
    assert not other.is_alive()
    stream.close()


def test_single_paths_can_be_looked_at(ground: Ground) -> None:
    paths = ["README.md", "notes/empty.txt", WEIGHTS_PATH, "no/such.file"]
    found = ground.hub.stat_files(source_info(ground), paths)
    assert found["no/such.file"] is None
    for path in paths[:-1]:
        entry = found[path]
        assert entry is not None
        assert entry.path == path
        assert entry.size_bytes == len(FILES[path])
        assert entry.sha256 in (None, sha256_of(FILES[path]))
        assert entry.git_oid in (None, git_oid_of(FILES[path]))
        assert entry.sha256 or entry.git_oid


def test_creating_twice_is_fine(ground: Ground) -> None:
    first = new_repo(ground)
    assert new_repo(ground).repo == first.repo


@pytest.mark.parametrize("visibility", [Visibility.PUBLIC, Visibility.GATED, Visibility.UNKNOWN])
def test_only_public_becomes_public(ground: Ground, visibility: Visibility) -> None:
    ground.hub.create_repo(ground.fresh, visibility, None)
    found = ground.hub.resolve(ground.fresh, None).visibility
    assert (found is Visibility.PUBLIC) == (
        visibility is Visibility.PUBLIC and not ground.hub.traits.is_local
    )


def test_who_owns_a_namespace_is_not_told_no(ground: Ground) -> None:
    assert ground.hub.write_access(ground.fresh) is not Access.NO
    new_repo(ground)
    assert ground.hub.write_access(ground.fresh) is Access.YES


def test_a_token_that_may_only_read_is_not_told_yes(ground: Ground) -> None:
    if ground.open_with is None:
        pytest.skip("no tokens here")
    new_repo(ground)
    reader = ground.open_with(ground.read_token)
    assert reader.write_access(ground.fresh) is not Access.YES
    reader.close()


def test_a_blob_is_missing_until_it_is_put(ground: Ground) -> None:
    info = new_repo(ground)
    data = b"one blob " * 50_000 + ground.fresh.name.encode()
    blob = blob_of(data)
    missing = ground.hub.missing_blobs(info, [blob])
    assert set(missing) == {blob.sha256}
    ground.hub.put_blob(info, missing[blob.sha256], Body(data))
    assert ground.hub.missing_blobs(info, [blob]) == {}


def test_no_blobs_no_question(ground: Ground) -> None:
    assert ground.hub.missing_blobs(new_repo(ground), []) == {}


def test_an_upload_whose_source_fails_stores_nothing(ground: Ground) -> None:
    info = new_repo(ground)
    data = b"half a blob " * 50_000 + ground.fresh.name.encode()
    ticket = ground.hub.missing_blobs(info, [blob_of(data)])[sha256_of(data)]
    failure = CorruptReadError("the source sent other bytes")
    with pytest.raises(CorruptReadError) as caught:
        ground.hub.put_blob(info, ticket, Body(data, failure))
    assert caught.value is failure
    assert set(ground.hub.missing_blobs(info, [blob_of(data)])) == {sha256_of(data)}
    put(ground, info, data)
    assert ground.hub.missing_blobs(info, [blob_of(data)]) == {}


def test_a_commit_makes_every_kind_of_file(ground: Ground) -> None:
    info = new_repo(ground)
    big = b"weights " * 50_000 + ground.fresh.name.encode()
    put(ground, info, big)
    odd = "a b/ü+%25#&?=.txt"
    commit = ground.hub.commit(
        info,
        [
            AddBlob("weights/a.safetensors", blob_of(big)),
            AddBlob("weights/b.safetensors", blob_of(big)),
            inline(odd, b"odd"),
            inline("empty", b""),
        ],
        "first\n\nbody",
    )
    head = ground.hub.resolve(ground.fresh, None)
    assert not ground.hub.traits.tells_head or commit == head.commit
    found = listed(ground)
    assert set(found) == {"weights/a.safetensors", "weights/b.safetensors", odd, "empty"}
    assert found["weights/b.safetensors"].sha256 == sha256_of(big)
    for path, data in (("weights/a.safetensors", big), (odd, b"odd"), ("empty", b"")):
        assert read_all(ground.hub.open(head, found[path])) == data


def test_a_commit_replaces_and_deletes(ground: Ground) -> None:
    info = new_repo(ground)
    ground.hub.commit(info, [inline("a.txt", b"old"), inline("d/b.txt", b"b")], "first")
    info = ground.hub.resolve(ground.fresh, None)
    ground.hub.commit(info, [inline("a.txt", b"new"), Delete("d/b.txt")], "second")
    found = listed(ground)
    assert set(found) == {"a.txt"}
    head = ground.hub.resolve(ground.fresh, None)
    assert read_all(ground.hub.open(head, found["a.txt"])) == b"new"


def test_one_blob_serves_two_commits(ground: Ground) -> None:
    info = new_repo(ground)
    data = b"shared " * 50_000 + ground.fresh.name.encode()
    put(ground, info, data)
    ground.hub.commit(info, [AddBlob("a.bin", blob_of(data))], "first")
    info = ground.hub.resolve(ground.fresh, None)
    assert ground.hub.missing_blobs(info, [blob_of(data)]) == {}
    ground.hub.commit(info, [AddBlob("b.bin", blob_of(data))], "second")
    assert {entry.sha256 for entry in listed(ground).values()} == {sha256_of(data)}


def test_a_commit_naming_a_blob_nobody_stored_fails(ground: Ground) -> None:
    info = new_repo(ground)
    nothing = blob_of(b"never sent " + ground.fresh.name.encode())
    with pytest.raises(CopyError):
        ground.hub.commit(info, [AddBlob("ghost.bin", nothing)], "nothing")
    assert "ghost.bin" not in listed(ground)


def test_cards_and_empty_files_ride_inline(ground: Ground) -> None:
    assert ground.hub.wants_inline("some/file.txt", 0)
    if ground.hub.must_inline("README.md"):
        assert ground.hub.wants_inline("README.md", 10)
    assert not ground.hub.wants_inline("weights/model.safetensors", 50_000_000)


@pytest.mark.parametrize("path", ["a/b.txt", "Ü b.txt", "x" * 255])
def test_ordinary_paths_are_no_problem(ground: Ground, path: str) -> None:
    assert path_problem(path) is None
    assert ground.hub.path_problem(path) is None


def test_tags_can_be_repeated_where_they_exist(ground: Ground) -> None:
    info = new_repo(ground)
    ground.hub.commit(info, [inline("a.txt", b"a")], "first")
    info = ground.hub.resolve(ground.fresh, None)
    if not ground.hub.traits.can_tag:
        with pytest.raises(HubError):
            ground.hub.tag(info, "before-copy")
        return
    ground.hub.tag(info, "before-copy")
    ground.hub.tag(info, "before-copy")
    assert ground.hub.resolve(ground.fresh, "before-copy").revision == "before-copy"


def test_a_branch_can_be_told_from_a_tag(ground: Ground) -> None:
    info = new_repo(ground)
    if not ground.hub.list_files(info).entries:
        ground.hub.commit(info, [inline("a.txt", b"a")], "something to tag")
        info = ground.hub.resolve(ground.fresh, None)
    assert ground.hub.is_branch(info)
    if ground.hub.traits.can_tag:
        ground.hub.tag(info, "v1")
        assert not ground.hub.is_branch(ground.hub.resolve(ground.fresh, "v1"))


def test_where_the_token_comes_from_is_known_without_asking(ground: Ground) -> None:
    place, asked = ground.hub.token_place(), ground.hub.identity()
    assert place.user is None
    assert (place.endpoint, place.token_source, place.token_masked) == (
        asked.endpoint,
        asked.token_source,
        asked.token_masked,
    )


def test_an_unknown_token_is_an_access_error(ground: Ground) -> None:
    if ground.open_with is None:
        pytest.skip("no tokens here")
    canary = "hf_canary0123456789abcdefABCDEF"
    stranger = ground.open_with(canary)
    info = source_info(ground)
    with pytest.raises(AccessError) as caught:
        stranger.identity()
    assert canary not in f"{caught.value!r} {caught.value} {caught.value.hint}"
    with pytest.raises(AccessError):
        stranger.commit(info, [inline("a.txt", b"a")], "no")
    stranger.close()


def test_identity_names_the_token_but_does_not_show_it(ground: Ground) -> None:
    found = ground.hub.identity()
    if not ground.is_remote:
        return
    assert found.user == "lab-user"
    assert found.endpoint
    assert found.token_masked
    assert "…" in found.token_masked


def test_tickets_do_not_show_their_address(ground: Ground) -> None:
    info = new_repo(ground)
    data = b"hidden " * 50_000 + ground.fresh.name.encode()
    shown = repr(ground.hub.missing_blobs(info, [blob_of(data)]))
    assert "http" not in shown
