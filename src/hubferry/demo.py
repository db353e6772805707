"""``hubferry demo``: the main job on the embedded lab, from an empty machine.

A model repository is copied from the lab's Hugging Face side to its ModelScope
side over the real protocols, verified, and copied once more to show that a
second run finds nothing to do. Nothing leaves this computer and nothing stays
on it: the ledger lives in a temporary folder.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from hubferry.app import App, HubSettings, Settings, parse_address, resolve_target
from hubferry.control import CancelToken
from hubferry.errors import Side
from hubferry.i18n import tr
from hubferry.lab.demo import seed_demo
from hubferry.lab.faults import ShapeRule
from hubferry.lab.server import Lab
from hubferry.model import Address
from hubferry.outcome import RunReport
from hubferry.plan import Policy
from hubferry.report.errors import errors_text
from hubferry.report.observer import Progress
from hubferry.report.tables import print_run, say
from hubferry.text import T

SOURCE = "microsoft/DialoGPT-medium"
TARGET = "your-org/"
LINK_BYTES_PER_SECOND = 6_000_000
"""Each download of the lab is slowed to this, so that there is something to watch."""


def run_demo(out: Console, progress: Progress, cancel: CancelToken) -> int:
    """Run the demo; the exit code of the first run that failed, or 0."""
    source = parse_address(SOURCE, Side.SOURCE)
    target = resolve_target(TARGET, source)
    with Lab() as lab, tempfile.TemporaryDirectory(prefix="hubferry-demo-") as folder:
        seed_demo(lab)
        lab.shape.set(ShapeRule("hf.cdn", connection_bytes_per_second=LINK_BYTES_PER_SECOND))
        say(out, tr(T("The lab runs two hubs on this computer; nothing leaves it.")), "bold")
        say(out, f"  Hugging Face  {lab.hf.endpoint}")
        say(out, f"  ModelScope    {lab.ms.endpoint}")
        first = _step(lab, Path(folder), out, progress, cancel, (source, target))
        if first.exit_code:
            return first.exit_code
        say(out, tr(T("The same command again, to show that it finds nothing to do:")), "bold")
        again = _step(lab, Path(folder), out, progress, cancel, (source, target))
        say(out, tr(T("For the real hubs:")), "bold")
        command = "hubferry" if shutil.which("hubferry") else sys.argv[0]
        say(out, f"  {command} auth status")
        say(out, f"  {command} copy {SOURCE} {target.repo.name}")
        return again.exit_code


def _step(
    lab: Lab,
    folder: Path,
    out: Console,
    progress: Progress,
    cancel: CancelToken,
    ends: tuple[Address, Address],
) -> RunReport:
    settings = Settings(
        hubs={
            "hf": HubSettings(lab.hf.endpoint, lab.hf.token),
            "ms": HubSettings(lab.ms.endpoint, lab.ms.token),
        },
        state_dir=folder,
    )
    # The progress leaves the screen before the result is printed.
    with progress, App(settings, progress, cancel) as app:
        report = app.copy(*ends, Policy())
    print_run(out, report)
    if report.errors:
        say(out, errors_text(report.errors))
    return report
