"""The options, in groups that commands put on; each option is defined once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hubferry.cli.localized import HUBS, OUTPUT, PATIENCE, TARGET, WHAT, Option
from hubferry.cli.values import BANDWIDTH, DURATION, SIZE, LocalPath, WholeNumber
from hubferry.text import T, Text

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]

FILE = LocalPath(dir_okay=False, path_type=Path)


def option(*names: str, about: Text, section: Text, **kw: Any) -> Decorator[Any]:
    """One of our options."""
    return click.option(*names, cls=Option, about=about, section=section, **kw)


def flag(*names: str, about: Text, section: Text, **kw: Any) -> Decorator[Any]:
    """An option without a value."""
    return option(*names, about=about, section=section, is_flag=True, default=False, **kw)


def stack(*decorators: Decorator[Any]) -> Decorator[Any]:
    """Several options as one decorator, shown in the order given."""

    def put_on(function: F) -> F:
        for decorate in reversed(decorators):
            function = decorate(function)
        return function

    return put_on


source_argument = click.argument("source")
target_argument = click.argument("target")

revision_option = option(
    "--revision",
    metavar="NAME",
    about=T("Branch, tag or commit of the source; also as SOURCE@NAME."),
    section=WHAT,
)

selection = stack(
    option(
        "--include",
        multiple=True,
        metavar="PATTERN",
        about=T("Only files that match, such as '*.json' or 'onnx/'. May be repeated."),
        section=WHAT,
    ),
    option(
        "--exclude",
        multiple=True,
        metavar="PATTERN",
        about=T("Leave out files that match. May be repeated."),
        section=WHAT,
    ),
)

revisions = stack(
    revision_option,
    option(
        "--target-revision",
        metavar="NAME",
        about=T("Branch of the target; also as TARGET@NAME."),
        section=TARGET,
    ),
)

writing = stack(
    flag(
        "--private",
        about=T("Make a new target repository private. By default it follows the source."),
        section=TARGET,
    ),
    flag("--public", about=T("Make a new target repository public."), section=TARGET),
    option(
        "--license",
        metavar="NAME",
        about=T("Licence of a new target repository; by default the source's."),
        section=TARGET,
    ),
    option(
        "--commit-message",
        metavar="TEXT",
        about=T("First line of the target's commits."),
        section=TARGET,
    ),
    option(
        "--on-conflict",
        type=click.Choice(["overwrite", "skip", "fail"]),
        default="overwrite",
        show_default=True,
        about=T("What to do where the target has other content at a path."),
        section=TARGET,
    ),
    option(
        "--backup-tag",
        metavar="NAME",
        about=T("Tag the target's state before the first change, where the hub allows it."),
        section=TARGET,
    ),
)

mirroring = stack(
    option(
        "--max-delete",
        type=WholeNumber(min=0),
        metavar="FILES",
        about=T(
            "Stop if more files would be deleted. "
            "Default: 100, or half of the files where there are more than 10."
        ),
        section=TARGET,
    ),
    flag(
        "--delete-hub-files",
        about=T("Also delete files that the target hub made itself."),
        section=TARGET,
    ),
)

yes_option = flag(
    "--yes", "-y", about=T("Delete without asking."), section=TARGET, has_variable=True
)

dry_run_option = flag("--dry-run", about=T("Show the plan and write nothing."), section=WHAT)


def _hub_options(hub: str, title: str) -> Decorator[Any]:
    token = T("{hub} token; '-' reads one line from standard input.", hub=title)
    endpoint = T("Address of {hub}, or of a mirror of it.", hub=title)
    proxy = T("Proxy for {hub} alone; 'direct' means none.", hub=title)
    return stack(
        option(f"--{hub}-token", metavar="TOKEN", about=token, section=HUBS),
        option(f"--{hub}-endpoint", metavar="URL", about=endpoint, section=HUBS),
        option(f"--{hub}-proxy", metavar="URL", about=proxy, section=HUBS),
    )


hubs = stack(_hub_options("hf", "Hugging Face"), _hub_options("ms", "ModelScope"))

patience = stack(
    option(
        "--workers",
        type=WholeNumber(1, 64),
        default=16,
        show_default=True,
        metavar="N",
        about=T("How many large files travel at the same time, at most."),
        section=PATIENCE,
    ),
    option(
        "--bwlimit",
        type=BANDWIDTH,
        metavar="LIMITS",
        about=T(
            "How many bytes a second may pass, as for rclone: 10M, upload:download as in 10M:off, "
            "or a timetable as in '08:00,512k 19:00,10M 23:00,off'. Units are powers of 1024, a "
            "bare number is KiB; one number holds for each side."
        ),
        section=PATIENCE,
    ),
    option(
        "--transport",
        type=click.Choice(["auto", "http", "xet"]),
        default="auto",
        show_default=True,
        about=T(
            "How large files are read from Hugging Face: auto takes HTTP, and Xet for files above "
            "50 GB or where it proves to be faster."
        ),
        section=PATIENCE,
    ),
    option(
        "--wait-on-limit",
        type=DURATION,
        default="6h",
        show_default=True,
        metavar="DURATION",
        about=T("How long to wait in all when a hub limits requests, such as 90s, 10m, 6h."),
        section=PATIENCE,
    ),
    option(
        "--wait-lock",
        type=DURATION,
        default="10m",
        show_default=True,
        metavar="DURATION",
        about=T("How long to wait for another copy to the same target."),
        section=PATIENCE,
    ),
)

spooling = stack(
    option(
        "--spool",
        type=click.Choice(["auto", "off", "always"]),
        default="auto",
        show_default=True,
        about=T(
            "Keep what was read on disk until the target has it, so that a broken upload reads "
            "nothing twice: auto from a file's first failure on, always from its first byte, "
            "off never."
        ),
        section=PATIENCE,
    ),
    option(
        "--spool-dir",
        type=LocalPath(file_okay=False, path_type=Path),
        metavar="FOLDER",
        about=T("Where these bytes are kept; by default in the user's cache folder."),
        section=PATIENCE,
    ),
    option(
        "--spool-limit",
        type=SIZE,
        metavar="SIZE",
        about=T(
            "How much the spool may hold in all, such as 512M, 50G, 1.5T. By default what the "
            "disk has, but for 5 GB or a tenth of it."
        ),
        section=PATIENCE,
    ),
)

record = stack(
    option(
        "--ledger",
        type=FILE,
        metavar="FILE",
        about=T("The record of past runs; it saves time and decides nothing."),
        section=OUTPUT,
    ),
    option(
        "--state-dir",
        type=LocalPath(file_okay=False, path_type=Path),
        metavar="FOLDER",
        about=T("Where locks and the record are kept."),
        section=OUTPUT,
    ),
    option(
        "--keep-days",
        type=WholeNumber(min=1),
        default=90,
        show_default=True,
        metavar="DAYS",
        about=T("How long the record keeps past runs; older ones go when a run ends."),
        section=OUTPUT,
    ),
)

lang_option = option(
    "--lang", metavar="LANGUAGE", about=T("Language of messages: en or zh."), section=OUTPUT
)

showing = stack(
    option(
        "--progress",
        type=click.Choice(["auto", "on", "off"]),
        default="auto",
        show_default=True,
        about=T("Progress bars: auto shows them on a terminal and plain lines elsewhere."),
        section=OUTPUT,
    ),
    option(
        "--log-level",
        type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
        default="WARNING",
        show_default=True,
        about=T("How much to log, to standard error or to --log-file."),
        section=OUTPUT,
    ),
    option("--log-file", type=FILE, metavar="FILE", about=T("Log to this file."), section=OUTPUT),
    lang_option,
)

quiet_option = flag("--quiet", "-q", about=T("Print errors only."), section=OUTPUT)

output = stack(
    flag(
        "--json",
        about=T("Print exactly one JSON object on standard output."),
        section=OUTPUT,
    ),
    quiet_option,
    showing,
)

common = stack(hubs, patience, record, output)
