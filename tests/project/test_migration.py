"""What the pages on migrating say: imports that one command changes, names of errors, a program."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from couchloop import exceptions
from tests.project.test_packaging import ROOT
from tests.project.test_programs import embedded, run

SDK25: Final = (ROOT / "docs" / "from-sdk25.md").read_text(encoding="utf-8")
SDK4: Final = (ROOT / "docs" / "from-sdk4.md").read_text(encoding="utf-8")
IMPORTS: Final = """\
import couchbase.subdocument as SD
from couchbase import FMT_JSON, FMT_UTF8
from couchbase.admin import Admin, NotReadyError
from couchbase.analytics import AnalyticsQuery
from couchbase.analytics_ingester import AnalyticsIngester, BucketOperators
from couchbase.bucket import Bucket as First
from couchbase.bucketmanager import BucketManager
from couchbase.cluster import Cluster, PasswordAuthenticator
from couchbase.connstr import ConnectionString
from couchbase.exceptions import KeyExistsError, NotFoundError
from couchbase.fulltext import MatchQuery, SearchRequest
from couchbase.items import Item, ItemOptionDict
from couchbase.mutation_state import MutationState
from couchbase.n1ql import REQUEST_PLUS, N1QLError, N1QLQuery
from couchbase.result import MultiResult, ValueResult
from couchbase.transcoder import Transcoder
from couchbase.views.iterator import RowProcessor, ViewRow
from couchbase.views.params import Params, Query
from gcouchbase.bucket import Bucket as Second
from txcouchbase.bucket import Bucket as Third, RawBucket
"""
"""As programs for SDK 2.5 have them."""


def test_imports() -> None:
    """The command of the page changes every import of SDK 2.5's into one that works."""
    (command,) = re.findall(r" sed -i -E '(.+)'$", SDK25, re.MULTILINE)
    done = subprocess.run(
        ["sed", "-E", command],  # noqa: S607 - as the page has it
        input=IMPORTS,
        capture_output=True,
        text=True,
        check=True,
    )
    changed = done.stdout
    assert not re.search(r"\bcouchbase\b", changed)
    assert changed.count("\n") == IMPORTS.count("\n")
    ended = run(sys.executable, "-W", "error", "-c", changed)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_files(tmp_path: Path) -> None:
    """The command changes what names our modules, and no byte of anything else."""
    before = {
        "with space.py": b"import couchbase.bucket, couchbase.exceptions as E\r\n",
        "latin.py": "# é\nexcept (couchbase.exceptions.A, couchbase.exceptions.B):\n".encode(
            "latin-1"
        ),
        "names.py": b"self.couchbase.bucket\nmy_couchbase.items\n'couchbase://couchbase.cluster'\n"
        b"import couchbase\ngcouchbase.bucket\nfrom couchbase import n1ql, items\n"
        b"from couchbase import bucket as b\nfrom couchbase.bucket import *",
        "empty.py": b"",
        "binary.py": b"\0couchbase.bucket",
        "text.txt": b"couchbase.bucket",
    }
    after = {
        **before,
        "with space.py": b"import gcouchbase.bucket, couchloop.exceptions as E\r\n",
        "latin.py": before["latin.py"].replace(b"couchbase.e", b"couchloop.e"),
        "names.py": before["names.py"]
        .replace(b"from couchbase import n", b"from couchloop import n")
        .replace(b"from couchbase import b", b"from gcouchbase import b")
        .replace(b"from couchbase.b", b"from gcouchbase.b"),
    }
    for name, text in before.items():
        (tmp_path / name).write_bytes(text)
    (tmp_path / "link.py").symlink_to("text.txt")
    (tmp_path / "folder.py").mkdir()
    (command,) = re.findall(r"^\$ (git grep .+)$", SDK25, re.MULTILINE)
    for line in ("git init -q .", "git add .", command):
        subprocess.run(line, shell=True, cwd=tmp_path, check=True)  # noqa: S602 - as users do
    assert {name: (tmp_path / name).read_bytes() for name in before} == after
    assert (tmp_path / "link.py").is_symlink()


@pytest.mark.parametrize("page", [SDK25, SDK4], ids=["sdk25", "sdk4"])
def test_errors(page: str) -> None:
    """Each error that stands on the right of a table is one of ours."""
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", page, re.MULTILINE)
    named = {name for _, right in rows for name in re.findall(r"`(\w+Error)`", right)}
    named -= {"ImportError"}
    assert named
    assert not [name for name in named if not hasattr(exceptions, name)]


def test_asyncio_program() -> None:
    """What the page has for `acouchbase` runs as it stands, but for the cluster's address."""
    (program,) = re.findall(r"^```python after\n(.*?)^```", SDK4, re.MULTILINE | re.DOTALL)
    with embedded("--nodes", "1") as served:
        address = str(served[1]["connection_string"])
        done = run(
            sys.executable, "-W", "error", "-c", program.replace("couchbase://localhost", address)
        )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "{'visits': 1}\n")
