"""The lab as a process of its own, driven over its control origin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from hubferry.lab.faults import ShapeRule

SOURCE = "source-org/model"
TARGET_OWNER = "your-org"

_MAX_SECONDS = 1800
# Request quotas would decide the small-file runs; what is measured here is speed.
_NO_QUOTA = "100000000"
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Traffic:
    """What the hubs saw of one run."""

    source_requests: int
    target_requests: int
    source_bytes: int
    target_bytes: int
    commits: int
    commits_refused: int


class LabProcess:
    """``python -m hubferry.lab`` that keeps digests of uploads only; a ``with`` block."""

    def __init__(self, *, commits_per_minute: int = 0) -> None:
        """``commits_per_minute`` of 0 sets no limit."""
        options = ["--discard", "--commits-per-minute", str(commits_per_minute)]
        options += ["--api-quota", _NO_QUOTA, "--resolvers-quota", _NO_QUOTA]
        command = [sys.executable, "-m", "hubferry.lab", "--max-seconds", str(_MAX_SECONDS)]
        self._process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the lab did not start; its message is above")
        ready = json.loads(line)
        self._control: str = ready["control"]
        self.hf_endpoint: str = ready["hf_endpoint"]
        self.ms_endpoint: str = ready["ms_endpoint"]
        self.hf_token: str = ready["hf_token"]
        self.ms_token: str = ready["ms_token"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(30)
        if self._process.stdout:
            self._process.stdout.close()

    def seed(self, files: Mapping[str, int]) -> None:
        """Make the source repository of synthetic files: path -> size in bytes."""
        seeds = {path: {"size": size, "seed": path} for path, size in files.items()}
        self._ask("POST", "/seed", {"hub": "hf", "id": SOURCE, "license": "mit", "files": seeds})
        # The lab computes Xet ids when they are first shown: not while a clock runs.
        listing = f"{self.hf_endpoint}/api/models/{SOURCE}/tree/main?recursive=true"
        with urllib.request.urlopen(listing, timeout=600) as answer:
            answer.read()

    def shape(self, rules: Sequence[ShapeRule]) -> None:
        """Put these rules in force, and no others."""
        self._ask("DELETE", "/shape")
        for rule in rules:
            self._ask("POST", "/shape", asdict(rule))

    def reset_counters(self) -> None:
        """Count from nothing."""
        self._ask("DELETE", "/counters")

    def traffic(self) -> Traffic:
        """What was counted since the last reset."""
        counters = self._ask("GET", "/counters")
        endpoints: dict[str, dict[str, int]] = counters["endpoints"]
        commits = counters["commits"].get("ms", {})
        return Traffic(
            _sum(endpoints, "requests", "hf.", "xet."),
            _sum(endpoints, "requests", "ms."),
            _sum(endpoints, "bytes_out", "hf.cdn", "hf.raw", "xet.xorb"),
            _sum(endpoints, "bytes_in", "ms.put"),
            commits.get("made", 0),
            commits.get("refused", 0),
        )

    def differences(self, target: str) -> list[str]:
        """Paths of the source that the target does not hold with the digest that was stored."""
        source, found = self._tree("hf", SOURCE), self._tree("ms", target)
        return [path for path, file in source.items() if not _is_held(file, found.get(path))]

    def forget(self, target: str) -> None:
        """Remove a target repository and its blobs, so that the next run has to send them."""
        for file in self._tree("ms", target).values():
            if file["is_lfs"]:
                self._ask("DELETE", "/blobs", hub="ms", sha256=file["sha256"])
        self._delete_repo(target)

    def cpu_seconds(self) -> float:
        """User and system time the lab has used so far."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def _tree(self, hub: str, repo: str) -> dict[str, dict[str, Any]]:
        known = {item["id"] for item in self._ask("GET", "/repos")[hub]}
        if repo not in known:
            return {}
        tree: dict[str, dict[str, Any]] = self._ask("GET", "/repos", hub=hub, id=repo)["tree"]
        return tree

    def _delete_repo(self, target: str) -> None:
        if not self._tree("ms", target):
            return
        headers = {"Authorization": f"Bearer {self.ms_token}"}
        url = f"{self.ms_endpoint}/api/v1/models/{target}"
        request = urllib.request.Request(url, headers=headers, method="DELETE")
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()

    def _ask(self, method: str, path: str, body: object = None, **query: str) -> Any:
        url = f"{self._control}{path}" + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method)
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)


def _sum(endpoints: Mapping[str, Mapping[str, int]], field: str, *prefixes: str) -> int:
    return sum(seen[field] for name, seen in endpoints.items() if name.startswith(prefixes))


def _is_held(source: Mapping[str, Any], target: Mapping[str, Any] | None) -> bool:
    if target is None or not target["is_stored"]:
        return False
    return (source["sha256"], source["size"]) == (target["sha256"], target["size"])
