"""What is compared: how each tool is started, and which version it is."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.lab import SOURCE, LabProcess
from bench.measure import Command

_HERE = Path(__file__).parent
_BIN = Path(sys.executable).parent
_KEPT_VARIABLES = ("PATH", "LANG")


@dataclass(frozen=True)
class Tool:
    """One way to copy.

    ``label`` names its row; ``arguments`` may hold ``{source}``, ``{target}`` and ``{ms_token}``;
    ``can_resume`` is True where a second run can find work done by the first.
    """

    name: str
    label: str
    arguments: tuple[str, ...]
    can_resume: bool = True
    variables: tuple[tuple[str, str], ...] = ()

    def command(self, lab: LabProcess, target: str, home: Path) -> Command:
        """The command that copies the lab's source repository to ``target``."""
        words = {"source": SOURCE, "target": target, "ms_token": lab.ms_token}
        arguments = [argument.format(**words) for argument in self.arguments]
        return Command(arguments, {**_variables(lab, home), **dict(self.variables)}, home)


_TWO_STEP = (sys.executable, str(_HERE / "two_step.py"), "{source}", "{target}")
_PEER = (str(_BIN / "hfms-bridge"), "hf2ms", "{source}", "{target}", "--ms-token", "{ms_token}")
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
    can_resume=False,
)

USUAL = (HUBFERRY, PEER, TWO_STEP, FLOOR)


def machine() -> list[str]:
    """What the figures were measured on and with, a fact a line."""
    packages = ("hfms-bridge", "huggingface_hub", "hf_xet", "modelscope_hub", "urllib3")
    return [
        f"{os.cpu_count()} cores ({_cpu_model()}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}",
        f"hubferry {version('hubferry')} at {_commit()}; "
        + ", ".join(f"{name} {version(name)}" for name in packages)
        + f"; {' '.join(_first_line('curl', '--version').split()[:2])}",
    ]


def _variables(lab: LabProcess, home: Path) -> dict[str, str]:
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
