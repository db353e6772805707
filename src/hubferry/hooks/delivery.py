"""Hooks at work: who wants to know what, and that they hear of it."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from hubferry.batch.values import BatchReport
from hubferry.control import CancelToken
from hubferry.errors import (
    CopyError,
    LedgerError,
    RateLimitedError,
    UnavailableError,
    UsageError,
)
from hubferry.events import Note, Observer, silent
from hubferry.hooks.answers import refusal_in
from hubferry.hooks.commands import run_command, split_command, without_tokens
from hubferry.hooks.formats import payload
from hubferry.hooks.stalls import StallWatch
from hubferry.hooks.values import News, Stall, is_news, news_of, news_of_stall
from hubferry.manifest.values import Hook, SecretRef
from hubferry.net import redact
from hubferry.net.config import HttpConfig, origin_of, show_origin
from hubferry.net.http import HttpClient
from hubferry.net.secret import Secret
from hubferry.outcome import RunReport
from hubferry.text import T, Text

_log = logging.getLogger(__name__)

TRIES = 3
TIMEOUT_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
STOPPED_SECONDS = 1.0
"""Once somebody asked to stop: the report has to be told within the second after."""
LOOK_SECONDS = 5.0
"""How often a silence is looked for."""
_SIDE_BY_SIDE = 8
# Parts of an address that are as long as this were made by a machine: they are secrets.
_SECRET_PART = 16

Resolve = Callable[[SecretRef], str | None]
Keep = Callable[[str, Mapping[str, object]], None]
"""Takes the run's id and what became of a hook, for the ledger."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A hook whose references were looked up. ``name`` may be shown."""

    hook: Hook
    name: str
    url: Secret | None = None
    words: tuple[str, ...] = ()
    secret: Secret | None = None


class Hooks:
    """The hooks of one manifest or command line. Nothing of it raises but :meth:`check`.

    Args:
        resolve: looks up a reference; by default as manifests do.
        observe: is told of hooks that failed, as warnings.
        keep: takes what became of each hook, for the ledger.
        cancel: once it is set, a hook is tried only once.
        proxy: as for a hub; None: what the environment says.
        withheld: names of variables that hold tokens, besides the usual ones.
        pause: waits between two tries; it takes seconds.
    """

    def __init__(
        self,
        hooks: Sequence[Hook],
        *,
        resolve: Resolve | None = None,
        observe: Observer = silent,
        keep: Keep = lambda run_id, detail: None,
        cancel: CancelToken | None = None,
        proxy: str | None = None,
        withheld: Collection[str] = (),
        environ: Mapping[str, str] | None = None,
        pause: Callable[[float], object] | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._hooks = tuple(hooks)
        self._resolve = resolve or _as_manifests_do
        self._observe = observe
        self._keep = keep
        self._cancel = cancel or CancelToken()
        self._proxy = proxy
        # The addresses and keys of hooks are secrets, too, and no command needs another's.
        own = (place for hook in self._hooks for place in (hook.to, hook.secret))
        named = [ref.name for ref in own if isinstance(ref, SecretRef) and ref.kind == "env"]
        self._withheld = (*withheld, *named)
        self._environ = os.environ if environ is None else environ
        # Not the run's token: that one is set already when a stopped run is told of.
        self._pause = pause or threading.Event().wait
        self._look_seconds = look_seconds
        self._has_given_up = False
        self._found: dict[int, _Known] = {}
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._hooks)

    def check(self) -> None:
        """Look up every reference, so that a mistake is told before the run and not after it.

        Raises:
            UsageError: a reference leads nowhere, or to something that is no address.
        """
        for number in range(len(self._hooks)):
            self._known(number)

    def ended(self, report: BatchReport | RunReport) -> None:
        """Tell the end of a run: one message a hook, ``failure`` where it wants that and it is.

        A cycle of a watch that found nothing new is not told.
        """
        if self._hooks and is_news(report):
            self.tell("end", news_of(report))

    def tell(self, event: str, news: News) -> None:
        """Tell those who want to know of ``event``; back when all were told or given up.

        An ``end`` that is a failure is told to who asked for both once, as ``failure``.
        """
        chosen = [
            (number, told)
            for number, hook in enumerate(self._hooks)
            if (told := _event_for(hook, event, news)) is not None
        ]
        if not chosen:
            return
        todo: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        for each in chosen:
            todo.put(each)
        open_ones = {number: self._hooks[number].kind for number, _ in chosen}

        def work() -> None:
            with suppress(queue.Empty):
                while True:
                    number, told = todo.get_nowait()
                    self._tell_one(number, told, news)
                    open_ones.pop(number)

        count = min(_SIDE_BY_SIDE, len(chosen))
        # Not of a pool: its threads would be waited for at the process's end.
        threads = [threading.Thread(target=work, name="hook", daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        if not self._have_ended(threads):
            self._has_given_up = True
            reason = T("it did not end within {seconds} s", seconds=f"{STOPPED_SECONDS:g}")
            for kind in list(open_ones.values()):
                self._warn(T("hook {name} failed: {cause}", name=kind, cause=reason))

    def _have_ended(self, threads: Sequence[threading.Thread]) -> bool:
        """Wait for them; False if the run was asked to stop and they took longer than that."""
        stopped_at: float | None = None
        for thread in threads:
            while thread.is_alive():
                if stopped_at is None and self._cancel.is_cancelled:
                    stopped_at = time.monotonic()
                if stopped_at is not None and time.monotonic() - stopped_at >= STOPPED_SECONDS:
                    return False
                thread.join(0.05)
        return True

    @contextmanager
    def watching(self, run_id: str, command: str, subject: str) -> Iterator[Observer]:
        """Tell ``stall`` while a run is on its way; yields the observer that it has to feed."""
        if not any("stall" in hook.on for hook in self._hooks):
            yield silent
            return
        watch, is_over = StallWatch(), threading.Event()

        def stand_by() -> None:
            while not is_over.is_set():
                watch.wake.wait(self._look_seconds)
                for stall in () if is_over.is_set() else watch.look():
                    self._tell_stall(run_id, command, subject, stall)

        thread = threading.Thread(target=stand_by, name="stall-watch", daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            is_over.set()
            watch.wake.set()
            # A message on its way is let through: that of the end must not overtake it.
            thread.join(TIMEOUT_SECONDS)

    def _tell_stall(self, run_id: str, command: str, subject: str, stall: Stall) -> None:
        self.tell("stall", news_of_stall(run_id, command, subject, stall))

    # --- one hook ----------------------------------------------------------------

    def _tell_one(self, number: int, event: str, news: News) -> None:
        hook = self._hooks[number]
        name, tries = hook.kind, 0
        problem: CopyError | None = None
        try:
            known = self._known(number)
            name = known.name
            for tries in range(1, self._tries() + 1):
                problem = self._try(known, event, news)
                if problem is None or not problem.retryable or tries == self._tries():
                    break
                self._pause(_pause_after(problem, tries))
        except CopyError as error:
            problem = error
        except Exception as error:  # noqa: BLE001 - whatever a hook does, the run is not its victim
            _log.debug("hook failed", exc_info=error)
            problem = CopyError(T("it broke ({kind})", kind=type(error).__name__))
        self._note(event, news, hook.kind, name, tries, problem)

    def _tries(self) -> int:
        return 1 if self._cancel.is_cancelled else TRIES

    def _try(self, known: _Known, event: str, news: News) -> CopyError | None:
        try:
            if known.words:
                self._run(known, event, news)
            else:
                self._post(known, event, news)
        except CopyError as error:
            return error
        return None

    def _run(self, known: _Known, event: str, news: News) -> None:
        about = {
            "HUBFERRY_EVENT": event,
            "HUBFERRY_RUN_ID": news.run_id,
            "HUBFERRY_EXIT_CODE": "" if news.exit_code is None else str(news.exit_code),
        }
        environ = without_tokens(self._environ, self._withheld) | about
        body = payload("webhook", event, news).body
        run_command(known.words, body, environ, is_stopped=lambda: self._cancel.is_cancelled)

    def _post(self, known: _Known, event: str, news: News) -> None:
        assert known.url is not None, "what is no command has an address"
        secret = known.secret.reveal() if known.secret else None
        # Signed anew on each try: signatures hold a time, and age.
        message = payload(known.hook.kind, event, news, secret=secret)
        config = HttpConfig(
            proxy=self._proxy,
            connect_timeout_seconds=TIMEOUT_SECONDS,
            read_timeout_seconds=TIMEOUT_SECONDS,
        )
        client = HttpClient(config)
        try:
            # Twice told is better than not told at all.
            answer = client.post(
                message.url(known.url.reveal()), message.body, message.headers, is_repeatable=True
            )
        finally:
            client.close()
        refusal = refusal_in(known.hook.kind, show_origin(answer.origin), answer.body)
        if refusal is not None:
            raise refusal

    def _note(
        self,
        event: str,
        news: News,
        kind: str,
        name: str,
        tries: int,
        problem: CopyError | None,
    ) -> None:
        if self._has_given_up:
            return  # told as failed already, and the ledger may be closed by now
        detail: dict[str, object] = {"kind": kind, "to": name, "event": event, "tries": tries}
        detail["is_told"] = problem is None
        if problem is not None:
            detail |= {"error": problem.code, "message": redact.redact(str(problem.message))}
            self._warn(T("hook {name} failed: {cause}", name=name, cause=problem))
        try:
            self._keep(news.run_id, detail)
        except LedgerError as error:
            self._warn(T("what became of hook {name} is not kept: {cause}", name=name, cause=error))

    def _warn(self, text: Text) -> None:
        self._observe(Note("warning", text))

    # --- looking up --------------------------------------------------------------

    def _known(self, number: int) -> _Known:
        with self._lock:
            if number not in self._found:
                self._found[number] = self._look_up(self._hooks[number])
            return self._found[number]

    def _look_up(self, hook: Hook) -> _Known:
        to = self._value(hook.to, hook)
        if hook.kind == "command":
            words = split_command(to)
            return _Known(hook, f"command {words[0]}", words=tuple(words))
        host = _host(to, hook)
        _register_parts(to)
        secret = Secret(self._value(hook.secret, hook)) if hook.secret else None
        return _Known(hook, f"{hook.kind} {host}", Secret(to), (), secret)

    def _value(self, place: str | SecretRef, hook: Hook) -> str:
        value = self._resolve(place) if isinstance(place, SecretRef) else place
        if value is None or not value.strip():
            raise UsageError(
                T("{place} holds nothing for the {kind} hook", place=str(place), kind=hook.kind),
                hint=T("name it as env:NAME, file:PATH or cmd:COMMAND"),
            )
        return value.strip()


def _event_for(hook: Hook, event: str, news: News) -> str | None:
    """As what this hook hears of an event; None: not at all."""
    if event == "end" and news.is_failure and "failure" in hook.on:
        return "failure"
    return event if event in hook.on else None


def _pause_after(problem: CopyError, tries: int) -> float:
    seconds = FIRST_PAUSE_SECONDS * 4.0 ** (tries - 1)
    if isinstance(problem, RateLimitedError) and problem.retry_after_seconds is not None:
        seconds = max(seconds, problem.retry_after_seconds)
    elif not isinstance(problem, UnavailableError):
        seconds *= 2
    return min(seconds, LONGEST_PAUSE_SECONDS)


def _host(url: str, hook: Hook) -> str:
    try:
        return show_origin(origin_of(url))
    except ValueError:
        # Not quoted: whatever it is, it was meant to be a secret.
        raise UsageError(
            T("the {kind} hook leads to something that is no http(s) address", kind=hook.kind),
            hint=T("copy the whole address that the service shows"),
        ) from None


def _register_parts(url: str) -> None:
    """Have the telling parts of an address redacted, wherever a log splits it."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    pieces = [target, *parts.path.split("/"), *parts.query.replace("=", "&").split("&")]
    for piece in pieces:
        if len(piece) >= _SECRET_PART:
            redact.register(piece)


def _as_manifests_do(ref: SecretRef) -> str | None:
    from hubferry.manifest.secrets import resolve

    return resolve(ref)
