"""The compiled twin is built where it can be, and nothing fails where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.test_packaging import ROOT
from tools import speedups


def built(tree: Path, **environment: str) -> str:
    """Run setup.py of a tree as an installation does; return what it says."""
    # These tests may run on the other twin.
    inherited = {name: os.environ[name] for name in os.environ if name != "COUCHLOOP_SPEEDUPS"}
    run = subprocess.run(
        [
            sys.executable,
            "setup.py",
            "build_ext",
            "-f",
            "-b",
            str(tree / "b"),
            "-t",
            str(tree / "t"),
        ],
        cwd=ROOT,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr


def test_refused(tmp_path: Path) -> None:
    """With COUCHLOOP_SPEEDUPS=0 it is not built, and that is said."""
    assert "without its compiled hot path" in built(tmp_path, COUCHLOOP_SPEEDUPS="0")
    assert not list(tmp_path.rglob("*.so"))


def test_without_cython(tmp_path: Path) -> None:
    """Without Cython it is not built, and that is said."""
    (tmp_path / "Cython").mkdir()
    (tmp_path / "Cython" / "__init__.py").write_text("raise ImportError\n")
    said = built(tmp_path, PYTHONPATH=str(tmp_path))
    assert "without its compiled hot path: Cython is not installed" in said


def test_source_is_shipped() -> None:
    """Who has the source distribution can build it."""
    lines = (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines()
    assert "graft core/couchloop" in lines
    assert all(path.exists() for path in speedups.SOURCES)


def test_why_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tool says why it has built nothing."""
    monkeypatch.setattr(speedups, "built", list)
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda *_, **__: subprocess.CompletedProcess((), 0, "a line\nerror: no compiler\n", ""),
    )
    assert speedups.build() == "error: no compiler"


@pytest.mark.timeout(300)
def test_without_a_compiler(tmp_path: Path) -> None:
    """A compiler that fails is no failure: what is built is pure, and says so."""
    pytest.importorskip("Cython")
    said = built(tmp_path, CC="false", COUCHLOOP_SPEEDUPS="1", COUCHLOOP_ABI3="1")
    assert "without its compiled hot path: the compiler failed" in said
    assert "Py_LIMITED_API=0x030B0000" in said
    assert not list(tmp_path.rglob("*.so"))


def test_found(tmp_path: Path) -> None:
    """What was built for this interpreter is found, or for every CPython; nothing else is."""
    own = tmp_path / f"_twin.{sys.implementation.cache_tag}-x86_64-linux-gnu.so"
    for name in (own.name, "_twin.abi3.so", "_twin.other-1-x86_64-linux-gnu.so"):
        (tmp_path / name).touch()
    assert speedups.built(tmp_path) == sorted([own, tmp_path / "_twin.abi3.so"])
