"""Run the programs in `clients`, which use official SDKs, and read what they report."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

CLIENTS: Final = Path(__file__).parent / "clients"

Outcomes = dict[str, tuple[str, Any]]
"""By call: ("ok", result) or ("error", name, or name and number)."""


def run(command: list[str], environment: dict[str, str]) -> Outcomes:
    """Run a client; give what it reports."""
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert not done.returncode, done.stderr
    outcomes: Outcomes = {}
    for line in done.stdout.splitlines():
        result = json.loads(line)
        call = result["call"]
        assert call not in outcomes
        if "ok" in result:
            outcomes[call] = ("ok", result["ok"])
        elif "ec" in result:
            outcomes[call] = ("error", (result["error"], result["ec"]))
        else:
            outcomes[call] = ("error", result["error"])
    return outcomes


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without the paths of our packages."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return inherited | variables
