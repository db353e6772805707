"""The floor: ``curl`` GET piped into ``curl`` PUT, N files at a time, then a commit.

No hash is computed, nothing is checked, nothing is retried: what the transport costs at least.
Small files are read by one ``curl --parallel`` and ride inside the commit.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fcntl import F_SETPIPE_SZ, fcntl
from pathlib import Path
from typing import Any
from urllib.parse import quote

WORKERS = 4
_ACTIONS_PER_COMMIT = 2000
_PIPE_BYTES = 1 << 20
_CURL = ("curl", "--silent", "--show-error", "--fail")


class Floor:
    """One repository by curl."""

    def __init__(self, source: str, target: str) -> None:
        self._source = source
        self._target = target
        self._hf = os.environ["HF_ENDPOINT"]
        self._ms = os.environ["MODELSCOPE_ENDPOINT"]
        self._hf_auth = f"Bearer {os.environ['HF_TOKEN']}"
        self._ms_auth = f"Bearer {os.environ['MODELSCOPE_API_TOKEN']}"

    def copy(self) -> None:
        """Read the listing, make the target, move the bytes, commit."""
        files = list(self._listing())
        owner, _, name = self._target.partition("/")
        body = {"Path": owner, "Name": name, "Visibility": 5, "License": "MIT License"}
        self._ask("/api/v1/models", body)
        large = [file for file in files if "lfs" in file]
        actions = [*self._large(large), *self._small([f for f in files if "lfs" not in f])]
        for start in range(0, len(actions), _ACTIONS_PER_COMMIT):
            part = actions[start : start + _ACTIONS_PER_COMMIT]
            body = {"commit_message": "copy", "actions": part}
            self._ask(f"/api/v1/repos/models/{self._target}/commit/master", body)

    def _listing(self) -> Iterator[dict[str, Any]]:
        url: str | None = f"{self._hf}/api/models/{self._source}/tree/main?recursive=true"
        while url:
            request = urllib.request.Request(url, headers={"Authorization": self._hf_auth})
            with urllib.request.urlopen(request) as answer:
                yield from (item for item in json.load(answer) if item["type"] == "file")
                link = answer.headers.get("Link", "")
            url = link.partition(">")[0].removeprefix("<") or None

    def _large(self, files: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        if not files:
            return
        objects = [{"oid": f["lfs"]["oid"], "size": f["size"]} for f in files]
        asked = {"operation": "upload", "objects": objects}
        answer = self._ask(f"/api/v1/repos/models/{self._target}/info/lfs/objects/batch", asked)
        hrefs = {o["oid"]: o["actions"]["upload"]["href"] for o in answer["Data"]["objects"]}
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(lambda file: self._pipe(file, hrefs[file["lfs"]["oid"]]), files))
        for file in files:
            yield _action(file, type="lfs", sha256=file["lfs"]["oid"])

    def _pipe(self, file: dict[str, Any], href: str) -> None:
        get = [*_CURL, "--location", "--header", f"Authorization: {self._hf_auth}"]
        with subprocess.Popen([*get, self._address(file)], stdout=subprocess.PIPE) as reading:
            assert reading.stdout is not None
            fcntl(reading.stdout, F_SETPIPE_SZ, _PIPE_BYTES)
            put = [*_CURL, "--upload-file", "-", "--header", "Expect:", "--output", os.devnull]
            # Standard input has no length, so curl would send chunks: the store wants a length.
            length = ["--header", "Transfer-Encoding:"]
            length += ["--header", f"Content-Length: {file['size']}"]
            subprocess.run([*put, *length, href], stdin=reading.stdout, check=True)
        if reading.returncode:
            raise subprocess.CalledProcessError(reading.returncode, "curl GET")

    def _small(self, files: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        if not files:
            return
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            config = "".join(
                f'url = "{self._address(file)}"\noutput = "{folder / str(number)}"\n'
                for number, file in enumerate(files)
            )
            get = [*_CURL, "--location", "--header", f"Authorization: {self._hf_auth}"]
            parallel = ["--parallel", "--parallel-max", str(WORKERS), "--config", "-"]
            # Its progress meter comes with --parallel whatever --silent says.
            subprocess.run(
                [*get, *parallel], input=config, text=True, check=True, stderr=subprocess.DEVNULL
            )
            for number, file in enumerate(files):
                content = base64.b64encode((folder / str(number)).read_bytes()).decode()
                yield _action(file, type="normal", content=content, encoding="base64")

    def _address(self, file: dict[str, Any]) -> str:
        return f"{self._hf}/{self._source}/resolve/main/{quote(file['path'])}"

    def _ask(self, path: str, body: object) -> Any:
        headers = {"Authorization": self._ms_auth, "Content-Type": "application/json"}
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self._ms}{path}", data=data, headers=headers)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


def _action(file: dict[str, Any], **more: str) -> dict[str, Any]:
    empty = {"sha256": "", "content": "", "encoding": ""}
    return {"action": "create", "path": file["path"], "size": file["size"], **empty, **more}


if __name__ == "__main__":
    Floor(*sys.argv[1:3]).copy()
