"""What a complete repository of each kind needs, by name: the rules, and their check.

How a repository is laid out decides what it needs: a pipeline with a
``model_index.json`` needs its components, a sentence embedder its modules, a
plain model a configuration, weights and (by family) a tokenizer or a
preprocessor.

Source: the loaders of transformers (``from_pretrained``), diffusers
(``DiffusionPipeline``), sentence-transformers (``modules.json``) and peft.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hubferry.inspection.documents import Documents, Json
from hubferry.inspection.families import Facts, Family, FamilyMatch
from hubferry.inspection.names import folder_of, is_weight, join
from hubferry.inspection.repo import Findings, Repo
from hubferry.inspection.report import Need, Severity
from hubferry.model import path_problem
from hubferry.text import T, Text


@dataclass(frozen=True)
class Rule:
    """Something needed: any one of ``choices``, each a set of names that belong together."""

    what: Text
    choices: tuple[tuple[str, ...], ...]


CONFIG = Rule(T("configuration"), (("config.json",),))
WEIGHTS = Rule(T("weights"), ())
TOKENIZER = Rule(
    T("tokenizer"),
    (
        ("tokenizer.json",),
        ("vocab.json", "merges.txt"),
        ("vocab.txt",),
        ("*.model",),
        ("*.spm",),
        ("*.tiktoken",),
        ("tekken.json",),
        ("vocab.bpe",),
        ("bpe.codes",),
        ("*.tokenizer",),
        ("vocab-*.json", "merges.txt"),
        ("tokenization_*.py",),
    ),
)
PREPROCESSOR = Rule(
    T("preprocessor"),
    (
        ("preprocessor_config.json",),
        ("processor_config.json",),
        ("video_preprocessor_config.json",),
        ("image_processing_*.py",),
        ("processing_*.py",),
        ("tekken.json",),
    ),
)
BYTE_TOKENIZER = Rule(T("tokenizer"), (("tokenizer_config.json",),))
SCHEDULER = Rule(T("scheduler"), (("scheduler_config.json",),))
MODULES = Rule(T("list of modules"), (("modules.json",),))
MODEL_INDEX = Rule(T("list of components"), (("model_index.json",),))
ADAPTER_CONFIG = Rule(T("adapter configuration"), (("adapter_config.json",),))
ADAPTER_WEIGHTS = Rule(
    T("adapter weights"),
    (("adapter_model.safetensors",), ("adapter_model.bin",), ("adapter_model-*",)),
)

# By the end of the class name in model_index.json, first match; anything else is a model.
COMPONENT_RULES: tuple[tuple[tuple[str, ...], tuple[Rule, ...]], ...] = (
    (("ByT5Tokenizer", "CanineTokenizer"), (BYTE_TOKENIZER,)),
    (("OnnxRuntimeModel",), (WEIGHTS,)),
    (("Scheduler",), (SCHEDULER,)),
    (("Tokenizer", "TokenizerFast"), (TOKENIZER,)),
    (
        ("FeatureExtractor", "ImageProcessor", "ImageProcessorFast", "Processor", "VideoProcessor"),
        (PREPROCESSOR,),
    ),
)

# By the last part of the type in modules.json; types not listed are taken as they are.
MODULE_RULES: dict[str, tuple[Rule, ...]] = {
    "Transformer": (CONFIG, WEIGHTS, TOKENIZER),
    "CLIPModel": (CONFIG, WEIGHTS),
    "Pooling": (CONFIG,),
    "Dense": (CONFIG, WEIGHTS),
    "Normalize": (),
    "Dropout": (CONFIG,),
    "LayerNorm": (CONFIG, WEIGHTS),
    "WordEmbeddings": (WEIGHTS,),
    "StaticEmbedding": (WEIGHTS, TOKENIZER),
}

_TEXT = frozenset({Family.LANGUAGE, Family.DIALOGUE, Family.CODE, Family.RERANKING})
_PREPROCESSED = frozenset({Family.VISION, Family.MULTIMODAL})
# Byte-level models: their tokenizer has no vocabulary to store.
_NO_VOCABULARY = frozenset({"byt5", "canine", "perceiver", "mamba-byte"})
# Text models that take boxes or ready-made image features beside the text.
_NO_PREPROCESSOR = frozenset({"layoutlm", "lilt", "lxmert", "visual_bert"})
_COMPONENT_FOLDERS = ("unet", "transformer", "vae", "text_encoder", "scheduler")


class Checker:
    """Applies rules to folders; collects what was needed and what lacks."""

    def __init__(self, repo: Repo, findings: Findings) -> None:
        self.repo = repo
        self.findings = findings
        self.needs: list[Need] = []

    def need(self, folder: str, rule: Rule) -> None:
        """``folder`` must meet ``rule``; if it does not, something is missing."""
        try:
            found = self._weights_in(folder) if rule is WEIGHTS else self._match(folder, rule)
        except KeyError:
            self._unknown(folder, rule)
            return
        looked_for = tuple(join(folder, " + ".join(choice)) for choice in rule.choices)
        self.needs.append(Need(rule.what, looked_for, found))
        if found is None:
            first = join(folder, rule.choices[0][0]) if len(rule.choices) == 1 else folder or None
            self.findings.add(
                Severity.MISSING,
                first,
                T("no {what} in {folder}", what=rule.what, folder=folder or "/"),
            )

    def _match(self, folder: str, rule: Rule) -> str | None:
        is_doubtful = False
        for choice in rule.choices:
            try:
                found = [self.repo.find(folder, name) for name in choice]
            except KeyError:
                is_doubtful = True
                continue
            if all(path is not None for path in found):
                return found[0]
        if is_doubtful:
            raise KeyError(folder)
        return None

    def _weights_in(self, folder: str) -> str | None:
        names = self.repo.names_in.get(folder, ())
        here = [join(folder, name) for name in names if is_weight(name)]
        if not here and not folder:
            # Exports keep to folders of their own (onnx/, openvino/, original/).
            here = [path for path in self.repo.listing.by_path if is_weight(path)]
        if not here and self.repo.listing.is_doubtful(join(folder, "weights")):
            raise KeyError(folder)
        return min(here, key=lambda path: (folder_of(path) != folder, path), default=None)

    def _unknown(self, folder: str, rule: Rule) -> None:
        self.findings.unchecked(
            folder or None,
            T("the hub cannot say whether there is a {what}", what=rule.what),
        )


def check_needs(
    repo: Repo,
    documents: Documents,
    facts: Facts,
    families: Sequence[FamilyMatch],
    findings: Findings,
) -> tuple[Need, ...]:
    """Check what the layout and the families of a repository call for."""
    checker = Checker(repo, findings)
    if "model_index.json" in documents.objects:
        _check_pipeline(checker, documents.get("model_index.json"))
    elif documents.modules is not None:
        _check_modules(checker, documents.modules)
    elif "adapter_config.json" in documents.objects:
        checker.need("", ADAPTER_WEIGHTS)
    elif _is_plain_model(documents.get("config.json")):
        _check_plain(checker, documents.get("config.json"), families)
    else:
        _check_unknown(checker, facts)
    _check_remote_code(checker, documents.get("config.json"))
    return tuple(checker.needs)


def _is_plain_model(config: Json) -> bool:
    return isinstance(config.get("model_type"), str) or isinstance(
        config.get("architectures"), list
    )


def _check_plain(checker: Checker, config: Json, families: Sequence[FamilyMatch]) -> None:
    checker.need("", CONFIG)
    checker.need("", WEIGHTS)
    found = {match.family for match in families}
    if Family.GGUF in found or config.get("auto_map") is not None:
        # GGUF carries its tokenizer inside; remote code may do without the usual files.
        return
    kind = str(config.get("model_type"))
    is_vision = bool(found & _PREPROCESSED) and Family.SPEECH not in found
    if is_vision and "architectures" in config and kind not in _NO_PREPROCESSOR:
        checker.need("", PREPROCESSOR)
    if found & _TEXT and kind not in _NO_VOCABULARY:
        checker.need("", TOKENIZER)


def _check_pipeline(checker: Checker, index: Json) -> None:
    for name, value in index.items():
        if name.startswith("_") or not isinstance(value, list) or len(value) != 2:
            continue
        class_name = value[1]
        if not isinstance(class_name, str):
            # [null, null]: a component the pipeline can do without and this one does.
            continue
        if path_problem(name) is not None or "/" in name:
            checker.findings.add(
                Severity.BROKEN,
                "model_index.json",
                T("it names a component {name}, which is no folder", name=repr(name[:80])),
            )
            continue
        for rule in _component_rules(class_name):
            checker.need(name, rule)


def _component_rules(class_name: str) -> Iterable[Rule]:
    for endings, rules in COMPONENT_RULES:
        if class_name.endswith(endings):
            return rules
    return (CONFIG, WEIGHTS)


def _check_modules(checker: Checker, modules: list[object]) -> None:
    checker.need("", MODULES)
    for module in modules[:64]:
        path, kind = _module(module)
        if path is None or (path and path_problem(path) is not None):
            checker.findings.add(
                Severity.BROKEN, "modules.json", T("it names a module without a usable path")
            )
            continue
        for rule in MODULE_RULES.get(kind, ()):
            checker.need(path, rule)


def _module(module: object) -> tuple[str | None, str]:
    if not isinstance(module, dict):
        return None, ""
    path, kind = module.get("path"), module.get("type")
    if not isinstance(path, str):
        return None, ""
    return path.rstrip("/"), kind.rpartition(".")[2] if isinstance(kind, str) else ""


def _check_unknown(checker: Checker, facts: Facts) -> None:
    """No description that we could read: what can the files be, and what do they lack?"""
    root = set(checker.repo.names_in.get("", ()))
    folders = set(checker.repo.names_in)
    if "config_sentence_transformers.json" in root:
        checker.need("", MODULES)
    if any(name.startswith("adapter_model") for name in root):
        checker.need("", ADAPTER_CONFIG)
    if len(folders & set(_COMPONENT_FOLDERS)) > 2:
        checker.need("", MODEL_INDEX)
    is_described = bool(root & {"params.json", "open_clip_config.json", "config.json"})
    if facts.library_name == "transformers" and not is_described:
        has_gguf = any(path.endswith(".gguf") for path in checker.repo.listing.by_path)
        if not has_gguf:
            checker.need("", CONFIG)
    checker.need("", WEIGHTS)


def _check_remote_code(checker: Checker, config: Json) -> None:
    """Classes named by ``auto_map`` live in Python files of this repository."""
    auto_map = config.get("auto_map")
    if not isinstance(auto_map, dict):
        return
    for value in auto_map.values():
        for reference in value if isinstance(value, list) else [value]:
            # "other/repo--module.Class" lives elsewhere.
            if isinstance(reference, str) and "--" not in reference and "." in reference:
                path = reference.rpartition(".")[0].replace(".", "/") + ".py"
                if path_problem(path) is None:
                    checker.repo.require(
                        path, checker.findings, T("config.json takes its code from this file")
                    )
