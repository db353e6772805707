"""Both hubs of one scenario, and nginx beside them where bytes should not pass through Python."""

from __future__ import annotations

import base64
import hashlib
import random
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from bench.lab import LabProcess, Traffic
from bench.nginx import Nginx, trusting
from hubferry.lab.content import READ_SIZE_BYTES, SyntheticContent

_MEMORY = Path("/dev/shm")
_SMALL_BYTES = 64 * 1024

Carrier = Literal["lab", "nginx", "nginx with TLS"]


@dataclass(frozen=True)
class Setting:
    """How the hubs of a scenario are set up.

    Args:
        carrier: who serves and stores large files. The lab can shape, fail and count bytes as they
            pass, and keeps digests only; nginx is fast, and keeps uploads until they are hashed.
        commits_per_minute: what the target takes; 0 for no limit.
        serves_git: False where the source has no Git endpoint.
    """

    carrier: Carrier = "lab"
    commits_per_minute: int = 0
    serves_git: bool = True


USUAL_SETTING = Setting()


@dataclass(frozen=True, eq=False)
class FileSet:
    """Synthetic files, path -> size in bytes; each set becomes a source repository of its own.

    ``is_in_xet``: its LFS files are in Xet storage too, as new files on Hugging Face are.
    """

    files: Mapping[str, int]
    is_in_xet: bool = False

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(self.files.values())


class World:
    """A ``with`` block."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._open = ExitStack()
        self._sources: dict[FileSet, str] = {}
        self._nginx: Nginx | None = None
        self.variables: dict[str, str] = {}
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise

    def _start(self) -> None:
        options = ["--commits-per-minute", str(self._setting.commits_per_minute), "--discard"]
        if not self._setting.serves_git:
            options.append("--no-git")
        if self._setting.carrier != "lab":
            nginx = self._start_nginx()
            options += ["--cdn-url", nginx.cdn_url, "--store-url", nginx.store_url]
            options += ["--store-folder", str(nginx.store_folder)]
        self.lab = self._open.enter_context(LabProcess(*options))

    def _start_nginx(self) -> Nginx:
        where = _MEMORY if _MEMORY.is_dir() else None
        made = tempfile.TemporaryDirectory(prefix="hubferry-bench-", dir=where)
        folder = Path(self._open.enter_context(made))
        is_tls = self._setting.carrier == "nginx with TLS"
        nginx = self._nginx = self._open.enter_context(Nginx(folder, is_tls=is_tls))
        self.variables = trusting(nginx.ca_file, folder)
        return nginx

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def source(self, files: FileSet) -> str:
        """The source repository that has these files, made on first use."""
        if files not in self._sources:
            name = f"source-org/model-{len(self._sources) + 1}"
            given = self._given(name, files)
            self.lab.seed(name, given, xet=files.is_in_xet)
            self._place(name, given)
            self._sources[files] = name
        return self._sources[files]

    def reset_counters(self) -> None:
        """Count from nothing."""
        self.lab.reset_counters()
        if self._nginx:
            self._nginx.reset_counters()

    def traffic(self) -> Traffic:
        """What was counted since the last reset."""
        traffic = self.lab.traffic()
        if self._nginx is None:
            return traffic
        seen = self._nginx.seen()
        return replace(
            traffic,
            source_requests=traffic.source_requests + seen.cdn_requests,
            target_requests=traffic.target_requests + seen.store_requests,
            source_bytes=traffic.source_bytes + seen.cdn_bytes,
            target_bytes=traffic.target_bytes + seen.store_bytes,
        )

    def cpu_seconds(self) -> float:
        """What the hubs' processes have used so far."""
        return self.lab.cpu_seconds() + (self._nginx.cpu_seconds() if self._nginx else 0.0)

    def differences(self, source: str, target: str) -> list[str]:
        """Paths of the source that the target does not hold, by the digests of stored bytes."""
        wanted, found = self.lab.tree("hf", source), self.lab.tree("ms", target)
        with ThreadPoolExecutor() as pool:
            held = pool.map(lambda path: self._is_held(wanted[path], found.get(path)), wanted)
            return [path for path, is_held in zip(wanted, held, strict=True) if not is_held]

    def _is_held(self, source: Mapping[str, Any], target: Mapping[str, Any] | None) -> bool:
        if target is None or not target["is_stored"]:
            return False
        if (source["sha256"], source["size"]) != (target["sha256"], target["size"]):
            return False
        # The lab hashes what it takes in. nginx does not, and the lab trusts it.
        if self._nginx is None or not target["is_lfs"]:
            return True
        stored = self._nginx.store_folder / source["sha256"]
        with stored.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == str(source["sha256"])

    def _given(self, name: str, files: FileSet) -> dict[str, dict[str, Any]]:
        if self._nginx is None:
            return {path: _file(f"{name}/{path}", size) for path, size in files.files.items()}
        given: dict[str, dict[str, Any]] = {}
        for number, (path, size) in enumerate(files.files.items()):
            place = self._nginx.cdn_folder / f"{name.replace('/', '-')}-{number}"
            _write(place, SyntheticContent(size, f"{name}/{path}"))
            given[path] = {"path": str(place)}
        return given

    def _place(self, name: str, given: Mapping[str, Mapping[str, Any]]) -> None:
        """Give each file the address that the hub's redirects name."""
        if self._nginx is None:
            return
        for path, file in self.lab.tree("hf", name).items():
            sha256: str = file["sha256"]
            place = self._nginx.cdn_folder / "repos" / sha256[:2] / sha256[2:4]
            place.mkdir(parents=True, exist_ok=True)
            (place / sha256).hardlink_to(given[path]["path"])


def _file(seed: str, size_bytes: int) -> dict[str, Any]:
    """How to give a file to the lab; small ones have nothing in common that Git could leave out."""
    if size_bytes > _SMALL_BYTES:
        return {"size": size_bytes, "seed": seed}
    return {"base64": base64.b64encode(random.Random(seed).randbytes(size_bytes)).decode()}


def _write(place: Path, content: SyntheticContent) -> None:
    with place.open("wb") as file:
        for start in range(0, content.size, READ_SIZE_BYTES):
            file.write(content.read(start, start + READ_SIZE_BYTES))
