"""The guide's families, from the file lists and configurations of their models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.inspection.inspection_fakes import (
    Content,
    as_json,
    gguf,
    inspect_files,
    safetensors,
    told,
    weights,
)

from hubferry.inspection import Family, Verdict

TEXT_FILES: dict[str, Content] = {"README.md": b"# model", "vocab.json": b"{}", "merges.txt": b"#"}


def _plain(config: Mapping[str, object], **files: Content) -> dict[str, Content]:
    return {"config.json": as_json(config), "model.safetensors": weights(), **files}


GPT2 = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
TOKENIZER = {"tokenizer.json": b"{}" * 600}
IMAGE = {"preprocessor_config.json": b"{}"}

GUIDE: list[tuple[str, dict[str, Content], dict[str, Any], list[Family]]] = [
    (
        "openai-community/gpt2",
        _plain(GPT2, **TEXT_FILES),
        {"pipeline_tag": "text-generation", "library_name": "transformers"},
        [Family.LANGUAGE],
    ),
    (
        "google-bert/bert-base-uncased",
        _plain(
            {"model_type": "bert", "architectures": ["BertForMaskedLM"]}, **{"vocab.txt": b"[PAD]"}
        ),
        {"pipeline_tag": "fill-mask", "library_name": "transformers"},
        [Family.LANGUAGE],
    ),
    (
        "google-t5/t5-small",
        _plain(
            {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]},
            **{"spiece.model": b"x" * 2000},
        ),
        {"pipeline_tag": "translation", "library_name": "transformers"},
        [Family.LANGUAGE],
    ),
    (
        "microsoft/DialoGPT-medium",
        _plain(
            GPT2,
            **TEXT_FILES,
            **{"tokenizer_config.json": as_json({"chat_template": "{% for m in messages %}"})},
        ),
        {"pipeline_tag": "text-generation", "tags": ("transformers", "conversational")},
        [Family.LANGUAGE, Family.DIALOGUE],
    ),
    (
        "facebook/blenderbot-400M-distill",
        _plain(
            {
                "model_type": "blenderbot",
                "architectures": ["BlenderbotForConditionalGeneration"],
            },
            **TEXT_FILES,
        ),
        {"pipeline_tag": "text-generation", "tags": ("conversational",)},
        [Family.DIALOGUE, Family.LANGUAGE],
    ),
    (
        "microsoft/codebert-base",
        {
            "config.json": as_json({"model_type": "roberta", "architectures": ["RobertaModel"]}),
            "pytorch_model.bin": b"x" * 4000,
            **TEXT_FILES,
        },
        {"pipeline_tag": "feature-extraction", "tags": ("feature-extraction",)},
        [Family.LANGUAGE, Family.CODE],
    ),
    (
        "Salesforce/codet5-base",
        _plain({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, **TEXT_FILES),
        {"pipeline_tag": "text2text-generation", "tags": ("codet5",)},
        [Family.LANGUAGE, Family.CODE],
    ),
    (
        "sentence-transformers/all-MiniLM-L6-v2",
        {
            **_plain({"model_type": "bert", "architectures": ["BertModel"]}, **TOKENIZER),
            "modules.json": as_json(
                [
                    {"path": "", "type": "sentence_transformers.models.Transformer"},
                    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                    {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
                ]
            ),
            "1_Pooling/config.json": b"{}",
        },
        {"pipeline_tag": "sentence-similarity", "library_name": "sentence-transformers"},
        [Family.EMBEDDING, Family.LANGUAGE],
    ),
    (
        "google/vit-base-patch16-224",
        _plain({"model_type": "vit", "architectures": ["ViTForImageClassification"]}, **IMAGE),
        {"pipeline_tag": "image-classification", "library_name": "transformers"},
        [Family.VISION],
    ),
    (
        "openai/clip-vit-base-patch32",
        _plain(
            {"model_type": "clip", "architectures": ["CLIPModel"], "vision_config": {"a": 1}},
            **TOKENIZER,
            **IMAGE,
        ),
        {"pipeline_tag": "zero-shot-image-classification", "library_name": "transformers"},
        [Family.MULTIMODAL, Family.VISION],
    ),
    (
        "Salesforce/blip-image-captioning-base",
        _plain(
            {"model_type": "blip", "architectures": ["BlipForConditionalGeneration"]},
            **TOKENIZER,
            **IMAGE,
        ),
        {"pipeline_tag": "image-to-text", "library_name": "transformers"},
        [Family.MULTIMODAL],
    ),
    (
        "openai/whisper-tiny",
        _plain(
            {"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"]},
            **TOKENIZER,
            **IMAGE,
        ),
        {"pipeline_tag": "automatic-speech-recognition", "library_name": "transformers"},
        [Family.SPEECH],
    ),
    (
        "org/llama-lora",
        {
            "adapter_config.json": as_json({"peft_type": "LORA"}),
            "adapter_model.safetensors": weights(),
        },
        {"library_name": "peft", "tags": ("lora",)},
        [Family.ADAPTER],
    ),
    (
        "Qwen/Qwen2.5-7B-Instruct-GGUF",
        {"qwen2.5-q8_0.gguf": gguf([("token_embd.weight", [32, 2], 8, 68)])},
        {"pipeline_tag": "text-generation"},
        [Family.LANGUAGE, Family.GGUF, Family.DIALOGUE],
    ),
    (
        "onnx-community/bert",
        {
            "config.json": as_json({"model_type": "bert"}),
            "onnx/model.onnx": b"x" * 2000,
            **TOKENIZER,
        },
        {"library_name": "transformers.js"},
        [Family.ONNX, Family.LANGUAGE],
    ),
]


def stable_diffusion() -> dict[str, Content]:
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.6.0",
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "image_encoder": [None, None],
        "requires_safety_checker": True,
    }
    return {
        "model_index.json": as_json(index),
        "feature_extractor/preprocessor_config.json": b"{}",
        "safety_checker/config.json": b"{}",
        "safety_checker/model.safetensors": weights(1000),
        "safety_checker/pytorch_model.bin": b"x" * 3000,
        "scheduler/scheduler_config.json": b"{}",
        "text_encoder/config.json": b"{}",
        "text_encoder/model.safetensors": weights(2000),
        "text_encoder/model.fp16.safetensors": safetensors({"weight": ("F16", [2000])}),
        "tokenizer/vocab.json": b"{}",
        "tokenizer/merges.txt": b"#",
        "unet/config.json": b"{}",
        "unet/diffusion_pytorch_model.safetensors": weights(4000),
        "unet/diffusion_pytorch_model.fp16.safetensors": safetensors({"weight": ("F16", [4000])}),
        "vae/config.json": b"{}",
        "vae/diffusion_pytorch_model.safetensors": weights(500),
        "v1-5-pruned.safetensors": weights(9000),
    }


GUIDE.append(
    (
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        stable_diffusion(),
        {"pipeline_tag": "text-to-image", "library_name": "diffusers"},
        [Family.DIFFUSION],
    )
)


@pytest.mark.parametrize(("name", "files", "info", "families"), GUIDE, ids=[g[0] for g in GUIDE])
def test_families_are_recognised_and_the_repository_is_whole(
    name: str, files: dict[str, Content], info: dict[str, Any], families: list[Family]
) -> None:
    report = inspect_files(files, name=name, **info)
    assert [match.family for match in report.families] == families
    assert all(match.evidence for match in report.families)
    assert report.problems == ()
    assert report.verdict is Verdict.COMPLETE
    assert report.needs
    assert all(need.found for need in report.needs)


def test_families_without_any_hint_of_the_hub() -> None:
    """A mirror or a local folder tells no pipeline tag: the files must do."""
    for _, files, _, families in GUIDE:
        found = {match.family for match in inspect_files(files).families}
        assert families[0] in found


def test_chat_template_is_reported() -> None:
    with_template = dict(GUIDE[3][1])
    assert inspect_files(with_template).has_chat_template is True
    del with_template["tokenizer_config.json"]
    assert inspect_files(with_template).has_chat_template is False
    with_template["chat_template.jinja"] = b"{{ messages }}"
    assert inspect_files(with_template).has_chat_template is True


def test_unreadable_tokenizer_configuration_leaves_the_chat_template_open() -> None:
    files = {**GUIDE[0][1], "tokenizer_config.json": b"{not json"}
    report = inspect_files(files)
    assert report.has_chat_template is None
    assert ("broken", "tokenizer_config.json") in told(report)


def test_diffusion_variants_are_counted_once() -> None:
    report = inspect_files(stable_diffusion())
    assert report.parameters == 1000 + 2000 + 4000 + 500
    assert report.dtypes == {"F32": 7500}


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("tokenizer/merges.txt", "tokenizer"),
        ("unet/config.json", "unet/config.json"),
        ("scheduler/scheduler_config.json", "scheduler/scheduler_config.json"),
        ("vae/diffusion_pytorch_model.safetensors", "vae"),
        ("feature_extractor/preprocessor_config.json", "feature_extractor"),
    ],
)
def test_lost_component_of_a_pipeline_is_missing(lost: str, named: str) -> None:
    files = stable_diffusion()
    del files[lost]
    assert told(inspect_files(files)) == [("missing", named)]


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("model.safetensors", None),
        ("tokenizer.json", None),
        ("config.json", "config.json"),
        ("1_Pooling/config.json", "1_Pooling/config.json"),
    ],
)
def test_lost_part_of_an_embedder_is_missing(lost: str, named: str | None) -> None:
    files = dict(next(g[1] for g in GUIDE if "MiniLM" in g[0]))
    del files[lost]
    assert told(inspect_files(files)) == [("missing", named)]


def test_model_without_tokenizer_or_preprocessor_is_incomplete() -> None:
    language = _plain(GPT2)
    vision = _plain({"model_type": "vit", "architectures": ["ViTForImageClassification"]})
    for files in (language, vision):
        assert inspect_files(files).verdict is Verdict.INCOMPLETE


def test_code_that_a_configuration_names_must_be_there() -> None:
    config = {
        "model_type": "chatglm",
        "auto_map": {
            "AutoConfig": "configuration_chatglm.ChatGLMConfig",
            "AutoModel": "other/repo--modeling_chatglm.ChatGLMModel",
        },
    }
    report = inspect_files(_plain(config, **TEXT_FILES))
    assert told(report) == [("missing", "configuration_chatglm.py")]


def test_modelscope_task_is_evidence() -> None:
    files = {
        "configuration.json": as_json({"task": "text-to-image-synthesis"}),
        "a.ckpt": b"x" * 2000,
    }
    assert inspect_files(files).families[0].family is Family.DIFFUSION


def test_empty_repository_has_no_weights() -> None:
    report = inspect_files({"README.md": b"soon"})
    assert report.families == ()
    assert report.verdict is Verdict.INCOMPLETE


def test_components_that_store_no_vocabulary_or_configuration_are_whole() -> None:
    index = {
        "_class_name": ["pipeline", "OwnPipeline"],
        "tokenizer": ["transformers", "ByT5Tokenizer"],
        "vae": ["diffusers", "OnnxRuntimeModel"],
    }
    files: dict[str, Content] = {
        "model_index.json": as_json(index),
        "tokenizer/tokenizer_config.json": b"{}",
        "vae/model.onnx": b"x" * 2000,
    }
    report = inspect_files(files)
    assert report.problems == ()
    assert report.families[0].evidence[-1].value == "OwnPipeline"


@pytest.mark.parametrize("kind", ["byt5", ["t5"], None, {}])
def test_odd_model_types_do_not_confuse(kind: object) -> None:
    config = {"model_type": kind, "architectures": ["GPT2LMHeadModel", None, 3]}
    inspect_files(_plain(config))
