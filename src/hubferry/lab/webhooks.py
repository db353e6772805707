"""Webhooks as Hugging Face sends them, to a server on this computer.

Source: huggingface/hub-docs, ``docs/hub/webhooks.md``; ``_webhooks_payload.py`` of huggingface_hub
2.4.0 (version 3 of the payload).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import aiohttp

from hubferry.lab.hf_shapes import card_of, object_id, tags_of
from hubferry.lab.repos import Repo, RepoType

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

_DEFAULT_EVENT = {"action": "update", "scope": "repo.content"}
_SECONDS = 30.0


def loopback_url(url: str) -> str:
    """Return ``url`` if it leads to this computer.

    Raises:
        ValueError: it does not; the lab speaks to nobody else.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not _is_loopback(parts.hostname or ""):
        raise ValueError("webhooks go to a loopback address only")
    return url


def payload(lab: Lab, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of one webhook.

    ``data``: ``repo`` (its id), and some of ``type``, ``event`` (``{"action", "scope"}`` or a
    scope alone; by default new content), ``webhook_id``, ``moved_to`` (the new id, for a move).
    The repository need not be there (any more).

    Raises:
        KeyError, TypeError: the data make no sense.
    """
    repo_id = str(data["repo"])
    repo_type = cast(RepoType, data.get("type", "model"))
    given = data.get("event", {})
    event = {**_DEFAULT_EVENT, **({"scope": given} if isinstance(given, str) else given)}
    repo = lab.hf.repos.get(repo_type, str(data.get("moved_to", repo_id)))
    body: dict[str, Any] = {
        "event": {"action": event["action"], "scope": event["scope"]},
        "repo": _repo(lab, repo_type, repo_id, repo, event["scope"]),
        "webhook": {"id": str(data.get("webhook_id") or object_id("webhook")), "version": 3},
    }
    if event["scope"] == "repo.content":
        body["updatedRefs"] = [_updated(lab, repo)] if repo and repo.head() else []
    if event["scope"] == "repo.config":
        body["updatedConfig"] = {"private": repo.is_private} if repo else {}
    if event["action"] == "move":
        name = str(data["moved_to"])
        body["movedTo"] = {"name": name, "owner": {"id": object_id(name.partition("/")[0])}}
    return body


async def send(url: str, body: Mapping[str, Any], secret: str | None) -> int:
    """Deliver one webhook and return the status of the answer.

    Raises:
        OSError: nobody answered.
    """
    headers = {"X-Webhook-Secret": secret} if secret else {}
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.post(url, json=body, headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status
    except (aiohttp.ClientError, TimeoutError) as exc:
        raise OSError(f"the webhook was not delivered: {type(exc).__name__}") from exc


def _repo(
    lab: Lab, repo_type: RepoType, repo_id: str, repo: Repo | None, scope: str
) -> dict[str, Any]:
    prefix = "datasets/" if repo_type == "dataset" else ""
    base = lab.hf.endpoint
    told: dict[str, Any] = {
        "type": repo_type,
        "name": repo_id,
        "id": object_id(repo_id),
        "private": repo.is_private if repo else False,
        "url": {"web": f"{base}/{prefix}{repo_id}", "api": f"{base}/api/{repo_type}s/{repo_id}"},
        "owner": {"id": object_id(repo_id.partition("/")[0])},
    }
    head = repo.head() if repo else None
    if repo and head and scope.startswith("repo"):
        told |= {"headSha": head.id, "tags": tags_of(repo, card_of(repo, head))}
    return told


def _updated(lab: Lab, repo: Repo) -> dict[str, Any]:
    head = repo.head()
    assert head is not None
    ref = f"refs/heads/{lab.hf.repos.default_branch}"
    return {"ref": ref, "oldSha": head.parent, "newSha": head.id}


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
