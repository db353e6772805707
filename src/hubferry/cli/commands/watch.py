"""``hubferry watch``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hubferry.cli import options as opt
from hubferry.cli.batching import (
    BatchInvocation,
    copying,
    manifest_argument,
    merged_hubs,
)
from hubferry.cli.localized import OUTPUT, WHEN, Command
from hubferry.cli.settings import settings_of
from hubferry.cli.values import DURATION
from hubferry.errors import UsageError
from hubferry.events import Event, Note
from hubferry.i18n import tr
from hubferry.outcome import ErrorRecord
from hubferry.report.observer import Progress
from hubferry.report.tables import say
from hubferry.text import T

if TYPE_CHECKING:
    from hubferry.app import App, Settings
    from hubferry.events import Observer
    from hubferry.manifest.values import Manifest, WatchSettings
    from hubferry.report.watch_shapes import CycleNews
    from hubferry.watch.loop import CycleDone
    from hubferry.watch.ports import Cycle

V = TypeVar("V")


@click.command(
    "watch",
    cls=Command,
    about=T(
        "Keep the targets of a manifest equal to their sources, until it is stopped.\n\n"
        "Looks at everything every 15 minutes, or as --every or --cron say, and at single "
        "repositories as soon as a webhook names them. What has not changed costs next to "
        "nothing. FILE is as for 'batch' and is read again before each cycle; its 'watch' section "
        "can say all that the options here say."
    ),
)
@manifest_argument
@opt.flag(
    "--once", about=T("Look at everything once, now, also in quiet hours, and end."), section=WHEN
)
@opt.option(
    "--every",
    type=DURATION,
    metavar="DURATION",
    about=T("Look at everything this often, such as 10m, 6h. Default: 15m."),
    section=WHEN,
)
@opt.option(
    "--cron",
    metavar="EXPRESSION",
    about=T("Look at the times of a cron expression, such as '30 2 * * mon-fri', local time."),
    section=WHEN,
)
@opt.option(
    "--jitter",
    type=DURATION,
    metavar="DURATION",
    about=T("Begin each time up to this much later, by chance."),
    section=WHEN,
)
@opt.option(
    "--quiet-hours",
    multiple=True,
    metavar="HH:MM-HH:MM",
    about=T(
        "Start nothing new in this span of each day, local time; what is on its way is finished. "
        "May be repeated."
    ),
    section=WHEN,
)
@opt.option(
    "--listen",
    metavar="HOST:PORT",
    about=T(
        "Listen there for webhooks of Hugging Face (/webhooks/huggingface), and answer /healthz "
        "and /metrics. Needs: pip install 'hubferry[watch]'."
    ),
    section=WHEN,
)
@opt.option(
    "--webhook-secret",
    metavar="REFERENCE",
    about=T("Where the webhooks' secret is found: env:NAME, file:PATH or cmd:COMMAND."),
    section=WHEN,
)
@copying
@opt.hubs
@opt.patience
@opt.record
@opt.flag("--json", about=T("Print one JSON object a cycle, each on a line."), section=OUTPUT)
@opt.quiet_option
@opt.showing
@click.pass_context
def watch(ctx: click.Context, /, manifest: Path, **options: Any) -> int:
    """Parse, watch, print."""
    from hubferry.watching import Daemon

    if str(manifest) == "-":
        raise UsageError(
            T("a watch reads its manifest again and again, which standard input cannot be"),
            hint=T("name a file"),
        )
    with WatchInvocation(ctx, options) as call:
        # Once: a token that comes by standard input comes once.
        settings = settings_of(options)
        daemon = Daemon(
            manifest,
            lambda: _load(call, manifest),
            settings.state_folder,
            call.cancel,
            partial(_observe, call),
            lambda done: _print(call, done),
            lambda address, takes: _say_address(call, address, takes_webhooks=takes),
        )
        if options["once"]:
            return _news(daemon.run_once(_cycles(call, settings))).exit_code
        daemon.run(_cycles(call, settings))
    return 0


class WatchInvocation(BatchInvocation):
    """A command that brings them over again and again."""

    def _make_progress(self, mode: str) -> Progress:
        from hubferry.report.batch_lines import BatchLines
        from hubferry.report.watch_lines import WatchLines

        made = super()._make_progress(mode)
        return WatchLines(sys.stderr) if isinstance(made, BatchLines) else made


def _load(call: BatchInvocation, place: Path) -> Manifest:
    loaded = call.load(place, is_mirror=call.options["delete"])
    return replace(loaded, watch=merged_watch(loaded.watch, call.options))


def merged_watch(settings: WatchSettings, options: Any) -> WatchSettings:
    """What was given by option, variable or configuration counts; the manifest fills the gaps.

    Raises:
        UsageError: an option makes no sense.
    """
    from hubferry.manifest.fields import cron_of, listen_of, quiet_hours_of, reference_of

    given: dict[str, Any] = {}
    every, cron = options["every"], options["cron"]
    if every is not None or cron is not None:
        given["every_seconds"] = every
        given["cron"] = None if cron is None else _read("--cron", cron_of, cron)
    if options["jitter"] is not None:
        given["jitter_seconds"] = options["jitter"]
    if options["quiet_hours"]:
        spans = list(options["quiet_hours"])
        given["quiet_hours"] = _read("--quiet-hours", quiet_hours_of, spans)
    if options["listen"] is not None:
        given["listen"] = _read("--listen", listen_of, options["listen"])
    if options["webhook_secret"] is not None:
        given["webhook_secret"] = _read("--webhook-secret", reference_of, options["webhook_secret"])
    return replace(settings, **given)


def _read(name: str, read: Callable[[object], V], value: object) -> V:
    from hubferry.manifest.problems import Wrong

    try:
        return read(value)
    except Wrong as wrong:
        raise UsageError(
            T("{option}: {reason}", option=name, reason=wrong.what), hint=wrong.how
        ) from wrong


def _cycles(call: BatchInvocation, settings: Settings) -> Callable[[Observer], Cycle]:
    from hubferry.watching import app_cycle

    def make_cycle(observer: Observer) -> Cycle:
        def observe(event: Event) -> None:
            _observe(call, event)
            observer(event)

        def make_app(manifest: Manifest) -> App:
            from hubferry.app import App
            from hubferry.throttle import parse_bwlimit

            hubs = merged_hubs(settings.hubs, manifest)
            mine = replace(settings, hubs=hubs)
            if call.options["bwlimit"] is None and manifest.watch.bwlimit is not None:
                mine = replace(mine, bwlimit=parse_bwlimit(manifest.watch.bwlimit))
            return App(mine, observer=observe, cancel=call.cancel)

        return app_cycle(make_app, call.options_of, tries_all=call.options["once"])

    return make_cycle


def _observe(call: BatchInvocation, event: Event) -> None:
    call.progress(event)
    if isinstance(event, Note) and event.level == "warning" and type(call.progress) is Progress:
        # No progress is no reason to stay silent for days about what is wrong.
        call.warn(tr(event.text))


def _news(done: CycleDone) -> CycleNews:
    from hubferry.report.watch_shapes import CycleNews

    return CycleNews(
        done.number,
        done.started_at,
        done.ended_at,
        done.next_at,
        done.wanted.only,
        done.report,
        ErrorRecord.of(done.error) if done.error else None,
    )


def _print(call: BatchInvocation, done: CycleDone) -> None:
    from hubferry.report.watch_shapes import watch_line, watch_shape

    news = _news(done)
    line = watch_line(news, has_next=not call.options["once"])
    call.emit(watch_shape(call.command, news), lambda out: say(out, line))
    errors = [news.error] if news.error and call.options["once"] else []
    call.say_errors([*errors, *(done.report.errors if done.report else [])])


def _say_address(call: BatchInvocation, address: str, *, takes_webhooks: bool) -> None:
    if call.is_quiet:
        return
    if takes_webhooks:
        text = T("listening: {address}/webhooks/huggingface and /healthz", address=address)
    else:
        text = T(
            "listening: {address}/healthz; webhooks are refused without --webhook-secret",
            address=address,
        )
    call.warn(tr(text))
