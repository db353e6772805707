"""Tokens stay with their own hub: canaries in both, looked for everywhere else."""

from __future__ import annotations

import base64
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.support.bench import SOURCE, TARGET, Bench, check_copied
from tests.support.processes import Ended, Ferry, clean_variables

from hubferry.app import App, HubSettings, Settings
from hubferry.events import FileFinished, Waiting
from hubferry.lab.faults import Fault
from hubferry.lab.server import Lab

# Not of any well-known shape: only the value itself can give them away.
CANARIES = {"hf": "canary-Hf+7Qz81LmRt42", "ms": "canary-Ms+9Wx36KpYd57"}
ECHO = (
    '{"error": "cannot serve Authorization: Bearer %s", "Message": "cookie m_session_id=%s",'
    ' "Code": 500, "Success": false, "Data": null}'
)
SOURCE_STEPS = ("hf.info", "hf.tree", "hf.git", "hf.resolve", "hf.raw", "hf.cdn")
TARGET_STEPS = ("ms.login", "ms.info", "ms.files", "ms.create", "ms.batch", "ms.put", "ms.commit")


@dataclass
class Places:
    """A lab that knows the canaries, and the places where one run leaves text."""

    lab: Lab
    home: Path

    def run(
        self, *arguments: str, text: str = "", has_tokens: bool = True, **variables: str
    ) -> Ended:
        """Run hubferry with DEBUG logs, then look everywhere."""
        log = self.home / "debug.log"
        own = {f"HUBFERRY_{hub.upper()}_TOKEN": value for hub, value in CANARIES.items()}
        endpoints = {
            "HUBFERRY_HF_ENDPOINT": self.lab.hf.endpoint,
            "HUBFERRY_MS_ENDPOINT": self.lab.ms.endpoint,
            "HUBFERRY_STATE_DIR": str(self.home / "state"),
        }
        environment = clean_variables(
            self.home, **{**endpoints, **(own if has_tokens else {}), **variables}
        )
        command = [*arguments, "--log-level", "DEBUG", "--log-file", str(log)]
        ferry = Ferry(command, environment, self.home / "output", text)
        assert sys.platform != "linux" or ferry.children() == []
        ended = ferry.wait()
        self.check(ended)
        assert log.stat().st_size > 0
        return ended

    def check(self, ended: Ended) -> None:
        """Assert that no canary is in any output, any file, or at any other host."""
        for hub, canary in CANARIES.items():
            for form in _forms(canary):
                assert form not in ended.out, f"the {hub} token is on standard output"
                assert form not in ended.err, f"the {hub} token is on standard error"
            assert self.lab.counters.token_origins(canary) <= {f"{hub}.api"}
        for path in self.home.rglob("*"):
            if path.is_file() and "logins" not in path.parts:
                content = path.read_bytes()
                for canary in CANARIES.values():
                    found = [form for form in _forms(canary) if form.encode() in content]
                    assert not found, f"a token is in {path}"


def _forms(canary: str) -> set[str]:
    """A value as text, in a URL, and in the base64 of "user:value"."""
    encoded = {
        base64.b64encode(f"{'x' * shift}{canary}".encode()).decode()[4:-4] for shift in range(3)
    }
    return {canary, canary[4:-4], quote(canary, safe=""), *encoded}


@pytest.fixture
def places(lab: Lab, tmp_path: Path) -> Iterator[Places]:
    """A lab with the canaries as tokens and a source to copy."""
    for side in (lab.hf, lab.ms):
        side.accounts.add(CANARIES[side.name], "lab-user", orgs=("your-org",))
        lab.counters.watch(CANARIES[side.name])
    Bench(lab, tmp_path).seed({"README.md": "# hi", "a.txt": "a", "weights.bin": b"w" * 90_000})
    home = tmp_path / "places"
    home.mkdir()
    yield Places(lab, home)
    assert lab.counters.token_origins(CANARIES["hf"]) <= {"hf.api"}
    assert lab.counters.token_origins(CANARIES["ms"]) <= {"ms.api"}


def test_a_good_run_tells_no_token_to_anyone_else(places: Places) -> None:
    ended = places.run("copy", SOURCE, TARGET, "--json")
    assert ended.code == 0, ended.err
    assert places.lab.counters.token_origins(CANARIES["hf"]) == {"hf.api"}
    assert places.lab.counters.token_origins(CANARIES["ms"]) == {"ms.api"}

    plan = places.home / "plan.json"
    for arguments in (
        ["plan", SOURCE, "your-org/another", "--out", str(plan), "--json"],
        ["auth", "status", "your-org"],
        ["runs", "list"],
    ):
        ended = places.run(*arguments)
        assert ended.code == 0, ended.err
    assert plan.stat().st_size > 0


def test_tokens_may_come_by_standard_input(places: Places) -> None:
    text = f"{CANARIES['hf']}\n{CANARIES['ms']}\n"
    options = ["--hf-token", "-", "--ms-token", "-"]
    ended = places.run("copy", SOURCE, TARGET, *options, text=text, has_tokens=False)
    assert ended.code == 0, ended.err
    assert places.lab.counters.token_origins(CANARIES["ms"]) == {"ms.api"}


def test_a_token_on_the_command_line_works_with_a_warning(places: Places) -> None:
    options = ["--hf-token", CANARIES["hf"], "--ms-token", CANARIES["ms"]]
    ended = places.run("copy", SOURCE, TARGET, *options, has_tokens=False)
    assert ended.code == 0, ended.err
    assert "--hf-token" in ended.err
    assert "--ms-token" in ended.err


def test_tokens_of_the_hubs_own_variables_and_files_are_found(places: Places) -> None:
    logins = places.home / "logins"
    logins.mkdir()
    (logins / "token").write_text(CANARIES["hf"])
    ended = places.run(
        "copy",
        SOURCE,
        TARGET,
        has_tokens=False,
        HF_TOKEN_PATH=str(logins / "token"),
        MODELSCOPE_API_TOKEN=CANARIES["ms"],
    )
    assert ended.code == 0, ended.err
    assert places.lab.counters.token_origins(CANARIES["hf"]) == {"hf.api"}


def test_a_hub_that_echoes_tokens_in_its_errors_is_not_quoted(places: Places) -> None:
    for endpoint in (*SOURCE_STEPS, *TARGET_STEPS):
        canary = CANARIES[endpoint[:2]]
        body, said = (ECHO % (canary, canary)).encode(), {"X-Error-Message": f"token {canary}"}
        # What Git will not give is read file by file, so each of these answers comes about.
        status = 404 if endpoint == "hf.git" else 500
        places.lab.faults.add(Fault(endpoint, "status", status=status, body=body, headers=said))

    ended = places.run("copy", SOURCE, TARGET, "--progress", "on")

    assert ended.code == 0, ended.err
    assert all(fault["struck"] for fault in places.lab.faults.snapshot())


@pytest.mark.parametrize(
    ("endpoint", "status"),
    [("hf.info", 401), ("hf.raw", 403), ("hf.tree", 400), ("ms.commit", 400), ("ms.info", 403)],
)
def test_a_refused_run_tells_no_token(places: Places, endpoint: str, status: int) -> None:
    canary = CANARIES[endpoint[:2]]
    body, said = (ECHO % (canary, canary)).encode(), {"X-Error-Message": f"token {canary}"}
    for where in {endpoint, "hf.git"}:
        fault = Fault(where, "status", times=None, status=status, body=body, headers=said)
        places.lab.faults.add(fault)

    ended = places.run("copy", SOURCE, TARGET, "--json")

    assert ended.code not in (0, 2), ended.err
    assert ended.report["errors"]


def test_unknown_tokens_are_not_repeated(places: Places) -> None:
    for side in (places.lab.hf, places.lab.ms):
        side.accounts.revoke(CANARIES[side.name])
    assert places.run("copy", SOURCE, TARGET, "--json").code == 11
    assert places.run("auth", "status", "--json").code == 11


def test_a_dead_host_learns_and_tells_no_token(
    places: Places, tmp_path: Path, quick_waits: list[float]
) -> None:
    settings = {name: HubSettings("http://127.0.0.1:9", CANARIES[name]) for name in ("hf", "ms")}
    with App(Settings(hubs=settings, state_dir=tmp_path / "state")) as app:
        statuses = app.auth_status()
    errors = [status.error for status in statuses if status.error is not None]
    assert [error.exit_code for error in errors] == [1, 1]
    assert not [canary for canary in CANARIES.values() if canary in repr(errors)]


def test_no_exception_holds_a_token(
    places: Places, tmp_path: Path, quick_waits: list[float]
) -> None:
    bench = Bench(places.lab, tmp_path)
    bench.tokens = dict(CANARIES)
    for endpoint in ("hf.resolve", "hf.cdn", "ms.batch", "ms.put"):
        canary = CANARIES[endpoint[:2]]
        body = (ECHO % (canary, canary)).encode()
        bench.lab.faults.add(Fault(endpoint, "status", times=12, status=500, body=body))

    for _ in range(3):
        bench.copy()
    bench.lab.faults.clear()

    found = [event.error for event in bench.events if isinstance(event, FileFinished)]
    errors = [error for error in found if error is not None]
    assert errors
    texts = ["".join(traceback.format_exception(error)) for error in errors]
    texts += [repr(vars(error)) for error in errors]
    texts += [str(event.reason) for event in bench.events if isinstance(event, Waiting)]
    assert not [text for text in texts for canary in CANARIES.values() if canary in text]
    check_copied(bench, bench.copy())
