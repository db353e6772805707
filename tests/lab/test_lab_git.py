"""Git over smart HTTP on the lab, with the real ``git``."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.lab.conftest import RunPython

from hubferry.lab.config import LabConfig
from hubferry.lab.content import lfs_pointer
from hubferry.lab.faults import Fault
from hubferry.lab.git_http import build_bare
from hubferry.lab.server import Lab

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

NAME = "your-org/name"
WEIGHTS = bytes(range(256)) * 200
FILES = {
    "README.md": b"# hi\n",
    "empty.txt": b"",
    "notes/a b/ü+%25#&?=.txt": "Füße\n".encode(),
    'odd/"quoted"\nname': b"odd",
    "model.safetensors": WEIGHTS,
}

CLONE = """
import os, subprocess, sys
os.environ.update(GIT_TERMINAL_PROMPT="0", GIT_LFS_SKIP_SMUDGE="1", GIT_CONFIG_NOSYSTEM="1")
sys.exit(subprocess.run(["git", "clone", *sys.argv[1:], "copy"]).returncode)
"""


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("suffix", ["", ".git"])
def test_git_clones_a_repository_with_its_history_and_pointers(
    lab: Lab, home: Path, run_python: RunPython, suffix: str
) -> None:
    repo = lab.hf.repos.create("dataset", NAME, files={"old.txt": b"old", "README.md": b"first"})
    repo.commit(FILES, deletes=["old.txt"], message="second\nwith a body")
    repo.tag("v1")
    done = run_python(CLONE, f"{lab.hf.endpoint}/datasets/{NAME}{suffix}")
    assert done.returncode == 0, done.stderr
    copy = home / "copy"
    found = {
        str(path.relative_to(copy)): path.read_bytes()
        for path in copy.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }
    pointer = lfs_pointer(hashlib.sha256(WEIGHTS).hexdigest(), len(WEIGHTS))
    assert found == {**FILES, "model.safetensors": pointer}
    assert git(copy, "log", "--format=%s", "v1") == "second with a body\ninitial commit"
    for path, file in repo.tree().items():
        assert git(copy, "rev-parse", f"HEAD:{path}") == file.oid


def test_a_partial_clone_fetches_its_blobs_by_id(
    lab: Lab, home: Path, run_python: RunPython
) -> None:
    lab.hf.repos.create("model", NAME, files=FILES)
    done = run_python(CLONE, "--filter=blob:none", f"{lab.hf.endpoint}/{NAME}")
    assert done.returncode == 0, done.stderr
    assert (home / "copy" / "README.md").read_bytes() == b"# hi\n"


def test_a_repository_is_made_once_and_anew_when_it_changed(
    lab: Lab, home: Path, run_python: RunPython, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []

    def counted(git: str, repo: object, folder: Path) -> Path:
        built.append(folder.name)
        return build_bare(git, repo, folder)  # type: ignore[arg-type]

    monkeypatch.setattr("hubferry.lab.git_http.build_bare", counted)
    repo = lab.hf.repos.create("model", NAME, files=FILES)
    for target in ("one", "two"):
        assert run_python(CLONE.replace('"copy"', f'"{target}"'), f"{lab.hf.endpoint}/{NAME}")
    assert len(built) == 1
    repo.commit({"new.txt": b"new"})
    assert run_python(CLONE, f"{lab.hf.endpoint}/{NAME}").returncode == 0
    assert len(built) == 2
    assert (home / "copy" / "new.txt").read_bytes() == b"new"


def test_a_private_repository_asks_for_the_token_as_password(
    lab: Lab, home: Path, run_python: RunPython
) -> None:
    lab.hf.repos.create("model", NAME, is_private=True, files=FILES)
    url = f"{lab.hf.endpoint}/{NAME}"
    assert run_python(CLONE, url).returncode != 0
    with_token = url.replace("://", f"://anyone:{lab.hf.read_token}@")
    assert run_python(CLONE, with_token).returncode == 0
    assert lab.counters.token_origins(lab.hf.read_token) == {"hf.api"}
    stranger = url.replace("://", f"://anyone:{lab.hf.other_token}@")
    assert run_python(CLONE.replace('"copy"', '"other"'), stranger).returncode != 0


def test_a_gated_repository_is_closed_to_those_not_let_in(lab: Lab, run_python: RunPython) -> None:
    repo = lab.hf.repos.create("model", NAME, files=FILES)
    repo.gated = "manual"
    url = f"{lab.hf.endpoint}/{NAME}".replace("://", f"://anyone:{lab.hf.other_token}@")
    assert run_python(CLONE, url).returncode != 0
    repo.granted.add("other-user")
    assert run_python(CLONE, url).returncode == 0


def test_a_renamed_repository_is_found_by_its_old_name(lab: Lab, run_python: RunPython) -> None:
    lab.hf.repos.create("model", NAME, files=FILES)
    lab.hf.repos.rename("model", NAME, "your-org/new")
    assert run_python(CLONE, f"{lab.hf.endpoint}/{NAME}").returncode == 0


def test_faults_strike_git_like_everything_else(lab: Lab, run_python: RunPython) -> None:
    lab.hf.repos.create("model", NAME, files=FILES)
    lab.faults.add(Fault("hf.git", "reset", match="/git-upload-pack$", times=None))
    assert run_python(CLONE, f"{lab.hf.endpoint}/{NAME}").returncode != 0
    assert lab.counters.snapshot()["endpoints"]["hf.git"]["faults"]["reset"] >= 1


@pytest.mark.parametrize("lab", [LabConfig(serve_git=False)], indirect=True)
def test_git_can_be_switched_off(lab: Lab, run_python: RunPython) -> None:
    lab.hf.repos.create("model", NAME, files=FILES)
    assert run_python(CLONE, f"{lab.hf.endpoint}/{NAME}").returncode != 0
    assert lab.counters.snapshot()["endpoints"]["hf.git"]["statuses"] == {"404": 1}
