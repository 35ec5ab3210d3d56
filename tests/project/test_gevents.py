"""What is private in gevent is tested with the oldest and the newest that is supported."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tools import check, gevents

ROOT = Path(__file__).resolve().parents[2]


def test_oldest_is_what_may_be_installed() -> None:
    """The oldest version that is tested is of the release that setup.cfg allows at least."""
    (least,) = re.findall(r"gevent >= ([\d.]+)", (ROOT / "setup.cfg").read_text(encoding="utf-8"))
    assert gevents.VERSIONS["oldest"].startswith(f"{least}.")


def test_versions_are_named_where_they_count() -> None:
    """The module with the private parts names the versions with which it is tested."""
    text = (ROOT / "gcouchbase/internals.py").read_text(encoding="utf-8")
    assert all(version in text for version in gevents.VERSIONS.values())


def test_each_version_is_a_step() -> None:
    """`make test` runs the tests with each version."""
    commands = {step.name: step.command[1:] for step in check.all_steps()}
    for which in gevents.VERSIONS:
        assert commands[f"gevent-{which}"] == ("tools/gevents.py", which)
    assert (ROOT / gevents.TESTS).exists()


def test_private_parts_stand_in_one_module() -> None:
    """No other file of the adapter touches an attribute of gevent's that is private."""
    names = re.compile(r"_threadpool|fork_watcher|_watcher_ref|get_original|\breinit\b|_poll\b")
    files = (ROOT / "gcouchbase").glob("*.py")
    having = [file.name for file in files if names.search(file.read_text(encoding="utf-8"))]
    assert having == ["internals.py"]


def test_failure_on_one_loop_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests run on each loop, whatever came of the first; one failure is enough."""
    loops: list[str] = []

    def run(_: object, env: dict[str, str], **__: object) -> subprocess.CompletedProcess[bytes]:
        loops.append(env["GEVENT_LOOP"])
        return subprocess.CompletedProcess([], len(loops) % 2)

    monkeypatch.setattr(gevents, "python_environment", lambda *_: tmp_path / "python")
    monkeypatch.setattr(subprocess, "run", run)
    assert gevents.main(["oldest"]) == 1
    assert loops == list(gevents.LOOPS)
