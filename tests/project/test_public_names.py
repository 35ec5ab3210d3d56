"""What `from MODULE import *` gives of modules that users import: names of ours, and no others."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Final

import pytest

from tests.project.test_packaging import ROOT

PACKAGES: Final = ("couchloop", "txcouchbase", "gcouchbase")
_CORE: Final = ROOT / "core" / "couchloop"
_IMPORTED: Final = re.compile(
    r"^ *(?:from|import) ((?:couchloop|txcouchbase|gcouchbase)(?:\.\w+)*)", re.MULTILINE
)
_PROGRAMS: Final = ("__init__", "__main__", "pytest_plugin")
_WITHOUT: Final = ("naming", "__init__")
"""Modules of `contrib` that want no framework, and so are tried as all others are."""


def _examples() -> set[str]:
    """Return the modules that the pages' and the examples' programs import."""
    texts = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.py")]
    return {name for path in texts for name in _IMPORTED.findall(path.read_text(encoding="utf-8"))}


def _contrib() -> list[Path]:
    return [path for path in _CORE.glob("contrib/*.py") if path.stem not in _WITHOUT]


def public() -> list[str]:
    """Return the modules that users import: those of the top, those that a page's program names."""
    top = {f"couchloop.{path.stem}" for path in _CORE.glob("*.py") if path.stem not in _PROGRAMS}
    named = {name for name in _examples() if not name.startswith("couchloop.contrib.")}
    return sorted({*PACKAGES, "couchloop.contrib.naming", *top, *named})


@pytest.mark.parametrize("name", public())
def test_star(name: str) -> None:
    """`import *` gives what `__all__` says: no module, and nothing that another package made."""
    given: dict[str, object] = {}
    exec(f"from {name} import *", given)  # noqa: S102 - `import *` stands in no function
    del given["__builtins__"]
    assert set(given) == set(import_module(name).__all__)
    assert not [each for each in given if each.startswith("_")]
    assert not [each for each, value in given.items() if isinstance(value, ModuleType)]
    made = [value for value in given.values() if isinstance(value, type | FunctionType)]
    assert not [value for value in made if value.__module__.partition(".")[0] not in PACKAGES]


@pytest.mark.parametrize("path", _contrib(), ids=lambda path: path.stem)
def test_star_of_contrib(path: Path) -> None:
    """A module for a framework, which may not be installed here, says what it gives."""
    text = path.read_text(encoding="utf-8")
    found = re.search(r"^__all__ = \[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    names = re.findall(r'"(\w+)"', found[1])
    assert names
    for each in names:
        assert re.search(rf"^(class|def) {each}\b|^{each}\b.* = ", text, re.MULTILINE)


def test_every_error_is_given() -> None:
    """`from couchloop.exceptions import *` gives every error, as SDK 2.5's module does."""
    module = import_module("couchloop.exceptions")
    own = {
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, module.CouchbaseError) and name[0] != "_"
    }
    assert len(own) > 100
    assert own <= set(module.__all__)
    assert {"INPUT", "SUBDOC", "exc_from_rc", "ErrorContext"} <= set(module.__all__)
