"""Hooks of a real batch: who is told, what the run makes of a hook that fails, and no token."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.processes import LabProcess, run_hubferry
from tests.unit.hooks.conftest import Service, service

__all__ = ["service"]

NOTE = """
import json, os, sys
told = json.load(sys.stdin)
names = [name for name in os.environ if "TOKEN" in name]
open(sys.argv[1], "a").write(json.dumps([told["event"], told["exit_code"], names]) + "\\n")
"""


def test_a_batch_tells_its_hooks_and_is_none_the_worse_for_one_that_fails(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, script, out = (tmp_path / name for name in ("m.txt", "note.py", "told.jsonl"))
    manifest.write_text("source-org/m1 your-org/m1\nsource-org/missing your-org/missing\n")
    script.write_text(NOTE)
    with LabProcess(max_seconds=120) as lab:
        lab.seed("source-org/m1", {"config.json": {"text": "{}"}})
        variables = lab.variables(
            tmp_path / "home",
            SLACK_URL=f"{service.url}/services/T012345678/B012345678/verysecretverysecret",
            BROKEN_URL="http://127.0.0.1:9/verysecretverysecret",
            NO_PROXY="127.0.0.1",
        )
        hooks = (
            *("--hook", "slack:failure=env:SLACK_URL"),
            *("--hook", "wecom:end=env:BROKEN_URL"),
            *("--hook", f"command={sys.executable} {script} {out}"),
        )
        ended = run_hubferry(["batch", str(manifest), "--json", *hooks], variables, tmp_path / "a")
        assert ended.code == 3, ended.err
        assert ended.report["counts"] == {"copied": 1, "failed": 1}
        (heard,) = service.heard
        assert "hf://source-org/missing" in heard.json["blocks"][0]["text"]["text"]
        assert [json.loads(line) for line in out.read_text().splitlines()] == [["failure", 3, []]]
        assert "hook wecom 127.0.0.1:9 failed" in ended.err

        run_id = ended.report["run_id"]
        shown = run_hubferry(["runs", "show", run_id, "--json"], variables, tmp_path / "b")
        facts: list[dict[str, Any]] = shown.report["runs"][0]["facts"]
        told = [json.loads(fact["detail"]) for fact in facts if fact["kind"] == "hook"]
        assert {(item["kind"], item["is_told"]) for item in told} == {
            ("slack", True),
            ("wecom", False),
            ("command", True),
        }
        for text in (ended.out, ended.err, shown.out):
            assert "verysecret" not in text
        for path in (tmp_path / "home").rglob("*"):
            if path.is_file():
                assert b"verysecret" not in path.read_bytes(), path


def test_a_hook_that_leads_nowhere_starts_nothing(tmp_path: Path) -> None:
    manifest = tmp_path / "m.txt"
    manifest.write_text("source-org/m1 your-org/m1\n")
    with LabProcess(max_seconds=60) as lab:
        lab.seed("source-org/m1", {"config.json": {"text": "{}"}})
        arguments = ["batch", str(manifest), "--hook", "slack=env:NOT_SET"]
        ended = run_hubferry(arguments, lab.variables(tmp_path / "home"), tmp_path / "a")
        assert ended.code == 2
        assert "NOT_SET" in ended.err
        assert lab.tree("ms", "your-org/m1") == {}
