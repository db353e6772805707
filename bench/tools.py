"""What is compared: how each tool is started, and which version it is."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from bench import nginx
from bench.lab import LabProcess
from bench.measure import Command
from bench.world import World

_HERE = Path(__file__).parent
_BIN = Path(sys.executable).parent
_PEER_BIN = Path(os.environ.get("HUBFERRY_BENCH_PEER", _HERE.parent / ".venv-peer")) / "bin"
"""Where ``make bench`` installs the peer, with the dependencies it wants and no others."""
_KEPT_VARIABLES = ("PATH", "LANG")


@dataclass(frozen=True)
class Tool:
    """One way to copy.

    ``label`` names its row; ``arguments`` may hold ``{source}``, ``{target}`` and ``{ms_token}``.
    """

    name: str
    label: str
    arguments: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()

    def having(self, *options: str) -> Tool:
        """The same with more options, under a label that shows them."""
        return replace(
            self,
            label=" ".join((self.label, *options)),
            arguments=(*self.arguments, *options),
        )

    def command(self, world: World, source: str, target: str, home: Path) -> Command:
        """The command that copies ``source`` to ``target``."""
        words = {"source": source, "target": target, "ms_token": world.lab.ms_token}
        arguments = [argument.format(**words) for argument in self.arguments]
        variables = {**lab_variables(world.lab, home), **world.variables, **dict(self.variables)}
        return Command(arguments, variables, home)


_TWO_STEP = (sys.executable, str(_HERE / "two_step.py"), "{source}", "{target}")
_PEER = (
    str(_PEER_BIN / "hfms-bridge"),
    "hf2ms",
    "{source}",
    "{target}",
    "--ms-token",
    "{ms_token}",
)
_OURS = (str(_BIN / "hubferry"), "copy", "--json", "{source}", "{target}")

HUBFERRY = Tool("hubferry", "hubferry copy", _OURS)
PEER = Tool("hfms-bridge", "hfms-bridge hf2ms", _PEER)
TWO_STEP = Tool(
    "two-step",
    "snapshot_download, then upload_folder",
    _TWO_STEP,
    variables=(("HF_HUB_DISABLE_XET", "1"),),
)
TWO_STEP_XET = Tool("two-step-xet", "the same, reading through hf_xet", _TWO_STEP)
FLOOR = Tool(
    "floor",
    "floor: curl piped into curl, no hash",
    (sys.executable, str(_HERE / "floor.py"), "{source}", "{target}"),
)

USUAL = (HUBFERRY, PEER, TWO_STEP, FLOOR)


def machine(*, has_copies: bool = True) -> list[str]:
    """What the figures were measured on and with, a fact a line."""
    if not has_copies:
        return [_computer(), f"hubferry {version('hubferry')} at {_commit()}"]
    packages = ("huggingface_hub", "hf_xet", "modelscope_hub", "urllib3")
    return [
        _computer(),
        f"hubferry {version('hubferry')} at {_commit()}; "
        + ", ".join(f"{name} {version(name)}" for name in packages)
        + f"; {' '.join(_first_line('curl', '--version').split()[:2])}; {_nginx()}",
        f"hfms-bridge in an environment of its own: {_peer_packages()}",
    ]


def _computer() -> str:
    return (
        f"{os.cpu_count()} cores ({_cpu_model()}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def check_installed() -> None:
    """Say what is missing before anything is measured.

    Raises:
        RuntimeError: the peer or nginx is not installed.
    """
    check_peer()
    if nginx.PROGRAM is None:
        raise RuntimeError("nginx is missing; on Debian: apt-get install nginx-light")


def check_peer() -> None:
    """Say if the peer is missing.

    Raises:
        RuntimeError: it is.
    """
    if not Path(PEER.arguments[0]).exists():
        raise RuntimeError(
            f"{PEER.arguments[0]} is missing; `make bench` installs it, and "
            "HUBFERRY_BENCH_PEER names another environment that has it"
        )


def _nginx() -> str:
    if nginx.PROGRAM is None:
        return "no nginx"
    ran = subprocess.run([nginx.PROGRAM, "-v"], capture_output=True, check=False)
    return ran.stderr.decode().strip().rpartition(" ")[2]


def _peer_packages() -> str:
    """What pip says of the peer's environment; curl's and Python's are those of all tools."""
    listed = subprocess.run(
        [str(_PEER_BIN / "python"), "-m", "pip", "list", "--format", "freeze"],
        capture_output=True,
        text=True,
        check=False,
    )
    wanted = ("hfms", "requests=", "urllib3=")
    return ", ".join(line for line in listed.stdout.split() if line.startswith(wanted))


def lab_variables(lab: LabProcess, home: Path) -> dict[str, str]:
    """An environment with a HOME and a TMPDIR of its own and no login but the lab's."""
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "HF_ENDPOINT": lab.hf_endpoint,
        "HF_TOKEN": lab.hf_token,
        "MODELSCOPE_ENDPOINT": lab.ms_endpoint,
        "MODELSCOPE_API_TOKEN": lab.ms_token,
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    if _first_line("git", "-C", str(_HERE), "rev-parse", "--is-inside-work-tree") != "true":
        return "an unknown commit"
    changed = _first_line("git", "-C", str(_HERE), "status", "--porcelain", "--", "../src")
    commit = _first_line("git", "-C", str(_HERE), "rev-parse", "--short", "HEAD")
    return f"{commit} with changes" if changed else commit


def _first_line(*command: str) -> str:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return ran.stdout.partition("\n")[0].strip()
