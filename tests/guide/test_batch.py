"""``batch_transfer.sh``: every kind of list, one failure among many, and being stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.guide.world import Bash, add_model, copied

from hubferry.lab.faults import ShapeRule
from hubferry.lab.server import Lab

A, B = "microsoft/aa", "microsoft/bb"
BATCH = "bash scripts/batch_transfer.sh my_models.txt"


@pytest.fixture
def recorder(world: Path) -> Path:
    """An interpreter that copies nothing and writes down what it was to copy."""
    found = world / "recorder"
    found.write_text('#!/bin/sh\necho "[$2] [$3]" >> asked\n')
    found.chmod(0o755)
    return found


@pytest.mark.parametrize(
    "content",
    [
        b"microsoft/aa your-org/aa\nmicrosoft/bb your-org/bb\n",
        b"microsoft/aa your-org/aa\nmicrosoft/bb your-org/bb",
        b"\xef\xbb\xbfmicrosoft/aa your-org/aa\r\n\r\nmicrosoft/bb your-org/bb\r\n",
        b"#  all\n\n  microsoft/aa\tyour-org/aa  \n\t\n#x y\nmicrosoft/bb  your-org/bb # two\n",
        b"\xef\xbb\xbf# comment\r\nmicrosoft/aa your-org/aa\r\nmicrosoft/bb your-org/bb",
    ],
    ids=["plain", "no-final-newline", "windows", "comments-and-tabs", "mixed"],
)
def test_every_kind_of_list_is_read(
    bash: Bash, world: Path, recorder: Path, content: bytes
) -> None:
    (world / "my_models.txt").write_bytes(content)
    done = bash(BATCH, HUBFERRY_PYTHON=str(recorder))
    assert done.returncode == 0, done.stderr
    assert "Done: 2 in all, 2 copied, 0 failed" in done.stdout
    asked = (world / "asked").read_text().splitlines()
    assert asked == ["[microsoft/aa] [your-org/aa]", "[microsoft/bb] [your-org/bb]"]


def test_one_failure_does_not_stop_the_rest(lab: Lab, bash: Bash, world: Path) -> None:
    add_model(lab, A, 1000)
    add_model(lab, B, 2000)
    lines = [
        "microsoft/missing your-org/mm",
        f"{A} your-org/aa",
        "only-one-word",
        f"{B} your-org/bb",
    ]
    (world / "my_models.txt").write_text("\n".join(lines))
    done = bash(BATCH, HUBFERRY_LANG="zh")
    assert done.returncode == 3
    assert "完成: 共 4 个，成功 2 个，失败 2 个" in done.stdout
    assert "microsoft/missing -> your-org/mm (10)" in done.stderr
    assert "my_models.txt:3 (2)" in done.stderr
    assert copied(lab, B, "your-org/bb")


def test_when_all_fail_the_first_ones_code_is_the_batchs(bash: Bash, world: Path) -> None:
    (world / "my_models.txt").write_text("microsoft/missing your-org/mm\nnot-two\n")
    assert bash(BATCH).returncode == 10


def test_an_empty_list_is_no_failure(bash: Bash, world: Path) -> None:
    (world / "my_models.txt").write_text("# nothing yet\n")
    assert bash(BATCH).returncode == 0


@pytest.mark.parametrize("arguments", ["", "no-such-file", ".", "a b"])
def test_wrong_usage_is_2(bash: Bash, arguments: str) -> None:
    done = bash(f"bash scripts/batch_transfer.sh {arguments}")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Wrong usage")


def test_standard_input_is_left_to_others(lab: Lab, bash: Bash, world: Path) -> None:
    add_model(lab, A, 1000)
    (world / "my_models.txt").write_text(f"{A} your-org/aa\n")
    done = bash(f"printf 'one\\ntwo\\n' | {{ {BATCH} >/dev/null; cat; }}")
    assert done.stdout == "one\ntwo\n"


def test_a_stopped_batch_leaves_no_child_behind(
    lab: Lab, world: Path, environment: dict[str, str]
) -> None:
    add_model(lab, A, 60_000_000)
    (world / "my_models.txt").write_text(f"{A} your-org/aa\n{A} your-org/bb\n")
    lab.shape.set(ShapeRule("hf.", connection_bytes_per_second=2_000_000))
    lab.shape.set(ShapeRule("xet.", connection_bytes_per_second=2_000_000))
    with subprocess.Popen(
        ["bash", "scripts/batch_transfer.sh", "my_models.txt"],
        cwd=world,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as batch:
        _wait_for(lambda: lab.counters.requests("ms.put") > 0)
        batch.send_signal(signal.SIGTERM)
        started = time.monotonic()
        output, _ = batch.communicate(timeout=10)
    assert time.monotonic() - started < 4
    assert batch.returncode == 130, output
    assert "run the same command again to go on" in output
    with pytest.raises(ProcessLookupError):
        os.killpg(batch.pid, 0)


def _wait_for(condition: object, timeout_seconds: float = 30) -> None:
    assert callable(condition)
    end = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
