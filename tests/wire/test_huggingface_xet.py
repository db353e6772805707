"""Reading through Xet storage: the real hf_xet against the lab, its faults, and the way back."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from tests.support.proxy import running_proxy

from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.errors import (
    CancelledError,
    CopyError,
    CorruptReadError,
    NotFoundError,
    TimedOutError,
    UnavailableError,
    UsageError,
)
from hubferry.hubs.base import ByteStream
from hubferry.hubs.huggingface import hub as hub_module
from hubferry.hubs.huggingface.hub import HuggingFaceHub
from hubferry.hubs.huggingface.transport import Transport
from hubferry.hubs.huggingface.xet import XetLimits, XetReader
from hubferry.hubs.huggingface.xet_token import TokenCache
from hubferry.lab.config import LabConfig
from hubferry.lab.content import BytesContent, Content, SyntheticContent
from hubferry.lab.faults import Fault
from hubferry.lab.repos import Seed
from hubferry.lab.server import Lab
from hubferry.model import FileEntry, RepoId, RepoInfo
from hubferry.net.config import HttpConfig
from hubferry.net.secret import Secret
from hubferry.stream import CheckedBody, Expected, ResumingReader, SerialBlocks

MIB = 1 << 20
REPO = RepoId("hf", "your-org/xet")
BIG = SyntheticContent(70 * MIB + 4321, "two xorbs")
SMALL = BytesContent(b"not even one chunk")
FILES: dict[str, Seed] = {
    "big.bin": BIG,
    "small.bin": SMALL,
    "empty.bin": b"",
    "config.json": b"{}",
}
LIMITS = XetLimits(stall_seconds=1.5)


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab(getattr(request, "param", None)) as running:
        running.hf.repos.create("model", REPO.name, files=FILES)
        yield running


@pytest.fixture
def cancel() -> CancelToken:
    return CancelToken()


def patience(cancel: CancelToken) -> Patience:
    return Patience(cancel, WaitBudget(5), attempts=3, base_seconds=0.01)


def make_hub(
    lab: Lab, cancel: CancelToken, transport: Transport, proxy: str = "direct"
) -> HuggingFaceHub:
    return HuggingFaceHub(
        endpoint=lab.hf.endpoint,
        token=Secret(lab.hf.token),
        proxy=proxy,
        cancel=cancel,
        patience=lambda: patience(cancel),
        transport=transport,
    )


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams of every hub are given up after a moment of silence."""

    def make(tokens: TokenCache, http: HttpConfig, cancel: CancelToken) -> XetReader:
        return XetReader(tokens, http, cancel, LIMITS)

    monkeypatch.setattr(hub_module, "XetReader", make)


@pytest.fixture
def hub(lab: Lab, cancel: CancelToken, limits: None) -> Iterator[HuggingFaceHub]:
    """A hub that must read through Xet."""
    made = make_hub(lab, cancel, Transport.XET)
    yield made
    made.close()


@pytest.fixture
def auto_hub(
    lab: Lab, cancel: CancelToken, limits: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HuggingFaceHub]:
    """A hub that may choose, and chooses Xet for ``big.bin``."""
    monkeypatch.setattr("hubferry.hubs.huggingface.transport.HUGE_BYTES", 65 * MIB)
    made = make_hub(lab, cancel, Transport.AUTO)
    yield made
    made.close()


def found(hub: HuggingFaceHub, path: str) -> tuple[RepoInfo, FileEntry]:
    info = hub.resolve(REPO, None)
    return info, hub.list_files(info).by_path[path]


def open_file(hub: HuggingFaceHub, path: str, start: int = 0, end: int | None = None) -> ByteStream:
    return hub.open(*found(hub, path), start, end)


def digest_of(stream: ByteStream) -> tuple[int, str]:
    digest, count, buffer = hashlib.sha256(), 0, memoryview(bytearray(MIB))
    while got := stream.readinto(buffer):
        digest.update(buffer[:got])
        count += got
    stream.close()
    return count, digest.hexdigest()


def part_of(content: Content, start: int, end: int) -> tuple[int, str]:
    return end - start, hashlib.sha256(content.read(start, end)).hexdigest()


def went_over_http(lab: Lab) -> bool:
    return lab.counters.requests("hf.cdn") > 0


@pytest.mark.parametrize(("path", "content"), [("big.bin", BIG), ("small.bin", SMALL)])
def test_a_whole_file_comes_through_xet(
    lab: Lab, hub: HuggingFaceHub, path: str, content: Content
) -> None:
    assert digest_of(open_file(hub, path)) == (content.size, content.sha256)
    assert not went_over_http(lab)
    assert lab.counters.requests("xet.token") == 1
    assert lab.counters.requests("xet.telemetry") == 0


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, 1),
        (5, 5 + 9 * MIB),
        (64 * MIB - 3, 64 * MIB + 3),
        (BIG.size - 1, BIG.size),
        (60 * MIB + 1, None),
    ],
)
def test_any_range_comes_through_xet(
    lab: Lab, hub: HuggingFaceHub, start: int, end: int | None
) -> None:
    stream = open_file(hub, "big.bin", start, end)
    assert digest_of(stream) == part_of(BIG, start, end or BIG.size)
    assert not went_over_http(lab)


def test_nothing_is_read_past_the_end_and_files_without_xet_come_over_http(
    lab: Lab, hub: HuggingFaceHub
) -> None:
    assert digest_of(open_file(hub, "big.bin", BIG.size))[0] == 0
    assert digest_of(open_file(hub, "empty.bin"))[0] == 0
    assert digest_of(open_file(hub, "config.json"))[0] == 2
    assert lab.counters.requests("xet.token") == 0


def test_tokens_go_where_they_belong_and_are_fetched_once(lab: Lab, hub: HuggingFaceHub) -> None:
    digest_of(open_file(hub, "small.bin"))
    digest_of(open_file(hub, "big.bin"))
    assert lab.counters.requests("xet.token") == 1
    assert lab.counters.token_origins(lab.hf.token) == {"hf.api"}
    tokens = [token for token in lab.counters.snapshot()["tokens"] if token.count(".") == 2]
    assert len(tokens) == 1
    assert lab.counters.token_origins(tokens[0]) == {"xet.cas"}


@pytest.mark.parametrize("lab", [LabConfig(xet_token_seconds=62)], indirect=True)
def test_a_token_about_to_expire_is_replaced(
    lab: Lab, hub: HuggingFaceHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest_of(open_file(hub, "small.bin"))
    monkeypatch.setattr("hubferry.hubs.huggingface.xet_token.SPARE_SECONDS", 63.0)
    digest_of(open_file(hub, "small.bin"))
    assert lab.counters.requests("xet.token") > 1


def test_a_refused_token_is_replaced_once(lab: Lab, hub: HuggingFaceHub) -> None:
    lab.faults.add(Fault("xet.reconstruction", "status", status=401, times=1))
    assert digest_of(open_file(hub, "small.bin")) == (SMALL.size, SMALL.sha256)
    assert lab.counters.requests("xet.token") == 2
    lab.faults.add(Fault("xet.reconstruction", "status", status=401, times=None))
    with pytest.raises(UnavailableError):
        digest_of(open_file(hub, "small.bin"))
    assert lab.counters.requests("xet.token") == 3


@pytest.mark.parametrize("endpoint", ["xet.reconstruction", "xet.xorb"])
@pytest.mark.parametrize("status", [404, 503])
def test_a_storage_without_the_file_is_never_an_end_of_it(
    lab: Lab, hub: HuggingFaceHub, endpoint: str, status: int
) -> None:
    """hf_xet ends many such streams without a word: each try must be an error here."""
    lab.faults.add(Fault(endpoint, "status", status=status, times=None))
    for _ in range(10 if status == 404 else 1):
        stream = open_file(hub, "small.bin")
        with pytest.raises(UnavailableError) as caught:
            digest_of(stream)
        assert "/xorbs/" not in str(caught.value)
        stream.close()


def checked_read(hub: HuggingFaceHub, path: str, cancel: CancelToken) -> str:
    """As the core reads: resumed, counted, hashed."""
    info, entry = found(hub, path)
    expected = Expected(path, entry.size_bytes, entry.sha256)

    def reader() -> ResumingReader:
        open_at = partial(hub.open, info, entry)
        return ResumingReader(open_at, entry.size_bytes, patience(cancel))

    body = CheckedBody(expected, lambda: SerialBlocks(reader(), entry.size_bytes))
    digest = hashlib.sha256()
    with body.chunks() as chunks:
        for chunk in chunks:
            digest.update(chunk)
    return digest.hexdigest()


def test_a_corrupted_xorb_never_passes_for_good(
    lab: Lab, hub: HuggingFaceHub, cancel: CancelToken
) -> None:
    lab.faults.add(Fault("xet.xorb", "corrupt", times=None, fraction=0.3))
    with pytest.raises(CorruptReadError):
        checked_read(hub, "big.bin", cancel)


@pytest.mark.parametrize("kind", ["reset", "truncate"])
def test_a_cut_xorb_is_read_again(
    lab: Lab, hub: HuggingFaceHub, cancel: CancelToken, kind: Any
) -> None:
    lab.faults.add(Fault("xet.xorb", kind))
    # hf_xet waits three seconds before it asks again.
    assert checked_read(hub, "big.bin", cancel) == BIG.sha256


def test_a_stalled_storage_is_given_up_and_opened_anew_at_the_offset(
    lab: Lab, hub: HuggingFaceHub, cancel: CancelToken
) -> None:
    lab.faults.add(Fault("xet.xorb", "stall", after=3, times=2))
    assert checked_read(hub, "big.bin", cancel) == BIG.sha256
    assert lab.faults.snapshot()[0]["struck"] == 2
    lab.faults.clear()
    lab.faults.add(Fault("xet.xorb", "stall", times=None))
    stream = open_file(hub, "big.bin")
    with pytest.raises(TimedOutError):
        digest_of(stream)
    with pytest.raises(UnavailableError):
        stream.readinto(memoryview(bytearray(1)))


def blocked_read(lab: Lab, hub: HuggingFaceHub) -> tuple[ByteStream, threading.Thread, list[Any]]:
    """A thread that reads from a storage which never answers."""
    lab.faults.add(Fault("xet.xorb", "stall", times=None))
    stream = open_file(hub, "big.bin")
    ended: list[Any] = []

    def read() -> None:
        try:
            ended.append(stream.readinto(memoryview(bytearray(1))))
        except CopyError as error:
            ended.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    return stream, thread, ended


@pytest.mark.parametrize("closes", ["stream", "hub"])
def test_a_blocked_read_is_woken_by_closing(lab: Lab, hub: HuggingFaceHub, closes: str) -> None:
    stream, thread, ended = blocked_read(lab, hub)
    (stream if closes == "stream" else hub).close()
    thread.join(10)
    assert isinstance(ended[0], UnavailableError)
    stream.close()


def test_a_blocked_read_is_woken_by_a_stop(
    lab: Lab, hub: HuggingFaceHub, cancel: CancelToken
) -> None:
    stream, thread, ended = blocked_read(lab, hub)
    cancel.cancel()
    thread.join(10)
    assert isinstance(ended[0], CancelledError)
    stream.close()


def test_a_hub_without_the_token_route_is_told_of_where_xet_was_asked_for(
    lab: Lab, hub: HuggingFaceHub
) -> None:
    lab.faults.add(Fault("xet.token", "status", status=404, times=None))
    with pytest.raises(NotFoundError):
        open_file(hub, "big.bin")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("xet.token", "status", status=404, times=None),
        Fault("xet.token", "status", status=503, times=None),
        Fault("xet.token", "empty", times=None),
    ],
)
def test_a_mirror_without_xet_is_read_over_http(
    lab: Lab, auto_hub: HuggingFaceHub, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    lab.faults.add(fault)
    info, entry = found(auto_hub, "big.bin")
    assert not auto_hub.reads_ranges(entry)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert digest_of(auto_hub.open(info, entry)) == (BIG.size, BIG.sha256)
    assert len(caplog.records) == 1
    assert lab.counters.requests("xet.token") == 1
    assert auto_hub.reads_ranges(entry)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("xet.reconstruction", "status", status=404, times=None),
        Fault("xet.xorb", "stall", times=None, after=2),
    ],
)
def test_a_file_goes_on_over_http_where_xet_failed(
    lab: Lab,
    auto_hub: HuggingFaceHub,
    cancel: CancelToken,
    fault: Fault,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lab.faults.add(fault)
    with caplog.at_level(logging.WARNING):
        assert checked_read(auto_hub, "big.bin", cancel) == BIG.sha256
    assert went_over_http(lab)
    assert len(caplog.records) == 1
    assert lab.counters.bytes_out("hf.cdn") <= BIG.size


def test_wrong_bytes_through_xet_are_read_again_over_http(
    lab: Lab, auto_hub: HuggingFaceHub, cancel: CancelToken
) -> None:
    lab.faults.add(Fault("xet.xorb", "corrupt", times=None, fraction=0.3))
    with pytest.raises(CorruptReadError):
        checked_read(auto_hub, "big.bin", cancel)
    assert not went_over_http(lab)
    assert checked_read(auto_hub, "big.bin", cancel) == BIG.sha256
    assert went_over_http(lab)


def test_closing_a_stream_is_no_failure_of_xet(
    lab: Lab, auto_hub: HuggingFaceHub, caplog: pytest.LogCaptureFixture
) -> None:
    stream, thread, ended = blocked_read(lab, auto_hub)
    stream.close()
    thread.join(10)
    assert isinstance(ended[0], UnavailableError)
    assert not caplog.records
    lab.faults.clear()
    assert digest_of(open_file(auto_hub, "big.bin")) == (BIG.size, BIG.sha256)
    assert not went_over_http(lab)


def test_http_means_never_xet(lab: Lab, cancel: CancelToken) -> None:
    hub = make_hub(lab, cancel, Transport.HTTP)
    info, entry = found(hub, "big.bin")
    assert hub.reads_ranges(entry)
    assert digest_of(hub.open(info, entry)) == (BIG.size, BIG.sha256)
    assert lab.counters.requests("xet.token") == 0
    hub.close()


def test_a_proxy_that_hf_xet_would_not_take_rules_it_out(lab: Lab, cancel: CancelToken) -> None:
    with running_proxy() as proxy:
        hub = make_hub(lab, cancel, Transport.XET, proxy.url)
        with pytest.raises(UsageError):
            open_file(hub, "big.bin")
        hub.close()


def test_xet_switched_off_for_the_official_client_is_off_here_too(
    lab: Lab, cancel: CancelToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with pytest.raises(UsageError) as caught:
        make_hub(lab, cancel, Transport.XET)
    assert "HF_HUB_DISABLE_XET" in str(caught.value)
    make_hub(lab, cancel, Transport.AUTO).close()


def test_without_hf_xet_asking_for_it_is_a_mistake_and_auto_means_http(
    lab: Lab, cancel: CancelToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubferry.hubs.huggingface.xet.find_spec", lambda name: None)
    monkeypatch.setattr("hubferry.hubs.huggingface.transport.HUGE_BYTES", 65 * MIB)
    with pytest.raises(UsageError) as caught:
        make_hub(lab, cancel, Transport.XET)
    assert "pip install" in str(caught.value.hint)
    hub = make_hub(lab, cancel, Transport.AUTO)
    info, entry = found(hub, "big.bin")
    assert hub.reads_ranges(entry)
    assert digest_of(hub.open(info, entry)) == (BIG.size, BIG.sha256)
    hub.close()
