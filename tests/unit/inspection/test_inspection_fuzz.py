"""Whatever a repository holds, an inspection ends with a report."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.inspection.inspection_fakes import (
    Content,
    as_json,
    gguf,
    inspect_files,
    safetensors,
)

from hubferry.inspection import Verdict
from hubferry.inspection.documents import DOCUMENTS

KEYS = st.sampled_from(
    """model_type architectures auto_map vision_config architecture pretrained_cfg path type
    _class_name unet vae chat_template weight_map metadata total_size task quantization_config
    is_encoder_decoder a""".split()  # noqa: SIM905 - a list would take twenty lines
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["gpt2", "clip", "a.B", "../x", "", "x--y.Z", "UNet2DConditionModel"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
NAMES = [*DOCUMENTS, "model.safetensors.index.json"]


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_json_in_any_description_gives_a_report(contents: dict[str, object]) -> None:
    files: dict[str, Content] = {name: as_json(value) for name, value in contents.items()}
    inspect_files({**files, "model.safetensors": safetensors({"a": ("F32", [4])})})


WHOLE = {
    "m.gguf": gguf(
        [("a", [32, 4], 8, 136), ("b", [8], 0, 32)],
        {"general.architecture": "llama", "list": ["a", "b"], "scores": [0.5]},
    ),
    "m.safetensors": safetensors({"a": ("F32", [4]), "b": ("F16", [2, 2])}, metadata={"a": "b"}),
}


@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
)
@settings(max_examples=300, deadline=None)
def test_any_changed_byte_of_a_head_gives_a_report(
    path: str, changes: list[tuple[int, int]]
) -> None:
    content = WHOLE[path]
    assert isinstance(content, tuple)
    head = bytearray(content[0])
    for position, value in changes:
        head[position % len(head)] = value
    inspect_files({path: (bytes(head), content[1])})


@given(st.sampled_from(sorted(WHOLE)), st.integers(1, 10_000))
@settings(max_examples=100, deadline=None)
def test_file_that_lost_its_end_is_never_complete(path: str, lost: int) -> None:
    content = WHOLE[path]
    assert isinstance(content, tuple)
    size = max(0, content[1] - lost)
    report = inspect_files({path: (content[0][:size], size)})
    assert report.verdict is Verdict.INCOMPLETE
