"""Packages beside ours: another's of our names, and those that are not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from couchloop.neighbours import clash, need

ROOT = Path(__file__).resolve().parents[2]


def run(program: str, *places: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that finds packages in *places* before ours."""
    path = os.pathsep.join(map(str, (*places, ROOT / "core", ROOT)))
    return subprocess.run(
        [sys.executable, "-P", "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def package(place: Path, name: str, text: str = "") -> None:
    """Make a package of that name."""
    (place / name).mkdir()
    (place / name / "__init__.py").write_text(text)


def test_alone() -> None:
    """Where nothing clashes nothing is said."""
    assert clash() == ""
    assert run("import couchloop").stderr == ""


@pytest.mark.parametrize("name", ["txcouchbase", "gcouchbase"])
def test_a_package_of_our_name(tmp_path: Path, name: str) -> None:
    """Another's package is named, with its place and the cure, and is not imported."""
    package(tmp_path, name, "raise SystemExit('imported')")
    ended = run("import couchloop", tmp_path)
    assert ended.returncode == 0
    assert f"RuntimeWarning: the package {name} at {tmp_path / name}" in ended.stderr
    assert "pip uninstall couchbase" in ended.stderr


def test_the_official_distribution(tmp_path: Path) -> None:
    """The official distribution is noticed, even where its files have not replaced ours."""
    package(tmp_path, "couchbase")
    ended = run("import gcouchbase", tmp_path)
    assert ended.returncode == 0
    assert "the distribution couchbase is installed in this environment, too" in ended.stderr
    assert ended.stderr.count("RuntimeWarning") == 1


@pytest.mark.parametrize("text", ["\0", "\udc80".encode("utf-8", "surrogatepass").decode("latin1")])
def test_what_cannot_be_read(tmp_path: Path, text: str) -> None:
    """A package whose source is damaged breaks nothing here."""
    package(tmp_path, "txcouchbase", text)
    assert run("import couchloop", tmp_path).returncode == 0


def test_a_name_that_a_program_has_taken() -> None:
    """A module without a spec is nobody's package."""
    program = "import sys; sys.modules['couchbase'] = sys; sys.modules['txcouchbase'] = None"
    assert run(f"{program}; import couchloop").returncode == 0


BLOCKED = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise ModuleNotFoundError(name=name)

sys.meta_path.insert(0, Finder())
{rest}
"""


@pytest.mark.parametrize(
    ("name", "program", "extra"),
    [
        ("gevent", "import gcouchbase.cluster", "gevent"),
        ("twisted", "import txcouchbase.cluster", "twisted"),
        (
            "OpenSSL",
            "from txcouchbase.cluster import Bucket as B; B('couchbases://h/b', username='u')",
            "twisted",
        ),
    ],
)
def test_a_missing_extra(name: str, program: str, extra: str) -> None:
    """The error says which line of pip brings what is missing."""
    ended = run(BLOCKED.format(name=name, rest=program))
    assert ended.returncode == 1
    last = ended.stderr.strip().rpartition("\n")[2]
    assert f"needs the package {name}: pip install 'couchloop[{extra}]'" in last


def test_need() -> None:
    """What is there is not missed."""
    need("json", "this", "nothing")
    with pytest.raises(ModuleNotFoundError) as caught:
        need("nosuch_package", "this", "fast")
    assert caught.value.name == "nosuch_package"
    assert str(caught.value) == (
        "this needs the package nosuch_package: pip install 'couchloop[fast]'"
    )
