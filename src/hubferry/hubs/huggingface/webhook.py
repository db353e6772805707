"""What a Hugging Face webhook's body says. Pure.

Source: huggingface/hub-docs, ``docs/hub/webhooks.md`` (payload version 3): ``repo.type`` and
``repo.name``, beside much that is not believed here.
"""

from __future__ import annotations

import json
import re

from hubferry.model import RepoId, RepoType

_NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_TYPES = {"model": RepoType.MODEL, "dataset": RepoType.DATASET}
_OTHER_TYPES = frozenset({"space"})


def repo_of_webhook(body: bytes) -> RepoId | None:
    """The repository that a delivery is about; None for a kind that is not copied.

    Raises:
        ValueError: no delivery of Hugging Face.
    """
    try:
        told = json.loads(body)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    repo = told.get("repo") if isinstance(told, dict) else None
    if not isinstance(repo, dict):
        raise ValueError("no repository")
    kind, name = repo.get("type"), repo.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
        raise ValueError("no repository name")
    if kind in _OTHER_TYPES:
        return None
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ValueError("no repository type")
    return RepoId("hf", name, _TYPES[kind])
