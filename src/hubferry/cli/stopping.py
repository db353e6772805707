"""Ctrl-C and SIGTERM: stop within two seconds, whatever the main thread is doing.

Python runs signal handlers between two steps of the main thread, which may be
stuck in a name lookup for half a minute. The wake-up descriptor is written by
the operating system's own handler at once, so a watching thread hears of it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from hubferry.control import CancelToken
from hubferry.errors import ExitCode
from hubferry.i18n import tr
from hubferry.text import T

GRACE_SECONDS = 1.5
"""For an orderly end: the promise is 2 s, and leaving takes some of it."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = "\x1b[?25h"


class Stopper:
    """While entered, the first signal sets ``cancel``; a second, or the grace's end, leaves.

    Whoever else sets ``cancel`` gives the same grace: another terminal may ask to stop, too.

    ``last_words`` is called before a forced end, when nothing else can be said any more.
    """

    def __init__(self, cancel: CancelToken, last_words: Callable[[], None]) -> None:
        self._cancel = cancel
        self._last_words = last_words
        self._previous: dict[int, Any] = {}
        self._is_prompting = False
        self._has_signal = False
        self._is_over = False
        self._leaving = threading.Lock()

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._previous_descriptor = signal.set_wakeup_fd(
            self._writer.fileno(), warn_on_full_buffer=False
        )
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, self._handle)
        threading.Thread(target=self._watch, name="stopper", daemon=True).start()
        self._cancel.on_cancel(self._heard_of_stop)
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over = True
        if not self._previous:
            return
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_descriptor)
        self._writer.close()

    @contextmanager
    def prompting(self) -> Iterator[None]:
        """While a person is asked, a signal breaks the question off."""
        self._is_prompting = True
        try:
            yield
        finally:
            self._is_prompting = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_prompting:
            raise KeyboardInterrupt

    def _watch(self) -> None:
        with self._reader:
            while byte := self._reader.recv(1):
                if byte[0] not in _SIGNALS:
                    continue
                if self._cancel.is_cancelled:
                    self._leave()
                else:
                    self._stop()

    def _stop(self) -> None:
        self._has_signal = True
        self._cancel.cancel()
        say_at_once(tr(T("Stopping; press Ctrl-C again to stop at once.")))
        self._give_grace()

    def _heard_of_stop(self) -> None:
        if not self._has_signal:
            self._give_grace()

    def _give_grace(self) -> None:
        threading.Thread(target=self._leave_later, name="stopper-grace", daemon=True).start()

    def _leave_later(self) -> None:
        time.sleep(GRACE_SECONDS)
        # Without a signal, a command that has ended in time leaves a process that may go on.
        if self._has_signal or not self._is_over:
            self._leave()

    def _leave(self) -> None:
        with self._leaving:
            if sys.stderr.isatty():
                say_at_once(_SHOW_CURSOR)
            try:
                self._last_words()
            finally:
                os._exit(ExitCode.CANCELLED)


def say_at_once(text: str) -> None:
    """A line on standard error, also while the main thread is stuck in printing."""
    # Straight to the descriptor: the stream's lock may be held by who is being stopped.
    try:
        os.write(2, (text + "\n").encode(errors="backslashreplace"))
    except OSError:
        pass
