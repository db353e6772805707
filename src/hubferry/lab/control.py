"""The control origin: JSON over HTTP, so that another process can drive a lab.

==========  ===============  ======================================================================
method      path             what
==========  ===============  ======================================================================
GET         ``/``            the ready line: endpoints and tokens
GET         ``/counters``    what was seen (``counters.Counters.snapshot``)
DELETE      ``/counters``    start from nothing
GET         ``/faults``      the faults switched on, with how often each struck
POST        ``/faults``      switch one on: the fields of ``faults.Fault``
DELETE      ``/faults``      switch off all, or those of ``?endpoint=``
POST        ``/shape``       set a rule: the fields of ``faults.ShapeRule``; DELETE clears all
GET         ``/repos``       every repository with its head; with ``?hub=&id=`` (and ``type=``,
                             ``revision=``) its files
POST        ``/seed``        make or change a repository, see :func:`seed_repo`, or many at once,
                             see :func:`seed_repos`
POST        ``/rename``      ``{"hub", "type", "id", "to"}``: give a repository another id
DELETE      ``/repos``       remove the repository ``?hub=&id=`` (and ``type=``)
POST        ``/collections`` ``{"slug", "title", "private", "items"}``: make or replace a Hugging
                             Face collection; an item is a model's id or ``{"type", "id"}``
POST        ``/webhook``     send one Hugging Face webhook, see :func:`webhooks.payload`
DELETE      ``/blobs``       lose the blob ``?hub=&sha256=``
POST        ``/shutdown``    end the process that runs ``python -m hubferry.lab``
==========  ===============  ======================================================================
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from hubferry.lab.content import BytesContent, Content, FileContent, SyntheticContent
from hubferry.lab.faults import Fault, ShapeRule
from hubferry.lab.repos import Repo, RepoStore, RepoType
from hubferry.lab.webhooks import loopback_url, payload, send
from hubferry.lab.wire import Routes, read_json

if TYPE_CHECKING:
    from hubferry.lab.server import Lab


def build_control_app(lab: Lab) -> list[Routes]:
    """Return the control origin."""
    control = _Control(lab)
    routes = Routes(lab, "control")
    routes.add("GET", "/", "control.ready", control.ready)
    routes.add("GET", "/counters", "control.counters", control.counters)
    routes.add("DELETE", "/counters", "control.counters", control.reset_counters)
    routes.add("GET", "/faults", "control.faults", control.faults)
    routes.add("POST", "/faults", "control.faults", control.add_fault)
    routes.add("DELETE", "/faults", "control.faults", control.clear_faults)
    routes.add("POST", "/shape", "control.shape", control.set_shape)
    routes.add("DELETE", "/shape", "control.shape", control.clear_shape)
    routes.add("GET", "/repos", "control.repos", control.repos)
    routes.add("POST", "/seed", "control.seed", control.seed)
    routes.add("POST", "/rename", "control.rename", control.rename)
    routes.add("DELETE", "/repos", "control.repos", control.delete)
    routes.add("POST", "/collections", "control.collections", control.put_collection)
    routes.add("POST", "/webhook", "control.webhook", control.webhook)
    routes.add("DELETE", "/blobs", "control.blobs", control.drop_blob)
    routes.add("POST", "/shutdown", "control.shutdown", control.shutdown)
    return [routes]


def ready_line(lab: Lab) -> dict[str, Any]:
    """Return what another process needs to use a running lab."""
    return {
        "control": lab.control_url,
        "origins": lab.origins,
        **{
            f"{side.name}_{key}": value
            for side in (lab.hf, lab.ms)
            for key, value in {
                "endpoint": side.endpoint,
                "token": side.token,
                "write_token": side.write_token,
                "read_token": side.read_token,
                "other_token": side.other_token,
            }.items()
        },
    }


def seed_repo(lab: Lab, data: Mapping[str, Any]) -> Repo:
    """Make a repository, or commit to one.

    ``data``: ``hub`` (hf|ms), ``id``, and some of ``type``, ``private``, ``gated``, ``disabled``,
    ``license``, ``card``, ``downloads``, ``xet`` (false: no file is in Xet), ``message``,
    ``branch``, ``tag``, ``date`` (of the commit, Unix seconds), ``deletes`` (paths) and ``files``:
    path -> one of ``{"text": ...}``, ``{"base64": ...}``, ``{"path": file on disk}``,
    ``{"size": bytes, "seed": ...}``.

    Raises:
        KeyError, ValueError, TypeError, OSError: the data make no sense.
    """
    store = _store(lab, str(data["hub"]))
    repo_type = cast(RepoType, data.get("type", "model"))
    repo = store.get(repo_type, str(data["id"])) or store.create(repo_type, str(data["id"]))
    for key, name in (("private", "is_private"), ("disabled", "is_disabled")):
        if key in data:
            setattr(repo, name, bool(data[key]))
    for key in ("gated", "license", "card", "downloads"):
        if key in data:
            setattr(repo, key, data[key])
    if "xet" in data:
        repo.extra["xet"] = data["xet"]
    files = {path: _content(given) for path, given in data.get("files", {}).items()}
    if files or data.get("deletes"):
        repo.commit(
            files,
            data.get("deletes", ()),
            message=str(data.get("message", "seed")),
            branch=data.get("branch"),
            date=datetime.fromtimestamp(data["date"], UTC) if "date" in data else None,
        )
    if "tag" in data:
        repo.tag(str(data["tag"]))
    return repo


def seed_repos(lab: Lab, data: Mapping[str, Any]) -> list[Repo]:
    """Make many repositories: each of ``repos`` as in :func:`seed_repo`.

    What stands beside ``repos`` (``hub``, ``license``...) holds for all that do not say otherwise.
    Equal sizes and seeds are one blob, hashed once: 500 repositories of 10 files take about a
    second.

    Raises:
        KeyError, ValueError, TypeError, OSError: the data make no sense; those before are made.
    """
    common = {key: value for key, value in data.items() if key != "repos"}
    return [seed_repo(lab, {**common, **each}) for each in data["repos"]]


def _content(given: Mapping[str, Any]) -> Content:
    if "text" in given:
        return BytesContent(str(given["text"]).encode())
    if "base64" in given:
        return BytesContent(base64.b64decode(given["base64"]))
    if "path" in given:
        return FileContent(Path(given["path"]))
    return _synthetic(int(given["size"]), str(given.get("seed", 0)))


@lru_cache(maxsize=16_384)
def _synthetic(size: int, seed: str) -> SyntheticContent:
    """One object for equal contents, which remembers its digests."""
    return SyntheticContent(size, seed)


def _store(lab: Lab, hub: str) -> RepoStore:
    return {"hf": lab.hf, "ms": lab.ms}[hub].repos


class _Control:
    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    async def ready(self, _request: web.Request) -> web.Response:
        return web.json_response(ready_line(self._lab))

    async def counters(self, _request: web.Request) -> web.Response:
        return web.json_response(self._lab.counters.snapshot())

    async def reset_counters(self, _request: web.Request) -> web.Response:
        self._lab.counters.reset()
        return web.json_response({})

    async def faults(self, _request: web.Request) -> web.Response:
        return web.json_response(self._lab.faults.snapshot())

    async def add_fault(self, request: web.Request) -> web.Response:
        try:
            self._lab.faults.add(Fault.from_json(await read_json(request)))
        except (ValueError, TypeError) as exc:
            raise web.HTTPBadRequest(text=str(exc)) from exc
        return web.json_response({}, status=201)

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._lab.faults.clear(request.query.get("endpoint"))
        return web.json_response({})

    async def set_shape(self, request: web.Request) -> web.Response:
        try:
            self._lab.shape.set(ShapeRule(**await read_json(request)))
        except TypeError as exc:
            raise web.HTTPBadRequest(text=str(exc)) from exc
        return web.json_response({}, status=201)

    async def clear_shape(self, _request: web.Request) -> web.Response:
        self._lab.shape.clear()
        return web.json_response({})

    async def repos(self, request: web.Request) -> web.Response:
        if "id" not in request.query:
            return web.json_response(
                {side.name: [_summary(repo) for repo in side.repos] for side in _sides(self._lab)}
            )
        store = _store(self._lab, request.query.get("hub", "ms"))
        repo = store.get(cast(RepoType, request.query.get("type", "model")), request.query["id"])
        if repo is None:
            raise web.HTTPNotFound(text="no such repository")
        return web.json_response(_files(repo, request.query.get("revision")))

    async def seed(self, request: web.Request) -> web.Response:
        data = await read_json(request)
        with _telling_mistakes():
            if "repos" in data:
                # In a thread: the hubs go on answering meanwhile.
                many = await asyncio.to_thread(seed_repos, self._lab, data)
                return web.json_response({"repos": [_summary(each) for each in many]}, status=201)
            return web.json_response(_summary(seed_repo(self._lab, data)), status=201)

    async def rename(self, request: web.Request) -> web.Response:
        data = await read_json(request)
        with _telling_mistakes():
            store = _store(self._lab, str(data["hub"]))
            store.rename(cast(RepoType, data.get("type", "model")), str(data["id"]), data["to"])
        return web.json_response({})

    async def delete(self, request: web.Request) -> web.Response:
        query = request.query
        with _telling_mistakes():
            store = _store(self._lab, query.get("hub", ""))
        if not store.delete(cast(RepoType, query.get("type", "model")), query.get("id", "")):
            raise web.HTTPNotFound(text="no such repository")
        return web.json_response({})

    async def put_collection(self, request: web.Request) -> web.Response:
        data = await read_json(request)
        with _telling_mistakes():
            made = self._lab.collections.put(
                str(data["slug"]),
                data["items"],
                title=data.get("title"),
                is_private=bool(data.get("private", False)),
            )
        return web.json_response({"slug": made.slug, "items": len(made.items)}, status=201)

    async def webhook(self, request: web.Request) -> web.Response:
        data = await read_json(request)
        with _telling_mistakes():
            url = loopback_url(str(data["url"]))
            body = payload(self._lab, data)
            status = await send(url, body, data.get("secret"))
        return web.json_response({"status": status, "payload": body})

    async def drop_blob(self, request: web.Request) -> web.Response:
        store = _store(self._lab, request.query.get("hub", "ms"))
        store.blobs.drop(request.query.get("sha256", ""))
        return web.json_response({})

    async def shutdown(self, _request: web.Request) -> web.Response:
        self._lab.stopping.set()
        return web.json_response({})


@contextmanager
def _telling_mistakes() -> Iterator[None]:
    """Answer 400 with what is wrong."""
    try:
        yield
    except (KeyError, ValueError, TypeError, AttributeError, OSError) as exc:
        raise web.HTTPBadRequest(text=f"{type(exc).__name__}: {exc}") from exc


def _sides(lab: Lab) -> list[Any]:
    return [lab.hf, lab.ms]


def _summary(repo: Repo) -> dict[str, Any]:
    head = repo.head()
    return {
        "type": repo.repo_type,
        "id": repo.id,
        "private": repo.is_private,
        "head": head.id if head else None,
        "files": len(head.tree) if head else 0,
        "commits": len(repo.commits),
    }


def _files(repo: Repo, revision: str | None) -> dict[str, Any]:
    return {
        **_summary(repo),
        "tree": {
            path: {
                "size": file.size,
                "sha256": file.sha256,
                "is_lfs": file.is_lfs,
                "is_stored": file.sha256 in repo.store.blobs,
            }
            for path, file in sorted(repo.tree(revision).items())
        },
    }
