"""Heads of safetensors and GGUF files, good and hostile."""

from __future__ import annotations

import json
import struct
import tracemalloc

import numpy as np
import pytest
import safetensors as safetensors_library
from safetensors.numpy import save
from tests.unit.inspection.inspection_fakes import (
    Content,
    FakeHub,
    gguf,
    gguf_string,
    inspect_files,
    raw_safetensors,
    safetensors,
    told,
    weights,
)

from hubferry.inspection import Verdict

ONE = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def _header(text: str | bytes, data_bytes: int = 16) -> Content:
    return raw_safetensors(text.encode() if isinstance(text, str) else text, data_bytes)


def _tensors(**tensors: object) -> bytes:
    return json.dumps(tensors).encode()


def _one(**changes: object) -> bytes:
    return _tensors(a={**ONE, **changes})


GOOD: list[Content] = [
    _header(_one()),
    _header(_one() + b"   "),
    # The format's text asks for a brace first, its reader does not: such files load.
    _header(b" " + _one()),
    _header(_tensors(a=ONE, __metadata__={"format": "pt"})),
    _header(_tensors(b={**ONE, "data_offsets": [16, 32]}, a=ONE), 32),
    _header(_tensors(a={"dtype": "I64", "shape": [], "data_offsets": [0, 8]}), 8),
    _header(_tensors(a=ONE, empty={"dtype": "F16", "shape": [0, 9], "data_offsets": [16, 16]})),
    _header(_tensors(a={"dtype": "F4", "shape": [2, 4], "data_offsets": [0, 4]}), 4),
    _header("{}", 0),
    # A header longer than the first read.
    safetensors({f"layer.{n}.weight": ("F16", [2, 3]) for n in range(4000)}),
]


@pytest.mark.parametrize("content", GOOD)
def test_good_safetensors_files_are_whole(content: Content) -> None:
    assert inspect_files({"model.safetensors": content}).problems == ()


HOSTILE: dict[str, Content] = {
    "empty": b"",
    "too short": b"\x08\0\0",
    "huge length": (b"\xff" * 8 + b"{}", 4096),
    "length past the end": (struct.pack("<Q", 5000) + b"{}", 4096),
    "over the format's cap": (struct.pack("<Q", 100_000_001), 200_000_000),
    "not JSON": _header("{nonsense"),
    "a list": _header("[1, 2]"),
    "not UTF-8": _header(b'{"\xff\xfe":1}'),
    "deep": _header('{"a":' + "[" * 50_000 + "]" * 50_000 + "}"),
    "NaN": _header('{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,16]}}'),
    "infinite number": _header('{"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,16]}}'),
    "endless digits": _header('{"a":{"dtype":"F32","shape":[' + "9" * 20_000 + "]}}"),
    "duplicate tensor": _header('{"a":' + json.dumps(ONE) + ',"a":' + json.dumps(ONE) + "}"),
    "duplicate key": _header(
        '{"a":{"dtype":"F32","shape":[4],"shape":[2,2],"data_offsets":[0,16]}}'
    ),
    "negative offset": _header(_one(data_offsets=[-16, 0])),
    "backward offsets": _header(_one(data_offsets=[16, 0])),
    "float offset": _header(_one(data_offsets=[0.0, 16.0])),
    "true as offset": _header(_one(data_offsets=[False, 16])),
    "three offsets": _header(_one(data_offsets=[0, 16, 32])),
    "negative shape": _header(_one(shape=[-2, -2])),
    "shape overflow": _header(_one(shape=[2**32, 2**32])),
    "long shape": _header(_one(shape=[2**60] * 5000)),
    "shape does not fit": _header(_one(shape=[3, 2])),
    "bits do not fill bytes": _header(_one(dtype="F4", shape=[3], data_offsets=[0, 1]), 1),
    "no dtype": _header(_tensors(a={"shape": [4], "data_offsets": [0, 16]})),
    "tensor is no object": _header(_tensors(a=[1, 2])),
    "metadata is no map of strings": _header(_tensors(a=ONE, __metadata__={"a": 1})),
    "gap": _header(_tensors(a=ONE, b={**ONE, "data_offsets": [20, 36]}), 36),
    "overlap": _header(_tensors(a=ONE, b={**ONE, "data_offsets": [8, 24]}), 24),
    "gap at the start": _header(_one(data_offsets=[4, 20]), 20),
    "cut short": _header(_one(), 12),
    "trailing bytes": _header(_one(), 17),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_bad_safetensors_file_is_broken_and_says_why(case: str) -> None:
    report = inspect_files({"model.safetensors": HOSTILE[case]})
    assert told(report) == [("broken", "model.safetensors")]
    assert report.verdict is Verdict.INCOMPLETE
    assert report.parameters is None
    assert len(str(report.problems[0].message)) < 400


def test_unknown_dtype_and_too_long_header_are_not_checked_rather_than_broken() -> None:
    unknown = _header(_one(dtype="F2_NEW"))
    long = (struct.pack("<Q", 30_000_000) + b"{", 40_000_000)
    for content in (unknown, long):
        report = inspect_files({"model.safetensors": content})
        assert told(report) == [("warning", "model.safetensors")]
        assert report.verdict is Verdict.UNKNOWN
        assert not report.is_complete


@pytest.mark.parametrize("piece", [b"[],", b"{},", b'"":0,', b"257,"])
def test_header_bomb_does_not_blow_up_memory(piece: bytes) -> None:
    size = 6_000_000
    body = b'{"a":[' + piece * (size // len(piece)) + b"0]}"
    content = raw_safetensors(body, 0)
    tracemalloc.start()
    report = inspect_files({"model.safetensors": content})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.verdict is not Verdict.COMPLETE
    # The fake's own copies of the file are in this too.
    assert peak < 10 * size


def _gguf_head(tensors: int, pairs: int, body: bytes = b"", version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs) + body


def _tensor(name: str, dims: list[int], kind: int, offset: int) -> bytes:
    head = gguf_string(name) + struct.pack("<I", len(dims))
    return head + struct.pack(f"<{len(dims)}Q", *dims) + struct.pack("<IQ", kind, offset)


def test_good_gguf_is_counted_by_type() -> None:
    content = gguf(
        [("a", [256, 4], 12, 576), ("b", [7], 0, 28), ("c", [32], 8, 34)],
        {"general.architecture": "llama", "tokenizer.chat_template": "{{ x }}", "n": 3},
    )
    report = inspect_files({"model-Q4_K_M.gguf": content})
    assert report.problems == ()
    assert report.parameters == 1024 + 7 + 32
    assert report.dtypes == {"Q4_K": 1024, "Q8_0": 32, "F32": 7}
    assert report.has_chat_template is True


def test_big_endian_gguf_is_read() -> None:
    head = b"GGUF" + struct.pack(">IQQ", 3, 1, 0)
    head += struct.pack(">Q", 1) + b"a" + struct.pack(">IQIQ", 1, 8, 0, 0)
    report = inspect_files({"m.gguf": (head, 64 + 32 + 32)})
    assert report.parameters == 8
    assert not [p for p in report.problems if p.severity != "warning"]


BAD_GGUF: dict[str, Content] = {
    "not GGUF": b"GGML" + b"\0" * 100,
    "short": b"GGUF\3\0\0\0",
    "pairs past the end": _gguf_head(0, 2**63, b"\0" * 20_000),
    "tensors past the end": _gguf_head(2**63, 0) + b"\0" * 20_000,
    "huge name": _gguf_head(0, 1, struct.pack("<Q", 2**62)) + b"\0" * 200,
    "huge string": _gguf_head(0, 1, gguf_string("k") + struct.pack("<IQ", 8, 2**63)) + b"\0" * 99,
    "huge array": _gguf_head(0, 1, gguf_string("k") + struct.pack("<IIQ", 9, 6, 2**61))
    + b"\0" * 99,
    "huge string array": _gguf_head(0, 1, gguf_string("k") + struct.pack("<IIQ", 9, 8, 2**61))
    + b"\0" * 99,
    "nested arrays": _gguf_head(
        0, 1, gguf_string("k") + b"".join(struct.pack("<IQ", 9, 1) for _ in range(50))
    )
    + b"\0" * 999,
    "unknown kind": _gguf_head(0, 1, gguf_string("k") + struct.pack("<I", 77)) + b"\0" * 99,
    "name not UTF-8": _gguf_head(0, 1, struct.pack("<Q", 2) + b"\xff\xfe") + b"\0" * 99,
    "alignment zero": gguf([], {"general.alignment": 0}),
    "alignment three": gguf([], {"general.alignment": 3}),
    "many dimensions": _gguf_head(1, 0, gguf_string("t") + struct.pack("<I", 2**31)) + b"\0" * 99,
    "shape overflow": _gguf_head(1, 0, _tensor("t", [2**40, 2**40], 0, 0)) + b"\0" * 99,
    "row is no whole blocks": _gguf_head(1, 0, _tensor("t", [33], 8, 0)) + b"\0" * 99,
    "gap": _gguf_head(2, 0, _tensor("a", [8], 0, 0) + _tensor("b", [8], 0, 64)) + b"\0" * 200,
    "overlap": _gguf_head(2, 0, _tensor("a", [16], 0, 0) + _tensor("b", [8], 0, 32)) + b"\0" * 200,
    "same name twice": _gguf_head(2, 0, _tensor("a", [8], 0, 0) + _tensor("a", [8], 0, 32))
    + b"\0" * 200,
    "cut short": gguf([("a", [1000], 0, 4000)], short_by=1),
    "huge offset": _gguf_head(1, 0, _tensor("a", [8], 0, 2**64 - 1)) + b"\0" * 99,
}


@pytest.mark.parametrize("case", BAD_GGUF)
def test_bad_gguf_is_broken_and_says_why(case: str) -> None:
    report = inspect_files({"m.gguf": BAD_GGUF[case]})
    assert told(report) == [("broken", "m.gguf")]
    assert report.has_chat_template is None


@pytest.mark.parametrize(
    "content",
    [
        _gguf_head(0, 0, version=1) + b"\0" * 99,
        _gguf_head(1, 0, _tensor("a", [8], 999, 0)) + b"\0" * 99,
    ],
)
def test_unknown_gguf_version_or_type_is_not_checked(content: Content) -> None:
    assert told(inspect_files({"m.gguf": content})) == [("warning", "m.gguf")]


def test_trailing_bytes_of_a_gguf_are_a_warning() -> None:
    report = inspect_files({"m.gguf": gguf([("a", [8], 0, 32)], short_by=-64)})
    assert told(report) == [("warning", "m.gguf")]
    assert report.verdict is Verdict.COMPLETE


VOCABULARY = [f"token-{n:07d}" for n in range(100_000)]


def _with_vocabulary(kind: int, size: int, vocabulary: list[str]) -> Content:
    pairs = {
        "general.architecture": "llama",
        "tokenizer.ggml.tokens": vocabulary,
        "tokenizer.ggml.scores": [0.5] * 60_000,
        "general.file_type": kind,
        "tokenizer.chat_template": "{{ x }}",
    }
    return gguf([("a", [256, 1000], kind, size)], pairs)


def test_vocabulary_shared_by_many_quantisations_is_read_once() -> None:
    files = {
        "m-q8_0.gguf": _with_vocabulary(8, 272_000, VOCABULARY),
        "m-q4_0.gguf": _with_vocabulary(2, 144_000, VOCABULARY),
        "m-q4_k.gguf": _with_vocabulary(12, 144_000, VOCABULARY),
    }
    hub = FakeHub(files)
    report = inspect_files(files, hub=hub)
    assert report.problems == ()
    spent = [
        sum(end - start for path, start, end in hub.reads if path == name) for name in sorted(files)
    ]
    assert max(spent) > 2_000_000
    assert sorted(spent)[1] < 300_000
    assert report.traffic_bytes == sum(spent)
    assert report.parameters == 256_000


def test_vocabulary_that_only_looks_shared_is_read_anyway() -> None:
    longer = [*VOCABULARY[:-1], "a much longer last token"]
    files = {
        "a.gguf": _with_vocabulary(8, 272_000, VOCABULARY),
        "b.gguf": _with_vocabulary(8, 272_000, longer),
        "c.gguf": _with_vocabulary(8, 272_000, [*VOCABULARY[:-1], ""]),
    }
    report = inspect_files(files)
    assert report.problems == ()


def test_lfs_pointer_in_place_of_a_file_is_a_broken_mirror() -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 9\n"
    files: dict[str, Content] = {
        "config.json": b'{"model_type": "gpt2"}',
        "tokenizer.json": pointer,
        "model.safetensors": pointer,
        "pytorch_model.bin": pointer,
        "extra.gguf": pointer,
        "empty.bin": b"",
    }
    report = inspect_files(files)
    broken = {path for severity, path in told(report) if severity == "broken"}
    assert broken == set(files) - {"config.json"}
    assert sum("broken mirror" in str(p.message) for p in report.problems) == 4


def test_packed_weights_are_not_counted_as_parameters() -> None:
    files = {
        "config.json": b'{"model_type": "llama", "quantization_config": {"quant_method": "gptq"}}',
        "model.safetensors": safetensors({"w.qweight": ("I32", [8, 8]), "n": ("F16", [8])}),
        "tokenizer.json": b"{}" * 600,
    }
    report = inspect_files(files)
    assert report.parameters is None
    assert report.parameters_note is not None
    assert report.dtypes == {"I32": 64, "F16": 8}


def test_plain_parameters_are_counted() -> None:
    assert inspect_files({"model.safetensors": weights(77)}).parameters == 77


def _bytes_of(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content[0].ljust(content[1], b"\0")


def _official(content: Content) -> None:
    safetensors_library.deserialize(_bytes_of(content))  # type: ignore[no-untyped-call]


def test_reference_reader_agrees_on_good_and_bad_files() -> None:
    """Whatever the official reader refuses is broken here, and the other way round."""
    # Keys given twice: the reference takes the last one. We do not guess which was meant.
    stricter = {"duplicate tensor", "over the format's cap", "huge length"}
    for content in GOOD:
        _official(content)
    for case in HOSTILE.keys() - stricter:
        with pytest.raises(safetensors_library.SafetensorError):
            _official(HOSTILE[case])


def test_file_written_by_the_official_library_is_whole() -> None:
    arrays = {"a": np.zeros((3, 5), np.float16), "b": np.ones((), np.int64)}
    report = inspect_files({"model.safetensors": save(arrays, metadata={"format": "pt"})})
    assert report.problems == ()
    assert report.dtypes == {"F16": 15, "I64": 1}
