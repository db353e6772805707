"""The official two-step as one script: ``snapshot_download``, then ``upload_folder``.

Hubs and tokens come from the environment, as the official clients read them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from huggingface_hub import snapshot_download
from modelscope_hub import HubApi


def main(source: str, target: str) -> None:
    """Copy ``source`` of Hugging Face to ``target`` of ModelScope, by way of the disk."""
    folder = Path.home() / "snapshots" / source
    snapshot_download(source, local_dir=folder)
    api = HubApi(
        endpoint=os.environ["MODELSCOPE_ENDPOINT"], token=os.environ["MODELSCOPE_API_TOKEN"]
    )
    if not api.repo_exists(target, "model"):
        api.create_repo(target, "model", visibility="public", license="mit")
    # Its own metadata folder is no part of the model.
    api.upload_folder(target, "model", folder, ignore_patterns=[".cache/*"], disable_tqdm=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
