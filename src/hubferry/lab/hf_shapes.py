"""The JSON of the Hugging Face API: repository, tree entry, refs, commit, identity.

Source: what huggingface_hub 2.4.0 reads, ``hf_api.py`` (``ModelInfo``, ``RepoFile``,
``RepoFolder``, ``GitRefs``, ``GitCommitInfo``), and hub answers quoted in its docstrings.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from hubferry.lab.accounts import Identity
from hubferry.lab.content import lfs_pointer
from hubferry.lab.hf_card import parse_card
from hubferry.lab.hf_tree import Folder
from hubferry.lab.repos import Commit, Repo, TreeFile

SECURITY_KEY = "security"
"""In ``repo.extra``: path -> scan status ("unsafe", "suspicious", ...); all others are "safe"."""

_PR_PREFIX = "refs/pr/"
_CONFIG_KEYS = ("architectures", "model_type", "auto_map", "quantization_config")
_MAX_METADATA_BYTES = 1 << 20
_ALWAYS_SHOWN = ("_id", "id", "modelId")
_ONLY_ON_REQUEST = ("usedStorage", "inference", "spaces")


def iso(date: datetime) -> str:
    """Return a date as the hub writes it: UTC, milliseconds, ``Z``."""
    return date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def title_of(commit: Commit) -> str:
    """Return the first line of a commit's message."""
    return commit.message.partition("\n")[0]


def repo_info(
    repo: Repo, commit: Commit, *, blobs: bool = False, security: bool = False
) -> dict[str, Any]:
    """Return the answer to "what is this repository, at this commit"."""
    card = card_of(repo, commit)
    info: dict[str, Any] = {
        "_id": object_id(repo.id),
        "id": repo.id,
        "author": repo.namespace or repo.created_by,
        "sha": commit.id,
        "lastModified": iso(commit.date),
        "createdAt": iso(repo.created_at),
        "private": repo.is_private,
        "gated": repo.gated,
        "disabled": repo.is_disabled,
        "downloads": repo.downloads,
        "likes": 0,
        "tags": tags_of(repo, card),
        "cardData": card,
        "siblings": [_sibling(path, commit.tree[path], blobs) for path in sorted(commit.tree)],
        "usedStorage": sum(file.size for file in commit.tree.values()),
    }
    if repo.repo_type == "model":
        info |= {"modelId": repo.id, "config": config_of(repo, commit), "spaces": []}
        info |= {key: card[key] for key in ("pipeline_tag", "library_name") if card.get(key)}
    if security:
        info["securityRepoStatus"] = {
            "scansDone": True,
            "filesWithIssues": [
                {"path": path, "level": level}
                for path, level in repo.extra.get(SECURITY_KEY, {}).items()
                if path in commit.tree
            ],
        }
    return info


def only(info: dict[str, Any], wanted: list[str]) -> dict[str, Any]:
    """Return what ``expand`` asks for; without it, all but what is told on request only."""
    if wanted:
        return {key: value for key, value in info.items() if key in (*_ALWAYS_SHOWN, *wanted)}
    return {key: value for key, value in info.items() if key not in _ONLY_ON_REQUEST}


def file_entry(
    repo: Repo, path: str, file: TreeFile, *, xet_hash: str | None, expand: bool
) -> dict[str, Any]:
    """Return the tree entry of a file; the LFS ``oid`` is bare hex, without ``sha256:``."""
    entry: dict[str, Any] = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
    if file.is_lfs:
        entry["lfs"] = {
            "oid": file.sha256,
            "size": file.size,
            "pointerSize": len(lfs_pointer(file.sha256, file.size)),
        }
    if xet_hash:
        entry["xetHash"] = xet_hash
    if expand:
        entry |= _last_commit(repo, file.last_commit)
        entry["securityFileStatus"] = _security(repo, path)
    return entry


def folder_entry(repo: Repo, folder: Folder, *, expand: bool) -> dict[str, Any]:
    """Return the tree entry of a folder."""
    entry = {"type": "directory", "oid": folder.oid, "size": 0, "path": folder.path}
    return {**entry, **_last_commit(repo, folder.last_commit)} if expand else entry


def refs(repo: Repo, *, pull_requests: bool) -> dict[str, Any]:
    """Return branches, tags and, if asked for, pull requests."""
    found: dict[str, Any] = {"branches": [], "converts": [], "tags": []}
    pulls = []
    for name, commit_id in sorted(repo.branches.items()):
        if name.startswith(_PR_PREFIX):
            number = name.removeprefix(_PR_PREFIX)
            pulls.append({"name": number, "ref": name, "targetCommit": commit_id})
        else:
            ref = f"refs/heads/{name}"
            found["branches"].append({"name": name, "ref": ref, "targetCommit": commit_id})
    for name, commit_id in sorted(repo.tags.items()):
        found["tags"].append({"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit_id})
    return {**found, "pullRequests": pulls} if pull_requests else found


def commit_entry(commit: Commit) -> dict[str, Any]:
    """Return one line of a branch's history."""
    title, _, rest = commit.message.partition("\n")
    return {
        "id": commit.id,
        "title": title,
        "message": rest.strip(),
        "authors": [{"user": commit.author, "avatar": ""}],
        "date": iso(commit.date),
    }


def whoami(identity: Identity) -> dict[str, Any]:
    """Return the owner of a token, and what the token is."""
    role = "read" if identity.tier == "read" else "write"
    return {
        "type": "user",
        "id": object_id(identity.user),
        "name": identity.user,
        "fullname": identity.user,
        "email": f"{identity.user}@example.com",
        "emailVerified": True,
        "canPay": False,
        "isPro": False,
        "avatarUrl": "",
        "periodEnd": None,
        "orgs": [
            {
                "type": "org", "id": object_id(org), "name": org, "fullname": org,
                "isEnterprise": False, "roleInOrg": "write",
            }
            for org in identity.orgs
        ],
        "auth": {
            "type": "access_token",
            "accessToken": {
                "displayName": "lab", "role": role, "createdAt": "2024-01-01T00:00:00.000Z"
            },
        },
    }  # fmt: skip


def _sibling(path: str, file: TreeFile, blobs: bool) -> dict[str, Any]:
    sibling: dict[str, Any] = {"rfilename": path}
    if blobs:
        sibling |= {"size": file.size, "blobId": file.oid}
        if file.is_lfs:
            pointer_size = len(lfs_pointer(file.sha256, file.size))
            sibling["lfs"] = {
                "sha256": file.sha256, "size": file.size, "pointerSize": pointer_size
            }  # fmt: skip
    return sibling


def _last_commit(repo: Repo, commit_id: str) -> dict[str, Any]:
    commit = repo.commits.get(commit_id)
    if commit is None:
        return {}
    last = {"id": commit.id, "title": title_of(commit), "date": iso(commit.date)}
    return {"lastCommit": last}


def _security(repo: Repo, path: str) -> dict[str, Any]:
    status = repo.extra.get(SECURITY_KEY, {}).get(path, "safe")
    scan = {"status": status, "message": None, "reportLink": None}
    return {"status": status, "avScan": scan, "pickleImportScan": None, "jFrogScan": scan}


def card_of(repo: Repo, commit: Commit) -> dict[str, Any]:
    """Return the card's metadata: what the README says, and over it what was seeded."""
    return {**parse_card(_small_text(repo, commit, "README.md")).data, **repo.card}


def config_of(repo: Repo, commit: Commit) -> dict[str, Any]:
    """Return what the hub shows of a model's ``config.json``."""
    try:
        config = json.loads(_small_text(repo, commit, "config.json") or "{}")
    except ValueError:
        return {}
    if not isinstance(config, dict):
        return {}
    return {key: config[key] for key in _CONFIG_KEYS if key in config}


def _small_text(repo: Repo, commit: Commit, path: str) -> str:
    file = commit.tree.get(path)
    content = repo.store.blobs.get(file.sha256) if file else None
    if content is None or content.size > _MAX_METADATA_BYTES:
        return ""
    return bytes(content.read(0, content.size)).decode("utf-8", "replace")


def tags_of(repo: Repo, card: dict[str, Any]) -> list[str]:
    """Return what the hub makes tags of."""
    tags = [str(card[key]) for key in ("library_name", "pipeline_tag") if card.get(key)]
    listed = card.get("tags")
    tags += [str(tag) for tag in listed] if isinstance(listed, list) else []
    licence = repo.license or card.get("license")
    tags += [f"license:{licence}"] if isinstance(licence, str) else []
    return list(dict.fromkeys([*tags, "region:us"]))


def object_id(text: str) -> str:
    """Return the id a database would give, always the same."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:24]
