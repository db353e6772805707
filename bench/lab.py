"""The lab as a process of its own, driven over its control origin."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from bench.measure import cpu_seconds
from hubferry.lab.faults import Fault, ShapeRule

TARGET_OWNER = "your-org"

_MAX_SECONDS = 3600
# Request quotas would decide the small-file runs; what is measured here is speed.
_NO_QUOTA = "100000000"
_REFS = "info/refs?service=git-upload-pack"
_SOURCE_DATA = ("hf.cdn", "hf.raw", "hf.git", "xet.xorb")


@dataclass(frozen=True)
class Traffic:
    """What the hubs saw of one run."""

    source_requests: int
    target_requests: int
    source_bytes: int
    target_bytes: int
    commits: int
    commits_refused: int
    connections: int
    """Most connections at once to the source's data origins."""
    faults: int
    """How often a fault struck."""


class LabProcess:
    """``python -m hubferry.lab``; a ``with`` block."""

    def __init__(self, *options: str) -> None:
        """Start one without request quotas, with these options of its command line."""
        command = [sys.executable, "-m", "hubferry.lab", "--max-seconds", str(_MAX_SECONDS)]
        command += ["--api-quota", _NO_QUOTA, "--resolvers-quota", _NO_QUOTA, *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
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

    def seed(self, repo: str, files: Mapping[str, Mapping[str, Any]], *, xet: bool) -> None:
        """Make a source repository; how a file is given: ``hubferry.lab.control.seed_repo``."""
        card = {"hub": "hf", "id": repo, "license": "mit", "xet": xet}
        self._ask("POST", "/seed", {**card, "files": files})
        # The lab computes Xet ids and builds the Git repository when they are first asked for:
        # not while a clock runs.
        for path in (f"api/models/{repo}/tree/main?recursive=true", f"{repo}.git/{_REFS}"):
            with suppress(urllib.error.HTTPError):
                urllib.request.urlopen(f"{self.hf_endpoint}/{path}", timeout=600).close()

    def shape(self, rules: Sequence[ShapeRule]) -> None:
        """Put these rules in force, and no others."""
        self._ask("DELETE", "/shape")
        for rule in rules:
            self._ask("POST", "/shape", asdict(rule))

    def fail(self, faults: Sequence[Fault]) -> None:
        """Switch these faults on, and no others."""
        self._ask("DELETE", "/faults")
        for fault in faults:
            self._ask("POST", "/faults", fault.to_json())

    def reset_counters(self) -> None:
        """Count from nothing."""
        self._ask("DELETE", "/counters")

    def traffic(self) -> Traffic:
        """What was counted since the last reset."""
        counters = self._ask("GET", "/counters")
        endpoints: dict[str, dict[str, int]] = counters["endpoints"]
        commits = counters["commits"].get("ms", {})
        open_now = counters["connections"]
        data_origins = [open_now[name] for name in ("hf.cdn", "xet.xorbs") if name in open_now]
        return Traffic(
            _sum(endpoints, "requests", "hf.", "xet."),
            _sum(endpoints, "requests", "ms."),
            _sum(endpoints, "bytes_out", *_SOURCE_DATA),
            _sum(endpoints, "bytes_in", "ms.put"),
            commits.get("made", 0),
            commits.get("refused", 0),
            sum(origin["max_at_once"] for origin in data_origins),
            sum(fault["struck"] for fault in self._ask("GET", "/faults")),
        )

    def target_bytes(self) -> int:
        """How much of large files has reached the target since the last reset."""
        return _sum(self._ask("GET", "/counters")["endpoints"], "bytes_in", "ms.put")

    def source_bytes(self) -> int:
        """How much of files has left the source since the last reset."""
        return _sum(self._ask("GET", "/counters")["endpoints"], "bytes_out", *_SOURCE_DATA)

    def tree(self, hub: str, repo: str) -> dict[str, dict[str, Any]]:
        """Path -> ``size``, ``sha256``, ``is_lfs``, ``is_stored``; empty without a repository."""
        known = {item["id"] for item in self._ask("GET", "/repos")[hub]}
        if repo not in known:
            return {}
        tree: dict[str, dict[str, Any]] = self._ask("GET", "/repos", hub=hub, id=repo)["tree"]
        return tree

    def forget(self, source: str, target: str) -> None:
        """Remove a target repository and its blobs, so that the next run has to send them.

        Those of the source too: a run that was stopped may have sent what it never committed.
        """
        copied = self.tree("ms", target)
        for file in (*self.tree("hf", source).values(), *copied.values()):
            if file["is_lfs"]:
                self._ask("DELETE", "/blobs", hub="ms", sha256=file["sha256"])
        if copied:
            self._delete_repo(target)

    def cpu_seconds(self) -> float:
        """User and system time the lab has used so far."""
        return cpu_seconds(self._process.pid)

    def _delete_repo(self, target: str) -> None:
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
