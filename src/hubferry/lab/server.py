"""The lab itself: both hubs on loopback, each origin on a port of its own.

::

    with Lab(LabConfig(commits_per_minute=None)) as lab:
        lab.hf.repos.create("model", "org/name").commit({"README.md": b"# hi"})
        client = HfApi(endpoint=lab.hf.endpoint, token=lab.hf.token)

A hub module exposes ``build_<hub>_app(lab) -> list[Routes]``, one per origin (see ``wire``); the
lab opens a port per origin and ``lab.url("ms.lfs")`` gives its address once it runs. The event loop
lives in a thread of its own; stores, faults, shaping and counters may be used from any thread.

Tokens: ``lab.hf.token`` (may write and delete), ``.write_token`` (may not delete repositories),
``.read_token``; they belong to ``lab-user``, a member of ``your-org`` and ``microsoft``;
``.other_token`` belongs to a stranger.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from hubferry.lab.accounts import Accounts
from hubferry.lab.collections import Collections
from hubferry.lab.config import LabConfig
from hubferry.lab.control import build_control_app
from hubferry.lab.counters import Counters
from hubferry.lab.faults import Faults, Shape
from hubferry.lab.huggingface import build_hf_app
from hubferry.lab.modelscope import build_ms_app
from hubferry.lab.policy import hf_keeps_by_pointer, ms_keeps_by_pointer
from hubferry.lab.repos import RepoStore
from hubferry.lab.signing import Signer
from hubferry.lab.wire import Routes
from hubferry.lab.xet import build_xet_app

USER = "lab-user"
ORGS = ("your-org", "microsoft", "lab-org")
_HOST = "127.0.0.1"
_API_ORIGINS = ("hf.api", "ms.api", "control")
_READ_BUFFER_BYTES = 1 << 20
_SHUTDOWN_SECONDS = 0.5
_START_SECONDS = 30


@dataclass(frozen=True)
class HubSide:
    """One hub of a lab, as a client or a test sees it."""

    lab: Lab
    name: str
    repos: RepoStore
    accounts: Accounts
    token: str
    write_token: str
    read_token: str
    other_token: str

    @property
    def endpoint(self) -> str:
        """Address of the hub's API."""
        return self.lab.url(f"{self.name}.api")


class Lab:
    """Two hubs; ``start`` and ``stop``, or a ``with`` block. Not restartable."""

    def __init__(self, config: LabConfig | None = None) -> None:
        self.config = config or LabConfig()
        self.counters = Counters()
        self.faults = Faults()
        self.shape = Shape()
        self.signer = Signer()
        self.hf = self._side("hf", RepoStore(default_branch="main", lfs_rule=hf_keeps_by_pointer))
        ms_repos = RepoStore(
            default_branch="master",
            lfs_rule=ms_keeps_by_pointer,
            blob_folder=self.config.store_folder,
        )
        self.ms = self._side("ms", ms_repos)
        self.collections = Collections()
        self.stopping = threading.Event()
        self._urls: dict[str, str] = {}
        self._runners: list[web.AppRunner] = []
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lab", daemon=True)
        self._files = tempfile.TemporaryDirectory(prefix="hubferry-lab-")
        self._file_numbers = count()

    def url(self, origin: str) -> str:
        """Return the address of an origin, without a final slash.

        Raises:
            KeyError: no such origin, or the lab does not run.
        """
        return self._urls[origin]

    @property
    def control_url(self) -> str:
        """Address of the control origin."""
        return self.url("control")

    @property
    def origins(self) -> dict[str, str]:
        """Return every origin's name and address."""
        return dict(self._urls)

    def new_file(self) -> Path:
        """Return a new path for a stored blob; removed when the lab stops."""
        return Path(self._files.name) / f"blob-{next(self._file_numbers)}"

    def start(self) -> Self:
        """Open all ports; returns when every origin answers."""
        self._thread.start()
        try:
            self._call(self._open_all(), _START_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Close all connections and remove the stored files."""
        if self._thread.is_alive():
            self._call(self._close_all(), _START_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_START_SECONDS)
        if not self._loop.is_closed():
            self._loop.close()
        self._files.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _call(self, work: Coroutine[Any, Any, None], timeout_seconds: float) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_seconds)

    def _side(self, name: str, repos: RepoStore) -> HubSide:
        tokens = [f"{name}_{tier}_lab_token" for tier in ("admin", "write", "read", "other")]
        accounts = Accounts()
        accounts.add(tokens[0], USER, orgs=ORGS, tier="admin")
        accounts.add(tokens[1], USER, orgs=ORGS, tier="write")
        accounts.add(tokens[2], USER, orgs=ORGS, tier="read")
        accounts.add(tokens[3], "other-user", tier="admin")
        for token in tokens:
            self.counters.watch(token)
        return HubSide(self, name, repos, accounts, *tokens)

    async def _open_all(self) -> None:
        for number, routes in enumerate(self._build()):
            await self._open(routes, number)

    def _build(self) -> list[Routes]:
        found: list[Routes] = []
        for build in (build_control_app, build_hf_app, build_ms_app, build_xet_app):
            found += build(self)
        return found

    async def _open(self, routes: Routes, number: int) -> None:
        routes.close()
        runner = web.AppRunner(
            routes.app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            read_bufsize=_READ_BUFFER_BYTES,
        )
        await runner.setup()
        self._runners.append(runner)
        serve = runner.server
        assert serve is not None

        def connect() -> asyncio.BaseProtocol:
            self.counters.connected(routes.origin, len(serve.connections) + 1)
            return serve()

        port = self.config.port_base + number if self.config.port_base else 0
        server = await asyncio.get_running_loop().create_server(
            connect, _HOST, port, family=socket.AF_INET, reuse_address=True
        )
        self._servers.append(server)
        host = _HOST if routes.origin in _API_ORIGINS else self.config.storage_host
        self._urls[routes.origin] = f"http://{host}:{server.sockets[0].getsockname()[1]}"

    async def _close_all(self) -> None:
        # A server closed while it accepts a connection leaks it: first stop accepting.
        for server in self._servers:
            for listening in server.sockets:
                self._loop.remove_reader(listening.fileno())
        await _next_rounds()
        for server in self._servers:
            server.close()
        for runner in self._runners:
            await runner.cleanup()
        await self._loop.shutdown_asyncgens()
        await _next_rounds()


async def _next_rounds() -> None:
    """Let the loop finish what it has begun: accepting sockets, giving back closed ones."""
    for _ in range(3):
        await asyncio.sleep(0)
