"""Packages beside ours: another's of our names, and those that are not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from couchloop.neighbours import clash, missing_loop, need
from tests.extras import needs_gevent, needs_tls_on_twisted, needs_twisted

ROOT = Path(__file__).resolve().parents[2]
ON_TWISTED = pytest.param("twisted", "txcouchbase", marks=needs_twisted)
ON_GEVENT = pytest.param("gevent", "gcouchbase", marks=needs_gevent)


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


def distribution(place: Path, metadata: str = "Name: couchbase\nVersion: 4.6.3\n") -> None:
    """Make what an installation of the official SDK leaves, its `txcouchbase` apart."""
    package(place, "couchbase", "raise SystemExit('imported')")
    (place / "couchbase-4.6.3.dist-info").mkdir()
    (place / "couchbase-4.6.3.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\n{metadata}"
    )


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


@pytest.mark.parametrize(
    "ours",
    [
        "couchloop",
        pytest.param("gcouchbase", marks=needs_gevent),
        pytest.param("txcouchbase", marks=needs_twisted),
    ],
)
def test_the_official_distribution(tmp_path: Path, ours: str) -> None:
    """The official distribution is noticed, even where its files have not replaced ours."""
    distribution(tmp_path)
    ended = run(f"import {ours}", tmp_path)
    assert ended.returncode == 0
    assert "the distribution couchbase 4.6.3 is installed in this environment, too" in ended.stderr
    assert "use an environment for each" in ended.stderr
    assert ended.stderr.count("RuntimeWarning") == 1


@needs_gevent
def test_a_foreign_package_of_the_distribution(tmp_path: Path) -> None:
    """Where its package has replaced ours, the distribution is named with its version."""
    distribution(tmp_path)
    package(tmp_path, "txcouchbase", "raise SystemExit('imported')")
    ended = run("import gcouchbase", tmp_path)
    assert ended.returncode == 0
    assert f"the package txcouchbase at {tmp_path / 'txcouchbase'}" in ended.stderr
    assert "the distribution couchbase 4.6.3, has one of that name" in ended.stderr
    assert ended.stderr.count("RuntimeWarning") == 1


@pytest.mark.parametrize("metadata", ["", "Name: couchbase\n", "Version: 1\n\0"])
def test_a_damaged_distribution(tmp_path: Path, metadata: str) -> None:
    """What its metadata say breaks nothing here."""
    distribution(tmp_path, metadata)
    assert run("import couchloop", tmp_path).returncode == 0


def test_a_program_s_own_couchbase(tmp_path: Path) -> None:
    """A package or a folder of a program's own, called couchbase, is no distribution's."""
    (tmp_path / "folder" / "couchbase").mkdir(parents=True)
    assert run("import couchloop", tmp_path / "folder").stderr == ""
    package(tmp_path, "couchbase")
    assert run("import couchloop", tmp_path).stderr == ""


def test_lost_files(tmp_path: Path) -> None:
    """Uninstalling the SDK takes files of ours along: the rest says so, and the cure."""
    (tmp_path / "couchloop").symlink_to(ROOT / "core" / "couchloop")
    (tmp_path / "txcouchbase").mkdir()
    (tmp_path / "txcouchbase" / "service.py").touch()
    # Without what is installed: ours would be found there.
    ended = subprocess.run(
        [sys.executable, "-P", "-S", "-c", "import couchloop"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0
    assert "the package txcouchbase has lost files" in ended.stderr
    assert "pip install --force-reinstall couchloop" in ended.stderr


@pytest.mark.parametrize(("loop", "name"), [ON_TWISTED, ON_GEVENT])
def test_the_command_refuses_another_s(tmp_path: Path, loop: str, name: str) -> None:
    """The command says so before it imports another's package, on the loop that would need it."""
    package(tmp_path, name, "raise SystemExit('imported')")
    program = (
        "import sys; from couchloop.__main__ import main; "
        f"sys.exit(main(['ping', 'couchbase://127.0.0.1:1/b', '--loop', {loop!r}]))"
    )
    ended = run(program, tmp_path)
    assert ended.returncode == 2
    last = ended.stderr.strip().rpartition("\n")[2]
    assert f"the package {name} at {tmp_path / name}" in last
    assert "use an environment for each" in last


@needs_gevent
def test_the_doctor_tells(tmp_path: Path) -> None:
    """The doctor has a line for what is beside ours, with the cure."""
    distribution(tmp_path)
    program = (
        "import sys; from couchloop.__main__ import main; "
        "sys.exit(main(['doctor', 'couchbase://127.0.0.1:1/b?dnssrv=off', '--loop', 'gevent', "
        "'--username', 'u', '--password', 'p', '--json']))"
    )
    ended = run(program, tmp_path)
    assert ended.returncode == 1, ended.stderr
    step = json.loads(ended.stdout)["steps"][0]
    assert (step["step"], step["verdict"]) == ("packages", "warning")
    assert step["cause"].startswith("The distribution couchbase 4.6.3 is installed")
    assert step["cure"].startswith("Use an environment for each")


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
        pytest.param(
            "OpenSSL",
            "from txcouchbase.cluster import Bucket as B; B('couchbases://h/b', username='u')",
            "twisted",
            marks=needs_tls_on_twisted,
        ),
    ],
)
def test_a_missing_extra(name: str, program: str, extra: str) -> None:
    """The error says which line of pip brings what is missing."""
    ended = run(BLOCKED.format(name=name, rest=program))
    assert ended.returncode == 1
    last = ended.stderr.strip().rpartition("\n")[2]
    assert f"needs the package {name}: pip install 'couchloop[{extra}]'" in last


@pytest.mark.parametrize(
    ("name", "module", "line"),
    [
        ("celery", "celery", "pip install 'couchloop[gevent]' celery"),
        ("locust", "locust", "pip install 'couchloop[gevent]' locust"),
        ("itemadapter", "scrapy", "pip install 'couchloop[twisted]' scrapy"),
        ("opentelemetry", "otel", "pip install 'couchloop[otel]'"),
        ("prometheus_client", "prometheus", "pip install 'couchloop[prometheus]'"),
    ],
)
def test_a_missing_framework(name: str, module: str, line: str) -> None:
    """What joins us to a framework says which line brings that."""
    ended = run(BLOCKED.format(name=name, rest=f"import couchloop.contrib.{module}"))
    assert ended.returncode == 1
    last = ended.stderr.strip().rpartition("\n")[2]
    assert last.startswith(f"ImportError: couchloop.contrib.{module} needs ")
    assert last.endswith(f": {line}")


def test_a_missing_loop() -> None:
    """Programs that want a loop name the lines that bring one."""
    assert missing_loop("gevent") == "pip install 'couchloop[gevent]'"
    both = "pip install 'couchloop[twisted]', or pip install 'couchloop[gevent]'"
    assert missing_loop(None) == both


def test_need() -> None:
    """What is there is not missed."""
    need("json", "this", "nothing")
    with pytest.raises(ModuleNotFoundError) as caught:
        need("nosuch_package", "this", "fast")
    assert caught.value.name == "nosuch_package"
    assert str(caught.value) == (
        "this needs the package nosuch_package: pip install 'couchloop[fast]'"
    )
