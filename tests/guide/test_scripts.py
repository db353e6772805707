"""What the scripts promise beyond the guide's own lines."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.guide.conftest import ROOT
from tests.guide.world import Bash, add_model, copied

from hubferry.guide.edge import size_line
from hubferry.lab.faults import Fault
from hubferry.lab.server import Lab

MODEL = "microsoft/DialoGPT-medium"
CHECK = (
    f"python scripts/hf_to_modelscope_transfer.py --hf-model {MODEL} "
    "--ms-model your-org/DialoGPT-medium --verify-only"
)
LARGE = re.compile("总大小.*[0-9][0-9][0-9][0-9]*")
"""The guide's grep pattern, in Python's words."""


def test_the_size_line_is_the_one_of_the_contract() -> None:
    assert size_line(351_260_000) == "总大小: 351.26 MB"
    assert size_line(90_868_376) == "总大小: 90.87 MB"
    assert size_line(7_000_000_000) == "总大小: 7000.00 MB"
    assert size_line(0) == "总大小: 0.00 MB"


@given(st.integers(min_value=0, max_value=10**15))
def test_the_guides_pattern_tells_models_of_100_mb_and_more(size_bytes: int) -> None:
    assert bool(LARGE.search(size_line(size_bytes))) == (size_bytes >= 100_000_000)


@pytest.mark.parametrize("language", ["en", "zh_CN.UTF-8"])
def test_verify_only_prints_one_size_line_and_touches_no_target(
    lab: Lab, bash: Bash, language: str
) -> None:
    add_model(lab, MODEL, 351_260_000 - 212)
    done = bash(CHECK, HUBFERRY_LANG=language)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "总大小" in line]
    assert lines == ["总大小: 351.26 MB"]
    assert lab.counters.requests("ms.") == 0
    # Payload stays where it is: heads and headers only.
    assert lab.counters.bytes_out("hf.cdn") + lab.counters.bytes_out("xet.") < 1_000_000


def test_deep_finds_bytes_that_changed(lab: Lab, bash: Bash) -> None:
    add_model(lab, MODEL, 3_000_000)
    for endpoint in ("hf.cdn", "xet.xorb", "xet.xorbs"):
        lab.faults.add(Fault(endpoint, "corrupt", times=None))
    shallow = bash(CHECK)
    deep = bash(f"{CHECK} --deep")
    assert shallow.returncode == 0, shallow.stderr
    assert deep.returncode == 12, deep.stderr
    assert "Error: Content check failed" in deep.stderr
    assert "pytorch_model.bin" in deep.stderr
    assert "总大小: 3.00 MB" in deep.stdout


def test_deep_reads_a_whole_model(lab: Lab, bash: Bash) -> None:
    add_model(lab, MODEL, 3_000_000)
    done = bash(f"{CHECK} --deep", HUBFERRY_LANG="zh")
    assert done.returncode == 0, done.stderr


def test_a_pointer_instead_of_a_file_is_found(lab: Lab, bash: Bash) -> None:
    repo = add_model(lab, MODEL, 1_000_000)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 9\n"
    repo.commit({"notes.bin": pointer}, lfs=[])
    done = bash(CHECK)
    assert done.returncode == 12
    assert "notes.bin" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("prepare", "headline", "code"),
    [
        ("--hf-model microsoft/no-such-model --ms-model your-org/xx", "Repository not found", 10),
        (f"--hf-model {MODEL} --ms-model your-org/xx --hf-token hf_wrong", "Invalid token", 11),
        (f"--hf-model {MODEL}", "Wrong usage", 2),
        (f"--hf-model {MODEL} --ms-model your-org/xx --hf-token -", "Wrong usage", 2),
        (
            f"--hf-model {MODEL} --ms-model stranger/xx",
            "You don't have permission to access this repository",
            11,
        ),
    ],
)
def test_errors_keep_the_guides_searchable_line(
    lab: Lab, bash: Bash, prepare: str, headline: str, code: int
) -> None:
    add_model(lab, MODEL, 1000)
    done = bash(f"python scripts/hf_to_modelscope_transfer.py {prepare}", HUBFERRY_LANG="zh")
    assert f"Error: {headline}\n" in done.stderr
    assert done.returncode == code


def test_an_empty_token_is_no_token(lab: Lab, bash: Bash) -> None:
    """``--hf-token "$HF_TOKEN"`` with the variable unset, in the guide's manner."""
    add_model(lab, MODEL, 1000)
    done = bash(
        f"python scripts/hf_to_modelscope_transfer.py --hf-model {MODEL} "
        f'--ms-model your-org/aa --hf-token "" && '
        f'python scripts/simple_hf_to_ms.py {MODEL} your-org/bb ""'
    )
    assert done.returncode == 0, done.stderr
    assert copied(lab, MODEL, "your-org/aa")
    assert copied(lab, MODEL, "your-org/bb")


@pytest.mark.parametrize(
    ("token", "namespace", "code"),
    [(None, "", 0), ("", "", 11), ("ms_wrong", "", 11), (None, "your-org", 0), (None, "other", 11)],
)
def test_the_auth_check_says_it_with_its_exit_code(
    lab: Lab, bash: Bash, token: str | None, namespace: str, code: int
) -> None:
    done = bash(
        f"python scripts/check_modelscope_auth.py {namespace}",
        MODELSCOPE_API_TOKEN=lab.ms.token if token is None else token,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert lab.ms.token not in done.stdout + done.stderr
    # Whoever checks ModelScope may be where Hugging Face cannot be reached.
    assert lab.counters.requests("hf.") == 0


def test_without_hubferry_a_script_says_what_to_install(bash: Bash, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "alone")
    # -S: no site-packages, as in an interpreter where nothing was installed.
    alone = f"{sys.executable} -S {tmp_path}/alone/simple_hf_to_ms.py a/b c/d"
    done = bash(f"unset HUBFERRY_PYTHON; {alone}")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: hubferry is not installed")
    assert "pip install hubferry" in done.stderr


def test_a_script_finds_the_interpreter_that_has_hubferry(lab: Lab, bash: Bash) -> None:
    add_model(lab, MODEL, 1000)
    done = bash(f"{sys.executable} -S scripts/simple_hf_to_ms.py {MODEL} your-org/aa")
    assert done.returncode == 0, done.stderr
    assert copied(lab, MODEL, "your-org/aa")
