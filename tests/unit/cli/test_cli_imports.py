"""What a command does not need it does not load: starting is most of the time of a small copy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("yaml", "pydantic", "jinja2", "cronsim", "starlette", "uvicorn")
MANY = ("hubferry.batching", "hubferry.manifest", "hubferry.watch", "hubferry.hooks")
CODE = """
import sys
from hubferry.cli.main import run_process
code = run_process(sys.argv[2:])
print(*(n for n in sys.argv[1].split(",") if n in sys.modules), sep=",", file=sys.stderr)
sys.exit(code)
"""


def loaded(folder: Path, *args: str) -> str:
    environ = {**os.environ, "HUBFERRY_STATE_DIR": str(folder / "state")}
    names = ",".join((*HEAVY, *MANY, "hubferry.batch.turns"))
    done = subprocess.run(
        [sys.executable, "-c", CODE, names, *args],
        capture_output=True,
        text=True,
        env=environ,
        check=True,
    )
    return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""


@pytest.mark.parametrize("args", [("--help",), ("batch", "--help"), ("watch", "--help")])
def test_help_loads_nothing_that_only_a_batch_needs(tmp_path: Path, args: tuple[str, ...]) -> None:
    assert loaded(tmp_path, *args) == ""


def test_a_copy_loads_nothing_that_only_a_batch_needs(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "config.json").write_text("{}")
    args = ("copy", str(tmp_path / "from"), str(tmp_path / "to"), "--quiet")
    assert loaded(tmp_path, *args) == ""
    assert (tmp_path / "to" / "config.json").read_text() == "{}"
    assert loaded(tmp_path, *args) == ""


def test_a_text_list_loads_neither_yaml_nor_pydantic(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "list.txt").write_text(f"{tmp_path}/from {tmp_path}/to\n")
    found = loaded(tmp_path, "batch", str(tmp_path / "list.txt"), "--quiet")
    assert found == "hubferry.batching,hubferry.manifest,hubferry.hooks,hubferry.batch.turns"
