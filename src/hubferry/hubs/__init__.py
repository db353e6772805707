"""Hubs by address scheme: the only place that knows which ones exist.

Hub packages are imported when they are first used: the official clients behind
them take a noticeable part of a second, which `--help` should not pay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hubferry.control import CancelToken, Patience
from hubferry.hubs.base import SourceHub, TargetHub

if TYPE_CHECKING:
    from hubferry.model import RepoId
    from hubferry.net.pacing import Brakes
    from hubferry.net.secret import Secret


class FullHub(SourceHub, TargetHub, Protocol):
    """A hub in both roles."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a hub is opened with. ``token`` None: find it as the official client does."""

    cancel: CancelToken
    patience: Callable[[], Patience]
    endpoint: str | None = None
    token: Secret | None = None
    is_anonymous: bool = False
    proxy: str | None = None
    transport: str = "auto"
    """How large files are read, where the hub knows several ways: ``auto``, ``http``, ``xet``."""
    brakes: Brakes | None = None
    """What is shared with all who use the same account; None: nothing."""


class Link(Protocol):
    """What a pasted web link points at."""

    @property
    def kind(self) -> str:
        """``model``, ``dataset``, ``space``, ``studio``..."""

    @property
    def name(self) -> str:
        """``owner/name``."""

    @property
    def revision(self) -> str | None:
        """The revision named in the link."""


@dataclass(frozen=True, slots=True)
class HubKind:
    """How to recognise a hub's addresses, and how to open it."""

    scheme: str
    title: str
    repo_name: re.Pattern[str]
    is_remote: bool
    parse_link: Callable[[str, str | None], Link | None]
    """Reads a web link; the second argument is a custom endpoint."""
    open: Callable[[Connection], FullHub]
    store_login: Callable[[Secret, str | None], None]
    """Keeps a checked token where the official client keeps it; second: a custom endpoint."""
    default_branch: str = "main"
    """As the hub's traits say, for those who do not open it."""
    parse_collection: Callable[[str, str | None], str | None] | None = None
    """The slug a collection's web link names (second: a custom endpoint), where a hub has them."""
    webhook_name: str | None = None
    """The last part of the address that its webhooks are sent to; None: it sends none."""
    parse_webhook: Callable[[bytes], RepoId | None] | None = None
    """The repository that a webhook's body is about; None: nothing that is copied."""


def _huggingface(connection: Connection) -> FullHub:
    from hubferry.hubs.huggingface.hub import HuggingFaceHub
    from hubferry.hubs.huggingface.transport import Transport

    return HuggingFaceHub(
        endpoint=connection.endpoint,
        token=False if connection.is_anonymous else connection.token,
        proxy=connection.proxy,
        cancel=connection.cancel,
        patience=connection.patience,
        transport=Transport(connection.transport),
        brakes=connection.brakes,
    )


def _huggingface_link(text: str, endpoint: str | None) -> Link | None:
    from hubferry.hubs.huggingface.address import parse_link
    from hubferry.hubs.huggingface.auth import default_endpoint

    return parse_link(text, endpoint=endpoint or default_endpoint())


def _huggingface_collection(text: str, endpoint: str | None) -> str | None:
    if "/collections/" not in text:
        return None
    from hubferry.hubs.huggingface.address import parse_collection
    from hubferry.hubs.huggingface.auth import default_endpoint

    return parse_collection(text, endpoint=endpoint or default_endpoint())


def _huggingface_webhook(body: bytes) -> RepoId | None:
    from hubferry.hubs.huggingface.webhook import repo_of_webhook

    return repo_of_webhook(body)


def _huggingface_login(token: Secret, endpoint: str | None) -> None:
    from hubferry.hubs.huggingface.auth import store_login

    store_login(token)


def _modelscope(connection: Connection) -> FullHub:
    from hubferry.hubs.modelscope.hub import ModelScopeHub

    return ModelScopeHub(
        endpoint=connection.endpoint,
        token=False if connection.is_anonymous else connection.token,
        proxy=connection.proxy,
        cancel=connection.cancel,
        patience=connection.patience,
        brakes=connection.brakes,
    )


def _modelscope_link(text: str, endpoint: str | None) -> Link | None:
    from hubferry.hubs.modelscope.address import parse_link
    from hubferry.hubs.modelscope.auth import find_endpoint

    return parse_link(text, endpoint=endpoint or find_endpoint())


def _modelscope_login(token: Secret, endpoint: str | None) -> None:
    from hubferry.hubs.modelscope.auth import store_login

    store_login(token, endpoint)


def _local(connection: Connection) -> FullHub:
    from hubferry.hubs.local.hub import LocalHub

    return LocalHub(cancel=connection.cancel)


def _no_link(text: str, endpoint: str | None) -> Link | None:
    return None


def _no_login(token: Secret, endpoint: str | None) -> None:
    raise NotImplementedError("a folder needs no login")


_SEGMENT = r"[A-Za-z0-9][\w.-]*"

HUBS: Mapping[str, HubKind] = {
    kind.scheme: kind
    for kind in (
        HubKind(
            "hf",
            "Hugging Face",
            re.compile(rf"({_SEGMENT}/)?{_SEGMENT}"),
            True,
            _huggingface_link,
            _huggingface,
            _huggingface_login,
            default_branch="main",
            parse_collection=_huggingface_collection,
            webhook_name="huggingface",
            parse_webhook=_huggingface_webhook,
        ),
        HubKind(
            "ms",
            "ModelScope",
            re.compile(rf"{_SEGMENT}/{_SEGMENT}"),
            True,
            _modelscope_link,
            _modelscope,
            _modelscope_login,
            default_branch="master",
        ),
        HubKind(
            "file",
            "Local folder",
            re.compile(r".+", re.DOTALL),
            False,
            _no_link,
            _local,
            _no_login,
            default_branch="folder",
        ),
    )
}

DEFAULT_SOURCE = "hf"
DEFAULT_TARGET = "ms"
LOCAL = "file"
