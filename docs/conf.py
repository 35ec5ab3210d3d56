"""How Sphinx makes the site: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "core")]

import couchloop  # noqa: E402 - found by the line before

project = "couchloop"
version = release = couchloop.__version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "tools.website",
]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence"]
# Links to headings are checked down to this level.
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"couchloop {version}"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False

# A signature is shown as its source has it: names that only type checkers import stay names.
autodoc_typehints = "signature"
autodoc_member_order = "groupwise"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
# Between single backticks docstrings have code.
default_role = "literal"
# "Raises X" is a sentence of ours, "Args:" is Google's.
napoleon_numpy_docstring = False
# Both loops have a Bucket; a short name in a base class may mean either.
suppress_warnings = ["ref.python"]
napoleon_use_ivar = True
