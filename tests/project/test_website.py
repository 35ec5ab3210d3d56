"""The site: what readers are shown of a page, the reference, and that it can be built."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any, Final

import pytest

import tools.website
from tests.project.test_packaging import ROOT, settings
from tools.gevents import VERSIONS
from tools.peers import NODE_PACKAGES, PYTHON_PACKAGES
from tools.website import restructured
from tools.website_text import for_readers

DOCS: Final = ROOT / "docs"
API: Final = sorted(DOCS.glob("api/*.md"))
PACKAGES: Final = ("sphinx", "furo", "myst_parser", "sphinx_design")
_DOCUMENTED: Final = re.compile(r"^\.\. auto\w+:: ([\w.]+)", re.MULTILINE)
_LISTED: Final = re.compile(r"^```\{toctree\}\n(?::[^\n]*\n)*\n(.*?)^```", re.MULTILINE | re.DOTALL)

TABLE: Final = """\
| what | happens (`test_a`) | shown by |
| --- | --- | --- |
| one \\| two | `x` (see below) | `test_b`, [`tests/x.py`](../tests/x.py) |
| three | nothing | |"""


def test_a_column_of_tests() -> None:
    """It is taken out of the table; a fold behind it says for each row what it said."""
    assert for_readers(f"{TABLE}\n\nText.") == (
        "| what | happens |\n"
        "| --- | --- |\n"
        "| one \\| two | `x` (see below) |\n"
        "| three | nothing |\n"
        "\n:::{dropdown} Tests\n:class-container: tests\n\n"
        "- one \\| two: `test_b`, `tests/x.py`\n"
        "- `test_a`\n"
        ":::\n\n"
        "\nText."
    )


def test_parentheses_of_tests() -> None:
    """They are taken out of the text; a fold at the end of the section has what stood in them."""
    text = "# A\n\nOne (`test_a` in\n[`tests/x`](../tests/x)). Two (`None`), `test_c`.\n\n# B\n"
    assert for_readers(text) == (
        "# A\n\nOne. Two (`None`), `test_c`.\n\n"
        "\n:::{dropdown} Tests\n:class-container: tests\n\n- `test_a` in `tests/x`\n:::\n\n"
        "# B\n"
    )


def test_sentences_of_tests() -> None:
    """A sentence that says where tests are is taken out likewise; others stay."""
    text = "It waits. The tests are in\n`tests/x.py` (all), and `y`. The others are done."
    shown, fold = for_readers(text).split("\n:::{dropdown} Tests")
    assert shown == "It waits.  The others are done.\n"
    assert "\n- The tests are in `tests/x.py` (all), and `y`.\n" in fold
    shown = for_readers("| a |\n| --- |\n| b |\n\nThe last tests are in `tests/x.py`. And so on.")
    assert shown.startswith("| a |\n| --- |\n| b |\n\n And so on.\n")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("[`retries.md`](retries.md#table)", "[](retries.md#table)"),
        ("[waits](retries.md)", "[waits](retries.md)"),
        ("[`core/`](../core)", "`core/`"),
        ("[`CHANGELOG.md`](../CHANGELOG.md)", "[](changelog.md)"),
        ("![chart](performance.svg)", "![chart](performance.svg)"),
        ("```python\nx = a[(b)](../c)  # (`test_a`)\n```", None),
        ("````\n```\n(`test_a`)\n````", None),
        ("# Nothing\n\n| a | b |\n| --- | --- |\n| (x) | y |", None),
    ],
)
def test_links_and_code(written: str, shown: str | None) -> None:
    """Links to pages have their titles, those that leave the pages are none; code stays as is."""
    assert for_readers(written) == (written if shown is None else shown)


def test_every_page_keeps_its_words() -> None:
    """What is taken out of a page of ours stands behind a fold: no name of a test is lost."""
    names = re.compile(r"\btest_\w+|\bTest[A-Z]\w+")
    for page in DOCS.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        lost = set(names.findall(re.sub(r"\]\([^)]*\)", "]", text)))
        assert lost <= set(names.findall(for_readers(text))), page.name


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("`get`s and `get`", "``get``\\ s and ``get``"),
        ("Of *keys* | `*keys` by_ name_", "Of \\*keys\\* \\| ``*keys`` by\\_ name\\_"),
        ("the names *a*_multi", "the names \\*a\\*_multi"),
        ("Args:\n    *keys: of a | b.", "Args:\n    *keys: of a \\| b."),
        ("as `` a`b` ``.", "as :literal:`a\\`b\\``."),
    ],
)
def test_docstrings(text: str, markup: str) -> None:
    """Nothing but backticks and sections is markup in a docstring."""
    assert restructured(text) == markup


@pytest.mark.parametrize("page", API, ids=lambda page: page.stem)
def test_the_reference_names_what_is_there(page: Path) -> None:
    """Each class, function and module of the reference can be imported."""
    names = _DOCUMENTED.findall(page.read_text(encoding="utf-8"))
    assert names
    for name in names:
        assert resolve_name(name)
        assert names.count(name) == 1


@pytest.mark.parametrize("loop", ["txcouchbase", "gcouchbase"])
def test_the_reference_is_complete(loop: str) -> None:
    """It has each class that a user of the loop's modules meets, and all generated methods."""
    named = {name for page in API for name in _DOCUMENTED.findall(page.read_text(encoding="utf-8"))}
    modules = "bucket cluster collection datastructures management management_methods methods pool"
    for short in modules.split():
        module = importlib.import_module(f"{loop}.{short}")
        classes = {
            f"{module.__name__}.{name}"
            for name, value in vars(module).items()
            if inspect.isclass(value)
            and value.__module__ == module.__name__
            and not name.startswith("_")
            and not name.endswith("Arguments")
        }
        assert classes <= named


def test_every_page_is_listed() -> None:
    """Each page is in the table of contents, once."""
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = [name for block in _LISTED.findall(text) for name in block.split()]
    pages = [path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")]
    assert sorted([*listed, "index"]) == sorted(pages)
    # Sphinx makes pages of these names by itself, in place of ours.
    assert not {"search", "genindex", "modindex"} & set(pages)


def test_every_extra_is_explained() -> None:
    """The page on installing has a row for each extra that users may want."""
    text = (DOCS / "installing.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert named == set(settings()["options.extras_require"]) - {"docs", "test"}


def test_versions_are_those_that_are_tried() -> None:
    """The page on versions names the oldest and newest that setup.cfg and the tools have."""
    text = (DOCS / "versions.md").read_text(encoding="utf-8")
    extras = settings()["options.extras_require"]
    oldest = re.findall(r">= ([\d.]+)", extras["twisted"] + extras["gevent"])
    peers = [package.rpartition("=")[2] for package in PYTHON_PACKAGES if "==" in package]
    peers += [package.rpartition("@")[2] for package in NODE_PACKAGES]
    for version in (*oldest, *VERSIONS.values(), *peers):
        assert version in text, version


@pytest.mark.parametrize("package", ["gcouchbase", "txcouchbase"])
def test_the_constructor_of_a_bucket(package: str) -> None:
    """The reference has its arguments, with their defaults, and not those of `__new__`."""
    pytest.importorskip("sphinx")
    bucket = resolve_name(f"{package}.bucket:Bucket")
    app: Any = SimpleNamespace(config=SimpleNamespace(autodoc_preserve_defaults=True))
    shown, returned = tools.website._signature(app, "class", "", bucket, None, "(*a, **b)", "")
    assert returned is None
    assert shown.startswith("(connection_string: str | ConnectionString | None = None, ")
    assert "default_format: int = FMT_JSON, " in shown


@pytest.mark.timeout(600)
def test_the_site_is_built(tmp_path: Path) -> None:
    """Sphinx makes it without a warning, which a link within it that leads nowhere is, too."""
    for package in PACKAGES:
        pytest.importorskip(package)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "dummy"]
    # Defaults as their source has them take a quarter of the time, and can fail nothing.
    command += ["-D", "autodoc_preserve_defaults=0"]
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "read"), "docs", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
