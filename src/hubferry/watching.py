"""Where a watch is put together: lock, port, loop, signs of life, and an orderly end.

The loop and the server know neither the app nor what is around them.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from hubferry.batch.values import BatchReport
from hubferry.control import CancelToken
from hubferry.errors import UsageError
from hubferry.events import Event, Note, Observer
from hubferry.hubs import HUBS
from hubferry.manifest.secrets import resolve
from hubferry.manifest.values import Manifest, WatchSettings
from hubferry.model import RepoId
from hubferry.text import T
from hubferry.watch.clock import Clock, RealClock
from hubferry.watch.loop import CycleDone, Watch
from hubferry.watch.notify import Notifier
from hubferry.watch.ports import Cycle, Load
from hubferry.watch.schedule import next_slot, period_seconds
from hubferry.watch.state import StateFile

if TYPE_CHECKING:
    from hubferry.app import App
    from hubferry.batching import BatchOptions

WATCH_FOLDER = "watch"
"""Below the state folder."""
PARSERS: Mapping[str, Callable[[bytes], RepoId | None]] = {
    kind.webhook_name: kind.parse_webhook
    for kind in HUBS.values()
    if kind.webhook_name and kind.parse_webhook
}
"""Who sends webhooks, by the last part of their address."""

_PART_OF_PERIOD = 0.9
"""Less than a whole one: it failed in the middle of a cycle and is due at the next one's start."""


def app_cycle(
    make_app: Callable[[Manifest], App],
    make_options: Callable[[], BatchOptions],
    clock: Clock | None = None,
    *,
    tries_all: bool = False,
) -> Cycle:
    """Cycles by the real batch, each with an app of its own.

    So a cycle has fresh connections, a waiting budget of its own, and tokens as
    they are now; and what one of them leaves behind no later one inherits. A
    repository that failed is tried again after 1, 2, 4... periods, or, with
    ``tries_all``, each time.
    """
    time = clock or RealClock()

    def cycle(
        manifest: Manifest,
        *,
        only: Collection[str] | None,
        cancel: CancelToken,
        may_start: Callable[[], bool],
    ) -> BatchReport:
        # From a tick to the next: now is somewhere between two of them.
        tick = next_slot(manifest.watch, time.now(), time.now())
        pause = period_seconds(manifest.watch, tick) * _PART_OF_PERIOD
        mine = replace(
            make_options(),
            only=only,
            may_start=may_start,
            retry_seconds=None if tries_all else pause,
            now=time.now,
            command="watch",
        )
        with make_app(manifest) as app:
            return app.batch(manifest, mine)

    return cycle


@dataclass(frozen=True)
class Daemon:
    """One ``hubferry watch``.

    ``told`` hears of every cycle; ``listening`` of the server's address, and
    whether it takes webhooks. ``observe`` gets what the loop has to say.
    """

    manifest: Path
    load: Load
    state_folder: Path
    cancel: CancelToken
    observe: Observer
    told: Callable[[CycleDone], None]
    listening: Callable[[str, bool], None] = lambda address, takes_webhooks: None
    clock: Clock = field(default_factory=RealClock)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def run_once(self, make_cycle: Callable[[Observer], Cycle]) -> CycleDone:
        """One look at everything, now.

        Raises:
            CopyError: as for :meth:`run`.
            CancelledError: somebody asked to stop.
        """
        with self._file.held():
            return self._watch(make_cycle).run_once()

    def run(self, make_cycle: Callable[[Observer], Cycle]) -> None:
        """Watch until somebody asks to stop. ``make_cycle`` gets an observer to feed.

        Raises:
            ConflictError: another process watches this manifest.
            UsageError: the manifest cannot be used, or the extra is missing.
            LocalError: the port or the state folder cannot be used.
        """
        notifier = Notifier.of(self.environ)
        with ExitStack() as stack:
            stack.enter_context(self._file.held())
            watch = self._watch(make_cycle, notifier)
            if watch.manifest.watch.listen is not None:
                self._open_server(stack, watch)
            stack.enter_context(on_hangup(watch.reread))
            stack.enter_context(signs_of_life(watch, notifier, self.clock))
            self.cancel.on_cancel(notifier.stopping)
            notifier.ready()
            watch.run()

    @property
    def _file(self) -> StateFile:
        return StateFile(self.state_folder / WATCH_FOLDER, self.manifest)

    def _watch(
        self, make_cycle: Callable[[Observer], Cycle], notifier: Notifier | None = None
    ) -> Watch:
        def told(done: CycleDone) -> None:
            self.told(done)
            if notifier is not None:
                failing = watch.health().failing_repos
                notifier.status(f"cycle {done.number} done, {failing} repositories failing")

        def take(event: Event) -> None:
            # The cycle tells the watch how it gets on, and is made before it.
            watch.take(event)

        cycle = make_cycle(take)
        watch = Watch(
            self.load,
            cycle,
            self._file,
            cancel=self.cancel,
            clock=self.clock,
            observe=self.observe,
            told=told,
        )
        return watch

    def _open_server(self, stack: ExitStack, watch: Watch) -> None:
        from hubferry.watch.server import WatchServer

        settings = watch.manifest.watch
        assert settings.listen is not None

        def failed() -> None:
            self.observe(Note("warning", T("the webhook server has stopped; see the log")))

        server = WatchServer(
            settings.listen, watch, PARSERS, webhook_secret(settings), failed=failed
        )
        stack.enter_context(server)
        self.listening(server.address, server.is_open)


def webhook_secret(settings: WatchSettings) -> str | None:
    """The secret that webhooks have to bring, if one was named.

    Raises:
        UsageError: it cannot be had.
    """
    if settings.webhook_secret is None:
        return None
    found = resolve(settings.webhook_secret)
    if not found:
        raise UsageError(
            T("the webhook secret cannot be a hub's login"),
            hint=T("name it with env:NAME, file:PATH or cmd:COMMAND"),
        )
    return found


@contextmanager
def on_hangup(act: Callable[[], None]) -> Iterator[None]:
    """While entered, SIGHUP means ``act``, where there is such a signal."""
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        # In a thread of its own: the main thread may hold the very lock that waking it takes.
        threading.Thread(target=act, name="hangup", daemon=True).start()

    before = signal.signal(hangup, handle)
    try:
        yield
    finally:
        signal.signal(hangup, before)


@contextmanager
def signs_of_life(watch: Watch, notifier: Notifier, clock: Clock) -> Iterator[None]:
    """While entered, systemd's watchdog hears from the loop, if it is set to wait for that."""
    if notifier.watchdog_seconds is None:
        yield
        return
    seconds, is_over = notifier.watchdog_seconds / 2, threading.Event()

    def send() -> None:
        while not is_over.is_set():
            if watch.is_turning():
                notifier.alive()
            clock.wait(seconds, is_over)

    threading.Thread(target=send, name="watchdog", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()
