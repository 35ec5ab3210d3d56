"""What must be in a source distribution and in wheels, and what their metadata must say.

Nothing here builds or runs anything: `tools/release.py` does. What compares returns what is wrong,
a line for each fault.
"""

from __future__ import annotations

import configparser
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Final

ROOTS: Final = {"core/couchloop/": "couchloop/", "gcouchbase/": "gcouchbase/"} | {
    "txcouchbase/": "txcouchbase/"
}
"""Where packages stand in the tree, and in a wheel."""
NOT_SHIPPED: Final = (".ci/", ".gitignore")
"""What only git and its machines need."""
MADE: Final = re.compile(r"PKG-INFO|couchloop\.egg-info/[\w.-]+")
"""What setuptools adds to a source distribution."""
TWIN: Final = re.compile(r"couchloop/hot/_twin\.(abi3|cpython-\d+-[\w-]+)\.so")
INVENTED: Final = ("Home-page", "Download-URL", "Project-URL", "Author", "Author-email")
"""Fields that would name places and people: none are promised."""
_SECTION: Final = re.compile(r"^## \[([^\]]+)\](?: - (\S+))?$", re.MULTILINE)


def tracked(root: Path) -> list[str]:
    """Return the files that git has, as they stand in the tree.

    Raises CalledProcessError where there is no repository, FileNotFoundError without git.
    """
    command = ("git", "ls-files", "-z", "--cached")
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True)
    return [name for name in listed.stdout.decode().split("\0") if (root / name).is_file()]


def in_sdist(archive: Path) -> dict[str, bytes]:
    """Return the files of a source distribution, by their names below its folder."""
    with tarfile.open(archive) as packed:
        files = {}
        for member in packed.getmembers():
            taken = packed.extractfile(member)
            if taken is not None:
                files[member.name.partition("/")[2]] = taken.read()
    return files


def in_wheel(archive: Path) -> dict[str, bytes]:
    """Return the files of a wheel, by name."""
    with zipfile.ZipFile(archive) as packed:
        return {name: packed.read(name) for name in packed.namelist() if not name.endswith("/")}


def information(files: Mapping[str, bytes], name: str) -> str:
    """Return a file of the wheel's information. Raises ValueError unless there is exactly one."""
    (found,) = [path for path in files if re.fullmatch(rf"[^/]+\.dist-info/{name}", path)]
    return files[found].decode()


def _compared(what: str, found: Iterable[str], wanted: Iterable[str]) -> list[str]:
    found, wanted = set(found), set(wanted)
    lines = [f"{what} lacks {name}" for name in sorted(wanted - found)]
    return lines + [f"{what} has {name}" for name in sorted(found - wanted)]


def wrong_in_sdist(names: Iterable[str], tree: Iterable[str]) -> list[str]:
    """Compare a source distribution with the tree that it was made of."""
    wanted = [name for name in tree if not name.startswith(NOT_SHIPPED)]
    return _compared("the sdist", (name for name in names if not MADE.fullmatch(name)), wanted)


def wrong_in_wheel(names: Iterable[str], tree: Iterable[str], *, is_compiled: bool) -> list[str]:
    """Compare a wheel with the tree: it has the packages, what is said of them, and no more."""
    wanted = [
        target + name.removeprefix(source)
        for name in tree
        for source, target in ROOTS.items()
        if name.startswith(source) and name.endswith((".py", "/py.typed"))
    ]
    names = list(names)
    twins = [name for name in names if TWIN.fullmatch(name)]
    said = [name for name in names if ".dist-info/" in name]
    wrong = _compared("the wheel", set(names) - set(twins) - set(said), wanted)
    if len(twins) != is_compiled:
        wrong.append(f"the wheel has {len(twins)} compiled twins")
    wanted = ["METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"]
    parts = [name.partition("/")[2] for name in said]
    return wrong + _compared(
        "the wheel's information", [part for part in parts if part != "top_level.txt"], wanted
    )


def differences(
    one: Mapping[str, bytes], other: Mapping[str, bytes], *, is_compiled: bool = False
) -> list[str]:
    """Compare two wheels, byte by byte; one that is compiled has its twin, and says that it has."""

    def is_own(name: str) -> bool:
        return bool(TWIN.fullmatch(name)) or name.endswith((".dist-info/WHEEL", "/RECORD"))

    names = {name for name in {*one, *other} if not (is_compiled and is_own(name))}
    return [f"{name} differs" for name in sorted(names) if one.get(name) != other.get(name)]


def wrong_name(file: str, version: str, *, is_limited: bool) -> list[str]:
    """Compare the name of a wheel with what it is for."""
    wanted = r"cp311-abi3-\w+" if is_limited else "py3-none-any"
    if re.fullmatch(rf"couchloop-{re.escape(version)}-{wanted}\.whl", file):
        return []
    return [f"the wheel is called {file}"]


def wrong_in_metadata(
    text: str,
    settings: configparser.ConfigParser,
    version: str,
    known: Iterable[str] | None = None,
) -> list[str]:
    """Compare the project's fields with setup.cfg and the code.

    Args:
        text: METADATA of a wheel, or PKG-INFO.
        settings: what setup.cfg says.
        version: of the code.
        known: classifiers that an index knows; None: not asked.
    """
    fields = Parser().parsestr(text)
    own, options = settings["metadata"], settings["options"]
    extras = settings["options.extras_require"]
    wanted = {
        "Name": own["name"],
        "Version": version,
        "Summary": own["description"],
        "License-Expression": own["license_expression"],
        "License-File": own["license_files"],
        "Requires-Python": options["python_requires"],
        "Description-Content-Type": own["long_description_content_type"],
    }
    wrong = [
        f"{field} is {fields[field]!r}, not {value!r}"
        for field, value in wanted.items()
        if fields[field] != value
    ]
    wrong += [f"{field} is {fields[field]!r}" for field in INVENTED if fields[field] is not None]
    wrong += _compared("Provides-Extra", _all(fields, "Provides-Extra"), extras)
    wrong += _compared("Classifier", _all(fields, "Classifier"), own["classifiers"].split("\n")[1:])
    for classifier in _all(fields, "Classifier"):
        if known is not None and classifier not in known:
            wrong.append(f"nobody knows the classifier {classifier!r}")
        if classifier.startswith("License ::"):
            wrong.append("a classifier of the licence stands beside License-Expression")
    always = [need for need in _all(fields, "Requires-Dist") if "extra ==" not in need]
    if [re.match(r"[\w.-]+", need)[0] for need in always] != ["h11"]:  # type: ignore[index]
        wrong.append(f"without an extra it requires {always}")
    return wrong


def _all(fields: Message, name: str) -> list[str]:
    return [str(value) for value in fields.get_all(name, [])]


def wrong_in_changelog(text: str, version: str) -> list[str]:
    """Whether the newest section but Unreleased is the version's, with its date."""
    sections = _SECTION.findall(text)
    if not sections or sections[0] != ("Unreleased", ""):
        return ["CHANGELOG.md does not begin with Unreleased"]
    if len(sections) < 2 or sections[1][0] != version:
        return [f"the newest section of CHANGELOG.md is not that of {version}"]
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", sections[1][1]):
        return [f"CHANGELOG.md does not say when {version} was released"]
    return []


def version_of(root: Path) -> str:
    """Return the version that the code says. Raises ValueError for one that is no release's."""
    text = (root / "core" / "couchloop" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(\d+\.\d+\.\d+)"$', text, re.MULTILINE)
    if found is None:
        raise ValueError("couchloop.__version__ is not that of a release")
    return found[1]


def programs_of(page: str) -> dict[str, str]:
    """Return the programs of the README, by the loop that they are for."""
    programs = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return {
        loop: program
        for loop, name in (("twisted", "txcouchbase"), ("gevent", "gcouchbase"))
        for program in programs
        if f"from {name}" in program
    }
