"""What a script does when its interpreter has no hubferry: use one that has, or say so.

The guide calls the scripts with plain ``python``, which need not be the one
that ``make`` set up. This file imports the standard library alone.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

_USAGE = 2
_TRIED = "HUBFERRY_SCRIPT_STARTED_AGAIN"


def start_again(missing: ModuleNotFoundError) -> NoReturn:
    """Run the same command line with an interpreter that has hubferry, if one is known."""
    found = _interpreter()
    if found is None or _TRIED in os.environ or missing.name != "hubferry":
        _explain(missing)
    command = [found, *sys.argv]
    environment = {**os.environ, _TRIED: "1"}
    if os.name == "nt":  # there exec returns to the shell before the new process ends
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)
    os.execve(found, command, environment)  # noqa: S606 - no shell is wanted


def _interpreter() -> str | None:
    named = os.environ.get("HUBFERRY_PYTHON")
    if named:
        return named
    venv = Path(__file__).resolve().parent.parent / ".venv"
    for place in (venv / "bin" / "python", venv / "Scripts" / "python.exe"):
        if place.exists():
            return str(place)
    return None


def _explain(missing: ModuleNotFoundError) -> NoReturn:
    print(f"Error: {missing.name} is not installed for {sys.executable}", file=sys.stderr)
    print("  fix: pip install hubferry   (or, in the checkout: make demo)", file=sys.stderr)
    print(
        "  解决: pip install hubferry（或在代码目录中运行 make demo）",
        file=sys.stderr,
    )
    sys.exit(_USAGE)
