"""What is installed is what stands in the tree."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {"couchloop": ROOT / "core", "txcouchbase": ROOT, "gcouchbase": ROOT}


def settings() -> configparser.ConfigParser:
    """The project's setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_every_package_is_listed() -> None:
    """An unlisted package would silently be missing from the wheel."""
    found = {
        ".".join(path.parent.relative_to(base).parts)
        for top, base in SOURCES.items()
        for path in (base / top).rglob("__init__.py")
    }
    assert set(settings()["options"]["packages"].split()) == found


@pytest.mark.parametrize("package", sorted(SOURCES))
def test_every_package_is_typed(package: str) -> None:
    """Without the marker, type checkers ignore an installed package's annotations."""
    assert (SOURCES[package] / package / "py.typed").exists()


def test_only_h11_is_required() -> None:
    """Without an extra, h11 is all that an installation brings."""
    assert re.findall(r"^\w+", settings()["options"]["install_requires"].strip(), re.MULTILINE) == [
        "h11"
    ]


def test_all_means_every_extra_but_those_of_tests() -> None:
    """The extra `all` names the extras for users, and leaves none out."""
    extras = settings()["options.extras_require"]
    named = re.search(r"\[(.*)\]", extras["all"])
    assert named is not None
    assert set(named[1].split(",")) == set(extras) - {"all", "docs", "recipes", "test"}
