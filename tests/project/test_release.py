"""What the check of a release looks at: it finds each fault that is planted. Nothing is built."""

from __future__ import annotations

import io
import re
import signal
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

import couchloop
from tests.project.test_packaging import ROOT, settings
from tools import release, release_contents, release_trial
from tools.release import Failure, LeftOut, Release

TREE: Final = [
    ".ci/run",
    ".gitignore",
    "LICENSE",
    "core/couchloop/__init__.py",
    "core/couchloop/py.typed",
    "core/couchloop/hot/_twin.pyx",
    "gcouchbase/ruff.toml",
    "gcouchbase/bucket.py",
    "tests/core/test_x.py",
    "txcouchbase/bucket.py",
]
PACKAGES: Final = [
    "couchloop/__init__.py",
    "couchloop/py.typed",
    "gcouchbase/bucket.py",
    "txcouchbase/bucket.py",
]
SAID: Final = [
    f"couchloop-0.1.0.dist-info/{name}"
    for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
]
TWIN: Final = "couchloop/hot/_twin.abi3.so"


def metadata(**changes: str) -> str:
    """Return the fields of a wheel as they should be, but for some."""
    own, options = settings()["metadata"], settings()["options"]
    fields = {
        "Name": "couchloop",
        "Version": couchloop.__version__,
        "Summary": own["description"],
        "License-Expression": "Apache-2.0",
        "License-File": "LICENSE",
        "Requires-Python": options["python_requires"],
        "Requires-Dist": "h11>=0.16",
        "Description-Content-Type": "text/markdown",
    }
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in (fields | changes).items()]
    lines += [f"Provides-Extra: {name}" for name in settings()["options.extras_require"]]
    lines += [f"Classifier: {name}" for name in own["classifiers"].strip().splitlines()]
    return "\n".join([*lines, 'Requires-Dist: gevent>=24.11; extra == "gevent"', "", "Text."])


def test_one_version() -> None:
    """The code, the newest dated section of the changelog and the doctor's page say the same."""
    version = release_contents.version_of(ROOT)
    assert version == couchloop.__version__
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert release_contents.wrong_in_changelog(log, version) == []
    shown = re.findall(
        r"^couchloop (\S+) \(", (ROOT / "docs" / "doctor.md").read_text(), re.MULTILINE
    )
    assert set(shown) == {version}


@pytest.mark.parametrize(
    ("log", "wrong"),
    [
        ("## [0.1.0] - 2026-11-28\n", "does not begin with Unreleased"),
        ("## [Unreleased]\n", "is not that of 0.1.0"),
        ("## [Unreleased]\n\n## [0.0.9] - 2026-11-28\n", "is not that of 0.1.0"),
        ("## [Unreleased]\n\n## [0.1.0]\n", "does not say when"),
    ],
)
def test_changelog(log: str, wrong: str) -> None:
    """A version without its section, or a section without its date, is told."""
    (line,) = release_contents.wrong_in_changelog(f"# Changelog\n\n{log}", "0.1.0")
    assert wrong in line


def test_no_release(tmp_path: Path) -> None:
    """A version that is still being made is none to release."""
    package = tmp_path / "core" / "couchloop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('__version__ = "0.2.0.dev0"\n')
    with pytest.raises(ValueError, match="not that of a release"):
        release_contents.version_of(tmp_path)


def test_sdist() -> None:
    """It has all that git has but what serves git, and nothing else but what setuptools adds."""
    names = [name for name in TREE if name not in {".ci/run", ".gitignore"}]
    made = ["PKG-INFO", "couchloop.egg-info/SOURCES.txt"]
    assert release_contents.wrong_in_sdist([*names, *made], TREE) == []
    assert release_contents.wrong_in_sdist([*names[1:], *made, "core/x.so"], TREE) == [
        "the sdist lacks LICENSE",
        "the sdist has core/x.so",
    ]


@pytest.mark.parametrize(
    ("names", "is_compiled", "wrong"),
    [
        ([*PACKAGES, *SAID], False, []),
        ([*PACKAGES, *SAID, TWIN], True, []),
        ([*PACKAGES, *SAID, TWIN], False, ["the wheel has 1 compiled twins"]),
        ([*PACKAGES, *SAID], True, ["the wheel has 0 compiled twins"]),
        ([*PACKAGES[1:], *SAID], False, ["the wheel lacks couchloop/__init__.py"]),
        ([*PACKAGES, *SAID, "tests/a.py"], False, ["the wheel has tests/a.py"]),
        ([*PACKAGES, *SAID, "couchloop/hot/a.c"], False, ["the wheel has couchloop/hot/a.c"]),
        ([*PACKAGES, *SAID[:-1]], False, ["the wheel's information lacks licenses/LICENSE"]),
    ],
)
def test_wheel(names: list[str], is_compiled: bool, wrong: list[str]) -> None:
    """It has the packages, the licence and its own information; no tests, no source of the twin."""
    assert release_contents.wrong_in_wheel(names, TREE, is_compiled=is_compiled) == wrong


def test_two_wheels() -> None:
    """What differs between two wheels is told; a compiled one has a twin beside the same files."""
    one = dict.fromkeys([*PACKAGES, *SAID], b"a")
    assert release_contents.differences(one, dict(one)) == []
    assert release_contents.differences(one, {**one, PACKAGES[0]: b"b"}) == [
        f"{PACKAGES[0]} differs"
    ]
    compiled = {**one, TWIN: b"x", SAID[2]: b"another tag", SAID[1]: b"another list"}
    assert release_contents.differences(compiled, one, is_compiled=True) == []
    assert len(release_contents.differences(compiled, one)) == 3


@pytest.mark.parametrize(
    ("file", "is_limited", "is_right"),
    [
        ("couchloop-0.1.0-py3-none-any.whl", False, True),
        ("couchloop-0.1.0-cp311-abi3-linux_x86_64.whl", True, True),
        ("couchloop-0.1.0-cp311-cp311-linux_x86_64.whl", True, False),
        ("couchloop-0.1.1-py3-none-any.whl", False, False),
    ],
)
def test_names_of_wheels(file: str, is_limited: bool, is_right: bool) -> None:
    """A wheel's name says which Pythons it is for."""
    assert (not release_contents.wrong_name(file, "0.1.0", is_limited=is_limited)) is is_right


def test_fields() -> None:
    """The project's fields as setup.cfg has them are right."""
    known = settings()["metadata"]["classifiers"].strip().splitlines()
    fields = metadata()
    version = couchloop.__version__
    assert release_contents.wrong_in_metadata(fields, settings(), version, known) == []
    wrong = release_contents.wrong_in_metadata(fields, settings(), version, known[1:])
    assert wrong == [f"nobody knows the classifier {known[0]!r}"]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"Version": "0.0.1"}, "Version is '0.0.1'"),
        ({"Requires_Python": ">=3.10", "Requires-Python": ">=3.9"}, "Requires-Python is '>=3.9'"),
        ({"License-Expression": "MIT"}, "License-Expression is 'MIT'"),
        ({"License-File": ""}, "License-File is ''"),
        ({"Home-page": "https://example.com"}, "Home-page is 'https://example.com'"),
        ({"Author": "Somebody"}, "Author is 'Somebody'"),
        ({"Provides-Extra": "more"}, "Provides-Extra has more"),
        ({"Classifier": "License :: OSI Approved"}, "Classifier has License :: OSI Approved"),
        ({"Requires-Dist": "six"}, "without an extra it requires ['six']"),
    ],
)
def test_wrong_fields(changes: dict[str, str], wrong: str) -> None:
    """A field that is wrong, invented or too many is told."""
    found = release_contents.wrong_in_metadata(
        metadata(**changes), settings(), couchloop.__version__
    )
    assert any(line.startswith(wrong) for line in found), found


def test_archives(tmp_path: Path) -> None:
    """The files of archives are read by their names below the project's folder."""
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as packed:
        member = tarfile.TarInfo("couchloop-0.1.0/core/a.py")
        member.size = 1
        packed.addfile(member, io.BytesIO(b"a"))
    assert release_contents.in_sdist(tmp_path / "a.tar.gz") == {"core/a.py": b"a"}
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr("couchloop/", "")
        wheel.writestr(SAID[0], "text")
    files = release_contents.in_wheel(tmp_path / "a.whl")
    assert release_contents.information(files, "METADATA") == "text"
    assert list(files) == [SAID[0]]


def test_programs_of_the_readme() -> None:
    """There is one for each loop."""
    programs = release_contents.programs_of((ROOT / "README.md").read_text(encoding="utf-8"))
    assert list(programs) == ["twisted", "gevent"]
    assert all("couchbase://localhost" in program for program in programs.values())


def test_every_extra_is_tried() -> None:
    """Each extra has a trial and a step, and so has an installation without any."""
    extras = settings()["options.extras_require"]
    assert set(release.EXTRAS) == {"nothing", *extras}
    assert set(release_trial.TRIALS) == set(release.EXTRAS)
    for brought in release.BESIDE.values():
        assert set(filter(None, brought.split(","))) <= set(extras)
    named = re.search(r"\[(.*)\]", extras["all"])
    assert named is not None
    assert {*named[1].split(",")} - {"twisted"} == set(extras) - release_trial.NOT_IN_ALL


def test_trials_see_only_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable shows them the tree, or chooses a twin for them."""
    for name in ("PYTHONPATH", "COUCHLOOP_SPEEDUPS", "COUCHBASE", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("HOME", "/home")
    seen = release.environment()
    assert seen["HOME"] == "/home"
    assert not [name for name in seen if name.startswith(release.UNWANTED)]


def test_a_program_that_fails(tmp_path: Path) -> None:
    """Its last lines are the note of the row."""
    program = "import sys; print('a'); sys.exit('the cause')"
    with pytest.raises(Failure, match=r"ended with 1\na\nthe cause"):
        release.run(sys.executable, "-c", program, cwd=tmp_path)


def fails(_: Release) -> str:
    """Find two faults."""
    release.fail_for(["one", "two"])
    return ""


def lacks(_: Release) -> str:
    """Miss a program."""
    raise LeftOut("node is not installed")


def works(_: Release) -> str:
    """Find nothing."""
    return "fine"


Step = Callable[[Release], str]


def checked(
    monkeypatch: pytest.MonkeyPatch, builds: dict[str, Step], uses: dict[str, Step], *words: str
) -> int:
    """Check a release by steps of the test's; return the exit status."""
    monkeypatch.setattr(release, "BUILDS", builds)
    monkeypatch.setattr(release, "INSTALLS", {})
    monkeypatch.setattr(release, "USES", uses)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return release.main(words)


def test_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each step has a row; what is left out says what is missing, and is no failure."""
    assert checked(monkeypatch, {"a": works}, {"b": lacks, "c": works}) == 0
    table = capsys.readouterr().out.partition("=== summary\n")[2].splitlines()
    assert [(row[:8].strip(), row.partition(" s  ")[2]) for row in table] == [
        ("ok", "fine"),
        ("left out", "node is not installed"),
        ("ok", "fine"),
    ]


def test_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It makes the exit status 1, others are tried all the same, and nothing is handed out."""
    dist = tmp_path / "dist"
    words = ("--dist", str(dist))
    assert checked(monkeypatch, {"a": works}, {"b": fails, "c": works}, *words) == 1
    said = capsys.readouterr().out.partition("=== summary\n")[2]
    assert re.search(r"^FAILED +b .*  one\n +two$", said, re.MULTILINE)
    assert re.search(r"^ok +c ", said, re.MULTILINE)
    assert not dist.exists()


def test_a_build_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing that needs it is tried."""
    assert checked(monkeypatch, {"a": fails, "b": works}, {"c": works}) == 1
    assert len(capsys.readouterr().out.partition("=== summary\n")[2].splitlines()) == 2


def test_nothing_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder is removed, also when the check is stopped; what was checked can be kept."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def builds(made: Release) -> str:
        made.sdist.write_text("x")
        return ""

    def stopped(_: Release) -> str:
        release._stop(15, None)
        return ""

    with pytest.raises(SystemExit) as ended:
        checked(monkeypatch, {"a": builds, "b": stopped}, {})
    assert ended.value.code == 128 + 15
    assert list(tmp_path.iterdir()) == []
    assert checked(monkeypatch, {"a": builds}, {}, "--dist", str(tmp_path / "dist")) == 0
    (kept,) = tmp_path.rglob("*.tar.gz")
    assert kept.name == f"couchloop-{couchloop.__version__}.tar.gz"
    assert list(tmp_path.iterdir()) == [tmp_path / "dist"]


def test_unknown_step(capsys: pytest.CaptureFixture[str]) -> None:
    """A step that there is not is refused before anything is made."""
    with pytest.raises(SystemExit):
        release.main(["nonsense"])
    assert "no step is called 'nonsense'; there are: tools, sdist" in capsys.readouterr().err
