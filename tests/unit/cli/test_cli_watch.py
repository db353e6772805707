"""``hubferry watch``: options over the manifest, lines, JSON lines, exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Cli, FakeApp

from hubferry.batch.values import BatchReport, ItemOutcome, ItemState
from hubferry.cli.commands.watch import merged_watch
from hubferry.errors import UnavailableError, UsageError
from hubferry.events import Note
from hubferry.manifest.values import QuietHours, SecretRef, WatchSettings
from hubferry.text import T
from hubferry.watch.loop import Watch

NO_OPTIONS: dict[str, Any] = dict.fromkeys(
    ("every", "cron", "jitter", "quiet_hours", "listen", "webhook_secret")
)
MANIFEST = WatchSettings(
    cron="0 3 * * *",
    jitter_seconds=60.0,
    quiet_hours=(QuietHours(0, 60),),
    listen="127.0.0.1:1",
    webhook_secret=SecretRef("env", "A"),
)


class BatchApp(FakeApp):
    """An app whose batch does what the test says."""

    def __enter__(self) -> BatchApp:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def batch(self, manifest: Any, options: Any) -> BatchReport:
        self._note("batch", manifest, options)
        states = self.script
        items = [
            ItemOutcome(n, f"hf://o/{n}", f"ms://o/{n}", state, sent_bytes=n)
            for n, state in enumerate(states, 1)
        ]
        return BatchReport("run-1", options.command, manifest.file, items)

    script: tuple[ItemState, ...] = ()


@pytest.fixture
def place(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    def make(settings: Any, observer: Any, cancel: Any) -> BatchApp:
        script = dict(cli.script)
        states = script.pop("states", ())
        cli.app = app = BatchApp(settings, observer, cancel, **script)
        app.script = states
        return app

    monkeypatch.setattr("hubferry.app.App", make)
    monkeypatch.setenv("HUBFERRY_STATE_DIR", str(tmp_path / "state"))
    place = tmp_path / "list.txt"
    place.write_text("o/1 ms://o/1\no/2 ms://o/2\n")
    return place


def test_once_prints_a_line_and_ends_with_the_batchs_exit_code(cli: Cli, place: Path) -> None:
    cli.script = {"states": (ItemState.UNCHANGED, ItemState.COPIED)}
    assert cli("watch", str(place), "--once") == 0
    assert "cycle 1: 1 copied, 1 unchanged; 3 B sent in " in cli.out
    assert "next" not in cli.out
    name, (manifest, options), _ = cli.call
    assert (name, len(manifest.entries)) == ("batch", 2)
    assert (options.only, options.command) == (None, "watch")
    assert options.retry_seconds is None
    assert options.asked["path"] == str(place)
    assert cli.app is not None
    assert cli.app.is_closed

    cli.script = {"states": (ItemState.FAILED, ItemState.COPIED)}
    assert cli("watch", str(place), "--once") == 3
    assert "cycle 2: " in cli.out


def test_json_is_one_object_a_cycle_without_what_is_unchanged(cli: Cli, place: Path) -> None:
    cli.script = {"states": (ItemState.UNCHANGED, ItemState.COPIED)}

    assert cli("watch", str(place), "--once", "--json") == 0
    assert cli.out.count("\n") == 1
    assert (cli.json["cycle"], cli.json["repos"], cli.json["errors"]) == (1, None, [])
    assert cli.json["batch"]["counts"] == {"unchanged": 1, "copied": 1}
    assert [item["source"] for item in cli.json["batch"]["items"]] == ["hf://o/2"]


def test_a_cycle_that_fails_as_a_whole_is_told_in_both_ways(cli: Cli, place: Path) -> None:
    cli.script = {"raises": UnavailableError(T("the hub is down"))}

    assert cli("watch", str(place), "--once", "--json") == 1
    assert (cli.json["batch"], cli.json["exit_code"]) == (None, 1)
    assert cli.json["errors"][0]["message"] == "the hub is down"
    assert "Error: Connection failed" in cli.err
    assert "next try" not in cli.err


@pytest.mark.parametrize("options", [["--progress", "off"], ["--quiet"], []])
def test_without_progress_warnings_are_told_all_the_same(
    cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    def turn(watch: Watch) -> None:
        watch._observe(Note("warning", T("something is wrong")))

    monkeypatch.setattr(Watch, "run", turn)

    assert cli("watch", str(place), *options) == 0
    assert cli.err.count("something is wrong") == 1


def test_standard_input_is_no_manifest_to_watch(cli: Cli) -> None:
    assert cli("watch", "-") == 2
    assert "name a file" in cli.err


def test_a_manifest_with_mistakes_ends_it_before_it_begins(cli: Cli, place: Path) -> None:
    place.write_text("o/1\n")

    assert cli("watch", str(place)) == 2
    assert "list.txt:1" in cli.err
    assert cli.app is None


def test_a_failure_before_the_first_cycle_is_json_too(cli: Cli, place: Path) -> None:
    assert cli("watch", str(place), "--json", "--cron", "never") == 2
    assert json.loads(cli.out)["exit_code"] == 2


def test_without_options_the_manifest_counts() -> None:
    assert merged_watch(MANIFEST, NO_OPTIONS) == MANIFEST


def test_options_count_more_than_the_manifest() -> None:
    given = {
        "every": 600.0,
        "jitter": 5.0,
        "quiet_hours": ("22:00-06:00", "12:00-13:00"),
        "listen": "[::1]:8080",
        "webhook_secret": "file:/secret",
    }

    assert merged_watch(MANIFEST, NO_OPTIONS | given) == WatchSettings(
        every_seconds=600.0,
        cron=None,
        jitter_seconds=5.0,
        quiet_hours=(QuietHours(1320, 360), QuietHours(720, 780)),
        listen="[::1]:8080",
        webhook_secret=SecretRef("file", "/secret"),
    )


def test_a_cron_option_takes_the_place_of_every() -> None:
    by_period = replace(MANIFEST, every_seconds=60.0, cron=None)
    merged = merged_watch(by_period, NO_OPTIONS | {"cron": "5 * * * *"})

    assert (merged.every_seconds, merged.cron) == (None, "5 * * * *")


@pytest.mark.parametrize(
    "given",
    [
        {"cron": "x"},
        {"quiet_hours": ("25:00-26:00",)},
        {"listen": "8080"},
        {"webhook_secret": "hunter22"},
    ],
)
def test_an_option_that_makes_no_sense_names_itself(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        merged_watch(MANIFEST, NO_OPTIONS | given)
    name = "--" + next(iter(given)).replace("_", "-")
    assert str(caught.value).startswith(name)
    assert "hunter22" not in str(caught.value)
    assert caught.value.hint is not None
