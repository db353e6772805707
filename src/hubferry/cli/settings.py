"""From parsed options to what the app takes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hubferry.config import config_path
from hubferry.errors import Side, UsageError
from hubferry.model import Address, Visibility
from hubferry.plan import OnConflict, Policy
from hubferry.text import T

if TYPE_CHECKING:
    from hubferry.app import HubSettings, Settings

Options = Mapping[str, Any]
HUBS = ("hf", "ms")
_STRENGTH = {
    ParameterSource.COMMANDLINE: 3,
    ParameterSource.ENVIRONMENT: 2,
    ParameterSource.DEFAULT_MAP: 1,
}


def settings_of(options: Options) -> Settings:
    """The app's settings; options a command does not have keep the app's defaults."""
    from hubferry.app import Settings
    from hubferry.spool import SpoolMode

    given: dict[str, Any] = {"hubs": {hub: _hub_settings(hub, options) for hub in HUBS}}
    for field, name in (
        ("workers", "workers"),
        ("transport", "transport"),
        ("bwlimit", "bwlimit"),
        ("wait_on_limit_seconds", "wait_on_limit"),
        ("wait_lock_seconds", "wait_lock"),
        ("ledger_path", "ledger"),
        ("state_dir", "state_dir"),
        ("keep_days", "keep_days"),
        ("spool_dir", "spool_dir"),
        ("spool_limit_bytes", "spool_limit"),
    ):
        if options.get(name) is not None:
            given[field] = options[name]
    if options.get("spool") is not None:
        given["spool_mode"] = SpoolMode(options["spool"])
    return Settings(**given)


def _hub_settings(hub: str, options: Options) -> HubSettings:
    from hubferry.app import HubSettings

    given = options.get(f"{hub}_token")
    return HubSettings(
        endpoint=options.get(f"{hub}_endpoint"),
        token=_token_line(hub) if given == "-" else given,
        proxy=options.get(f"{hub}_proxy"),
    )


def _token_line(hub: str) -> str:
    # An unset secret must not silently become an anonymous run.
    token = sys.stdin.readline().strip()
    if not token:
        raise UsageError(
            T("no token came on standard input for --{hub}-token", hub=hub),
            hint=T("give it one line with the token, or leave the option away"),
        )
    return token


def exposed_tokens(ctx: click.Context) -> list[str]:
    """Token options whose value stands in the command line, where every user can see it."""
    return [
        f"--{hub}-token"
        for hub in HUBS
        if ctx.params.get(f"{hub}_token") not in (None, "", "-")
        and ctx.get_parameter_source(f"{hub}_token") is ParameterSource.COMMANDLINE
    ]


def token_place(hub: str, ctx: click.Context) -> str | None:
    """Where our own token setting for ``hub`` stands; None if the official places count."""
    if not ctx.params.get(f"{hub}_token"):
        return None
    source = ctx.get_parameter_source(f"{hub}_token")
    if source is ParameterSource.ENVIRONMENT:
        return f"HUBFERRY_{hub.upper()}_TOKEN"
    if source is ParameterSource.DEFAULT_MAP:
        return str(config_path(os.environ))
    return f"--{hub}-token"


def policy_of(options: Options, ctx: click.Context, *, is_mirror: bool = False) -> Policy:
    """What the user asked for, as far as the plan depends on it."""
    return Policy(
        include=tuple(options.get("include") or ()),
        exclude=tuple(options.get("exclude") or ()),
        on_conflict=OnConflict(options.get("on_conflict") or "overwrite"),
        is_mirror=is_mirror,
        delete_hub_files=bool(options.get("delete_hub_files")),
        max_delete=options.get("max_delete"),
        visibility=_visibility(options, ctx),
        license=options.get("license"),
        commit_message=options.get("commit_message"),
        backup_tag=options.get("backup_tag"),
    )


def _visibility(options: Options, ctx: click.Context) -> Visibility | None:
    wishes = {
        visibility: _STRENGTH.get(source, 0)
        for visibility in (Visibility.PRIVATE, Visibility.PUBLIC)
        if options.get(visibility.value)
        and (source := ctx.get_parameter_source(visibility.value)) is not None
    }
    if not wishes:
        return None
    if len(set(wishes.values())) < len(wishes):
        raise UsageError(
            T("--private and --public exclude each other"), hint=T("give one of the two")
        )
    return max(wishes, key=lambda visibility: wishes[visibility])


def addresses_of(options: Options) -> tuple[Address, Address]:
    """Source and target as typed, with --revision and --target-revision."""
    from hubferry.app import resolve_target

    source = source_of(options)
    target = resolve_target(options["target"], source, _endpoints(options))
    return source, _at_revision(target, options.get("target_revision"), "--target-revision")


def source_of(options: Options) -> Address:
    """The source as typed, with --revision."""
    from hubferry.app import parse_address

    address = parse_address(options["source"], Side.SOURCE, _endpoints(options))
    return _at_revision(address, options.get("revision"), "--revision")


def _endpoints(options: Options) -> dict[str, str | None]:
    """Custom endpoints, so that links pasted from a mirror are known."""
    return {hub: options.get(f"{hub}_endpoint") for hub in HUBS}


def _at_revision(address: Address, revision: str | None, name: str) -> Address:
    if revision is None:
        return address
    if address.revision not in (None, revision):
        raise UsageError(
            T(
                "{address} and {option} name two revisions",
                address=str(address),
                option=f"{name} {revision}",
            ),
            hint=T("give the revision once"),
        )
    return replace(address, revision=revision)
