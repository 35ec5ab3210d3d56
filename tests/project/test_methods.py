"""The files of methods are what the builders in the core say."""

from __future__ import annotations

import re
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from couchloop.hot.batch import Batch
from couchloop.hot.operation import Defaults, Operation
from couchloop.operations import document as operations
from couchloop.result import MultiResult, OperationResult, ValueResult
from tools import method_files, methods
from tools.docstrings import docstring_of
from tools.method_families import parameters_of

ROOT = Path(__file__).resolve().parent.parent.parent
BUILDERS = [each for family in methods.FAMILIES for each in family.builders()]
K = TypeVar("K")
V = TypeVar("V")


class Colour(Enum):
    """A default that is no literal."""

    RED = "red"


class Pairs(Generic[K, V]):
    """Something whose result is made of its arguments in another order."""

    def result(self) -> dict[V, K]:
        """Return it."""
        raise NotImplementedError


class Named(Pairs[str, V]):
    """One argument is fixed in a base class."""


class Resultless:
    """What no method can be made of."""


def paint(
    defaults: Defaults, key: str, *specs: bytes, colour: Colour = Colour.RED, **more: int
) -> Named[ValueResult | None]:
    """Do what has arguments of every kind, and says so in a line that is long.

    Args:
        key: which one it is, and then more words than fit into a line that stands further right.
        specs: what to do.
        colour: a colour.
        more: whatever else.
    """
    raise NotImplementedError


def broken(defaults: Defaults) -> Resultless:
    """Return what has no result."""
    raise NotImplementedError


def helper(key: str) -> None:
    """Do something that is no operation."""


def test_files_are_up_to_date() -> None:
    """The files of methods are exactly what the command writes."""
    run = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "methods.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_a_stale_file_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is missing, or that somebody has changed, is named; the command writes it."""
    path = tmp_path / "methods.py"
    target = method_files.TARGETS[0]._replace(path=str(path))
    monkeypatch.setattr(methods, "TARGETS", (target,))
    assert methods.main(["--check"]) == 1
    assert not path.exists()
    assert methods.main([]) == 0
    assert methods.main(["--check"]) == 0
    path.write_text(path.read_text(encoding="utf-8").replace("quiet=quiet", "quiet=True"))
    path.write_text(path.read_text(encoding="utf-8") + "# mine\n")
    capsys.readouterr()
    assert methods.main(["--check"]) == 1
    assert capsys.readouterr().err == f"stale: {path}; run make methods\n"


def test_every_builder_is_there() -> None:
    """The families hold what SDK 2.5 calls operations, and what asks about connections."""
    names = [name for name, _ in BUILDERS]
    for family in methods.FAMILIES:
        own = [name for name, _ in family.builders()]
        assert len(set(own)) == len(own)
    assert {"get", "upsert_multi", "counter", "touch_multi", "ping"} <= set(names)


@pytest.mark.parametrize(("name", "build"), BUILDERS, ids=[name for name, _ in BUILDERS])
def test_every_argument_is_documented(name: str, build: Any) -> None:
    """A method's docstring explains each of its arguments, in their order, and no other."""
    documented = re.findall(r"^    (\w+): ", docstring_of(build), re.MULTILINE)
    assert documented == [each.name for each in parameters_of(build)], name


def test_arguments_that_nobody_explains() -> None:
    """An argument that nothing explains, and an explanation of none, stop the command."""

    def silent(defaults: Defaults, key: str, mystery: int) -> Operation[int]:
        """Do something."""
        raise NotImplementedError

    def talkative(defaults: Defaults, key: str) -> Operation[int]:
        """Do something.

        Args:
            mystery: what is not there.
        """
        raise NotImplementedError

    with pytest.raises(TypeError, match=r"silent\(\): nothing says what mystery means"):
        docstring_of(silent)
    with pytest.raises(TypeError, match=r"talkative\(\) has no argument mystery"):
        docstring_of(talkative)


def test_what_batches_say() -> None:
    """A batch's arguments mean what those of one operation do, but for what is said of each key."""
    text = docstring_of(operations.get_multi)
    assert "    keys: the keys, or a dict of key and ttl.\n" in text
    assert "    ttl: for keys without one of their own.\n" in text
    assert "    no_format: give the value as bytes, whatever its format.\n" in text
    assert "timeout: seconds that each operation has" in text
    assert "Raises what `get` raises" in text


def test_what_a_method_gives() -> None:
    """The type of a result is found through generic bases, whatever they call their arguments."""
    assert methods.result_type(paint) == dict[ValueResult | None, str]

    def one(defaults: Defaults) -> Operation[int]:
        raise NotImplementedError

    def many(defaults: Defaults) -> Batch[ValueResult]:
        raise NotImplementedError

    assert methods.result_type(one) is int
    assert methods.result_type(many) == MultiResult[ValueResult]
    assert methods.result_type(operations.touch_multi) == MultiResult[OperationResult]
    with pytest.raises(TypeError, match=r"broken\(\) gives a Resultless"):
        methods.result_type(broken)


def test_builders_are_told_apart() -> None:
    """Public functions that take a Bucket's defaults are builders; what is imported is none."""
    family = methods.Family("Methods", "All", (sys.modules[__name__],))
    assert [name for name, _ in family.builders()] == ["paint", "broken"]


def test_every_kind_of_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments of each kind, defaults that are no literals and wide docstrings come out right."""
    here = sys.modules[__name__]
    monkeypatch.delattr(here, "broken")
    monkeypatch.setattr(methods, "FAMILIES", (methods.Family("Methods", "All", (here,)),))
    text = methods.Module(method_files.TARGETS[1]).text()
    assert (
        '''\
    def paint(
        self, key: str, *specs: bytes, colour: Colour = Colour.RED, **more: int
    ) -> dict[ValueResult | None, str]:
        """Do what has arguments of every kind, and says so in a line that is long.

        Args:
            key: which one it is, and then more words than fit into a line that stands further
                right.
            specs: what to do.
            colour: a colour.
            more: whatever else.
        """
        driver = self._driver
        try:
            pending = test_methods.paint(self._defaults, key, *specs, colour=colour, **more)
'''
        in text
    )
    assert "from couchloop.hot.result import ValueResult\n" in text
    assert "from tests.project.test_methods import Colour\n" in text


def test_rare_arguments_leave_no_gap() -> None:
    """What comes behind an argument that is left out is given by name, not in its place."""
    given = ["self._defaults", "key", "rare", "last", "named=named", "also=also"]
    assert methods._without(given, ("rare", "also")) == [
        "self._defaults",
        "key",
        "last=last",
        "named=named",
    ]
