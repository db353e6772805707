"""What ``batch`` and ``watch`` have in common: reading a manifest, settings, options."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubferry.cli import options as opt
from hubferry.cli.localized import OUTPUT, PATIENCE, TARGET, WHAT
from hubferry.cli.running import Invocation
from hubferry.cli.settings import HUBS, policy_of, settings_of
from hubferry.cli.values import DURATION, LocalPath, Number, WholeNumber
from hubferry.errors import UsageError
from hubferry.history import asked
from hubferry.i18n import tr
from hubferry.outcome import ErrorRecord
from hubferry.report.errors import errors_text
from hubferry.report.observer import Progress
from hubferry.report.progress import make_batch_progress
from hubferry.text import T

if TYPE_CHECKING:
    from hubferry.app import App, HubSettings
    from hubferry.batch.values import BatchReport
    from hubferry.batching import BatchOptions
    from hubferry.manifest.values import Hook, Manifest

manifest_argument = click.argument(
    "manifest", type=LocalPath(dir_okay=False, path_type=Path, allow_dash=True), metavar="FILE"
)

batch_options = opt.stack(
    opt.option(
        "--repos",
        type=WholeNumber(1, 64),
        metavar="N",
        about=T("How many repositories are at work at the same time. Default: 8."),
        section=PATIENCE,
    ),
    opt.option(
        "--verify-days",
        type=Number(min=0),
        metavar="DAYS",
        about=T(
            "Look at a target again after this many days although nothing seems to have "
            "changed; 0: each time. Default: 7."
        ),
        section=PATIENCE,
    ),
    opt.option(
        "--wait-on-trouble",
        type=DURATION,
        default="6h",
        show_default=True,
        metavar="DURATION",
        about=T(
            "When nothing else is left to do: how long to wait for a hub that is down, a token "
            "that is refused or a quota that is full, before its repositories count as failed."
        ),
        section=PATIENCE,
    ),
)

hook_option = opt.option(
    "--hook",
    "hooks",
    multiple=True,
    metavar="KIND=TARGET",
    about=T(
        "Tell somebody of the end, of a failure or of a stall: command='./tell.sh', "
        "webhook=env:URL, or feishu, dingtalk, wecom, slack. May be repeated."
    ),
    section=OUTPUT,
)

to_option = opt.option(
    "--to",
    metavar="TARGET",
    about=T(
        "Target of entries without one, such as your-org/ or ms://your-org/{name}.", name="{name}"
    ),
    section=TARGET,
)

delete_option = opt.flag(
    "--delete",
    about=T("Mirror: also delete what a source does not have. Entries may say otherwise."),
    section=TARGET,
)

only_options = opt.stack(
    opt.flag(
        "--only-new",
        about=T("Leave out repositories whose target exists."),
        section=WHAT,
    ),
    opt.flag(
        "--only-changed",
        about=T("Leave out repositories that were not copied before, or have not changed since."),
        section=WHAT,
    ),
)


copying = opt.stack(
    opt.selection,
    to_option,
    delete_option,
    opt.writing,
    opt.mirroring,
    opt.spooling,
    batch_options,
    hook_option,
)
"""What every command that carries out a manifest can be told."""


class BatchInvocation(Invocation):
    """A command that brings over many repositories."""

    manifest: Manifest | None = None
    _asked: dict[str, Any] | None = None

    def _make_progress(self, mode: str) -> Progress:
        shown = int(self.options.get("repos") or 8)
        return make_batch_progress(mode, is_quiet=self.is_quiet, shown=min(12, shown))

    def load(self, place: Path, *, is_mirror: bool = False) -> Manifest:
        """Read the manifest; the options of the command are its defaults.

        Raises:
            ManifestError: what is wrong in it, line by line.
        """
        from hubferry.manifest import Defaults, load_manifest
        from hubferry.manifest.values import Conditions

        options = self.options
        if options.get("only_new") and options.get("only_changed"):
            raise UsageError(
                T("--only-new and --only-changed exclude each other"),
                hint=T("give one of the two"),
            )
        defaults = Defaults(
            target=options.get("to"),
            policy=policy_of(options, self.ctx, is_mirror=is_mirror),
            conditions=Conditions(
                only_new=bool(options.get("only_new")),
                only_changed=bool(options.get("only_changed")),
            ),
        )
        is_piped = str(place) == "-"
        self._asked = {
            "path": None if is_piped else str(place.absolute()),
            "policy": asked(defaults.policy),
            "target": self.options.get("to"),
        }
        loaded = load_manifest(
            None if is_piped else place,
            text=sys.stdin.read() if is_piped else None,
            endpoints={hub: self.options.get(f"{hub}_endpoint") for hub in HUBS},
            defaults=defaults,
        )
        if not loaded.entries:
            self.warn(tr(T("warning: {file} names no repository", file=loaded.file)))
        return self.use(loaded)

    def use(self, manifest: Manifest) -> Manifest:
        """Work with this manifest, and with the hooks of the command line besides its own."""
        self.manifest = replace(manifest, hooks=(*manifest.hooks, *self._hooks()))
        return self.manifest

    def _hooks(self) -> tuple[Hook, ...]:
        from hubferry.hooks import parse_hook

        return tuple(parse_hook(text) for text in self.options.get("hooks") or ())

    @property
    def app(self) -> App:
        """The app, made when first asked for; the manifest says how to reach the hubs."""
        if self._app is None:
            from hubferry.app import App

            settings = settings_of(self.options)
            if self.manifest is not None:
                hubs = merged_hubs(settings.hubs, self.manifest)
                settings = replace(settings, hubs=hubs)
            self._app = App(settings, observer=self.progress, cancel=self.cancel)
        return self._app

    def options_of(self, **more: Any) -> BatchOptions:
        """The batch's own options."""
        from hubferry.batch.running import Limits
        from hubferry.batching import BatchOptions

        limits = Limits(
            trouble_seconds=self.options["wait_on_trouble"],
            lock_seconds=self.options["wait_lock"],
        )
        return BatchOptions(
            repos_at_once=self.options.get("repos"),
            verify_days=self.options.get("verify_days"),
            limits=limits,
            asked=self._asked,
            **more,
        )

    def finish_batch(self, report: BatchReport) -> int:
        """Print what a batch did; the exit code."""
        from hubferry.report.batch_shapes import batch_shape
        from hubferry.report.batch_tables import print_batch

        self.emit(batch_shape(report), lambda out: print_batch(out, report))
        self.say_errors(report.errors)
        if report.was_cancelled:
            from hubferry.cli.running import stopped

            self.say_errors([ErrorRecord.of(stopped())])
        return int(report.exit_code)

    def say_errors(self, errors: list[ErrorRecord]) -> None:
        """What concerns the batch as a whole."""
        if errors:
            self.warn(errors_text(errors))


def merged_hubs(given: Mapping[str, HubSettings], manifest: Manifest) -> dict[str, HubSettings]:
    """What was given by option, variable or configuration counts; the manifest fills the gaps."""
    from hubferry.app import HubSettings
    from hubferry.manifest.secrets import resolve

    merged = dict(given)
    for scheme, access in manifest.hubs.items():
        own = merged.get(scheme, HubSettings())
        token, find = own.token, own.find_token
        if token is None and access.token is not None:
            token, find = resolve(access.token), partial(resolve, access.token)
        merged[scheme] = HubSettings(
            own.endpoint or access.endpoint, token, own.proxy or access.proxy, find
        )
    return merged
