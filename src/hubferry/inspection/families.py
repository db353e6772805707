"""Model families, and the signs by which one is recognised: rules as data.

A sign has a weight: what a repository is made of (``modules.json``) says more
than what its card claims, and both say more than its name. Families are
ordered by the sum of their signs; a model may well be of several.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Family(StrEnum):
    """What a model is, or (the later ones) in which form it comes."""

    LANGUAGE = "language"
    DIALOGUE = "dialogue"
    CODE = "code"
    EMBEDDING = "embedding"
    RERANKING = "reranking"
    VISION = "vision"
    MULTIMODAL = "multimodal"
    DIFFUSION = "diffusion"
    SPEECH = "speech"
    TABULAR = "tabular"
    CONTROL = "control"
    ADAPTER = "adapter"
    GGUF = "gguf"
    ONNX = "onnx"
    OPENVINO = "openvino"
    COREML = "coreml"
    TFLITE = "tflite"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One sign: where it was found and what was found there."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class FamilyMatch:
    """A recognised family and every sign of it, strongest first."""

    family: Family
    evidence: tuple[Evidence, ...]
    score: int


@dataclass(frozen=True)
class Facts:
    """What is known of a repository before any weight is looked at."""

    name: str
    paths: frozenset[str]
    pipeline_tag: str | None = None
    library_name: str | None = None
    tags: tuple[str, ...] = ()
    config: Mapping[str, object] = field(default_factory=dict)
    pipeline_class: str | None = None
    """``_class_name`` of ``model_index.json``."""
    gguf_architectures: tuple[str, ...] = ()
    has_chat_template: bool = False


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STRUCTURE, _CLAIM, _CONFIG, _FALLBACK, _NAME, _HINT = 6, 4, 4, 3, 2, 1

PIPELINE_TAGS: Mapping[Family, frozenset[str]] = {
    Family.LANGUAGE: _words(
        """
        text-generation text2text-generation fill-mask text-classification token-classification
        question-answering summarization translation zero-shot-classification
        table-question-answering multiple-choice chat
        """
    ),
    Family.DIALOGUE: _words("conversational chat"),
    Family.EMBEDDING: _words("sentence-similarity sentence-embedding"),
    Family.RERANKING: _words("text-ranking"),
    Family.VISION: _words(
        """
        image-classification object-detection image-segmentation depth-estimation
        image-feature-extraction zero-shot-image-classification zero-shot-object-detection
        mask-generation keypoint-detection video-classification image-to-image
        """
    ),
    Family.MULTIMODAL: _words(
        """
        image-to-text image-text-to-text visual-question-answering any-to-any
        document-question-answering video-text-to-text audio-text-to-text image-captioning
        visual-document-retrieval zero-shot-image-classification multi-modal-embedding
        image-text-to-image image-text-to-video
        """
    ),
    Family.DIFFUSION: _words(
        """
        text-to-image text-to-image-synthesis text-to-video text-to-video-synthesis image-to-video
        unconditional-image-generation text-to-3d image-to-3d image-text-to-image
        image-text-to-video
        """
    ),
    Family.SPEECH: _words(
        """
        automatic-speech-recognition auto-speech-recognition text-to-speech text-to-audio
        audio-to-audio audio-classification voice-activity-detection
        """
    ),
    Family.TABULAR: _words("tabular-classification tabular-regression time-series-forecasting"),
    Family.CONTROL: _words("reinforcement-learning robotics"),
}

# Card tags too weak to decide alone. "feature-extraction" is what the hub
# calls any encoder without a head, CodeBERT included.
HINT_TAGS: Mapping[Family, frozenset[str]] = {
    Family.EMBEDDING: _words("feature-extraction sentence-transformers text-embeddings-inference"),
    Family.DIALOGUE: _words("conversational chat dialogue"),
    Family.CODE: _words("code"),
    Family.SPEECH: _words("audio speech"),
    Family.ADAPTER: _words("lora peft adapter"),
    Family.MULTIMODAL: _words("multimodal vision-language"),
}

LIBRARIES: Mapping[Family, frozenset[str]] = {
    Family.EMBEDDING: _words("sentence-transformers flagembedding model2vec"),
    Family.VISION: _words("timm ultralytics"),
    Family.MULTIMODAL: _words("open_clip"),
    Family.DIFFUSION: _words("diffusers diffusion-single-file"),
    Family.SPEECH: _words("nemo espnet speechbrain pyannote-audio funasr"),
    Family.ADAPTER: _words("peft adapter-transformers"),
    Family.GGUF: _words("gguf"),
    Family.OPENVINO: _words("openvino"),
    Family.COREML: _words("coreml"),
    Family.TFLITE: _words("tflite"),
    Family.CONTROL: _words("stable-baselines3 sample-factory ml-agents lerobot"),
    Family.TABULAR: _words("sklearn"),
}

MODEL_TYPES: Mapping[Family, frozenset[str]] = {
    Family.LANGUAGE: _words(
        """
        albert bart baichuan bert bert-generation big_bird bigbird_pegasus bloom camembert canine
        chatglm cohere cohere2 convbert ctrl dbrx deberta deberta-v2 deepseek deepseek_v2
        deepseek_v3 distilbert electra ernie esm falcon falcon_mamba flaubert fnet funnel gemma
        gemma2 gemma3_text glm glm4 glm4_moe gpt2 gpt_neo gpt_neox gpt_oss gptj granite granitemoe
        hunyuan internlm internlm2 internlm3 jamba led llama longformer longt5 luke m2m_100 mamba
        mamba2 marian mbart megatron-bert minicpm ministral mistral mixtral mobilebert modernbert
        mpnet mpt mt5 mvp nezha nllb-moe nystromformer olmo olmo2 olmoe openai-gpt opt pegasus
        persimmon phi phi3 phimoe plbart prophetnet qwen qwen2 qwen2_moe qwen3 qwen3_moe
        qwen3_next recurrent_gemma reformer rembert roberta roformer rwkv seed_oss smollm3
        squeezebert stablelm switch_transformers t5 umt5 xglm xlm xlm-roberta xlm-roberta-xl xlnet
        xmod yoso
        """
    ),
    Family.DIALOGUE: _words("blenderbot blenderbot-small chatglm"),
    Family.CODE: _words("codegen codeshell gpt_bigcode starcoder2 plbart codesage"),
    Family.VISION: _words(
        """
        beit bit clip conditional_detr convnext convnextv2 cvt d_fine data2vec-vision
        deformable_detr deit depth_anything detr dinat dinov2 dinov2_with_registers dinov3_vit
        dinov3_convnext dpt efficientformer efficientnet focalnet glpn hiera ijepa imagegpt levit
        mask2former maskformer mobilenet_v1 mobilenet_v2 mobilevit mobilevitv2 nat oneformer
        owlvit owlv2 poolformer pvt regnet resnet rt_detr rt_detr_v2 sam sam2 segformer seggpt
        siglip siglip2 superpoint swiftformer swin swin2sr swinv2 table-transformer timm_backbone
        timm_wrapper timesformer upernet van videomae vit vit_hybrid vit_mae vit_msn vitdet
        vitmatte vitpose vivit yolos zoedepth
        """
    ),
    Family.MULTIMODAL: _words(
        """
        align altclip aria aya_vision blip blip-2 bridgetower chameleon chinese_clip clip clipseg
        colpali colqwen2 deepseek_vl_v2 donut-swin emu3 flava florence2 fuyu gemma3 gemma3n git
        glm4v glm4v_moe got_ocr2 grounding-dino groupvit idefics idefics2 idefics3 instructblip
        internvl internvl_chat janus kosmos-2 layoutlm layoutlmv2 layoutlmv3 lilt llama4 llava
        llava_next llava_onevision lxmert markuplm minicpmo minicpmv mistral3 mllama molmo nougat
        ovis paligemma phi3_v phi4mm pix2struct pixtral qwen2_5_omni qwen2_5_vl qwen2_vl
        qwen3_omni_moe qwen3_vl qwen3_vl_moe siglip siglip2 smolvlm tvlt udop video_llava vilt
        vipllava vision-encoder-decoder vision-text-dual-encoder visual_bert x_clip
        """
    ),
    Family.SPEECH: _words(
        """
        audio-spectrogram-transformer bark clap csm dac data2vec-audio dia encodec
        fastspeech2_conformer granite_speech higgs_audio hubert kyutai_speech_to_text mctct mimi
        moonshine musicgen musicgen_melody parakeet_ctc pop2piano qwen2_audio seamless_m4t
        seamless_m4t_v2 sew sew-d speech-encoder-decoder speech_to_text speecht5 unispeech
        unispeech-sat univnet vits voxtral wav2vec2 wav2vec2-bert wav2vec2-conformer wavlm whisper
        """
    ),
    Family.TABULAR: _words(
        "autoformer informer patchtst patchtsmixer tapas time_series_transformer timesfm"
    ),
    Family.CONTROL: _words("decision_transformer trajectory_transformer pi0 smolvla"),
}

# For model types no one has listed yet: the head in ``architectures`` tells.
ARCHITECTURE_ENDINGS: tuple[tuple[str, Family], ...] = (
    ("ForCausalLM", Family.LANGUAGE),
    ("LMHeadModel", Family.LANGUAGE),
    ("ForMaskedLM", Family.LANGUAGE),
    ("ForPreTraining", Family.LANGUAGE),
    ("ForSequenceClassification", Family.LANGUAGE),
    ("ForTokenClassification", Family.LANGUAGE),
    ("ForQuestionAnswering", Family.LANGUAGE),
    ("ForMultipleChoice", Family.LANGUAGE),
    ("ForImageClassification", Family.VISION),
    ("ForObjectDetection", Family.VISION),
    ("ForSemanticSegmentation", Family.VISION),
    ("ForUniversalSegmentation", Family.VISION),
    ("ForDepthEstimation", Family.VISION),
    ("ForVideoClassification", Family.VISION),
    ("ForVision2Seq", Family.MULTIMODAL),
    ("ForVisualQuestionAnswering", Family.MULTIMODAL),
    ("ForCTC", Family.SPEECH),
    ("ForSpeechSeq2Seq", Family.SPEECH),
    ("ForAudioClassification", Family.SPEECH),
    ("ForTextToSpeech", Family.SPEECH),
    ("ForTimeSeriesPrediction", Family.TABULAR),
)

_VISION_KEYS = ("vision_config", "visual", "mm_vision_tower", "image_token_id", "image_token_index")

FILE_SIGNS: tuple[tuple[str, Family], ...] = (
    (r"modules\.json", Family.EMBEDDING),
    (r"config_sentence_transformers\.json", Family.EMBEDDING),
    (r"model_index\.json", Family.DIFFUSION),
    (r"modular_model_index\.json", Family.DIFFUSION),
    (r"open_clip_config\.json", Family.MULTIMODAL),
    (r"adapter_config\.json", Family.ADAPTER),
    (r"pytorch_lora_weights\.(safetensors|bin)", Family.ADAPTER),
    (r"(.*/)?[^/]*\.gguf", Family.GGUF),
    (r"(.*/)?[^/]*\.onnx", Family.ONNX),
    (r"(.*/)?openvino_[^/]*\.xml", Family.OPENVINO),
    (r"(.*/)?[^/]*\.(mlmodel|mlpackage/.*|mlmodelc/.*)", Family.COREML),
    (r"(.*/)?[^/]*\.(tflite|litertlm)", Family.TFLITE),
    (r"(.*/)?[^/]*\.nemo", Family.SPEECH),
)

NAME_SIGNS: tuple[tuple[str, Family], ...] = (
    (
        r"dialo|blenderbot|(^|[-_.])chat([-_.]|$)|chatglm|(^|[-_.])instruct([-_.]|$)",
        Family.DIALOGUE,
    ),
    (
        r"(graph)?codebert|codet5|codegen|codellama|code-?llama|codegemma|codestral|devstral"
        r"|(star|santa|poly|in|wizard|deepseek-?|qwen[\d.]*-?)coder|unixcoder|(^|[-_.])coder([-_.]|$)",
        Family.CODE,
    ),
    (r"sentence-t5|(^|[-_.])(bge|gte|e5|embed(ding)?s?|simcse)([-_.]|$)", Family.EMBEDDING),
    (r"rerank", Family.RERANKING),
    (r"(^|[-_.])(lora|qlora|adapter)([-_.]|$)", Family.ADAPTER),
    (r"stable-diffusion|(^|[-_.])(sdxl|sd-turbo|flux|controlnet)", Family.DIFFUSION),
)


def recognise(facts: Facts) -> tuple[FamilyMatch, ...]:
    """The families of a repository, the best supported first; empty if there is no sign."""
    found: dict[Family, dict[Evidence, int]] = {}
    for family, evidence, weight in _signs(facts):
        found.setdefault(family, {}).setdefault(evidence, weight)
    order = list(Family)
    matches = [
        FamilyMatch(
            family,
            tuple(sorted(signs, key=lambda sign: -signs[sign])),
            sum(signs.values()),
        )
        for family, signs in found.items()
    ]
    # Hints alone are no family: half the hub is tagged "feature-extraction".
    strong = [match for match in matches if max(found[match.family].values()) > _HINT]
    return tuple(sorted(strong, key=lambda match: (-match.score, order.index(match.family))))


Sign = tuple[Family, Evidence, int]


def _signs(facts: Facts) -> Iterable[Sign]:
    yield from _listed("pipeline_tag", facts.pipeline_tag, PIPELINE_TAGS, _CLAIM)
    yield from _listed("pipeline_tag", facts.pipeline_tag, HINT_TAGS, _HINT)
    yield from _listed("library_name", facts.library_name, LIBRARIES, _CLAIM)
    for tag in facts.tags:
        yield from _listed("tag", tag, HINT_TAGS, _NAME if tag == "conversational" else _HINT)
    yield from _config_signs(facts.config)
    yield from _file_signs(facts.paths)
    if facts.pipeline_class:
        yield Family.DIFFUSION, Evidence("model_index.json", facts.pipeline_class), _CONFIG
    for architecture in facts.gguf_architectures:
        kind = Family.MULTIMODAL if architecture == "clip" else Family.LANGUAGE
        yield kind, Evidence("gguf architecture", architecture), _FALLBACK
    if facts.has_chat_template:
        yield Family.DIALOGUE, Evidence("chat template", "present"), _CLAIM
    name = facts.name.rpartition("/")[2].lower()
    for pattern, family in NAME_SIGNS:
        if (match := re.search(pattern, name)) is not None:
            yield family, Evidence("name", match[0].strip("-_.")), _NAME


def _listed(
    kind: str, value: str | None, table: Mapping[Family, frozenset[str]], weight: int
) -> Iterable[Sign]:
    if value is not None:
        for family, values in table.items():
            if value.lower() in values:
                yield family, Evidence(kind, value), weight


def _config_signs(config: Mapping[str, object]) -> Iterable[Sign]:
    model_type = config.get("model_type")
    architectures = config.get("architectures")
    signs: list[Sign] = []
    if isinstance(model_type, str):
        signs.extend(_listed("model_type", model_type, MODEL_TYPES, _CONFIG))
    if isinstance(architectures, list):
        for name in architectures[:16]:
            signs.extend(_architecture_signs(str(name)[:200], is_known=bool(signs)))
    yield from signs
    if config.get("is_encoder_decoder") is True and not signs:
        yield Family.LANGUAGE, Evidence("config.json", "is_encoder_decoder"), _FALLBACK
    for key in _VISION_KEYS:
        if config.get(key) is not None:
            yield Family.MULTIMODAL, Evidence("config.json", key), _FALLBACK
            break
    if isinstance(config.get("architecture"), str) and "pretrained_cfg" in config:
        # timm writes "architecture", never "architectures".
        yield Family.VISION, Evidence("config.json", str(config["architecture"])[:200]), _CONFIG


def _architecture_signs(name: str, *, is_known: bool) -> Iterable[Sign]:
    if is_known:
        return
    for ending, family in ARCHITECTURE_ENDINGS:
        if name.endswith(ending):
            yield family, Evidence("architectures", name), _FALLBACK


def _file_signs(paths: Iterable[str]) -> Iterable[Sign]:
    ordered = sorted(paths)
    for pattern, family in FILE_SIGNS:
        compiled = re.compile(pattern, re.IGNORECASE)
        # One sign a pattern: two hundred quantisations are not two hundred signs.
        if (path := next(filter(compiled.fullmatch, ordered), None)) is not None:
            yield family, Evidence("file", path), _STRUCTURE
