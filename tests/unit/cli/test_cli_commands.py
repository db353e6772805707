"""What each command asks of the app and prints of its answer."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from tests.unit.cli.conftest import Cli

from hubferry.errors import (
    AccessError,
    ConflictError,
    NotFoundError,
    RateLimitedError,
    Side,
    UsageError,
)
from hubferry.model import Visibility
from hubferry.outcome import Advice, ErrorRecord
from hubferry.plan import Action, OnConflict, PlanEntry
from hubferry.report.json_schema import SHAPES
from hubferry.text import T
from hubferry.throttle import UNLIMITED, parse_bwlimit

ROW = {
    "run_id": "run-1",
    "command": "copy",
    "source": "hf://a/b",
    "target": "ms://c/d",
    "started_at": "2026-01-02T03:04:05.678+00:00",
    "ended_at": None,
    "exit_code": None,
    "state": "running",
    "report": '{"commits": 1}',
}


def is_valid(cli: Cli, shape: str) -> bool:
    TypeAdapter(SHAPES[shape]).validate_json(cli.out, strict=True)
    return True


def test_copy_knows_source_and_target_by_role(cli: Cli) -> None:
    assert cli("copy", "microsoft/DialoGPT-medium", "your-org/") == 0
    name, (source, target, policy), _ = cli.call
    assert name == "copy"
    assert str(source) == "hf://microsoft/DialoGPT-medium"
    assert str(target) == "ms://your-org/DialoGPT-medium"
    assert policy.on_conflict is OnConflict.OVERWRITE
    assert "Copied hf://microsoft/DialoGPT-medium to ms://your-org/DialoGPT-medium" in cli.out
    assert cli.app is not None
    assert cli.app.is_closed


def test_json_is_one_object_and_nothing_else(cli: Cli) -> None:
    assert cli("copy", "a/b", "c/d", "--json") == 0
    assert cli.out.count("\n") == 1
    assert cli.json["files"] == {
        "total": 2,
        "sent": 2,
        "reused": 0,
        "skipped": 0,
        "deleted": 0,
        "failed": 0,
    }
    assert is_valid(cli, "report")


def test_options_reach_policy_and_settings(cli: Cli) -> None:
    cli(
        *("copy", "a/b", "c/d", "--private", "--license", "mit", "--commit-message", "hello"),
        *("--on-conflict", "skip", "--backup-tag", "before", "--workers", "8"),
        *("--wait-on-limit", "1h30m", "--wait-lock", "5", "--hf-endpoint", "https://hf-mirror.com"),
        *("--hf-proxy", "http://proxy:1", "--ms-token", "", "--revision", "v1"),
    )
    _, (source, target, policy), _ = cli.call
    assert source.revision == "v1"
    assert target.revision is None
    assert policy.visibility is Visibility.PRIVATE
    assert (policy.license, policy.commit_message, policy.backup_tag) == ("mit", "hello", "before")
    assert policy.on_conflict is OnConflict.SKIP
    assert cli.app is not None
    settings = cli.app.settings
    assert (settings.workers, settings.wait_on_limit_seconds) == (8, 5400)
    assert settings.wait_lock_seconds == 5
    assert settings.hubs["hf"].endpoint == "https://hf-mirror.com"
    assert settings.hubs["hf"].proxy == "http://proxy:1"
    assert settings.hubs["hf"].token is None
    assert settings.hubs["ms"].token == ""


@pytest.mark.parametrize(
    "args",
    [
        ("a/b", "c/d", "--include", "*.json", "*.txt", "--exclude", "x*"),
        ("--include", "*.json", "a/b", "c/d", "--include", "*.txt", "--exclude", "x*"),
        ("a/b", "c/d", "--exclude", "x*", "--workers", "2", "--include", "*.json", "*.txt"),
        ("a/b", "--include=*.json", "c/d", "--include=*.txt", "--exclude=x*"),
    ],
)
def test_patterns_may_share_a_flag(cli: Cli, args: tuple[str, ...]) -> None:
    assert cli("copy", *args) == 0
    policy = cli.call[1][2]
    assert policy.include == ("*.json", "*.txt")
    assert policy.exclude == ("x*",)


def test_two_revisions_of_one_repository_are_a_usage_error(cli: Cli) -> None:
    assert cli("copy", "a/b@v1", "c/d", "--revision", "v2") == 2
    assert "Error: Wrong usage" in cli.err


def test_dry_run_shows_the_plan_and_copies_nothing(cli: Cli) -> None:
    assert cli("copy", "a/b", "c/d", "--dry-run") == 0
    assert cli.call[0] == "plan"
    assert "model.safetensors" in cli.out
    assert "Nothing was written." in cli.out


def test_a_plan_that_will_be_refused_ends_with_4(cli: Cli) -> None:
    cli.script["advice"] = (Advice("refused", T("the path is empty"), "x", "docs"),)
    assert cli("plan", "a/b", "c/d") == 4
    assert "refused: the path is empty [x] (source: docs)" in cli.out
    assert cli("plan", "a/b", "c/d", "--json") == 4
    assert is_valid(cli, "plan")
    assert cli.json["files"] == {"upload": 1, "delete": 1}


def test_plan_out_keeps_the_plan(cli: Cli, tmp_path: Path) -> None:
    assert cli("plan", "a/b", "c/d", "--mirror", "--out", "plan.json") == 0
    assert cli.app is not None
    name, args, _ = cli.app.calls[1]
    assert name == "save_plan"
    assert args[3].is_mirror
    assert args[4] == Path("plan.json")


def test_apply_hands_over_the_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    assert cli("apply", "plan.json", "--force") == 0
    assert cli.call == ("apply", (Path("plan.json"),), {"is_forced": True})
    assert cli("apply", "absent.json") == 2


def test_mirror_asks_nobody_with_yes_and_stops_without_a_terminal(cli: Cli) -> None:
    cli.script["deletions"] = (PlanEntry("old.bin", Action.DELETE, T("not at the source"), 10),)
    assert cli("mirror", "a/b", "c/d", "--yes", "--max-delete", "7") == 0
    assert cli.app is not None
    assert cli.app.confirmed is True
    policy = cli.call[1][2]
    assert policy.is_mirror
    assert policy.max_delete == 7
    assert cli("mirror", "a/b", "c/d") == 4
    assert "nobody can be asked" in cli.err


def test_verify_passes_level_and_exactness(cli: Cli) -> None:
    assert cli("verify", "a/b", "c/d", "--level", "sample", "--exact") == 0
    assert cli.call[2] == {"level": "sample", "is_exact": True}
    assert "Compared hf://a/b with ms://c/d" in cli.out


def test_auth_status_never_shows_a_token(cli: Cli) -> None:
    assert cli("auth", "status", "org") == 0
    assert "hf_…wxyz from HF_TOKEN" in cli.out
    assert "not logged in (anonymous)" in cli.out
    assert cli("auth", "status", "--json") == 0
    assert is_valid(cli, "auth")


def test_login_reads_the_token_from_standard_input(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("ms-secret-token\n"))
    assert cli("auth", "login", "ms", "-") == 0
    assert cli.call == ("login", ("ms", "ms-secret-token"), {})
    assert "ms-secret-token" not in cli.out + cli.err
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert cli("auth", "login", "hf") == 2


def test_runs_are_listed_and_shown(cli: Cli) -> None:
    cli.script["rows"] = [ROW]
    assert cli("runs", "list", "--limit", "3") == 0
    everything = {"command": None, "is_failed": False, "since_unix": None}
    assert cli.call == ("runs", (3,), everything)
    assert "2026-01-02 03:04:05" in cli.out
    assert cli("runs", "list", "--json") == 0
    assert is_valid(cli, "runs")
    assert cli.json["runs"][0]["report"] == {"commits": 1}
    assert cli("runs", "show", "run-1") == 0
    assert "running" in cli.out
    assert cli("runs", "show", "other") == 2


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (ROW, "running"),
        (ROW | {"state": "paused"}, "paused"),
        (ROW | {"state": "dead"}, "dead"),
        (ROW | {"state": "finished", "exit_code": 130}, "finished: 130"),
    ],
)
def test_runs_are_listed_with_what_they_are_at(
    cli: Cli, row: dict[str, object], shown: str
) -> None:
    cli.script["rows"] = [row]
    assert cli("runs", "list") == 0
    assert shown in cli.out
    assert cli("runs", "list", "--json") == 0
    assert is_valid(cli, "runs")
    assert cli.json["runs"][0]["state"] == row["state"]


@pytest.mark.parametrize(
    ("verb", "state", "said"),
    [
        ("pause", "paused", "run run-1 is paused; 'hubferry runs resume run-1' lets it go on"),
        ("resume", "running", "run run-1 goes on"),
        ("cancel", "stopping", "run run-1 stops; the same command again"),
        ("cancel", "finished", "run run-1 has ended"),
    ],
)
def test_a_run_is_controlled_by_its_id(cli: Cli, verb: str, state: str, said: str) -> None:
    cli.script["rows"] = [ROW | {"state": state, "facts": [{"kind": "sent"}]}]
    assert cli("runs", verb, "run-1") == 0
    assert cli.call == ("control_run", ("run-1", verb), {})
    assert said in cli.out
    assert cli("runs", verb, "run-1", "--json") == 0
    assert is_valid(cli, "runs")
    (run,) = cli.json["runs"]
    assert (cli.json["command"], run["state"]) == (f"runs {verb}", state)
    assert run["facts"] is None, "that is for `runs show`"
    assert cli("runs", verb, "other") == 2
    assert "no run is called other" in cli.err
    assert "hubferry runs list" in cli.err


def test_a_run_that_cannot_be_controlled_is_told_as_json_too(cli: Cli) -> None:
    cli.script["raises"] = UsageError(T("run {run_id} has ended", run_id="run-1"))
    assert cli("runs", "pause", "run-1", "--json") == 2
    assert is_valid(cli, "report")
    assert cli.json["errors"][0]["message"] == "run run-1 has ended"


def test_a_bandwidth_limit_reaches_the_app(cli: Cli) -> None:
    assert cli("copy", "a/b", "c/d") == 0
    assert cli.app is not None
    assert cli.app.settings.bwlimit is UNLIMITED
    assert cli("copy", "a/b", "c/d", "--bwlimit", "10M:off") == 0
    assert cli.app.settings.bwlimit == parse_bwlimit("10M:off")


def test_a_bandwidth_limit_may_come_from_the_configuration_file(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "hubferry.toml"
    file.write_text("bwlimit = 512\n")
    monkeypatch.setenv("HUBFERRY_CONFIG", str(file))
    assert cli("copy", "a/b", "c/d") == 0
    assert cli.app is not None
    assert cli.app.settings.bwlimit == parse_bwlimit("512")


def test_a_wrong_bandwidth_limit_is_refused_before_anything_is_done(cli: Cli) -> None:
    assert cli("copy", "a/b", "c/d", "--bwlimit", "fast") == 2
    assert cli.app is None
    assert "--bwlimit" in cli.err
    assert "10M:1M" in cli.err


@pytest.mark.parametrize(
    ("error", "code", "headline"),
    [
        (NotFoundError("no such repository"), 10, "Repository not found"),
        (AccessError("no"), 11, "You don't have permission to access this repository"),
        (ConflictError("differs"), 4, "Stopped by a guard"),
        (RateLimitedError("slow down"), 5, "Rate limit reached"),
        (RuntimeError("boom"), 1, "Unexpected error"),
    ],
)
def test_every_error_has_its_code_and_english_first_line(
    cli: Cli, error: Exception, code: int, headline: str
) -> None:
    cli.script["raises"] = error
    assert cli("copy", "a/b", "c/d", "--lang", "zh") == code
    assert cli.err.splitlines()[0] == f"Error: {headline}"
    assert "Traceback" not in cli.err
    assert cli("copy", "a/b", "c/d", "--json") == code
    assert is_valid(cli, "report")
    assert cli.json["exit_code"] == code


def test_errors_of_a_report_are_told_with_place_hint_and_request_id(cli: Cli) -> None:
    error = AccessError(
        T("{repo} does not exist", repo="x"),
        side=Side.TARGET,
        step="commit",
        repo="ms://c/d",
        path="bad\x1b[2Jname",
        hint=T("name another target"),
        request_id="req-1",
    )
    cli.script["errors"] = [ErrorRecord.of(error)]
    assert cli("copy", "a/b", "c/d") == 3
    assert cli.err.splitlines() == [
        "Error: You don't have permission to access this repository",
        "  what: x does not exist",
        r"  where: target, ms://c/d, bad\x1b[2Jname, step commit",
        "  fix: name another target",
        "  request id: req-1",
    ]
    assert "Not finished" in cli.out


def test_quiet_prints_errors_only(cli: Cli) -> None:
    assert cli("copy", "a/b", "c/d", "--quiet") == 0
    assert cli.out + cli.err == ""
