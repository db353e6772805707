"""Where the process begins: Ctrl-C has an end without a traceback before anything is loaded."""

from __future__ import annotations

import gc
import os
import signal
from types import FrameType
from typing import NoReturn

_CANCELLED = 130


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"Error: Stopped\n")
    os._exit(_CANCELLED)


def main() -> NoReturn:
    """The ``hubferry`` command."""
    before = signal.signal(signal.SIGINT, _leave)
    # What is made while modules load stays; looking for garbage in it took a sixth of the
    # time to the first request.
    gc.set_threshold(50_000, 20, 20)
    from hubferry.cli.main import main as run_main

    signal.signal(signal.SIGINT, before)
    run_main()
