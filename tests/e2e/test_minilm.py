"""The main job on real input: a model travels, and makes the same of a sentence afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from tests.support import minilm
from tests.support.bench import Bench, check_copied
from tests.support.processes import clean_variables

from hubferry.lab.server import Lab

SENTENCES = (
    "A man is eating a piece of bread.",
    "Someone eats food.",
    "The stock market fell sharply today.",
)

# The unmodified official client, in a process of its own: it reads HOME when it is imported.
_DOWNLOAD = """
import sys
from modelscope_hub import HubApi
endpoint, token, repo, folder = sys.argv[1:]
HubApi(endpoint=endpoint, token=token).download_repo(repo, "model", local_dir=folder)
"""


def test_the_copied_model_gives_the_same_embedding(lab: Lab, tmp_path: Path) -> None:
    original, arrived = tmp_path / "original", tmp_path / "arrived"
    files = minilm.unpack(original)
    bench = Bench(lab, tmp_path)
    bench.seed(files)

    check_copied(bench, bench.copy())
    _download(lab, arrived)

    for path, file in files.items():
        assert (arrived / path).read_bytes() == file.read_bytes(), path
    before = minilm.SentenceModel(original).embed(SENTENCES)
    after = minilm.SentenceModel(arrived).embed(SENTENCES)
    assert np.array_equal(before, after)
    # The forward pass means something: the published values are 0.54 and 0.02, or near.
    alike, unlike = before[0] @ before[1], before[0] @ before[2]
    assert alike > 0.4
    assert unlike < 0.2


def _download(lab: Lab, folder: Path) -> None:
    arguments = [lab.ms.endpoint, lab.ms.token, "your-org/model", str(folder)]
    done = subprocess.run(
        [sys.executable, "-c", _DOWNLOAD, *arguments],
        env=clean_variables(folder.parent / "client-home"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
