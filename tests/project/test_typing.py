"""What a type checker says to programs that use the packages.

`typing_api.py` of each loop reveals every method's type; here is what a whole run of mypy prints.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.methods import FAMILIES

ROOT = Path(__file__).resolve().parent.parent.parent

PROGRAM = '''\
"""Opens buckets, with slips."""

from gcouchbase.cluster import Cluster as GreenCluster
from txcouchbase.cluster import Cluster

Cluster("couchbase://localhost").open_bucket("default", quiet=True)
Cluster("couchbase://localhost").open_bucket("default", quiett=True)
GreenCluster("couchbase://localhost").open_bucket("default", quiet=True)
GreenCluster("couchbase://localhost").open_bucket("default", quiett=True)
reveal_type(Cluster().open_bucket("default").get("key"))
reveal_type(GreenCluster().open_bucket("default").get("key"))
'''


@pytest.mark.timeout(300)
def test_slips_are_found(tmp_path: Path) -> None:
    """A slip in a keyword of `open_bucket` fails a type check, in programs for either loop."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=setup.cfg", "--no-pretty", str(program)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    told = [re.sub(r"^.*program\.py:(\d+)", r"\1", line) for line in run.stdout.splitlines()]
    assert (run.returncode, run.stderr) == (1, "")
    slip = 'Unexpected keyword argument "quiett" for "open_bucket" of "Cluster"'
    errors = [line for line in told if ": error: " in line]
    assert [line.partition(";")[0] for line in errors] == [f"7: error: {slip}", f"9: error: {slip}"]
    revealed = [line.partition("Revealed type is ")[2] for line in told if "Revealed" in line]
    assert revealed == [
        '"twisted.internet.defer.Deferred[couchloop.hot.result.ValueResult[Any]]"',
        '"couchloop.hot.result.ValueResult[Any]"',
    ]


@pytest.mark.parametrize("loop", ["txcouchbase", "gcouchbase"])
def test_every_method_is_revealed(loop: str) -> None:
    """The files that a type checker reads for a loop call each method that is generated."""
    called = {
        node.func.attr
        for path in (ROOT / "tests" / loop).glob("typing_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert {name for family in FAMILIES for name, _ in family.builders()} <= called
