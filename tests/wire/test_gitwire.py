"""Git's wire protocol: packets, the advertisement, the answer to a fetch."""

from __future__ import annotations

import pytest

from hubferry.errors import HubError, ProtocolError, UnavailableError
from hubferry.hubs.huggingface.gitwire import (
    ADVERTISEMENT_TYPE,
    GarbledError,
    check_advertisement,
    fetch_request,
    pack_data,
    packet,
    packets,
)

OID = "ce013625030ba8dba906f756967f9e9ca394464a"
GOOD = (
    packet(b"# service=git-upload-pack\n")
    + b"0000"
    + packet(b"version 2\n")
    + packet(b"agent=git/2.39.5\n")
    + packet(b"ls-refs=unborn\n")
    + packet(b"fetch=shallow wait-for-done filter\n")
    + packet(b"object-format=sha1\n")
    + b"0000"
)


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def pack_of(answer: bytes) -> bytes:
    return b"".join(pack_data(packets([answer])))


def test_a_packet_counts_its_own_length() -> None:
    assert packet(b"want\n") == b"0009want\n"
    assert packet(b"") == b"0004"


def test_a_request_wants_each_blob_and_is_done() -> None:
    assert list(packets([fetch_request([OID])])) == [
        b"command=fetch\n",
        None,
        b"ofs-delta\n",
        b"no-progress\n",
        f"want {OID}\n".encode(),
        b"done\n",
        None,
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_packets_come_out_the_same_however_they_arrive(size: int) -> None:
    data = b"0000" + packet(b"one") + b"0001" + packet(b"") + b"0002" + packet(b"x" * 300)
    found = list(packets(in_pieces(data, size)))
    assert found == [None, b"one", None, b"", None, b"x" * 300]


@pytest.mark.parametrize("data", [b"0003", b"zzzzhello", b"+005x", b"0x05x", b"<!DOCTYPE html>"])
def test_a_length_that_is_none_is_garbled(data: bytes) -> None:
    with pytest.raises(GarbledError):
        list(packets([data]))


@pytest.mark.parametrize("data", [b"00", b"000", b"0009wan"])
def test_a_packet_cut_short_is_a_drop(data: bytes) -> None:
    with pytest.raises(UnavailableError):
        list(packets([data]))


@pytest.mark.parametrize("body", [GOOD, GOOD[len(packet(b"# service=git-upload-pack\n")) + 4 :]])
def test_a_server_of_version_2_is_taken(body: bytes) -> None:
    check_advertisement(ADVERTISEMENT_TYPE, body)
    check_advertisement(f"{ADVERTISEMENT_TYPE}; charset=utf-8", body)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", GOOD),
        ("", GOOD),
        (ADVERTISEMENT_TYPE, b""),
        (ADVERTISEMENT_TYPE, b"<html>hello</html>"),
        (ADVERTISEMENT_TYPE, GOOD.replace(b"version 2", b"version 1")),
        (ADVERTISEMENT_TYPE, GOOD.replace(b"fetch=", b"fotch=")),
        (ADVERTISEMENT_TYPE, GOOD.replace(b"=sha1", b"=sha9")),
        (
            ADVERTISEMENT_TYPE,
            packet(b"# service=git-upload-pack\n") + b"0000" + packet(b"%b HEAD\0multi_ack" % b"0"),
        ),
    ],
)
def test_any_other_server_is_not(content_type: str, body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_advertisement(content_type, body)
    assert not isinstance(caught.value, GarbledError)


def test_the_pack_is_what_comes_on_the_first_band() -> None:
    answer = (
        packet(b"packfile\n")
        + packet(b"\x02Enumerating objects: 1\r")
        + packet(b"\x01PACK")
        + packet(b"\x01")
        + packet(b"\x01rest")
        + b"0000"
    )
    assert pack_of(answer) == b"PACKrest"


def test_sections_before_the_pack_are_passed_over() -> None:
    assert pack_of(packet(b"wanted-refs\n") + packet(b"packfile\n") + b"0000") == b""


@pytest.mark.parametrize(
    "answer",
    [
        packet(b"ERR upload-pack: not our ref 0123"),
        packet(b"packfile\n") + packet(b"\x01PACK") + packet(b"\x03upload-pack: not our ref 0123"),
        packet(b"packfile\n") + packet(b"ERR upload-pack: not our ref 0123"),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(answer: bytes) -> None:
    with pytest.raises(HubError, match="not our ref 0123") as caught:
        pack_of(answer)
    assert not isinstance(caught.value, GarbledError | UnavailableError)


@pytest.mark.parametrize(
    "answer",
    [
        b"0000",
        packet(b"packfile\n") + packet(b"\x07what?") + b"0000",
        packet(b"packfile\n") + packet(b"") + b"0000",
    ],
)
def test_what_is_no_answer_to_a_fetch_is_garbled(answer: bytes) -> None:
    with pytest.raises(GarbledError):
        pack_of(answer)


@pytest.mark.parametrize("rest", [b"", b"0009\x01", packet(b"\x01PACK")])
def test_an_answer_without_an_end_is_a_drop(rest: bytes) -> None:
    with pytest.raises(UnavailableError):
        pack_of(packet(b"packfile\n") + rest)
    with pytest.raises(UnavailableError):
        pack_of(b"")
