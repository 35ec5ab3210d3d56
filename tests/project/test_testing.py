"""What users of couchloop test their applications with: the pytest plugin, docs/testing.md."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import textwrap
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest

from tests.project.test_packaging import ROOT

CODE = re.findall(
    r"^## (.+?)\n|^```python\n(.+?)^```",
    (ROOT / "docs" / "testing.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
EXAMPLES = {heading: code for (heading, _), (_, code) in pairwise(CODE) if code}
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "-W", "error")
PLUGIN = ("-p", "couchloop.pytest_plugin")


def run(folder: Path, *arguments: str) -> str:
    """Run Python there with no plugin but those that are named; give what it prints."""
    paths = f"{ROOT}:{ROOT / 'core'}"
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": paths, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("heading", "arguments", "passes"),
    [
        ("trial", ("-m", "twisted.trial", "test_example"), "PASSED (successes=2)"),
        ("pytest-twisted", (*PYTEST, *PLUGIN, "-p", "pytest_twisted"), "1 passed"),
        ("pytest with gevent", PYTEST, "3 passed"),
    ],
)
def test_examples(heading: str, arguments: tuple[str, ...], passes: str, tmp_path: Path) -> None:
    """Every example of docs/testing.md runs as it stands."""
    (tmp_path / "test_example.py").write_text(EXAMPLES[heading], encoding="utf-8")
    assert passes in (output := run(tmp_path, *arguments)), output


LOSSES = """\
import math
from gcouchbase.bucket import Bucket
from gcouchbase.testing import MemoryCluster

memory = MemoryCluster()
cluster = memory.cluster
bucket = Bucket(
    memory.connection_string + "/default",
    username="user",
    password="password",
    socket_factory=memory.socket_factory,
)
bucket.upsert("order", {"paid": False})
{example}
print(bucket.get("order").value)
"""


def test_losses(tmp_path: Path) -> None:
    """What had not reached a replica is lost in a failover, as the page says of its example."""
    program = tmp_path / "losses.py"
    program.write_text(LOSSES.replace("{example}", EXAMPLES["Replicas, lag and losses"]))
    assert "{'paid': False}\n" in (output := run(tmp_path, str(program))), output


VIEWS = """
from gcouchbase.bucket import Bucket
from gcouchbase.testing import serve

with serve() as served:
    cluster = served.cluster
    {example}
    there = Bucket(served.connection_string + "/default", username="user", password="password")
    there.upsert("ann", {"type": "person", "country": "de", "city": "Ulm", "age": 30})
    view = there.query("people", "by_city", group=True)
    print([(row.key, row.value["sum"]) for row in view])
    there.close()
"""


def test_views(tmp_path: Path) -> None:
    """The view that the page defines is there, and answers."""
    program = tmp_path / "views.py"
    example = textwrap.indent(EXAMPLES["Views"], "    ").lstrip()
    program.write_text(VIEWS.replace("{example}", example))
    assert "[(['de', 'Ulm'], 30)]\n" in (output := run(tmp_path, str(program))), output


def test_every_example_is_run() -> None:
    """There is no example but the five that are run."""
    apart = {"Replicas, lag and losses", "Views"}
    assert set(EXAMPLES) == {"trial", "pytest-twisted", "pytest with gevent"} | apart
    assert sum(bool(code) for _, code in CODE) == 5


def test_entry_point() -> None:
    """The metadata lead pytest to the plugin."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    name, _, module = parser["options.entry_points"]["pytest11"].strip().partition(" = ")
    assert name == "couchloop"
    assert hasattr(import_module(module), "couchbase_cluster")


def test_plugin_imports_little() -> None:
    """Loading the plugin, as every pytest does, imports no loop and nothing else of ours."""
    code = (
        "import sys, couchloop.pytest_plugin\n"
        "print(sorted(m for m in sys.modules if m.startswith(('couchloop', 'twisted', 'gevent'))))"
    )
    wanted = ["couchloop", "couchloop.neighbours", "couchloop.pytest_plugin"]
    assert run(ROOT, "-c", code).strip() == str(wanted)


@pytest.mark.parametrize(("scope", "clusters"), [("session", 1), ("function", 2)])
def test_settings(scope: str, clusters: int, tmp_path: Path) -> None:
    """The settings say how long a cluster lives and what is in it; each ends when its time has."""
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\ncouchbase_scope = {scope}\n"
        "couchbase_arguments = --nodes 2 --bucket one --bucket two --user 'me:pass word'\n"
    )
    (tmp_path / "test_cluster.py").write_text(
        "import os, pathlib, pytest\n"
        "@pytest.mark.parametrize('number', [1, 2])\n"
        "def test_cluster(couchbase_cluster, number):\n"
        "    assert couchbase_cluster.connection_string.count('127.0.0.1:') == 2\n"
        "    assert couchbase_cluster.connection_string_tls is None\n"
        "    assert couchbase_cluster.bucket == 'one'\n"
        "    assert couchbase_cluster.username == 'me'\n"
        "    assert couchbase_cluster.password == 'pass word'\n"
        "    assert 'pass word' not in repr(couchbase_cluster)\n"
        "    os.kill(couchbase_cluster.pid, 0)\n"
        "    with open('pids', 'a') as file:\n"
        "        print(couchbase_cluster.pid, file=file)\n"
    )
    assert "2 passed" in (output := run(tmp_path, *PYTEST, *PLUGIN)), output
    pids = {int(line) for line in (tmp_path / "pids").read_text().splitlines()}
    assert len(pids) == clusters
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("patch", ["", "from gevent import monkey\nmonkey.patch_all()\n"])
def test_on_gevent(patch: str, tmp_path: Path) -> None:
    """The fixture serves gevent too, with and without monkey patching."""
    (tmp_path / "conftest.py").write_text(patch)
    (tmp_path / "test_cluster.py").write_text(
        "from gcouchbase.cluster import Cluster, PasswordAuthenticator\n"
        "def test_cluster(couchbase_cluster):\n"
        "    cluster = Cluster(couchbase_cluster.connection_string)\n"
        "    cluster.authenticate(\n"
        "        PasswordAuthenticator(couchbase_cluster.username, couchbase_cluster.password)\n"
        "    )\n"
        "    bucket = cluster.open_bucket(couchbase_cluster.bucket)\n"
        "    bucket.upsert('greeting', 'hello')\n"
        "    assert bucket.get('greeting').value == 'hello'\n"
    )
    assert "1 passed" in (output := run(tmp_path, *PYTEST, *PLUGIN)), output


def test_a_cluster_that_does_not_start(tmp_path: Path) -> None:
    """What is wrong with the settings is said in the test's error."""
    (tmp_path / "pytest.ini").write_text("[pytest]\ncouchbase_arguments = --nodes 0\n")
    (tmp_path / "test_cluster.py").write_text("def test_cluster(couchbase_cluster): pass\n")
    output = run(tmp_path, *PYTEST, *PLUGIN)
    assert "--nodes must be from 1 to 100" in output
    assert "--nodes 0` did not start (exit status 2)" in output
    assert "1 error" in output
